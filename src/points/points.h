/*
 * The points ledger: the state of an account, its entries, and what moves one by the other.
 */
#ifndef CRM_POINTS_H
#define CRM_POINTS_H

#include "base/crm.h"

#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#define POINTS_HASH_SIZE 32

#define ERRCODE_POINTS_INSUFFICIENT MAKE_SQLSTATE('C', 'P', '0', '0', '1')
#define ERRCODE_POINTS_REPEATED MAKE_SQLSTATE('C', 'P', '0', '0', '2')
#define ERRCODE_POINTS_RESOLVED MAKE_SQLSTATE('C', 'P', '0', '0', '3')
#define ERRCODE_POINTS_OVERDUE MAKE_SQLSTATE('C', 'P', '0', '0', '4')
#define ERRCODE_POINTS_CLOSED MAKE_SQLSTATE('C', 'P', '0', '0', '5')
#define ERRCODE_POINTS_OVERFLOW MAKE_SQLSTATE('C', 'P', '0', '0', '6')
#define ERRCODE_POINTS_IMMUTABLE MAKE_SQLSTATE('C', 'P', '0', '0', '7')
#define ERRCODE_POINTS_INVALID MAKE_SQLSTATE('C', 'P', '0', '0', '8')
#define ERRCODE_POINTS_NO_TARGET MAKE_SQLSTATE('C', 'P', '0', '0', '9')
#define ERRCODE_POINTS_FORGED MAKE_SQLSTATE('C', 'P', '0', '1', '0')
#define ERRCODE_POINTS_NOT_ALLOWED MAKE_SQLSTATE('C', 'P', '0', '1', '1')
#define ERRCODE_POINTS_BYPASSED MAKE_SQLSTATE('C', 'P', '0', '1', '2')
#define ERRCODE_POINTS_ARCHIVED MAKE_SQLSTATE('C', 'P', '0', '1', '4')

/* A moment that is not given. */
#define POINTS_NO_TIME DT_NOBEGIN

/* Points that share their dates. available_at is POINTS_NO_TIME once they can be spent, infinity while they wait for an
 * entry of kind mature; expires_at is infinity when they never expire. */
typedef struct PointsLot
{
	int64 remaining;
	TimestampTz expires_at;
	TimestampTz available_at;
} PointsLot;

/* Ordered by expires_at, then available_at; no two with the same dates; remaining > 0. */
typedef struct PointsLots
{
	int count;
	int capacity;
	PointsLot *lot;
} PointsLots;

typedef enum PointsKind
{
	POINTS_EARN,
	POINTS_REDEEM,
	POINTS_HOLD,
	POINTS_CAPTURE,
	POINTS_RELEASE,
	POINTS_REFUND,
	POINTS_RESTORE,
	POINTS_EXPIRE,
	POINTS_MATURE,
	POINTS_ADJUST,
	POINTS_TRANSFER_OUT,
	POINTS_TRANSFER_IN,
	POINTS_KINDS
} PointsKind;

/* One row of points_entry. Strings are NULL when the column is null; times POINTS_NO_TIME; numbers that may be null 0. */
typedef struct PointsEntry
{
	int64 customer_id;
	const char *program;
	int64 seq;
	PointsKind kind;
	int64 points;
	const char *source;
	const char *reference;
	int64 reverses;
	TimestampTz expires_at;
	TimestampTz available_at;
	TimestampTz occurred_at;
	TimestampTz booked_at;
	int64 balance_after;
	int64 shortfall;
	PointsLots lots;
	const char *detail;
	bool detail_asked; /* written by its caller, so it may hold anything */
	const char *actor;
	bool has_note;
	uint8 note_hash[POINTS_HASH_SIZE];
	bool has_hash;
	uint8 hash[POINTS_HASH_SIZE];
} PointsEntry;

/* Points put aside by an entry of kind hold and not yet resolved. */
typedef struct PointsHold
{
	int64 seq;
	const char *source;
	const char *reference;
	int64 points;	  /* still held */
	int64 captured;	  /* taken by a capture; the rest is then released at once */
	TimestampTz due_at; /* infinity when never */
	PointsLots lots;
} PointsHold;

/* What points_account says of one customer and program, with its open holds. */
typedef struct PointsState
{
	int64 seq;
	int64 available;
	int64 pending;
	int64 held;
	int64 earned;
	int64 redeemed;
	int64 refunded;
	int64 expired;
	int64 adjusted;
	int64 transferred;
	PointsLots lots;
	TimestampTz booked_at;
	bool closed;
	uint8 head[POINTS_HASH_SIZE];
	int hold_count;
	int hold_capacity;
	PointsHold *hold;
} PointsState;

/* What a movement needs to know beside the account: the entry that it reverses and the program's rules. */
typedef struct PointsContext
{
	bool allow_debt;			   /* a refund or an adjustment may go below zero */
	bool spendable;				   /* the program's points can be redeemed */
	int64 reversed;				   /* of the target's points, already reversed */
	const PointsEntry *target;	   /* entry named by reverses */
	TimestampTz target_available;  /* since when, by the last mature, an earn is available */
} PointsContext;

/* Why a movement is refused: sqlstate 0 when it is not. */
typedef struct PointsRefusal
{
	int sqlstate;
	const char *message;
	const char *detail;
	const char *hint;
} PointsRefusal;

/* lots.c */
extern void points_lots_add(PointsLots *lots, int64 points, TimestampTz expires_at, TimestampTz available_at);
extern int64 points_lots_take(PointsLots *lots, int64 points, PointsLots *taken);
extern int64 points_lots_take_bucket(
	PointsLots *lots, int64 points, TimestampTz expires_at, TimestampTz available_at, PointsLots *taken);
extern void points_lots_remove(PointsLots *lots, int index);
extern int64 points_lots_sum(const PointsLots *lots);
extern PointsLots points_lots_copy(const PointsLots *lots);
extern bool points_lots_equal(const PointsLots *a, const PointsLots *b);
extern void points_lots_write(const PointsLots *lots, StringInfo out);
extern Datum points_lots_datum(const PointsLots *lots);
extern void points_lots_read(Datum datum, PointsLots *lots);

/* apply.c */
extern const char *const points_kind_names[POINTS_KINDS];
extern bool points_kind_parse(const char *name, PointsKind *kind);
extern bool points_apply(PointsState *state, PointsEntry *entry, const PointsContext *context, PointsRefusal *refusal);
extern TimestampTz points_next_due(const PointsState *state);
extern bool points_lapse(PointsState *state, TimestampTz until, PointsEntry *entry);
extern PointsHold *points_find_hold(PointsState *state, int64 seq);

/* refusal.c: all but points_raise give false, so that callers can return it */
extern void points_raise(const PointsRefusal *refusal) pg_attribute_noreturn();
extern char *points_whose(const PointsEntry *entry);
extern bool points_refuse(PointsRefusal *refusal, int sqlstate, const char *message, const char *detail, const char *hint);
extern bool points_refuse_points(PointsRefusal *refusal, const PointsEntry *entry);
extern bool points_refuse_overflow(PointsRefusal *refusal, const PointsEntry *entry);
extern bool points_refuse_insufficient(
	PointsRefusal *refusal, const PointsState *state, const PointsEntry *entry, int64 points);
extern bool points_refuse_archived(PointsRefusal *refusal, const PointsEntry *entry, int64 seq);
extern bool points_refuse_target(PointsRefusal *refusal, const PointsEntry *entry, const char *wanted);
extern bool points_refuse_reversed(PointsRefusal *refusal, const PointsEntry *entry, int64 left);

/* replay.c */
extern const char *points_replay(PointsState *state, const PointsEntry *stored, const PointsContext *context);

/* chain.c */
extern void points_hash(const uint8 *previous, PointsEntry *entry);
extern void points_sha256(const uint8 *data, size_t length, uint8 *digest);

#endif
