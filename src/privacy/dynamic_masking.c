#include "base/crm.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "base/change.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "privacy/dynamic_masking.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

/*
 * PostgreSQL's privileges enforce the masks. Where a privilege slipped through (pg_read_all_data, a membership, a view),
 * this hook refuses what crm.check_masks() would list. It denies and logs; it never changes a query.
 */

/* Column numbers of crm.masked_table, crm.mask_policy and crm.mask_accepted */
#define MASKED_RELID 1
#define MASKED_READERS 2
#define POLICY_RELID 1
#define POLICY_COLUMN 2
#define POLICY_KIND 3
#define ACCEPTED_RELID 1
#define ACCEPTED_OBJECT 2

/* A masked table, or a partition or child of one */
typedef struct MaskedRelation
{
	Oid relid; /* hash key */
	Oid root;
	Oid view;
	Oid owner;
	Bitmapset *clear; /* columns open to all, as in selectedCols */
	List *readers;	  /* names, since a role's number says nothing after a restore */
} MaskedRelation;

static bool enforce_masks = true;
static ExecutorCheckPerms_hook_type previous_hook;
static MemoryContext masks_context;
static HTAB *masks;
static uint64 changes = 1;  /* relations changed so far */
static uint64 loaded_at = 0; /* value of changes that masks is as of */

/*
 * Whatever changes a table or a view may change the masks: look again at the next check
 */
static void
forget_masks(Datum arg, Oid relid)
{
	changes++;
}

/*
 * OID of a table of the kit; InvalidOid where the extension is not installed
 */
static Oid
kit_table(const char *name)
{
	Oid schema = get_namespace_oid(CRM_SCHEMA, true);

	return OidIsValid(schema) ? get_relname_relid(name, schema) : InvalidOid;
}

/*
 * The masked view of a table, or InvalidOid
 */
static Oid
masked_view_of(Oid relid, Oid owner)
{
	char *name = psprintf("%s_masked", get_rel_name(relid));
	Oid view = strlen(name) < NAMEDATALEN ? get_relname_relid(name, get_rel_namespace(relid)) : InvalidOid;
	HeapTuple tuple;

	if (!OidIsValid(view))
		return InvalidOid;
	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(view));
	if (!HeapTupleIsValid(tuple) || ((Form_pg_class) GETSTRUCT(tuple))->relowner != owner ||
		((Form_pg_class) GETSTRUCT(tuple))->relkind != RELKIND_VIEW)
		view = InvalidOid;
	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return view;
}

/*
 * Owner of a relation, or InvalidOid when it is gone
 */
static Oid
owner_of(Oid relid)
{
	HeapTuple tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Enter a masked table with all its partitions and children
 */
static void
enter_tree(HTAB *table, Oid root, Datum readers)
{
	Oid owner = owner_of(root);
	Oid view;
	Datum *names;
	int count;
	List *reader_names = NIL;
	ListCell *cell;

	if (!OidIsValid(owner))
		return;
	view = masked_view_of(root, owner);
	deconstruct_array(DatumGetArrayTypeP(readers), NAMEOID, NAMEDATALEN, false, TYPALIGN_CHAR, &names, NULL, &count);
	for (int i = 0; i < count; i++)
		reader_names = lappend(reader_names, pstrdup(NameStr(*DatumGetName(names[i]))));
	foreach (cell, find_all_inheritors(root, NoLock, NULL))
	{
		Oid relid = lfirst_oid(cell);
		MaskedRelation *entry = hash_search(table, &relid, HASH_ENTER, NULL);

		entry->root = root;
		entry->view = view;
		entry->owner = owner;
		entry->clear = NULL;
		entry->readers = reader_names;
	}
}

/*
 * Read the policies anew. Plain scans, since this runs inside the executor's start, where a query of our own would nest.
 */
static void
load_masks(void)
{
	/* What is invalidated from here on is looked at again. */
	uint64 as_of = changes;
	Oid masked_table = kit_table("masked_table");
	Oid mask_policy = kit_table("mask_policy");
	MemoryContext old;
	HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(MaskedRelation)};
	HTAB *table;
	Relation rel;
	SysScanDesc scan;
	HeapTuple tuple;
	bool isnull;

	masks = NULL;
	if (masks_context == NULL)
		masks_context = AllocSetContextCreate(CacheMemoryContext, "crm masks", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(masks_context);
	if (!OidIsValid(masked_table) || !OidIsValid(mask_policy))
	{
		loaded_at = as_of;
		return;
	}

	old = MemoryContextSwitchTo(masks_context);
	control.hcxt = masks_context;
	table = hash_create("crm masks", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	rel = table_open(masked_table, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		enter_tree(table,
				   DatumGetObjectId(heap_getattr(tuple, MASKED_RELID, RelationGetDescr(rel), &isnull)),
				   heap_getattr(tuple, MASKED_READERS, RelationGetDescr(rel), &isnull));
	systable_endscan(scan);
	table_close(rel, AccessShareLock);

	rel = table_open(mask_policy, AccessShareLock);
	scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		TupleDesc desc = RelationGetDescr(rel);
		Oid root = DatumGetObjectId(heap_getattr(tuple, POLICY_RELID, desc, &isnull));
		char *column = NameStr(*DatumGetName(heap_getattr(tuple, POLICY_COLUMN, desc, &isnull)));
		char *kind = TextDatumGetCString(heap_getattr(tuple, POLICY_KIND, desc, &isnull));
		HASH_SEQ_STATUS status;
		MaskedRelation *entry;

		if (strcmp(kind, "clear") != 0)
			continue;
		hash_seq_init(&status, table);
		while ((entry = hash_seq_search(&status)) != NULL)
		{
			/* Partitions number their columns in their own way. */
			AttrNumber attnum = entry->root == root ? get_attnum(entry->relid, column) : InvalidAttrNumber;

			if (attnum > 0)
				entry->clear = bms_add_member(entry->clear, attnum - FirstLowInvalidHeapAttributeNumber);
		}
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	MemoryContextSwitchTo(old);
	masks = table;
	loaded_at = as_of;
}

/*
 * The masked relation an entry reads hidden columns of, or NULL
 */
static MaskedRelation *
hidden_read(CrmPermission *permission)
{
	MaskedRelation *entry;
	int member = -1;

	if (!OidIsValid(permission->relid) || (permission->requiredPerms & ACL_SELECT) == 0)
		return NULL;
	entry = hash_search(masks, &permission->relid, HASH_FIND, NULL);
	if (entry == NULL)
		return NULL;
	while ((member = bms_next_member(permission->selectedCols, member)) >= 0)
	{
		AttrNumber attnum = member + FirstLowInvalidHeapAttributeNumber;

		/* Zero is the whole row; system columns tell nothing. */
		if (attnum >= 0 && !bms_is_member(member, entry->clear))
			return entry;
	}
	return NULL;
}

/*
 * May this role read the clear values?
 */
static bool
is_entitled(MaskedRelation *entry, Oid role)
{
	char *name;
	ListCell *cell;

	if (role == entry->owner || superuser_arg(role))
		return true;
	name = GetUserNameFromId(role, true);
	foreach (cell, entry->readers)
	{
		if (name != NULL && strcmp(name, lfirst(cell)) == 0)
			return true;
	}
	return false;
}

/*
 * Did the table's owner accept this way around the mask? The name is as check_masks shows it.
 */
static bool
is_accepted(MaskedRelation *entry, const char *object)
{
	Relation rel = table_open(kit_table("mask_accepted"), AccessShareLock);
	SysScanDesc scan = systable_beginscan(rel, InvalidOid, false, NULL, 0, NULL);
	HeapTuple tuple;
	bool isnull;
	bool accepted = false;

	while (!accepted && HeapTupleIsValid(tuple = systable_getnext(scan)))
		accepted =
			DatumGetObjectId(heap_getattr(tuple, ACCEPTED_RELID, RelationGetDescr(rel), &isnull)) == entry->root &&
			strcmp(TextDatumGetCString(heap_getattr(tuple, ACCEPTED_OBJECT, RelationGetDescr(rel), &isnull)), object) ==
				0;
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return accepted;
}

/*
 * Name of a view as check_masks shows it: without the schema when that is the masked table's own
 */
static char *
view_name(MaskedRelation *entry, Oid view)
{
	Oid schema = get_rel_namespace(view);

	if (schema == get_rel_namespace(entry->root))
		return pstrdup(quote_identifier(get_rel_name(view)));
	return quote_qualified_identifier(get_namespace_name(schema), get_rel_name(view));
}

/*
 * Is every read of the table by way of views one of its masked view, or is an accepted view among them?
 *
 * Each mention of the masked view brings exactly one read of the table. One more read comes from another view.
 */
static bool
only_by_masked_view(List *permissions, MaskedRelation *entry)
{
	int reads = 0;
	int masked = 0;
	ListCell *cell;

	foreach (cell, permissions)
	{
		CrmPermission *permission = lfirst(cell);
		MaskedRelation *other;

		if (!OidIsValid(permission->relid) || permission->requiredPerms == 0)
			continue;
		if (permission->relid == entry->view)
			masked++;
		else if ((other = hidden_read(permission)) != NULL && other->root == entry->root)
			reads += OidIsValid(permission->checkAsUser) ? 1 : 0;
		else if (get_rel_relkind(permission->relid) == RELKIND_VIEW &&
				 is_accepted(entry, view_name(entry, permission->relid)))
			return true;
	}
	return reads <= masked;
}

/*
 * Refuse reads of masked columns that the policy does not know, whatever the privileges say
 */
static bool
check_masks_permissions(CRM_CHECK_PERMS_ARGS)
{
	List *permissions = CRM_CHECK_PERMS_LIST;
	ListCell *cell;

	if (previous_hook && !previous_hook(CRM_CHECK_PERMS_PASS))
		return false;
	if (!enforce_masks || IsBinaryUpgrade || !IsTransactionState())
		return true;
	if (loaded_at != changes)
		load_masks();
	if (masks == NULL || hash_get_num_entries(masks) == 0)
		return true;

	foreach (cell, permissions)
	{
		CrmPermission *permission = lfirst(cell);
		MaskedRelation *entry = hidden_read(permission);
		Oid role = GetUserId();
		bool by_view;

		if (entry == NULL || is_entitled(entry, role))
			continue;
		by_view = OidIsValid(permission->checkAsUser) && permission->checkAsUser != role;
		if (by_view ? only_by_masked_view(permissions, entry) : is_accepted(entry, GetUserNameFromId(role, false)))
			continue;

		ereport(LOG_SERVER_ONLY,
				(errmsg("crm: masked columns of table \"%s\" refused: role \"%s\", login \"%s\", %s",
						get_rel_name(permission->relid),
						GetUserNameFromId(role, false),
						GetUserNameFromId(GetSessionUserId(), false),
						by_view ? "by a view" : "by a privilege"),
				 errhidestmt(true)));
		if (crm_abort)
			ereport(ERROR,
					(errcode(MAKE_SQLSTATE('C', 'V', '0', '0', '9')),
					 errmsg("masked columns of table \"%s\" are not for role \"%s\"",
							get_rel_name(permission->relid),
							GetUserNameFromId(role, false)),
					 by_view ? errdetail("A view that is not its masked view reads them.")
							 : errdetail("A privilege of the role reaches them that the table's masks do not know."),
					 errhint("SELECT * FROM crm.check_masks() shows the way; the table's owner may name the role a reader "
							 "with crm.apply_masks or let the way pass with crm.accept_way.")));
		return false;
	}
	return true;
}

void
dynamic_masking_init(void)
{
	DefineCustomBoolVariable("crm.enforce_masks",
							 "Refuses masked columns to roles that only a stray privilege or view lets read them.",
							 "Works when crm is in shared_preload_libraries.",
							 &enforce_masks,
							 true,
							 PGC_SUSET,
							 0,
							 NULL,
							 NULL,
							 NULL);
	if (!process_shared_preload_libraries_in_progress)
		return;
	on_relation_change(forget_masks);
	previous_hook = ExecutorCheckPerms_hook;
	ExecutorCheckPerms_hook = check_masks_permissions;
}
