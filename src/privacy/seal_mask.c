/*
 * Masks of sealed values, which open them inside and return the mask alone. What cannot be opened is hidden whole.
 */
#include "base/crm.h"

#include "privacy/mask.h"
#include "privacy/seal.h"
#include "utils/builtins.h"

static Datum
mask_sealed(FunctionCallInfo fcinfo, MaskRule rule, int limit, int fill, const MaskOptions *options)
{
	int length;
	char *plain = sealed_open(PG_GETARG_VARLENA_PP(0), &length);
	text *fill_text = fill < PG_NARGS() ? PG_GETARG_TEXT_PP(fill) : NULL;
	text *result;

	if (plain == NULL)
		PG_RETURN_TEXT_P(mask_apply(hide_all, "?", 1, limit, fill_text, options));
	result = mask_apply(rule, plain, length, limit, fill_text, options);
	explicit_bzero(plain, length);
	pfree(plain);
	PG_RETURN_TEXT_P(result);
}

#define MASK_NAME(name) name##_sealed
#define MASK_CALL mask_sealed
#include "privacy/mask_functions.h"
