#include "base/crm.h"

#include "miscadmin.h"
#include "utils/builtins.h"

/*
 * The role that asked, also inside a SECURITY DEFINER function, where current_user is the function's owner
 */
PG_FUNCTION_INFO_V1(caller);
Datum
caller(PG_FUNCTION_ARGS)
{
	/* What SET ROLE chose, else the session's user: a pool's login may stand for several roles. */
	Name result = (Name) palloc0(NAMEDATALEN);

	namestrcpy(result, GetUserNameFromId(GetOuterUserId(), false));
	PG_RETURN_NAME(result);
}
