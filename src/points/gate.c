/*
 * The triggers of a ledger: the gate, which alone moves points, and those that keep what it wrote.
 */
#include "points/ledger.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "base/store.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/*
 * Entries that were computed and are on their way into the table. The gate lets a row pass that equals the first of them.
 * Only C code puts entries here, for the length of one statement; the end of a transaction or subtransaction empties it.
 */
static Oid queue_relid;
static List *queue;
static int queue_next;

static void
empty_queue(void)
{
	queue_relid = InvalidOid;
	queue = NIL;
	queue_next = 0;
}

static void
at_transaction_end(XactEvent event, void *arg)
{
	empty_queue();
	ledger_writing = false;
}

static void
at_subtransaction_end(SubXactEvent event, SubTransactionId id, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
	{
		empty_queue();
		ledger_writing = false;
	}
}

/*
 * Announce computed entries, which the caller inserts right away
 */
void
ledger_queue_push(Oid relid, List *entries)
{
	static bool registered;

	if (!registered)
	{
		RegisterXactCallback(at_transaction_end, NULL);
		RegisterSubXactCallback(at_subtransaction_end, NULL);
		registered = true;
	}
	if (queue != NIL)
		elog(ERROR, "the queue of the points ledger is not empty");
	queue_relid = relid;
	queue = entries;
	queue_next = 0;
}

/*
 * Did all announced entries come?
 */
bool
ledger_queue_empty(void)
{
	return queue == NIL;
}

/*
 * Are the announced entries on their way into this table, or into the one that it is a partition of?
 */
static bool
is_queue_of(Relation rel)
{
	Oid relid = RelationGetRelid(rel);

	return relid == queue_relid ||
		   (rel->rd_rel->relispartition && llast_oid(get_partition_ancestors(relid)) == queue_relid);
}

/*
 * Is a row exactly the computed entry?
 */
static bool
same_entry(const PointsEntry *a, const PointsEntry *b)
{
#define SAME_TEXT(field) ((a->field == NULL) == (b->field == NULL) && (a->field == NULL || strcmp(a->field, b->field) == 0))
	return a->customer_id == b->customer_id && SAME_TEXT(program) && a->seq == b->seq && a->kind == b->kind &&
		   a->points == b->points && SAME_TEXT(source) && SAME_TEXT(reference) && a->reverses == b->reverses &&
		   a->expires_at == b->expires_at && a->available_at == b->available_at && a->occurred_at == b->occurred_at &&
		   a->booked_at == b->booked_at && a->balance_after == b->balance_after && a->shortfall == b->shortfall &&
		   points_lots_equal(&a->lots, &b->lots) && SAME_TEXT(detail) && SAME_TEXT(actor) && a->has_note == b->has_note &&
		   memcmp(a->note_hash, b->note_hash, POINTS_HASH_SIZE) == 0 && a->has_hash == b->has_hash &&
		   memcmp(a->hash, b->hash, POINTS_HASH_SIZE) == 0;
}

/*
 * Refuse a row that came complete and does not fit
 */
static void
refuse_forged(const PointsEntry *entry, const char *why)
{
	ereport(ERROR,
			(errcode(ERRCODE_POINTS_FORGED),
			 errmsg("the entry does not fit into the points ledger: %s", why),
			 errdetail("customer " INT64_FORMAT ", program %s, seq " INT64_FORMAT, entry->customer_id, entry->program, entry->seq),
			 errhint("Leave seq, balance_after and hash out of new entries; restored ones must come as they were dumped.")));
}

/*
 * A row whose number the account has passed comes from a restore: check it by its neighbours, as far as they are there
 */
static void
check_historical(Ledger *ledger, Relation rel, LedgerAccount *account, const PointsEntry *entry)
{
	static const uint8 zeros[POINTS_HASH_SIZE];
	PointsEntry before;
	PointsEntry after;
	PointsEntry copy = *entry;
	const uint8 *previous = NULL;

	if (entry->seq < 1)
		refuse_forged(entry, "seq starts at 1");
	if (entry->seq <= account->archived)
		refuse_forged(entry, "it is in the archive");
	if (entry->seq == 1)
		previous = zeros;
	else if (ledger_find_seq(ledger, rel, account, entry->seq - 1, &before))
		previous = before.hash;
	if (previous != NULL)
	{
		points_hash(previous, &copy);
		if (memcmp(copy.hash, entry->hash, POINTS_HASH_SIZE) != 0)
			refuse_forged(entry, "its hash is not that of this entry after the one before");
	}
	if (entry->seq == account->state.seq)
	{
		if (memcmp(entry->hash, account->state.head, POINTS_HASH_SIZE) != 0)
			refuse_forged(entry, "its hash is not the head of its account");
	}
	else if (ledger_find_seq(ledger, rel, account, entry->seq + 1, &after))
	{
		copy = after;
		points_hash(entry->hash, &copy);
		if (memcmp(copy.hash, after.hash, POINTS_HASH_SIZE) != 0)
			refuse_forged(entry, "the entry after it does not continue its hash");
	}
}

/*
 * A row that came complete and is the next of its account: it must be what the rules give
 */
static void
replay_complete(Ledger *ledger, Relation rel, LedgerAccount *account, PointsEntry *entry)
{
	PointsContext context = {.spendable = true, .allow_debt = entry->shortfall == 0};
	PointsEntry target;
	PointsEntry *copy = palloc(sizeof(PointsEntry));
	const char *why;

	if (entry->reverses != 0 && ledger_find_seq(ledger, rel, account, entry->reverses, &target))
	{
		context.target = &target;
		ledger_reversals(ledger, rel, account, &target, 0, &context.reversed, &context.target_available);
	}
	why = points_replay(&account->state, entry, &context);
	if (why != NULL)
		refuse_forged(entry, why);
	*copy = *entry;
	account->entries = list_make1(copy);
}

/*
 * The gate: BEFORE INSERT on points_entry, for each row
 */
PG_FUNCTION_INFO_V1(points_gate);
Datum
points_gate(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	MemoryContext caller = CurrentMemoryContext;
	Relation rel;
	Ledger *ledger;
	TupleDesc desc;
	HeapTuple result;
	PointsEntry *entry;
	PointsEntry found;
	LedgerAccount account = {0};
	LedgerResult posted = LEDGER_POSTED;
	StoreOwner owner;
	bool given[LEDGER_COLUMNS];
	bool complete;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"points_gate\" must be fired BEFORE INSERT FOR EACH ROW")));
	rel = trigger->tg_relation;
	desc = RelationGetDescr(rel);
	ledger = ledger_open(rel);
	entry = palloc(sizeof(PointsEntry));
	ledger_from_tuple(ledger, trigger->tg_trigtuple, desc, entry, given);

	if (queue != NIL && is_queue_of(rel))
	{
		if (!same_entry(entry, list_nth(queue, queue_next)))
			ereport(ERROR,
					(errcode(ERRCODE_POINTS_BYPASSED),
					 errmsg("an entry of the points ledger was changed on its way"),
					 errhint("A trigger on points_entry that fires before the gate changes its rows.")));
		if (++queue_next == list_length(queue))
			empty_queue();
		return PointerGetDatum(trigger->tg_trigtuple);
	}

	ledger_check_movement(rel, entry, given);
	complete = given[COL_SEQ] && given[COL_HASH] && given[COL_BALANCE_AFTER] && given[COL_OCCURRED_AT] &&
			   given[COL_BOOKED_AT] && given[COL_POINTS] && given[COL_SOURCE];
	if (!complete && (given[COL_SEQ] || given[COL_HASH] || given[COL_BALANCE_AFTER] || given[COL_BOOKED_AT]))
		ereport(ERROR,
				(errcode(ERRCODE_POINTS_INVALID),
				 errmsg("seq, booked_at, balance_after and hash of a points entry are set by the ledger"),
				 errhint("Leave them out; occurred_at says when it happened.")));

	store_user_begin(rel, &owner);
	if (complete)
	{
		account.customer_id = entry->customer_id;
		account.program = entry->program;
		ledger_lock(ledger, NULL, &account);
		if (entry->seq <= account.state.seq)
			check_historical(ledger, rel, &account, entry);
		else
		{
			replay_complete(ledger, rel, &account, entry);
			ledger_write(ledger, &account, 1);
		}
	}
	else
	{
		entry->detail_asked = given[COL_DETAIL];
		posted = ledger_move(ledger, rel, &account, entry, given, &found);
		if (posted == LEDGER_POSTED)
			ledger_insert(ledger, list_delete_ptr(account.entries, entry));
	}

	if (posted == LEDGER_REPLAYED)
		result = NULL;
	else if (complete)
		result = trigger->tg_trigtuple;
	else
	{
		Datum values[LEDGER_COLUMNS];
		bool nulls[LEDGER_COLUMNS];
		int columns[LEDGER_COLUMNS];
		MemoryContext old;

		for (int i = 0; i < LEDGER_COLUMNS; i++)
			columns[i] = ledger->column[i];
		ledger_to_values(ledger, entry, values, nulls);
		old = MemoryContextSwitchTo(caller);
		result = heap_modify_tuple_by_cols(trigger->tg_trigtuple, desc, LEDGER_COLUMNS, columns, values, nulls);
		MemoryContextSwitchTo(old);
	}
	store_user_end(&owner);
	return PointerGetDatum(result);
}

/*
 * Refuses UPDATE, DELETE and TRUNCATE of what must stay: fires ALWAYS, so under replica role too. Only what the archive's own code
 * is moving at this moment may go.
 */
PG_FUNCTION_INFO_V1(points_immutable);
Datum
points_immutable(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"points_immutable\" was not called as a trigger")));
	if (TRIGGER_FIRED_BY_DELETE(trigger->tg_event) && TRIGGER_FIRED_BEFORE(trigger->tg_event) &&
		ledger_archive_opened(trigger->tg_relation,
							  TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ? trigger->tg_trigtuple : NULL))
		return PointerGetDatum(TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ? trigger->tg_trigtuple : NULL);
	ereport(ERROR,
			(errcode(ERRCODE_POINTS_IMMUTABLE),
			 errmsg("table \"%s\" is append-only: %s is refused",
					RelationGetRelationName(trigger->tg_relation),
					TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)	 ? "UPDATE"
					: TRIGGER_FIRED_BY_DELETE(trigger->tg_event) ? "DELETE"
																 : "TRUNCATE"),
			 errhint("Correct a mistake by a new entry: refund, restore or adjust.")));
	return (Datum) 0;
}

/*
 * Guard of points_account and points_hold, BEFORE UPDATE OR DELETE: the ledger alone writes them, except for closed
 */
PG_FUNCTION_INFO_V1(points_guard);
Datum
points_guard(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	bool update;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"points_guard\" must be fired BEFORE UPDATE OR DELETE FOR EACH ROW")));
	update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	if (update && ledger_writing)
		return PointerGetDatum(trigger->tg_newtuple);
	if (update && trigger->tg_trigger->tgnargs > 0)
	{
		TupleDesc desc = RelationGetDescr(trigger->tg_relation);
		AttrNumber free_column = store_column(trigger->tg_relation, trigger->tg_trigger->tgargs[0]);
		bool changed = false;

		for (int i = 1; i <= desc->natts; i++)
		{
			bool old_null;
			bool new_null;
			Datum old_value;
			Datum new_value;
			Form_pg_attribute attribute = TupleDescAttr(desc, i - 1);

			if (i == free_column || attribute->attisdropped)
				continue;
			old_value = heap_getattr(trigger->tg_trigtuple, i, desc, &old_null);
			new_value = heap_getattr(trigger->tg_newtuple, i, desc, &new_null);
			if (old_null != new_null ||
				(!old_null && !datumIsEqual(old_value, new_value, attribute->attbyval, attribute->attlen)))
				changed = true;
		}
		if (!changed)
			return PointerGetDatum(trigger->tg_newtuple);
	}
	ereport(ERROR,
			(errcode(ERRCODE_POINTS_IMMUTABLE),
			 errmsg("table \"%s\" is kept by the points ledger: %s is refused",
					RelationGetRelationName(trigger->tg_relation),
					update ? "UPDATE" : "DELETE"),
			 errhint("Post an entry; adjust corrects a balance.")));
	return (Datum) 0;
}

/*
 * Deferred check of points_account, AFTER UPDATE: at commit all entries between the old seq and the new must be there, the
 * last with the head's hash
 */
PG_FUNCTION_INFO_V1(points_check_head);
Datum
points_check_head(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc desc;
	Relation entries;
	Ledger *ledger;
	LedgerAccount account = {0};
	PointsEntry found;
	bool isnull;
	int64 old_seq;
	int64 new_seq;
	bytea *head;
	Relation rel;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_AFTER(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) || !TRIGGER_FIRED_BY_UPDATE(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"points_check_head\" must be fired AFTER UPDATE FOR EACH ROW")));
	rel = trigger->tg_relation;
	desc = RelationGetDescr(rel);
	store_check_shape(RelationGetRelid(rel), "points_account");
	old_seq = DatumGetInt64(heap_getattr(trigger->tg_trigtuple, store_column(rel, "seq"), desc, &isnull));
	new_seq = DatumGetInt64(heap_getattr(trigger->tg_newtuple, store_column(rel, "seq"), desc, &isnull));
	if (old_seq == new_seq)
		return PointerGetDatum(NULL);
	head = DatumGetByteaPP(heap_getattr(trigger->tg_newtuple, store_column(rel, "head"), desc, &isnull));
	account.customer_id =
		DatumGetInt64(heap_getattr(trigger->tg_newtuple, store_column(rel, "customer_id"), desc, &isnull));
	account.program =
		TextDatumGetCString(heap_getattr(trigger->tg_newtuple, store_column(rel, "program"), desc, &isnull));
	entries = table_open(store_sibling_table(rel, "points_entry"), AccessShareLock);
	ledger = ledger_open(entries);
	PushActiveSnapshot(GetTransactionSnapshot());
	for (int64 seq = old_seq + 1; seq <= new_seq; seq++)
	{
		if (!ledger_find_seq(ledger, entries, &account, seq, &found) ||
			(seq == new_seq && (VARSIZE_ANY_EXHDR(head) != POINTS_HASH_SIZE ||
								memcmp(found.hash, VARDATA_ANY(head), POINTS_HASH_SIZE) != 0)))
			ereport(ERROR,
					(errcode(ERRCODE_POINTS_BYPASSED),
					 errmsg("entry " INT64_FORMAT " of the points ledger is missing or was changed on its way", seq),
					 errdetail("customer " INT64_FORMAT ", program %s", account.customer_id, account.program),
					 errhint("A trigger on points_entry that fires after the gate skips or changes its rows.")));
	}
	PopActiveSnapshot();
	table_close(entries, AccessShareLock);
	return PointerGetDatum(NULL);
}

/*
 * On points_program and settings, AFTER any statement: what backends keep of them is void
 */
PG_FUNCTION_INFO_V1(points_rules_changed);
Datum
points_rules_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"points_rules_changed\" was not called as a trigger")));
	CacheInvalidateRelcache(trigger->tg_relation);
	return PointerGetDatum(NULL);
}
