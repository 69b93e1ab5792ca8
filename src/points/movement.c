/*
 * Posting one movement to an account that nobody has locked yet: what the gate and the verbs have in common.
 */
#include "points/ledger.h"

#include "access/xact.h"
#include "utils/rel.h"

/*
 * Raise unless a movement says whose it is and what, and is of a kind that the caller may post
 */
void
ledger_check_movement(Relation entries, PointsEntry *entry, const bool *given)
{
	if (!given[COL_CUSTOMER_ID] || !given[COL_KIND])
		ereport(ERROR,
				(errcode(ERRCODE_NOT_NULL_VIOLATION),
				 errmsg("a points entry needs customer_id and kind")));
	if (!given[COL_PROGRAM])
		entry->program = "points";
	ledger_check_kind(entries, entry->kind);
}

/*
 * Post to an account that is not locked: its row is written only if it is still what was read, which takes one look at it, and
 * one WAL record, less than to lock it first. False when that cannot be, or comes to nothing; then nothing has been done. What
 * goes into an account by a hold, or looks back at another entry, waits for the lock.
 */
static bool
post_unlocked(LedgerAccess *access, Relation rel, LedgerAccount *account, PointsEntry *entry, bool *given)
{
	PointsEntry asked = *entry;
	PointsEntry found;
	PointsRefusal refusal;

	if ((entry->kind != POINTS_EARN && entry->kind != POINTS_REDEEM) || !ledger_access_peek(access, account))
		return false;
	/* The row is of the snapshot in which the reference was looked up. */
	account->unused = entry;
	if (ledger_post(access->ledger, rel, account, entry, given, &found, &refusal) == LEDGER_POSTED &&
		ledger_direct_write(access->ledger, account, 1, false))
		return true;
	*entry = asked;
	account->unused = NULL;
	account->entries = NIL;
	return false;
}

/*
 * Post to an account under its lock, and write it
 */
static LedgerResult
post_locked(Ledger *ledger,
			LedgerAccess *access,
			Relation rel,
			LedgerAccount *account,
			PointsEntry *entry,
			bool *given,
			PointsEntry *found)
{
	PointsRefusal refusal;
	LedgerResult result;

	ledger_lock(ledger, access, account);
	/* The account did not move since the reference was looked up, so nobody used it meanwhile. */
	if (account->snapshot != NULL)
		account->unused = entry;
	result = ledger_post(ledger, rel, account, entry, given, found, &refusal);
	if (result == LEDGER_REFUSED)
		points_raise(&refusal);
	if (result == LEDGER_POSTED)
		ledger_write(ledger, account, 1);
	return result;
}

/*
 * Post a movement as the owner of the ledger, and write its account. The entry is then one of account->entries, none of which
 * is in the table yet. When it repeats an earlier one, that is found. Raises when it is refused.
 */
LedgerResult
ledger_move(
	Ledger *ledger, Relation rel, LedgerAccount *account, PointsEntry *entry, bool *given, PointsEntry *found)
{
	LedgerAccess access;
	PointsRefusal refusal;
	LedgerResult result;
	bool direct = ledger_direct(ledger);

	memset(account, 0, sizeof(LedgerAccount));
	account->customer_id = entry->customer_id;
	account->program = entry->program;
	if (direct)
	{
		ledger_access_begin(ledger, &access);
		/* What the lock finds unchanged since is what the look-up below saw. */
		account->snapshot = access.snapshot;
	}

	/* A repeat that is committed needs no lock: entries never change. */
	if (entry->source != NULL && entry->reference != NULL &&
		ledger_find_reference(ledger, rel, account, entry->kind, entry->source, entry->reference, found))
	{
		const char *field = ledger_difference(ledger, rel, account, entry, given, found);

		if (field != NULL)
		{
			ledger_refuse_difference(entry, field, &refusal);
			points_raise(&refusal);
		}
		result = LEDGER_REPLAYED;
	}
	else if (direct && post_unlocked(&access, rel, account, entry, given))
		result = LEDGER_POSTED;
	else
		result = post_locked(ledger, direct ? &access : NULL, rel, account, entry, given, found);
	/* What the account says of the snapshot goes with it. */
	account->snapshot = NULL;
	if (direct)
		ledger_access_end(&access);
	return result;
}
