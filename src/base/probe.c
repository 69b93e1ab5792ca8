/*
 * Looking one key up in a B-tree as an insertion does that asks whether it is there: a scan, its keys and what it keeps of a page
 * cost as much again as the way down.
 */
#include "base/compat.h"

#include "base/probe.h"

#include "access/nbtree.h"
#include "access/xact.h"
#include "catalog/pg_am.h"
#include "pgstat.h"
#include "storage/bufmgr.h"
#include "utils/rel.h"

/*
 * Places of the items of a page that equal a key, from the first that is not less
 */
static int
read_places(Relation index, BTScanInsert key, Buffer buffer, OffsetNumber from, ItemPointer places, int max)
{
	Page page = BufferGetPage(buffer);
	OffsetNumber last = PageGetMaxOffsetNumber(page);
	int count = 0;

	for (OffsetNumber at = from; at <= last; at = OffsetNumberNext(at))
	{
		IndexTuple item = (IndexTuple) PageGetItem(page, PageGetItemId(page, at));

		if (_bt_compare(index, key, page, at) != 0)
			return count;
		if (count == max || BTreeTupleIsPosting(item))
			return CRM_PROBE_UNKNOWN;
		places[count++] = item->t_tid;
	}
	/* The next page may go on with the key. */
	if (!P_RIGHTMOST(BTPageGetOpaque(page)) && _bt_compare(index, key, page, P_HIKEY) == 0)
		return CRM_PROBE_UNKNOWN;
	return count;
}

/*
 * Look a key up
 */
int
crm_btree_probe(Relation heap, Relation index, const Datum *key, ItemPointer places, int max)
{
	TupleDesc desc = RelationGetDescr(index);
	bool nulls[INDEX_MAX_KEYS] = {0};
	BTInsertStateData search = {0};
	BTStack stack;
	Buffer buffer;
	int count = 0;

	/* A serializable transaction also locks what is not there. */
	if (index->rd_rel->relam != BTREE_AM_OID || IsolationIsSerializable() ||
		desc->natts != IndexRelationGetNumberOfKeyAttributes(index))
		return CRM_PROBE_UNKNOWN;
	pgstat_count_index_scan(index);
	search.itup = index_form_tuple(desc, (Datum *) key, nulls);
	search.itemsz = MAXALIGN(IndexTupleSize(search.itup));
	search.itup_key = _bt_mkscankey(index, search.itup);
	if (search.itup_key->heapkeyspace)
	{
		search.itup_key->scantid = NULL;
		stack = crm_bt_search(index, heap, search.itup_key, &buffer);
		if (BufferIsValid(buffer))
		{
			search.buf = buffer;
			count = read_places(
				index, search.itup_key, buffer, _bt_binsrch_insert(index, &search), places, max);
			_bt_relbuf(index, buffer);
		}
		if (stack != NULL)
			_bt_freestack(stack);
	}
	else
		count = CRM_PROBE_UNKNOWN;
	if (count > 0)
		pgstat_count_index_tuples(index, count);
	pfree(search.itup_key);
	pfree(search.itup);
	return count;
}
