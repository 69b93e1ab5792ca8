#include "base/crm.h"

#include "mb/pg_wchar.h"
#include "privacy/dynamic_masking.h"
#include "privacy/keyring.h"
#include "utils/builtins.h"
#include "utils/guc.h"

#include "tags/roaring.h"
#include "tags/tag_change.h"

CRM_MODULE_MAGIC;

char *crm_actor;

void _PG_init(void);

/*
 * Define the settings of crm when the library is loaded
 */
void
_PG_init(void)
{
	croaring_load();
	DefineCustomStringVariable("crm.actor",
							   "The person who acts behind a pooled login.",
							   "Recorded beside current_user wherever a person matters; set it with SET LOCAL.",
							   &crm_actor,
							   "",
							   PGC_USERSET,
							   0,
							   NULL,
							   NULL,
							   NULL);
	keyring_define_settings();
	tag_change_init();
	dynamic_masking_init();
	MarkGUCPrefixReserved("crm");
}

/*
 * Version of the loaded library
 */
PG_FUNCTION_INFO_V1(library_version);
Datum
library_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(CRM_VERSION));
}

/*
 * The person acting: crm.actor when set, else NULL
 */
PG_FUNCTION_INFO_V1(actor);
Datum
actor(PG_FUNCTION_ARGS)
{
	if (crm_actor == NULL || crm_actor[0] == '\0')
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text(crm_actor));
}
