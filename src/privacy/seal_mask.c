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

/*
 * A mask without options but what to draw
 */
#define SEALED_MASK(name, rule, limit)                                                                                 \
	PG_FUNCTION_INFO_V1(name);                                                                                         \
	Datum name(PG_FUNCTION_ARGS)                                                                                       \
	{                                                                                                                  \
		static const MaskOptions options = {.left = 1, .right = 2, .style = "", .style_length = 0};                    \
                                                                                                                       \
		return mask_sealed(fcinfo, rule, limit, 1, &options);                                                          \
	}

SEALED_MASK(mask_all_sealed, hide_all, MASK_MAX_INPUT)
SEALED_MASK(mask_phone_sealed, hide_phone, MASK_MAX_SHAPE)
SEALED_MASK(mask_bank_card_sealed, hide_bank_card, MASK_MAX_SHAPE)
SEALED_MASK(mask_iban_sealed, hide_iban, MASK_MAX_SHAPE)
SEALED_MASK(mask_uscc_sealed, hide_uscc, MASK_MAX_SHAPE)
SEALED_MASK(mask_courier_sealed, hide_courier, MASK_MAX_SHAPE)
SEALED_MASK(mask_wechat_sealed, hide_wechat, MASK_MAX_SHAPE)
SEALED_MASK(mask_plate_sealed, hide_plate, MASK_MAX_SHAPE)
SEALED_MASK(mask_address_sealed, hide_address, MASK_MAX_INPUT)
SEALED_MASK(mask_nickname_sealed, hide_nickname, MASK_MAX_INPUT)
SEALED_MASK(mask_text_sealed, hide_text, MASK_MAX_INPUT)

/*
 * mask_email(sealed, mask_domain, mask)
 */
PG_FUNCTION_INFO_V1(mask_email_sealed);
Datum
mask_email_sealed(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.domain = PG_GETARG_BOOL(1)};

	return mask_sealed(fcinfo, hide_email, 1024, 2, &options);
}

/*
 * mask_id_number(sealed, keep_left, keep_right, mask)
 */
PG_FUNCTION_INFO_V1(mask_id_number_sealed);
Datum
mask_id_number_sealed(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.left = PG_GETARG_INT32(1), .right = PG_GETARG_INT32(2)};

	return mask_sealed(fcinfo, hide_id_number, MASK_MAX_SHAPE, 3, &options);
}

/*
 * mask_partial(sealed, keep_left, keep_right, mask)
 */
PG_FUNCTION_INFO_V1(mask_partial_sealed);
Datum
mask_partial_sealed(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.left = PG_GETARG_INT32(1), .right = PG_GETARG_INT32(2)};

	return mask_sealed(fcinfo, hide_partial, MASK_MAX_INPUT, 3, &options);
}

/*
 * mask_ip(sealed, ipv4_bits, ipv6_bits)
 */
PG_FUNCTION_INFO_V1(mask_ip_sealed);
Datum
mask_ip_sealed(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.left = PG_GETARG_INT32(1), .right = PG_GETARG_INT32(2)};

	return mask_sealed(fcinfo, hide_ip, MASK_MAX_SHAPE, 3, &options);
}

/*
 * mask_name(sealed, style, mask)
 */
PG_FUNCTION_INFO_V1(mask_name_sealed);
Datum
mask_name_sealed(PG_FUNCTION_ARGS)
{
	text *style = PG_GETARG_TEXT_PP(1);
	MaskOptions options = {.style = VARDATA_ANY(style), .style_length = VARSIZE_ANY_EXHDR(style)};

	return mask_sealed(fcinfo, hide_name, MASK_MAX_INPUT, 2, &options);
}

/*
 * mask_date(sealed, unit)
 */
PG_FUNCTION_INFO_V1(mask_date_sealed);
Datum
mask_date_sealed(PG_FUNCTION_ARGS)
{
	text *unit = PG_GETARG_TEXT_PP(1);
	MaskOptions options = {.style = VARDATA_ANY(unit), .style_length = VARSIZE_ANY_EXHDR(unit)};

	return mask_sealed(fcinfo, hide_date, MASK_MAX_SHAPE, 2, &options);
}
