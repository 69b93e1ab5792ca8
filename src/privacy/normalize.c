/*
 * Normalisers: one form for what people write in many. They give null for what they cannot read.
 */
#include "base/crm.h"

#include "base/unicode.h"
#include "mb/pg_wchar.h"
#include "privacy/validate.h"
#include "utils/builtins.h"

/*
 * NFKC of a short text, with the digits of every script as ASCII's, trimmed; false when it is too long
 */
static bool
fold_short(text *value, StringInfo out)
{
	const char *s = VARDATA_ANY(value);
	int length = VARSIZE_ANY_EXHDR(value);

	if (length > 1024)
		return false;
	initStringInfo(out);
	unicode_compat(s, length, out);
	while (out->len > 0 && isspace((unsigned char) out->data[out->len - 1]))
		out->data[--out->len] = '\0';
	while (out->len > 0 && isspace((unsigned char) out->data[0]))
	{
		memmove(out->data, out->data + 1, out->len);
		out->len--;
	}
	return out->len > 0;
}

/* Country codes, and what a number dialled inside the country begins with. */
static const struct
{
	char region[3];
	char code[4];
	const char *trunk;
	int least; /* digits of the shortest national number */
	int most;
} regions[] = {
	{"CN", "86", "0", 7, 11}, {"HK", "852", "", 8, 8},	 {"MO", "853", "", 8, 8},	{"TW", "886", "0", 8, 9},
	{"US", "1", "1", 10, 10}, {"CA", "1", "1", 10, 10},	 {"GB", "44", "0", 9, 10},	{"JP", "81", "0", 9, 10},
	{"KR", "82", "0", 8, 10}, {"SG", "65", "", 8, 8},	 {"MY", "60", "0", 8, 10},	{"TH", "66", "0", 8, 9},
	{"VN", "84", "0", 9, 10}, {"ID", "62", "0", 8, 12},	 {"PH", "63", "0", 8, 10},	{"IN", "91", "0", 10, 10},
	{"AU", "61", "0", 9, 9},  {"NZ", "64", "0", 8, 10},	 {"DE", "49", "0", 6, 13},	{"FR", "33", "0", 9, 9},
	{"IT", "39", "", 6, 12},  {"ES", "34", "", 9, 9},	 {"NL", "31", "0", 9, 9},	{"BE", "32", "0", 8, 9},
	{"CH", "41", "0", 9, 9},  {"AT", "43", "0", 6, 13},	 {"SE", "46", "0", 7, 10},	{"NO", "47", "", 8, 8},
	{"DK", "45", "", 8, 8},	  {"FI", "358", "0", 6, 12}, {"PL", "48", "", 9, 9},	{"PT", "351", "", 9, 9},
	{"RU", "7", "8", 10, 10}, {"UA", "380", "0", 9, 9},	 {"TR", "90", "0", 10, 10}, {"AE", "971", "0", 8, 9},
	{"SA", "966", "0", 8, 9}, {"IL", "972", "0", 8, 9},	 {"ZA", "27", "0", 9, 9},	{"BR", "55", "0", 10, 11},
	{"MX", "52", "", 10, 10},
};

/*
 * normalize_phone(text, region): E.164; null for what is no number or has an extension
 */
PG_FUNCTION_INFO_V1(normalize_phone);
Datum
normalize_phone(PG_FUNCTION_ARGS)
{
	text *region_text = PG_GETARG_TEXT_PP(1);
	StringInfoData folded;
	char number[20];
	int count = 0;
	bool international = false;
	int region = -1;
	const char *national = number;

	if (!fold_short(PG_GETARG_TEXT_PP(0), &folded))
		PG_RETURN_NULL();
	for (int i = 0; i < folded.len;)
	{
		const unsigned char *p = (const unsigned char *) folded.data + i;
		int size = pg_utf_mblen(p);
		int value = size == 1 ? (isdigit(*p) ? *p - '0' : -1) : unicode_digit_value(utf8_to_unicode(p));

		if (value >= 0)
		{
			if (count >= (int) sizeof(number) - 1)
				PG_RETURN_NULL();
			number[count++] = '0' + value;
		}
		else if (i == 0 && *p == '+')
			international = true;
		else if (size > 1 || strchr(" -.()/", *p) == NULL)
			PG_RETURN_NULL();
		i += size;
	}
	number[count] = '\0';
	if (!international && count > 4 && number[0] == '0' && number[1] == '0')
	{
		international = true;
		national += 2;
		count -= 2;
	}
	for (int i = 0; i < lengthof(regions); i++)
		if (VARSIZE_ANY_EXHDR(region_text) == 2 && pg_strncasecmp(VARDATA_ANY(region_text), regions[i].region, 2) == 0)
			region = i;
	if (!international)
	{
		/* A mainland mobile number is told by itself, with or without 86. */
		if (region >= 0 && strcmp(regions[region].region, "CN") == 0 && count == 13 && memcmp(national, "86", 2) == 0 &&
			valid_cn_mobile(national + 2, 11))
			national += 2, count -= 2;
		else if (region >= 0 && strlen(regions[region].code) == 3 && regions[region].least == regions[region].most &&
				 count == 3 + regions[region].most && memcmp(national, regions[region].code, 3) == 0)
			national += 3, count -= 3;
		if (region < 0)
			PG_RETURN_NULL();
		/* In the mainland a number without area code is of no use elsewhere. */
		if (strcmp(regions[region].region, "CN") == 0 && !valid_cn_mobile(national, count) &&
			!(national[0] == '0' && count >= 10) && !(count == 10 && (memcmp(national, "400", 3) == 0 || memcmp(national, "800", 3) == 0)))
			PG_RETURN_NULL();
		if (regions[region].trunk[0] && national[0] == regions[region].trunk[0] && count > regions[region].least)
			national++, count--;
		if (count < regions[region].least || count > regions[region].most || national[0] == '0')
			PG_RETURN_NULL();
		PG_RETURN_TEXT_P(cstring_to_text(psprintf("+%s%.*s", regions[region].code, count, national)));
	}
	if (count < 7 || count > 15 || national[0] == '0')
		PG_RETURN_NULL();
	/* Checked where the country is known; +44 (0)20 is often written with the trunk digit. */
	for (int i = 0; i < lengthof(regions); i++)
	{
		int code = strlen(regions[i].code);

		if (strncmp(national, regions[i].code, code) != 0)
			continue;
		if (strcmp(regions[i].trunk, "0") == 0 && national[code] == '0')
		{
			memmove((char *) national + code, national + code + 1, count - code);
			count--;
			/* Where 0 is dialled before an area code, no number begins with one. */
			if (national[code] == '0')
				PG_RETURN_NULL();
		}
		if (count - code < regions[i].least || count - code > regions[i].most)
			PG_RETURN_NULL();
		break;
	}
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("+%.*s", count, national)));
}

/*
 * normalize_email(text): folded and in lower case; null for what is no address
 */
PG_FUNCTION_INFO_V1(normalize_email);
Datum
normalize_email(PG_FUNCTION_ARGS)
{
	StringInfoData folded;

	if (!fold_short(PG_GETARG_TEXT_PP(0), &folded))
		PG_RETURN_NULL();
	for (int i = 0; i < folded.len; i++)
		folded.data[i] = pg_ascii_tolower((unsigned char) folded.data[i]);
	if (!valid_email(folded.data, folded.len))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(folded.data, folded.len));
}

/*
 * normalize_name(text): the form for comparing names: folded, without case, spaces and dots of one kind
 */
PG_FUNCTION_INFO_V1(normalize_name);
Datum
normalize_name(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	StringInfoData folded;
	StringInfoData result;

	initStringInfo(&folded);
	if (VARSIZE_ANY_EXHDR(value) > 1024 ||
		unicode_fold(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &folded) != UNICODE_FOLD_OK)
		PG_RETURN_NULL();
	initStringInfo(&result);
	for (int i = 0; i < folded.len;)
	{
		const unsigned char *p = (const unsigned char *) folded.data + i;
		int size = pg_utf_mblen(p);
		uint32 c = utf8_to_unicode(p);

		if (c == 0x2022 || c == 0x2027 || c == 0x2219 || c == 0x22C5 || c == 0x30FB)
			appendStringInfoString(&result, "·");
		else
			appendBinaryStringInfo(&result, (const char *) p, size);
		i += size;
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(result.data, result.len));
}
