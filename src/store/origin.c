#include "base/compat.h"

#include "access/xact.h"
#include "commands/trigger.h"

/*
 * A captured table that a subscription feeds is written under session_replication_role = replica, in which the triggers
 * that keep the summaries are silent: rightly so for rows that were copied from another store, wrongly for orders that
 * the row trigger of capture_orders derives here. It speaks for the role origin while it writes.
 */
static int saved_role = -1;
static SubTransactionId saved_in;

/*
 * Back to the role of before
 */
static void
restore_role(void)
{
	if (saved_role >= 0)
		SessionReplicationRole = saved_role;
	saved_role = -1;
}

static void
at_xact_end(XactEvent event, void *arg)
{
	restore_role();
}

static void
at_subxact_end(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if ((event == SUBXACT_EVENT_ABORT_SUB || event == SUBXACT_EVENT_COMMIT_SUB) && saved_role >= 0 && mine == saved_in)
		restore_role();
}

/*
 * Let ordinary triggers fire although the session is a replica
 */
PG_FUNCTION_INFO_V1(origin_begin);
Datum
origin_begin(PG_FUNCTION_ARGS)
{
	static bool registered = false;

	if (!registered)
	{
		RegisterXactCallback(at_xact_end, NULL);
		RegisterSubXactCallback(at_subxact_end, NULL);
		registered = true;
	}
	if (SessionReplicationRole == SESSION_REPLICATION_ROLE_REPLICA)
	{
		saved_role = SessionReplicationRole;
		saved_in = GetCurrentSubTransactionId();
		/* Not by set_config: the cached plans stay good, since no table of a store has rules. */
		SessionReplicationRole = SESSION_REPLICATION_ROLE_ORIGIN;
	}
	PG_RETURN_VOID();
}

/*
 * Be a replica again
 */
PG_FUNCTION_INFO_V1(origin_end);
Datum
origin_end(PG_FUNCTION_ARGS)
{
	restore_role();
	PG_RETURN_VOID();
}
