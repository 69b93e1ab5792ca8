/*
 * Posting a movement to a locked account: repeats, what it reverses, what lapses before, when its points expire.
 */
#include "points/ledger.h"

#include "access/xact.h"
#include "base/store.h"
#include "catalog/pg_proc.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/catcache.h"
#include "utils/datetime.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#define REFERENCE_MAX 200

/*
 * Moment of a local time
 */
static TimestampTz
local_moment(struct pg_tm *tm, fsec_t fsec, pg_tz *zone)
{
	TimestampTz moment;
	int offset = DetermineTimeZoneOffset(tm, zone);

	if (tm2timestamp(tm, fsec, &offset, &moment) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return moment;
}

/*
 * Move a date by months, to the month's last day where it has no such day
 */
static void
add_months(struct pg_tm *tm, int months)
{
	int month = tm->tm_year * 12 + tm->tm_mon - 1 + months;

	tm->tm_year = month / 12;
	tm->tm_mon = month % 12 + 1;
	tm->tm_mday = Min(tm->tm_mday, day_tab[isleap(tm->tm_year)][tm->tm_mon - 1]);
}

/*
 * When points earned at a moment expire by the program's policy; POINTS_NO_TIME for never. Local times are the store's.
 */
TimestampTz
ledger_expiry(const LedgerProgram *rules, TimestampTz from)
{
	struct pg_tm tm;
	fsec_t fsec;
	int offset;
	const char *zone_name;

	if (rules->expiry == 'n')
		return POINTS_NO_TIME;
	if (rules->zone == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("the store has no settings"),
				 errhint("A store made with seed => false gets its settings row by the restore.")));
	if (timestamp2tm(from, &offset, &tm, &fsec, &zone_name, rules->zone) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	switch (rules->expiry)
	{
		case 'd':
			j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + rules->expiry_n, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
			break;
		case 'm':
			add_months(&tm, rules->expiry_n);
			break;
		case 'y':
			tm.tm_year += rules->expiry_n + 1;
			tm.tm_mon = tm.tm_mday = 1;
			tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
			return local_moment(&tm, 0, rules->zone);
		default:
		{
			int today = tm.tm_mon * 100 + tm.tm_mday;
			int next = 0;

			for (int i = 0; i < rules->date_count; i++)
			{
				if (rules->dates[i] > today && (next == 0 || rules->dates[i] < next))
					next = rules->dates[i];
			}
			for (int i = 0; next == 0 && i < rules->date_count; i++)
			{
				if (i == 0 || rules->dates[i] < next)
					next = rules->dates[i];
			}
			if (next == 0)
				return POINTS_NO_TIME;
			if (next <= today)
				tm.tm_year++;
			tm.tm_mon = next / 100;
			tm.tm_mday = Min(next % 100, day_tab[isleap(tm.tm_year)][tm.tm_mon - 1]);
			tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
			return local_moment(&tm, 0, rules->zone);
		}
	}
	if (rules->expiry_round != 'n')
	{
		bool midnight = tm.tm_hour == 0 && tm.tm_min == 0 && tm.tm_sec == 0 && fsec == 0;

		fsec = 0;
		tm.tm_hour = tm.tm_min = tm.tm_sec = 0;
		if (rules->expiry_round == 'm' && !(midnight && tm.tm_mday == 1))
		{
			tm.tm_mday = 1;
			add_months(&tm, 1);
		}
		else if (rules->expiry_round == 'd' && !midnight)
			j2date(date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) + 1, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	}
	return local_moment(&tm, fsec, rules->zone);
}

/*
 * Book what is due on an account until a moment
 */
void
ledger_lapse(LedgerAccount *account, TimestampTz until)
{
	/* Mostly nothing is. */
	while (points_next_due(&account->state) <= until)
	{
		PointsEntry *entry = palloc0(sizeof(PointsEntry));

		CHECK_FOR_INTERRUPTS();
		entry->customer_id = account->customer_id;
		entry->program = account->program;
		entry->expires_at = entry->available_at = POINTS_NO_TIME;
		if (!points_lapse(&account->state, until, entry))
			break;
		account->entries = lappend(account->entries, entry);
	}
}

/*
 * Points that a movement takes when its caller names none: all there were when the found one was booked
 */
static int64
all_points(const Ledger *ledger, Relation entries, const LedgerAccount *account, const PointsEntry *found)
{
	PointsEntry target;
	int64 reversed;
	TimestampTz available_at;

	if (found->reverses != 0 && found->kind != POINTS_MATURE && found->seq <= account->archived)
		return ledger_archive_left(entries, account, found);
	if (found->reverses == 0 || found->kind == POINTS_MATURE ||
		!ledger_find_seq(ledger, entries, account, found->reverses, &target))
		return found->points;
	if (found->kind == POINTS_CAPTURE || found->kind == POINTS_RELEASE)
		return target.points;
	ledger_reversals(ledger, entries, account, &target, found->seq, &reversed, &available_at);
	return target.points - reversed;
}

/*
 * The field in which a repeat differs from what its reference was first used for, or NULL. Only what is given counts.
 */
const char *
ledger_difference(const Ledger *ledger,
				  Relation entries,
				  const LedgerAccount *account,
				  const PointsEntry *wanted,
				  const bool *given,
				  const PointsEntry *found)
{
	TimestampTz expires_at = wanted->expires_at == DT_NOEND ? POINTS_NO_TIME : wanted->expires_at;

	if (given[COL_POINTS] && wanted->points != 0)
	{
		if (wanted->points != found->points)
			return "points";
	}
	else if (all_points(ledger, entries, account, found) != found->points)
		return "points";
	if (given[COL_REVERSES] && wanted->reverses != found->reverses)
		return "reverses";
	if (given[COL_EXPIRES_AT] && expires_at != found->expires_at)
		return "expires_at";
	if (given[COL_AVAILABLE_AT] && wanted->available_at != found->available_at)
		return "available_at";
	if (given[COL_DETAIL] && (found->detail == NULL || strcmp(wanted->detail, found->detail) != 0))
		return "detail";
	return NULL;
}

/*
 * Say that a reference is used with other content
 */
void
ledger_refuse_difference(const PointsEntry *wanted, const char *field, PointsRefusal *refusal)
{
	refusal->sqlstate = ERRCODE_POINTS_REPEATED;
	refusal->message = psprintf("reference was used before with another value of %s", field);
	refusal->detail = psprintf("customer " INT64_FORMAT ", program %s, %s, source %s, reference %s",
							   wanted->customer_id,
							   wanted->program,
							   points_kind_names[wanted->kind],
							   wanted->source,
							   wanted->reference);
	refusal->hint = "Repeat a request with the same content, or give a new one a reference of its own.";
}

static LedgerResult
refuse(PointsRefusal *refusal, int sqlstate, const char *message, const char *detail, const char *hint)
{
	refusal->sqlstate = sqlstate;
	refusal->message = message;
	refusal->detail = detail;
	refusal->hint = hint;
	return LEDGER_REFUSED;
}

/*
 * Find the entry that a movement reverses, by its number or else by the same source and reference
 */
static bool
find_target(Ledger *ledger, Relation entries, LedgerAccount *account, PointsEntry *entry, PointsEntry *target)
{
	bool found;

	if (entry->reverses != 0)
		found = ledger_find_seq(ledger, entries, account, entry->reverses, target);
	else if (entry->kind == POINTS_CAPTURE || entry->kind == POINTS_RELEASE)
		found = ledger_find_reference(
			ledger, entries, account, POINTS_HOLD, entry->source, entry->reference, target);
	else if (entry->kind == POINTS_RESTORE)
		found = ledger_find_reference(
					ledger, entries, account, POINTS_REDEEM, entry->source, entry->reference, target) ||
				ledger_find_reference(
					ledger, entries, account, POINTS_CAPTURE, entry->source, entry->reference, target);
	else
		found = ledger_find_reference(
			ledger, entries, account, POINTS_EARN, entry->source, entry->reference, target);
	if (found && (entry->kind == POINTS_CAPTURE || entry->kind == POINTS_RELEASE))
		found = target->kind == POINTS_HOLD;
	if (found)
		entry->reverses = target->seq;
	return found;
}

/*
 * Was a hold released because it was overdue?
 */
static bool
was_overdue(Ledger *ledger, Relation entries, LedgerAccount *account, const PointsEntry *hold)
{
	return hold->expires_at != POINTS_NO_TIME && hold->expires_at <= account->state.booked_at &&
		   points_find_hold(&account->state, hold->seq) == NULL;
}

/*
 * Post a movement. given says which columns its caller gave. When posted, the entry, with those booked before and after it,
 * is in account->entries; when it repeats an earlier one, found is that one.
 */
LedgerResult
ledger_post(Ledger *ledger,
			Relation entries,
			LedgerAccount *account,
			PointsEntry *entry,
			bool *given,
			PointsEntry *found,
			PointsRefusal *refusal)
{
	PointsContext context = {0};
	PointsEntry target;
	TimestampTz booked_at;
	bool resolves = entry->kind == POINTS_CAPTURE || entry->kind == POINTS_RELEASE;
	const char *personal;

	memset(refusal, 0, sizeof(PointsRefusal));
	if (entry->source == NULL || entry->source[0] == '\0' || entry->reference == NULL || entry->reference[0] == '\0')
		return refuse(refusal,
					  ERRCODE_POINTS_INVALID,
					  "a points entry needs a source and a reference",
					  psprintf("customer " INT64_FORMAT ", program %s", account->customer_id, account->program),
					  "They make a repeated request harmless: the source says who asks, the reference which request it is.");
	personal = strlen(entry->reference) > REFERENCE_MAX || looks_personal(entry->reference) ? "reference"
			   : strlen(entry->source) > REFERENCE_MAX || looks_personal(entry->source)		? "source"
																							: NULL;
	if (personal != NULL)
		return refuse(refusal,
					  ERRCODE_POINTS_INVALID,
					  psprintf("the %s is too long or looks like personal data", personal),
					  psprintf("customer " INT64_FORMAT ", program %s", account->customer_id, account->program),
					  "Use an order number or another short key; it can never be erased from the ledger.");
	if (entry->detail_asked && entry->detail != NULL && detail_looks_personal(entry->detail))
		return refuse(refusal,
					  ERRCODE_POINTS_INVALID,
					  "the detail has something that looks like personal data",
					  psprintf("customer " INT64_FORMAT ", program %s", account->customer_id, account->program),
					  "Put it into the note, which can be erased; the detail stays in the ledger for good.");
	if (given[COL_OCCURRED_AT] && TIMESTAMP_NOT_FINITE(entry->occurred_at))
		return refuse(refusal,
					  ERRCODE_POINTS_INVALID,
					  "the moment of a movement is finite",
					  psprintf("customer " INT64_FORMAT ", program %s", account->customer_id, account->program),
					  "Leave as_of out for now.");
	if (!given[COL_OCCURRED_AT])
		entry->occurred_at = GetCurrentTransactionStartTimestamp();

	/* Nobody can have used a reference that is new, but in the archive, which no unique index guards. */
	if ((account->unused != entry || account->archived > 0) &&
		ledger_find_reference(ledger, entries, account, entry->kind, entry->source, entry->reference, found))
	{
		const char *field = ledger_difference(ledger, entries, account, entry, given, found);

		if (field == NULL)
			return LEDGER_REPLAYED;
		ledger_refuse_difference(entry, field, refusal);
		return LEDGER_REFUSED;
	}

	booked_at = Max(entry->occurred_at, account->state.booked_at);
	context.allow_debt = account->rules->debt_allowed;
	context.spendable = account->rules->redeemable || account->moving;
	context.allow_debt |= account->moving;
	if (entry->expires_at == DT_NOEND)
		entry->expires_at = POINTS_NO_TIME;
	if (!account->state.closed)
		ledger_lapse(account, booked_at);

	switch (entry->kind)
	{
		case POINTS_EARN:
		case POINTS_ADJUST:
			if (!given[COL_EXPIRES_AT] && entry->points > 0)
				entry->expires_at = ledger_expiry(account->rules, entry->occurred_at);
			break;
		case POINTS_HOLD:
			if (!given[COL_EXPIRES_AT] && account->rules->hold_minutes > 0)
				entry->expires_at = booked_at + account->rules->hold_minutes * USECS_PER_MINUTE;
			break;
		case POINTS_CAPTURE:
		case POINTS_RELEASE:
		case POINTS_REFUND:
		case POINTS_RESTORE:
		case POINTS_MATURE:
			if (!resolves && entry->reverses > 0 && entry->reverses <= account->archived)
			{
				(void) points_refuse_archived(refusal, entry, entry->reverses);
				return LEDGER_REFUSED;
			}
			if (find_target(ledger, entries, account, entry, &target))
			{
				if (!resolves && target.seq <= account->archived)
				{
					(void) points_refuse_archived(refusal, entry, target.seq);
					return LEDGER_REFUSED;
				}
				context.target = &target;
				if (!resolves)
					ledger_reversals(ledger,
									 entries,
									 account,
									 &target,
									 0,
									 &context.reversed,
									 &context.target_available);
			}
			else if (resolves)
				return refuse(refusal,
							  ERRCODE_POINTS_NO_TARGET,
							  psprintf("there is no hold to %s", points_kind_names[entry->kind]),
							  psprintf("customer " INT64_FORMAT ", program %s, reference %s",
									   account->customer_id,
									   account->program,
									   entry->reference),
							  "Name the reference, and where references could repeat the source, of a hold of this account.");
			if (resolves && was_overdue(ledger, entries, account, &target))
				return refuse(refusal,
							  ERRCODE_POINTS_OVERDUE,
							  psprintf("hold " INT64_FORMAT " is overdue", target.seq),
							  psprintf("customer " INT64_FORMAT ", program %s, reference %s",
									   account->customer_id,
									   account->program,
									   entry->reference),
							  "Its points went back when it was due; make a new hold.");
			if (entry->kind == POINTS_RESTORE && !given[COL_EXPIRES_AT] && context.target != NULL &&
				account->rules->restore_grace_days > 0)
			{
				for (int i = 0; i < target.lots.count; i++)
				{
					if (target.lots.lot[i].expires_at <= booked_at)
						entry->expires_at = booked_at + account->rules->restore_grace_days * USECS_PER_DAY;
				}
			}
			break;
		default:
			break;
	}
	if (entry->actor == NULL)
	{
		if (crm_actor != NULL && crm_actor[0] != '\0')
			entry->actor = crm_actor;
		else if (entry->kind == POINTS_ADJUST)
			entry->actor = GetUserNameFromId(GetOuterUserId(), false);
	}
	if (!points_apply(&account->state, entry, &context, refusal))
		return LEDGER_REFUSED;
	account->entries = lappend(account->entries, entry);
	if (entry->kind == POINTS_CAPTURE && points_find_hold(&account->state, entry->reverses) != NULL)
	{
		PointsEntry *rest = palloc0(sizeof(PointsEntry));

		rest->customer_id = entry->customer_id;
		rest->program = entry->program;
		rest->kind = POINTS_RELEASE;
		rest->source = "capture";
		rest->reverses = entry->reverses;
		rest->expires_at = rest->available_at = POINTS_NO_TIME;
		rest->occurred_at = entry->occurred_at;
		if (!points_apply(&account->state, rest, &context, refusal))
			return LEDGER_REFUSED;
		account->entries = lappend(account->entries, rest);
	}
	ledger_lapse(account, account->state.booked_at);
	return LEDGER_POSTED;
}

/*
 * Raise unless the caller may post entries of this kind by itself. What is more than INSERT gives needs EXECUTE on the store's
 * function of that name; some kinds are never for others than the owner.
 */
void
ledger_check_kind(Relation entries, PointsKind kind)
{
	Oid user = GetUserId();
	const char *name = points_kind_names[kind];
	bool allowed = false;
	CatCList *functions;

	if (kind != POINTS_ADJUST && kind < POINTS_EXPIRE)
		return;
	if (has_privs_of_role(user, entries->rd_rel->relowner))
		return;
	if (kind == POINTS_ADJUST)
	{
		functions = SearchSysCacheList1(PROCNAMEARGSNSP, CStringGetDatum(name));
		for (int i = 0; i < functions->n_members; i++)
		{
			Form_pg_proc proc = (Form_pg_proc) GETSTRUCT(&functions->members[i]->tuple);

			if (proc->pronamespace == RelationGetNamespace(entries) &&
				crm_function_aclcheck(proc->oid, user, ACL_EXECUTE) == ACLCHECK_OK)
				allowed = true;
		}
		ReleaseSysCacheList(functions);
	}
	if (!allowed)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to post points entries of kind %s", name),
				 kind == POINTS_ADJUST
					 ? errhint("The store's owner grants EXECUTE on its function adjust, or an access kind that has it.")
					 : errhint("Use the verbs of the store.")));
}
