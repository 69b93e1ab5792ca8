#include "base/change.h"

#define MAX_LISTENERS 8

static RelcacheCallbackFunction listeners[MAX_LISTENERS];
static int listener_count;

static void
relation_changed(Datum arg, Oid relid)
{
	for (int i = 0; i < listener_count; i++)
		listeners[i](arg, relid);
}

/*
 * A server process has ten places for such callbacks, of which Citus alone takes five: all listeners of the kit share one
 */
void
on_relation_change(RelcacheCallbackFunction listener)
{
	if (listener_count == MAX_LISTENERS)
		elog(ERROR, "too many listeners for changes of relations");
	if (listener_count == 0)
		CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	listeners[listener_count++] = listener;
}
