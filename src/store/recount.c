/*
 * Which customers' summaries differ from their orders. Everything is read as it lies and dealt out by customer into slices that fit
 * the processor's cache; then slice after slice is added up. So a customer costs the same in a small store as in a large one.
 */
#include "base/crm.h"

#include "access/relation.h"
#include "base/store.h"
#include "common/hashfn.h"
#include "executor/spi.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "optimizer/plancat.h"
#include "store/money.h"
#include "store/purchase_image.h"
#include "store/purchase_months.h"
#include "utils/logtape.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

#define SLICE_CUSTOMERS 8192
#define SLICES_MAX 1024
#define ROWS_A_RESET 256

typedef enum FactKind
{
	FACT_CUSTOMER,
	FACT_SUMMARY,
	FACT_UNREADABLE, /* a summary that no orders could make */
	FACT_ORDER,
	FACT_ORDER_COUNTS
} FactKind;

typedef enum Sum
{
	SUM_SPEND,
	SUM_REFUNDED,
	SUM_DISCOUNT,
	SUM_COST,
	SUMS
} Sum;

/* What a row tells. Each kind is as long as what it needs, and a summary is followed by its months. */
typedef struct Fact
{
	int64 customer_id;
	int32 kind;
	int32 length; /* of the months */
	int64 sum[SUMS];
	TimestampTz first; /* DT_NOEND when null */
	int64 orders;
	TimestampTz last; /* DT_NOBEGIN when null */
} Fact;

#define FACT_KEY_SIZE offsetof(Fact, sum)
#define FACT_ORDER_SIZE offsetof(Fact, orders)

/* A customer of the slice at hand. */
typedef struct Customer
{
	bool summarized;
	bool unreadable;
	Fact stored;
	struct varlena *months;
	Fact counted;
	MonthBucket *buckets;
	int nbuckets;
	int room;
} Customer;

typedef struct CustomerEntry
{
	int64 customer_id;
	Customer *customer;
	char status;
} CustomerEntry;

#define SH_PREFIX slice
#define SH_ELEMENT_TYPE CustomerEntry
#define SH_KEY_TYPE int64
#define SH_KEY customer_id
#define SH_HASH_KEY(table, key) hash_bytes_uint32((uint32) (key) ^ (uint32) ((uint64) (key) >> 32))
#define SH_EQUAL(table, a, b) ((a) == (b))
#define SH_SCOPE static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

typedef struct Recount
{
	DestReceiver receiver; /* first: the executor hands it back */
	FactKind reads;
	PurchaseColumns columns;
	int nslices;
	int shift; /* of a hash, to its slice */
	LogicalTape **tapes; /* NULL when there is one slice, which is added up at once */
	MemoryContext context;
	MemoryContext slice_context;
	MemoryContext row_context;
	int rows;
	slice_hash *slice;
} Recount;

/*
 * Begin a slice
 */
static void
slice_begin(Recount *r)
{
	MemoryContextReset(r->slice_context);
	r->slice = slice_create(r->slice_context, SLICE_CUSTOMERS, NULL);
}

/*
 * Add an order to its month
 */
static void
add_month(Customer *customer, const Fact *order)
{
	if (customer->nbuckets == customer->room)
	{
		customer->room = Max(4, customer->room * 2);
		customer->buckets = customer->buckets == NULL
								? palloc(customer->room * sizeof(MonthBucket))
								: repalloc(customer->buckets, customer->room * sizeof(MonthBucket));
	}
	customer->nbuckets += months_put(customer->buckets, customer->nbuckets, month_of(order->first), 1, order->sum[SUM_SPEND]);
}

/*
 * Add what a row told to its customer; months is where the bytes of a summary's months stand
 */
static void
slice_add(Recount *r, const Fact *fact, const char *months)
{
	MemoryContext caller = MemoryContextSwitchTo(r->slice_context);
	CustomerEntry *entry;
	Customer *customer;

	if (fact->kind == FACT_CUSTOMER)
	{
		bool found;

		entry = slice_insert(r->slice, fact->customer_id, &found);
		entry->customer = customer = palloc0(sizeof(Customer));
		customer->counted.first = DT_NOEND;
		customer->counted.last = DT_NOBEGIN;
		MemoryContextSwitchTo(caller);
		return;
	}
	entry = slice_lookup(r->slice, fact->customer_id);
	/* What a customer left behind that is gone is not asked for. */
	if (entry == NULL)
	{
		MemoryContextSwitchTo(caller);
		return;
	}
	customer = entry->customer;
	switch ((FactKind) fact->kind)
	{
		case FACT_SUMMARY:
			customer->stored = *fact;
			customer->months = palloc(VARHDRSZ + fact->length);
			SET_VARSIZE(customer->months, VARHDRSZ + fact->length);
			if (fact->length > 0)
				memcpy(VARDATA(customer->months), months, fact->length);
			customer->summarized = true;
			break;
		case FACT_UNREADABLE:
			customer->unreadable = true;
			break;
		case FACT_ORDER_COUNTS:
			customer->counted.orders++;
			customer->counted.first = Min(customer->counted.first, fact->first);
			customer->counted.last = Max(customer->counted.last, fact->first);
			add_month(customer, fact);
			/* FALLTHROUGH */
		default:
			for (int i = 0; i < SUMS; i++)
				customer->counted.sum[i] = money_add(customer->counted.sum[i], fact->sum[i]);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Does a summary say what the orders do?
 */
static bool
customer_agrees(const Customer *customer)
{
	const Fact *stored = &customer->stored;
	const Fact *counted = &customer->counted;
	struct varlena *months;

	if (!customer->summarized || customer->unreadable || stored->orders != counted->orders || stored->first != counted->first ||
		stored->last != counted->last || memcmp(stored->sum, counted->sum, sizeof(stored->sum)) != 0)
		return false;
	months = months_pack(customer->buckets, customer->nbuckets);
	return VARSIZE(months) == VARSIZE(customer->months) &&
		   memcmp(VARDATA(months), VARDATA(customer->months), VARSIZE(months) - VARHDRSZ) == 0;
}

/*
 * Give the customers of a slice that do not agree
 */
static void
slice_end(Recount *r, ReturnSetInfo *result)
{
	slice_iterator at;
	CustomerEntry *entry;
	MemoryContext caller = MemoryContextSwitchTo(r->slice_context);

	slice_start_iterate(r->slice, &at);
	while ((entry = slice_iterate(r->slice, &at)) != NULL)
	{
		Datum id = Int64GetDatum(entry->customer_id);
		bool isnull = false;

		CHECK_FOR_INTERRUPTS();
		if (!customer_agrees(entry->customer))
			tuplestore_putvalues(result->setResult, result->setDesc, &id, &isnull);
	}
	MemoryContextSwitchTo(caller);
}

/*
 * Put what a row tells where it belongs
 */
static void
deal(Recount *r, Fact *fact, Size size, char *months)
{
	LogicalTape *tape;
	MemoryContext caller;

	if (r->tapes == NULL)
	{
		slice_add(r, fact, months);
		return;
	}
	/* Another hash than that of the slice's own table. */
	tape = r->tapes[((uint64) fact->customer_id * UINT64CONST(0x9E3779B97F4A7C15)) >> r->shift];
	caller = MemoryContextSwitchTo(r->context);
	LogicalTapeWrite(tape, fact, size);
	if (fact->kind == FACT_SUMMARY)
		LogicalTapeWrite(tape, months, fact->length);
	MemoryContextSwitchTo(caller);
}

/*
 * Take a row of customer_summary
 */
static void
take_summary(Recount *r, TupleTableSlot *slot, Fact *fact)
{
	struct varlena *months = PG_DETOAST_DATUM_PACKED(slot->tts_values[8]);

	fact->kind = FACT_SUMMARY;
	fact->orders = DatumGetInt64(slot->tts_values[1]);
	for (int i = 0; i < SUMS; i++)
	{
		if (!money_try_numeric(slot->tts_values[2 + i], &fact->sum[i]))
			fact->kind = FACT_UNREADABLE;
	}
	/* Orders have no infinite moments, which stand for null here. */
	for (int i = 6; i < 8; i++)
	{
		if (!slot->tts_isnull[i] && TIMESTAMP_NOT_FINITE(DatumGetTimestampTz(slot->tts_values[i])))
			fact->kind = FACT_UNREADABLE;
	}
	if (fact->kind == FACT_UNREADABLE)
	{
		deal(r, fact, FACT_KEY_SIZE, NULL);
		return;
	}
	fact->first = slot->tts_isnull[6] ? DT_NOEND : DatumGetTimestampTz(slot->tts_values[6]);
	fact->last = slot->tts_isnull[7] ? DT_NOBEGIN : DatumGetTimestampTz(slot->tts_values[7]);
	fact->length = VARSIZE_ANY_EXHDR(months);
	deal(r, fact, sizeof(Fact), VARDATA_ANY(months));
}

/*
 * Take a row of purchase
 */
static void
take_order(Recount *r, TupleTableSlot *slot, Fact *fact)
{
	OrderRow row;

	purchase_read_row(&r->columns, slot, &row);
	fact->kind = row.counts ? FACT_ORDER_COUNTS : FACT_ORDER;
	fact->sum[SUM_SPEND] = row.net;
	fact->sum[SUM_REFUNDED] = row.refunded;
	fact->sum[SUM_DISCOUNT] = row.discount;
	fact->sum[SUM_COST] = row.cost;
	fact->first = row.order_at;
	deal(r, fact, FACT_ORDER_SIZE, NULL);
}

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	Recount *r = (Recount *) self;
	MemoryContext caller;
	Fact fact;

	if (++r->rows % ROWS_A_RESET == 0)
		MemoryContextReset(r->row_context);
	caller = MemoryContextSwitchTo(r->row_context);
	slot_getallattrs(slot);
	fact.customer_id = DatumGetInt64(slot->tts_values[0]);
	fact.kind = FACT_CUSTOMER;
	fact.length = 0;
	switch (r->reads)
	{
		case FACT_CUSTOMER:
			deal(r, &fact, FACT_KEY_SIZE, NULL);
			break;
		case FACT_SUMMARY:
			take_summary(r, slot, &fact);
			break;
		default:
			take_order(r, slot, &fact);
	}
	MemoryContextSwitchTo(caller);
	return true;
}

static void
receive_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receive_end(DestReceiver *self)
{
}

/*
 * Read all rows of a table, with the rights of the caller
 */
static void
read_table(Recount *r, FactKind kind, Oid relid, const char *columns)
{
	SPIExecuteOptions options = {.read_only = true, .dest = &r->receiver};

	r->reads = kind;
	if (SPI_execute_extended(psprintf("SELECT %s FROM %s", columns, store_qualified_name(relid)), &options) < 0)
		elog(ERROR, "reading %s failed", get_rel_name(relid));
}

/*
 * How many slices so many customers need: a power of two
 */
static void
plan_slices(Recount *r, Oid relid)
{
	Relation rel = relation_open(relid, AccessShareLock);
	BlockNumber pages;
	double customers;
	double visible;

	estimate_rel_size(rel, NULL, &pages, &customers, &visible);
	relation_close(rel, AccessShareLock);
	for (r->nslices = 1, r->shift = 64; r->nslices < SLICES_MAX && (double) r->nslices * SLICE_CUSTOMERS < customers; r->nslices *= 2)
		r->shift--;
}

/*
 * Add up slice after slice
 */
static void
count_slices(Recount *r, ReturnSetInfo *result)
{
	for (int i = 0; i < r->nslices; i++)
	{
		LogicalTape *tape = r->tapes[i];
		Fact fact = {0};
		MemoryContext caller = MemoryContextSwitchTo(r->context);

		LogicalTapeRewindForRead(tape, BLCKSZ);
		MemoryContextSwitchTo(caller);
		slice_begin(r);
		while (LogicalTapeRead(tape, &fact, FACT_KEY_SIZE) == FACT_KEY_SIZE)
		{
			Size rest = fact.kind == FACT_SUMMARY ? sizeof(Fact) - FACT_KEY_SIZE
						: fact.kind >= FACT_ORDER ? FACT_ORDER_SIZE - FACT_KEY_SIZE
												  : 0;
			char *months = NULL;

			CHECK_FOR_INTERRUPTS();
			if (rest > 0 && LogicalTapeRead(tape, (char *) &fact + FACT_KEY_SIZE, rest) != rest)
				elog(ERROR, "unexpected end of a slice");
			if (fact.length > 0)
			{
				months = MemoryContextAlloc(r->slice_context, fact.length);
				if (LogicalTapeRead(tape, months, fact.length) != fact.length)
					elog(ERROR, "unexpected end of a slice");
			}
			slice_add(r, &fact, months);
		}
		slice_end(r, result);
		LogicalTapeClose(tape);
	}
}

/*
 * Customers whose row of customer_summary is missing or differs from their orders
 */
PG_FUNCTION_INFO_V1(customers_to_recount);
Datum
customers_to_recount(PG_FUNCTION_ARGS)
{
	Oid customer = PG_GETARG_OID(0);
	Oid summary = PG_GETARG_OID(1);
	Oid purchase = PG_GETARG_OID(2);
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	LogicalTapeSet *tapes = NULL;
	Recount *r;

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	store_check_shape(customer, "customer");
	store_check_shape(summary, "customer_summary");
	store_check_shape(purchase, "purchase");
	r = palloc0(sizeof(Recount));
	r->receiver.receiveSlot = receive_row;
	r->receiver.rStartup = receive_startup;
	r->receiver.rShutdown = receive_end;
	r->receiver.rDestroy = receive_end;
	r->receiver.mydest = DestNone;
	r->columns.customer_id = 1;
	r->columns.order_at = 2;
	r->columns.status = 3;
	r->columns.amount = 4;
	r->columns.net = 5;
	r->columns.discount = 6;
	r->columns.cost = 7;
	r->context = CurrentMemoryContext;
	r->slice_context = AllocSetContextCreate(CurrentMemoryContext, "crm slice of customers", ALLOCSET_DEFAULT_SIZES);
	r->row_context = AllocSetContextCreate(CurrentMemoryContext, "crm rows of orders", ALLOCSET_DEFAULT_SIZES);
	plan_slices(r, customer);
	if (r->nslices == 1)
		slice_begin(r);
	else
	{
		tapes = LogicalTapeSetCreate(false, NULL, -1);
		r->tapes = palloc(r->nslices * sizeof(LogicalTape *));
		for (int i = 0; i < r->nslices; i++)
			r->tapes[i] = LogicalTapeCreate(tapes);
	}
	SPI_connect();
	/* Customers first, then what is known of them. */
	read_table(r, FACT_CUSTOMER, customer, "customer_id");
	read_table(r, FACT_SUMMARY, summary,
			   "customer_id, order_count, spend_total, refunded_total, discount_total, cost_total, first_order_at, last_order_at, months");
	read_table(r, FACT_ORDER, purchase, "customer_id, order_at, status, amount, net, discount, cost");
	SPI_finish();
	if (r->tapes == NULL)
		slice_end(r, result);
	else
	{
		count_slices(r, result);
		LogicalTapeSetClose(tapes);
	}
	MemoryContextDelete(r->slice_context);
	MemoryContextDelete(r->row_context);
	return (Datum) 0;
}
