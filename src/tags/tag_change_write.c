/*
 * The SQL behind tag_change.c: what it reads of the dictionary and writes to the tables beside the customers.
 */
#include "tags/tag_change.h"

#include "base/change.h"
#include "base/store.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#define ERRCODE_CRM_OFFICIAL_TAG MAKE_SQLSTATE('C', 'T', '0', '1', '0')

/* Audiences are written so many bytes at a time. */
#define PART_BYTES (32 * 1024 * 1024)

static HTAB *tables;

/*
 * What is kept of a table
 */
ChangeTable *
change_table(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	ChangeTable *table;
	bool found;

	if (tables == NULL)
	{
		HASHCTL control = {.keysize = sizeof(Oid), .entrysize = sizeof(ChangeTable), .hcxt = TopMemoryContext};

		tables = hash_create("crm tagged tables", 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	table = hash_search(tables, &relid, HASH_ENTER, &found);
	if (!found)
		memset(table->plans, 0, sizeof(table->plans));
	return table;
}

/*
 * A shard has no identity columns: there, the number of an event comes from the sequence of the table it belongs to
 */
static const char *
event_number(ChangeState *state)
{
	char *whole = quote_qualified_identifier(get_namespace_name(RelationGetNamespace(state->rel)), "tag_event");

	return psprintf("nextval(pg_get_serial_sequence(%s, 'event_id')), ", quote_literal_cstr(whole));
}

/*
 * A plan, made when it is first needed and again when its tables changed
 */
static SPIPlanPtr
change_plan(ChangeState *state, ChangePlan which)
{
	SPIPlanPtr plan = state->table->plans[which];
	const char *table = "tag";
	Oid types[6];
	int n = 0;
	Oid relid;
	char *name;
	char *sql = NULL;

	if (plan != NULL && SPI_plan_is_valid(plan))
		return plan;
	switch (which)
	{
		case PLAN_DICTIONARY:
			break;
		case PLAN_NAMESPACES:
			table = "tag_namespace";
			break;
		case PLAN_RESTRICTED:
			table = "access_grantee";
			break;
		case PLAN_EVENTS:
			table = "tag_event";
			break;
		case PLAN_EXPIRY:
		case PLAN_NO_EXPIRY:
			table = "tag_expiry";
			break;
		case PLAN_AUDIENCE:
		case PLANS:
			table = "tag_audience_change";
			break;
	}
	relid = store_sibling_table(state->rel, table);
	name = store_qualified_name(relid);
	switch (which)
	{
		case PLAN_DICTIONARY:
			sql = psprintf("SELECT t.tag, t.kind = 'official', t.valid_for FROM %s t "
						   "WHERE t.tag = ANY ($1) AND (t.kind = 'official' OR t.valid_for IS NOT NULL)",
						   name);
			types[n++] = TEXTARRAYOID;
			break;
		case PLAN_NAMESPACES:
			sql = psprintf("SELECT n.namespace FROM %s n WHERE n.exclusive", name);
			break;
		case PLAN_RESTRICTED:
			sql = psprintf("SELECT FROM %s g JOIN pg_roles r ON r.rolname = g.role "
						   "WHERE g.kind IN ('owner', 'app') AND pg_has_role($1, r.oid, 'USAGE') LIMIT 1",
						   name);
			types[n++] = OIDOID;
			break;
		case PLAN_EVENTS:
			sql = psprintf("INSERT INTO %s (%scustomer_id, tag, added, expires_at, at, who, why) "
						   "SELECT %se.customer_id, e.tag, e.added, e.expires_at, now(), $5, $6 "
						   "FROM unnest($1, $2, $3, $4) AS e(customer_id, tag, added, expires_at)",
						   name,
						   store_is_shard(state->rel) ? "event_id, " : "",
						   store_is_shard(state->rel) ? event_number(state) : "");
			types[n++] = INT8ARRAYOID;
			types[n++] = TEXTARRAYOID;
			types[n++] = BOOLARRAYOID;
			types[n++] = TIMESTAMPTZARRAYOID;
			types[n++] = TEXTOID;
			types[n++] = TEXTOID;
			break;
		case PLAN_EXPIRY:
			sql = psprintf("INSERT INTO %s AS x (customer_id, tag, expires_at) "
						   "SELECT e.customer_id, e.tag, e.expires_at "
						   "FROM unnest($1, $2, $3) AS e(customer_id, tag, expires_at) "
						   "ON CONFLICT (customer_id, tag) DO UPDATE SET expires_at = EXCLUDED.expires_at",
						   name);
			types[n++] = INT8ARRAYOID;
			types[n++] = TEXTARRAYOID;
			types[n++] = TIMESTAMPTZARRAYOID;
			break;
		case PLAN_NO_EXPIRY:
			sql = psprintf("DELETE FROM %s AS x USING unnest($1, $2) AS e(customer_id, tag) "
						   "WHERE x.customer_id = e.customer_id AND x.tag = e.tag",
						   name);
			types[n++] = INT8ARRAYOID;
			types[n++] = TEXTARRAYOID;
			break;
		case PLAN_AUDIENCE:
		case PLANS:
			/* On a shard a row stands with one of its customers, by which the table is distributed. */
			sql = psprintf("INSERT INTO %s (%stag, chunk, toggled) SELECT %sc.tag, c.chunk, c.toggled "
						   "FROM unnest($1, $2, $3) AS c(tag, chunk, toggled)",
						   name,
						   store_is_shard(state->rel) ? "customer_id, " : "",
						   store_is_shard(state->rel) ? CRM_SCHEMA ".min(c.toggled), " : "");
			types[n++] = TEXTARRAYOID;
			types[n++] = INT8ARRAYOID;
			types[n++] = get_array_type(get_atttype(relid, get_attnum(relid, "toggled")));
			break;
	}
	plan = SPI_prepare_cursor(sql, n, types, CURSOR_OPT_GENERIC_PLAN);
	if (plan == NULL)
		elog(ERROR, "SPI_prepare failed: %s", SPI_result_code_string(SPI_result));
	SPI_keepplan(plan);
	retire_plan(state->table->plans[which]);
	state->table->plans[which] = plan;
	return plan;
}

/*
 * Run a plan
 */
static void
run_plan(ChangeState *state, ChangePlan which, Datum *values, const char *nulls)
{
	/* What is read is read as of now: the dictionary may have changed since the statement's snapshot. */
	int result = SPI_execute_plan(change_plan(state, which), values, nulls, false, 0);

	if (result < 0)
		elog(ERROR, "SPI_execute_plan failed: %s", SPI_result_code_string(result));
}

/*
 * Read which namespaces hold one value
 */
void
learn_namespaces(ChangeState *state)
{
	MemoryContext old;

	run_plan(state, PLAN_NAMESPACES, NULL, NULL);
	old = MemoryContextSwitchTo(state->context);
	state->n_namespaces = (int) SPI_processed;
	state->namespaces = palloc(sizeof(Tag) * Max(state->n_namespaces, 1));
	for (int i = 0; i < state->n_namespaces; i++)
	{
		char *name = SPI_getvalue(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, 1);

		state->namespaces[i].data = pstrdup(name);
		state->namespaces[i].length = (int) strlen(name);
	}
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
	state->namespaces_known = true;
}

/*
 * Is the user bound to leave official tags alone? Only the owner and roles of the kinds owner and app are not
 */
static bool
restricted(ChangeState *state)
{
	if (!state->restricted_known)
	{
		state->restricted = !has_privs_of_role(state->user, state->rel->rd_rel->relowner);
		if (state->restricted)
		{
			Datum user = ObjectIdGetDatum(state->user);

			run_plan(state, PLAN_RESTRICTED, &user, NULL);
			state->restricted = SPI_processed == 0;
			SPI_freetuptable(SPI_tuptable);
		}
		state->restricted_known = true;
	}
	return state->restricted;
}

/*
 * Learn from the dictionary what it says of the tags gathered since last time
 */
static void
learn_tags(ChangeState *state)
{
	MemoryContext old;
	Datum *names = palloc(sizeof(Datum) * Max(state->n, 1));
	Datum array;
	int n = 0;

	for (int i = 0; i < state->n; i++)
	{
		if (!state->changed[i]->known)
		{
			state->changed[i]->known = true;
			names[n++] = PointerGetDatum(state->changed[i]->name);
		}
	}
	if (n > 0)
	{
		array = PointerGetDatum(construct_array(names, n, TEXTOID, -1, false, TYPALIGN_INT));
		run_plan(state, PLAN_DICTIONARY, &array, NULL);
		for (uint64 row = 0; row < SPI_processed; row++)
		{
			HeapTuple tuple = SPI_tuptable->vals[row];
			TupleDesc desc = SPI_tuptable->tupdesc;
			bool isnull;
			text *name = DatumGetTextPP(SPI_getbinval(tuple, desc, 1, &isnull));
			bool official = DatumGetBool(SPI_getbinval(tuple, desc, 2, &isnull));
			Datum valid_for = SPI_getbinval(tuple, desc, 3, &isnull);
			TagKey key = {0};
			ChangedTag *tag;

			key.length = (uint8) VARSIZE_ANY_EXHDR(name);
			memcpy(key.data, VARDATA_ANY(name), key.length);
			tag = hash_search(state->tags, &key, HASH_FIND, NULL);
			if (tag == NULL)
				continue;
			if (official && restricted(state))
				ereport(ERROR,
						(errcode(ERRCODE_CRM_OFFICIAL_TAG),
						 errmsg("tag \"%s\" is official", text_to_cstring(tag->name)),
						 errdetail("Official tags are given and taken by the store's owner, and by roles of the access kinds owner and app."),
						 errhint("Use a tag of your own, or have the source of the official tag changed.")));
			if (!isnull)
			{
				old = MemoryContextSwitchTo(state->context);
				tag->valid_for = palloc(sizeof(Interval));
				memcpy(tag->valid_for, DatumGetIntervalP(valid_for), sizeof(Interval));
				MemoryContextSwitchTo(old);
			}
		}
		SPI_freetuptable(SPI_tuptable);
		pfree(DatumGetPointer(array));
	}
	pfree(names);
}

/*
 * When a tag that was given lapses; false when it does not
 */
static bool
expiry(ChangeState *state, int i, Datum *expires)
{
	Interval *valid_for = state->changed[i]->valid_for;

	if (!state->added[i] || (state->expires == DT_NOEND && valid_for == NULL))
		return false;
	if (state->expires != DT_NOEND)
		*expires = TimestampTzGetDatum(state->expires);
	else
		*expires = DirectFunctionCall2(timestamptz_pl_interval,
									   TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()),
									   IntervalPGetDatum(valid_for));
	return true;
}

/*
 * Arrays of what plans take
 */
static inline Datum
int8_array(Datum *values, int n)
{
	return PointerGetDatum(construct_array(values, n, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static inline Datum
text_array(Datum *values, int n)
{
	return PointerGetDatum(construct_array(values, n, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Keep tag_expiry in step: rows of tags that were taken go, rows of tags that lapse come
 */
static void
write_expiry(ChangeState *state, bool lapse)
{
	Datum *ids = palloc(sizeof(Datum) * state->n);
	Datum *names = palloc(sizeof(Datum) * state->n);
	Datum *expires = palloc(sizeof(Datum) * state->n);
	Datum values[3];
	int n = 0;

	for (int i = 0; i < state->n; i++)
	{
		if (lapse ? !expiry(state, i, &expires[n]) : state->added[i])
			continue;
		ids[n] = state->ids[i];
		names[n++] = PointerGetDatum(state->changed[i]->name);
	}
	if (n == 0)
		return;
	values[0] = int8_array(ids, n);
	values[1] = text_array(names, n);
	if (lapse)
		values[2] = PointerGetDatum(construct_array(expires, n, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	run_plan(state, lapse ? PLAN_EXPIRY : PLAN_NO_EXPIRY, values, NULL);
}

/*
 * Write the events gathered, and what they mean for expiry
 */
void
write_events(ChangeState *state)
{
	MemoryContext part;
	MemoryContext old;
	Datum *names;
	Datum *added;
	Datum *expires;
	bool *stays;
	int dims[1] = {state->n};
	int lbs[1] = {1};
	Datum values[6];

	if (state->n == 0)
		return;
	part = AllocSetContextCreate(CurrentMemoryContext, "tag events", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(part);
	learn_tags(state);
	names = palloc(sizeof(Datum) * state->n);
	added = palloc(sizeof(Datum) * state->n);
	expires = palloc(sizeof(Datum) * state->n);
	stays = palloc(sizeof(bool) * state->n);
	for (int i = 0; i < state->n; i++)
	{
		names[i] = PointerGetDatum(state->changed[i]->name);
		added[i] = BoolGetDatum(state->added[i]);
		stays[i] = !expiry(state, i, &expires[i]);
	}
	values[0] = int8_array(state->ids, state->n);
	values[1] = text_array(names, state->n);
	values[2] = PointerGetDatum(construct_array(added, state->n, BOOLOID, 1, true, TYPALIGN_CHAR));
	values[3] = PointerGetDatum(
		construct_md_array(expires, stays, 1, dims, lbs, TIMESTAMPTZOID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[4] = state->who;
	values[5] = state->why;
	run_plan(state, PLAN_EVENTS, values, DatumGetPointer(state->why) == NULL ? "     n" : NULL);
	write_expiry(state, false);
	write_expiry(state, true);
	state->n = 0;
	MemoryContextSwitchTo(old);
	MemoryContextDelete(part);
}

/*
 * Write a list of toggled audiences
 */
static void
write_audiences(ChangeState *state, Datum *names, Datum *chunks, Datum *sets, int n)
{
	Oid relid = store_sibling_table(state->rel, "tag_audience_change");
	Oid type = get_atttype(relid, get_attnum(relid, "toggled"));
	Datum values[3];

	if (n == 0)
		return;
	values[0] = text_array(names, n);
	values[1] = int8_array(chunks, n);
	values[2] = PointerGetDatum(construct_array(sets, n, type, -1, false, TYPALIGN_INT));
	run_plan(state, PLAN_AUDIENCE, values, NULL);
	for (int i = 0; i < 3; i++)
		pfree(DatumGetPointer(values[i]));
	for (int i = 0; i < n; i++)
		pfree(DatumGetPointer(sets[i]));
}

Audience *
next_chunk(AudienceReader *r, bool *more, int64 *chunk)
{
	AudienceWriter w;

	if (!*more)
		return NULL;
	*chunk = r->c.base >> TAG_AUDIENCE_CHUNK_BITS;
	audience_begin(&w, 0, 1 << (TAG_AUDIENCE_CHUNK_BITS - 16));
	do
		audience_put_container(&w, &r->c);
	while ((*more = audience_next(r)) && r->c.base >> TAG_AUDIENCE_CHUNK_BITS == *chunk);
	return audience_end(&w);
}

/*
 * Write who changed sides, cut into chunks
 */
void
write_toggles(ChangeState *state)
{
	HASH_SEQ_STATUS scan;
	ChangedTag *tag;
	int allocated = 256;
	Datum *names = palloc(sizeof(Datum) * allocated);
	Datum *chunks = palloc(sizeof(Datum) * allocated);
	Datum *sets = palloc(sizeof(Datum) * allocated);
	Size bytes = 0;
	int n = 0;

	hash_seq_init(&scan, state->tags);
	while ((tag = hash_seq_search(&scan)) != NULL)
	{
		Audience *value = audience_set_value(tag->toggled);
		AudienceReader r;
		Audience *part;
		int64 chunk;
		bool more;

		audience_set_free(tag->toggled);
		audience_open(&r, value);
		more = audience_next(&r);
		while ((part = next_chunk(&r, &more, &chunk)) != NULL)
		{
			if (n == allocated)
			{
				allocated *= 2;
				names = repalloc(names, sizeof(Datum) * allocated);
				chunks = repalloc(chunks, sizeof(Datum) * allocated);
				sets = repalloc(sets, sizeof(Datum) * allocated);
			}
			names[n] = PointerGetDatum(tag->name);
			chunks[n] = Int64GetDatum(chunk);
			sets[n] = PointerGetDatum(part);
			bytes += VARSIZE(DatumGetPointer(sets[n++]));
			if (bytes > PART_BYTES)
			{
				write_audiences(state, names, chunks, sets, n);
				n = 0;
				bytes = 0;
			}
		}
		pfree(value);
	}
	write_audiences(state, names, chunks, sets, n);
}

