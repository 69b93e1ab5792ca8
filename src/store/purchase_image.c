#include "store/purchase_image.h"

#include "store/money.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

/*
 * Status of a word
 */
static PurchaseStatus
status_of(Datum word)
{
	text *t = DatumGetTextPP(word);
	const char *s = VARDATA_ANY(t);
	int length = VARSIZE_ANY_EXHDR(t);

	/* No two of the words have the same length and first letter, but the row may be older than its CHECK. */
	static const struct
	{
		const char *word;
		int length;
		PurchaseStatus status;
	} words[] = {
		{"paid", 4, PURCHASE_PAID},
		{"completed", 9, PURCHASE_COMPLETED},
		{"shipped", 7, PURCHASE_SHIPPED},
		{"pending", 7, PURCHASE_PENDING},
		{"refunded", 8, PURCHASE_REFUNDED},
		{"cancelled", 9, PURCHASE_CANCELLED},
	};
	int i;

	for (i = 0; i < (int) lengthof(words); i++)
	{
		if (words[i].length == length && memcmp(words[i].word, s, length) == 0)
			return words[i].status;
	}
	ereport(ERROR,
			(errcode(ERRCODE_CHECK_VIOLATION),
			 errmsg("unknown order status \"%s\"", text_to_cstring(t)),
			 errhint("The words are pending, paid, shipped, completed, cancelled, refunded.")));
}

/*
 * Was an order of this status paid for?
 */
static inline bool
status_paid(PurchaseStatus status)
{
	return status != PURCHASE_PENDING && status != PURCHASE_CANCELLED;
}

/*
 * Money of a column; 0 when null
 */
static inline int64
slot_money(TupleTableSlot *slot, AttrNumber attnum)
{
	bool isnull;
	Datum value = slot_getattr(slot, attnum, &isnull);

	return isnull ? 0 : money_from_numeric(value);
}

/*
 * Moment of a column; DT_NOBEGIN when null
 */
static inline TimestampTz
slot_moment(TupleTableSlot *slot, AttrNumber attnum)
{
	bool isnull;
	Datum value = slot_getattr(slot, attnum, &isnull);

	return isnull ? DT_NOBEGIN : DatumGetTimestampTz(value);
}

void
purchase_read_row(const PurchaseColumns *c, TupleTableSlot *slot, OrderRow *row)
{
	bool isnull;
	Datum at;

	slot_getallattrs(slot);
	row->customer_id = DatumGetInt64(slot_getattr(slot, c->customer_id, &isnull));
	at = slot_getattr(slot, c->order_at, &isnull);
	row->counts = !isnull;
	row->order_at = isnull ? DT_NOBEGIN : DatumGetTimestampTz(at);
	row->net = slot_money(slot, c->net);
	row->refunded = 0;
	if (status_paid(status_of(slot_getattr(slot, c->status, &isnull))))
		row->refunded = money_sub(slot_money(slot, c->amount), row->net);
	row->discount = row->counts ? slot_money(slot, c->discount) : 0;
	row->cost = row->counts ? slot_money(slot, c->cost) : 0;
}

PurchaseImage *
purchase_image(const PurchaseColumns *c, TupleTableSlot *slot)
{
	PurchaseImage *image = palloc(sizeof(PurchaseImage));
	bool isnull;

	image->channel = DatumGetTextPCopy(slot_getattr(slot, c->channel, &isnull));
	image->order_no = DatumGetTextPCopy(slot_getattr(slot, c->order_no, &isnull));
	image->status = status_of(slot_getattr(slot, c->status, &isnull));
	image->history = DatumGetBool(slot_getattr(slot, c->history, &isnull));
	image->amount = slot_money(slot, c->amount);
	image->net = slot_money(slot, c->net);
	image->refunded = status_paid(image->status) ? money_sub(image->amount, image->net) : 0;
	image->discount = slot_money(slot, c->discount);
	image->cost = slot_money(slot, c->cost);
	image->order_at = slot_moment(slot, c->order_at);
	image->ordered_at = slot_moment(slot, c->ordered_at);
	image->completed_at = slot_moment(slot, c->completed_at);
	image->points_customer = 0;
	if (c->points_customer != InvalidAttrNumber)
	{
		Datum account = slot_getattr(slot, c->points_customer, &isnull);

		image->points_customer = isnull ? 0 : DatumGetInt64(account);
	}
	return image;
}
