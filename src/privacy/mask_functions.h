/*
 * The SQL functions of the masks, made twice: mask.c includes this for text, seal_mask.c for sealed values. Before that each defines
 * MASK_NAME(name), the C name of a function, and MASK_CALL(fcinfo, rule, limit, fill, options), which calls a rule with the value in the
 * first argument and what hidden characters are drawn as in argument fill.
 */

/* PG_FUNCTION_INFO_V1 pastes its argument unexpanded. */
#define MASK_INFO(name) PG_FUNCTION_INFO_V1(name)

/*
 * A mask without options but what to draw
 */
#define PLAIN_MASK(name, rule, limit)                                                                                  \
	MASK_INFO(MASK_NAME(name));                                                                                        \
	Datum MASK_NAME(name)(PG_FUNCTION_ARGS)                                                                            \
	{                                                                                                                  \
		static const MaskOptions options = {.left = 1, .right = 2, .style = "", .style_length = 0};                    \
                                                                                                                       \
		return MASK_CALL(fcinfo, rule, limit, 1, &options);                                                            \
	}

PLAIN_MASK(mask_all, hide_all, MASK_MAX_INPUT)
PLAIN_MASK(mask_phone, hide_phone, MASK_MAX_SHAPE)
PLAIN_MASK(mask_bank_card, hide_bank_card, MASK_MAX_SHAPE)
PLAIN_MASK(mask_iban, hide_iban, MASK_MAX_SHAPE)
PLAIN_MASK(mask_uscc, hide_uscc, MASK_MAX_SHAPE)
PLAIN_MASK(mask_courier, hide_courier, MASK_MAX_SHAPE)
PLAIN_MASK(mask_wechat, hide_wechat, MASK_MAX_SHAPE)
PLAIN_MASK(mask_plate, hide_plate, MASK_MAX_SHAPE)
PLAIN_MASK(mask_address, hide_address, MASK_MAX_INPUT)
PLAIN_MASK(mask_nickname, hide_nickname, MASK_MAX_INPUT)
PLAIN_MASK(mask_text, hide_text, MASK_MAX_INPUT)

/*
 * mask_email(value, mask_domain, mask)
 */
MASK_INFO(MASK_NAME(mask_email));
Datum
MASK_NAME(mask_email)(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.domain = PG_GETARG_BOOL(1)};

	return MASK_CALL(fcinfo, hide_email, 1024, 2, &options);
}

/*
 * mask_id_number(value, keep_left, keep_right, mask)
 */
MASK_INFO(MASK_NAME(mask_id_number));
Datum
MASK_NAME(mask_id_number)(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.left = PG_GETARG_INT32(1), .right = PG_GETARG_INT32(2)};

	return MASK_CALL(fcinfo, hide_id_number, MASK_MAX_SHAPE, 3, &options);
}

/*
 * mask_partial(value, keep_left, keep_right, mask)
 */
MASK_INFO(MASK_NAME(mask_partial));
Datum
MASK_NAME(mask_partial)(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.left = PG_GETARG_INT32(1), .right = PG_GETARG_INT32(2)};

	return MASK_CALL(fcinfo, hide_partial, MASK_MAX_INPUT, 3, &options);
}

/*
 * mask_name(value, style, mask)
 */
MASK_INFO(MASK_NAME(mask_name));
Datum
MASK_NAME(mask_name)(PG_FUNCTION_ARGS)
{
	text *style = PG_GETARG_TEXT_PP(1);
	MaskOptions options = {.style = VARDATA_ANY(style), .style_length = VARSIZE_ANY_EXHDR(style)};

	return MASK_CALL(fcinfo, hide_name, MASK_MAX_INPUT, 2, &options);
}

/*
 * mask_ip(value, ipv4_bits, ipv6_bits)
 */
MASK_INFO(MASK_NAME(mask_ip));
Datum
MASK_NAME(mask_ip)(PG_FUNCTION_ARGS)
{
	MaskOptions options = {.left = PG_GETARG_INT32(1), .right = PG_GETARG_INT32(2)};

	return MASK_CALL(fcinfo, hide_ip, MASK_MAX_SHAPE, 3, &options);
}

/*
 * mask_date(value, unit)
 */
MASK_INFO(MASK_NAME(mask_date));
Datum
MASK_NAME(mask_date)(PG_FUNCTION_ARGS)
{
	text *unit = PG_GETARG_TEXT_PP(1);
	MaskOptions options = {.style = VARDATA_ANY(unit), .style_length = VARSIZE_ANY_EXHDR(unit)};

	return MASK_CALL(fcinfo, hide_date, MASK_MAX_SHAPE, 2, &options);
}
