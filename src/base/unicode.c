/*
 * The only file that includes ICU. Handles live as long as the backend, so no error can leak them.
 */
#include "base/unicode.h"

#include <math.h>

#include "mb/pg_wchar.h"
#include "utils/builtins.h"

#ifndef USE_ICU
#error "crm needs a PostgreSQL built with ICU"
#endif

#include <unicode/ubrk.h>
#include <unicode/ucal.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>
#include <unicode/utext.h>
#include <unicode/utrans.h>
#include <unicode/utf8.h>
#include <unicode/uversion.h>

static const UNormalizer2 *case_folder = NULL;
static const UNormalizer2 *compat = NULL;
static UBreakIterator *graphemes = NULL;
static UTransliterator *pinyin = NULL;
static UCalendar *lunar_calendar = NULL;

/* ICU counts lunar years from 2637 before our era; since 78 it gives them the number of the year they begin in. */
static int lunar_year_offset = 0;
#define SUMMER_2000 11139 /* a day of the lunar year that began in 2000 */
#define MILLISECONDS_PER_DAY 86400000.0

/*
 * Report a failure of ICU
 */
static void
check_icu(UErrorCode status, const char *what)
{
	if (U_FAILURE(status))
		ereport(ERROR,
				(errcode(ERRCODE_EXTERNAL_ROUTINE_EXCEPTION), errmsg("ICU failed in %s: %s", what, u_errorName(status))));
}

void
unicode_check_database(void)
{
	if (GetDatabaseEncoding() != PG_UTF8)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("crm needs a database with encoding UTF8"),
				 errdetail("This database has encoding %s.", GetDatabaseEncodingName()),
				 errhint("Create a database with ENCODING 'UTF8' TEMPLATE template0.")));
}

/*
 * UTF-8 to a palloc'd UTF-16 string
 */
static UChar *
to_utf16(const char *text, int length, int32_t *out_length)
{
	UErrorCode status = U_ZERO_ERROR;
	/* UTF-16 never has more units than UTF-8 has bytes. */
	UChar *out = palloc(sizeof(UChar) * ((Size) length + 1));

	u_strFromUTF8(out, length + 1, out_length, text, length, &status);
	check_icu(status, "u_strFromUTF8");
	return out;
}

/*
 * Append a UTF-16 string to out as UTF-8
 */
static void
append_utf16(StringInfo out, const UChar *text, int32_t length)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t written;

	/* A UTF-16 unit takes at most three bytes of UTF-8. */
	enlargeStringInfo(out, (int) mul_size(length, 3) + 1);
	u_strToUTF8(out->data + out->len, out->maxlen - out->len, &written, text, length, &status);
	check_icu(status, "u_strToUTF8");
	out->len += written;
	out->data[out->len] = '\0';
}

/*
 * Append the normalised form of text to out
 */
static void
append_normalized(const UNormalizer2 *norm, const char *text, int length, StringInfo out)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t source_length;
	UChar *source = to_utf16(text, length, &source_length);
	int32_t capacity = source_length * 2 + 16;
	UChar *folded = palloc(sizeof(UChar) * capacity);
	int32_t folded_length = unorm2_normalize(norm, source, source_length, folded, capacity, &status);

	if (status == U_BUFFER_OVERFLOW_ERROR)
	{
		status = U_ZERO_ERROR;
		capacity = folded_length + 1;
		folded = repalloc(folded, sizeof(UChar) * capacity);
		folded_length = unorm2_normalize(norm, source, source_length, folded, capacity, &status);
	}
	check_icu(status, "unorm2_normalize");
	append_utf16(out, folded, folded_length);
	pfree(source);
	pfree(folded);
}

/*
 * Trim and collapse white space of the bytes from start on, in place
 */
static UnicodeFoldResult
collapse_space(StringInfo out, int start)
{
	int from = start;
	int to = start;
	bool pending = false;

	while (from < out->len)
	{
		int before = from;
		UChar32 c;

		U8_NEXT(out->data, from, out->len, c);
		if (u_isUWhiteSpace(c))
		{
			pending = to > start;
			continue;
		}
		if (c < 0 || u_charType(c) == U_CONTROL_CHAR)
			return UNICODE_FOLD_CONTROL;
		if (u_charType(c) == U_UNASSIGNED)
			return UNICODE_FOLD_UNASSIGNED;
		if (pending)
			out->data[to++] = ' ';
		pending = false;
		memmove(out->data + to, out->data + before, from - before);
		to += from - before;
	}
	out->len = to;
	out->data[to] = '\0';
	return to == start ? UNICODE_FOLD_EMPTY : UNICODE_FOLD_OK;
}

UnicodeFoldResult
unicode_fold(const char *text, int length, StringInfo out)
{
	int start = out->len;
	bool ascii = true;

	for (int i = 0; i < length; i++)
	{
		if (IS_HIGHBIT_SET(text[i]))
		{
			ascii = false;
			break;
		}
	}

	if (ascii)
	{
		enlargeStringInfo(out, length + 1);
		for (int i = 0; i < length; i++)
			appendStringInfoCharMacro(out, pg_ascii_tolower((unsigned char) text[i]));
	}
	else
	{
		/* Unassigned code points are looked for before folding too: folding may delete them. */
		for (int i = 0; i < length;)
		{
			UChar32 c;

			U8_NEXT(text, i, length, c);
			if (c >= 0 && u_charType(c) == U_UNASSIGNED)
				return UNICODE_FOLD_UNASSIGNED;
		}
		if (case_folder == NULL)
		{
			UErrorCode status = U_ZERO_ERROR;

			case_folder = unorm2_getNFKCCasefoldInstance(&status);
			check_icu(status, "unorm2_getNFKCCasefoldInstance");
		}
		append_normalized(case_folder, text, length, out);
	}
	return collapse_space(out, start);
}

void
unicode_compat(const char *text, int length, StringInfo out)
{
	if (compat == NULL)
	{
		UErrorCode status = U_ZERO_ERROR;

		compat = unorm2_getNFKCInstance(&status);
		check_icu(status, "unorm2_getNFKCInstance");
	}
	append_normalized(compat, text, length, out);
}

int
unicode_graphemes(const char *text, int length, int **offsets)
{
	UErrorCode status = U_ZERO_ERROR;
	UText view = UTEXT_INITIALIZER;
	int count = 0;
	/* Every cluster has at least one byte. */
	int *result = palloc(sizeof(int) * ((Size) length + 1));
	int32_t at;

	if (graphemes == NULL)
	{
		graphemes = ubrk_open(UBRK_CHARACTER, "", NULL, 0, &status);
		check_icu(status, "ubrk_open");
	}
	utext_openUTF8(&view, text, length, &status);
	ubrk_setUText(graphemes, &view, &status);
	if (U_FAILURE(status))
	{
		utext_close(&view);
		check_icu(status, "ubrk_setUText");
	}
	for (at = ubrk_first(graphemes); at != UBRK_DONE; at = ubrk_next(graphemes))
		result[count++] = at;
	utext_close(&view);
	*offsets = result;
	return count - 1;
}

int
unicode_digit_value(uint32 codepoint)
{
	return u_charDigitValue((UChar32) codepoint);
}

void
unicode_pinyin(const char *text, int length, StringInfo out)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t source_length;
	int32_t limit;
	int32_t capacity;
	UChar *buffer;
	UChar *source = to_utf16(text, length, &source_length);

	if (pinyin == NULL)
	{
		/* Keyboards write the u with two dots as v. */
		static const char rules[] = "::Han-Latin/Names; [\\u00FC\\u01D6\\u01D8\\u01DA\\u01DC] > v; ::Latin-ASCII; ::Lower;";
		static const UChar id[] = {'c', 'r', 'm', 0};
		UChar rules16[sizeof(rules)];
		UParseError where;

		u_charsToUChars(rules, rules16, sizeof(rules));
		pinyin = utrans_openU(id, -1, UTRANS_FORWARD, rules16, -1, &where, &status);
		check_icu(status, "utrans_openU");
	}
	/* A syllable has at most six letters, a tone mark or two in between, and a space. */
	capacity = source_length * 16 + 64;
	buffer = palloc(sizeof(UChar) * capacity);
	memcpy(buffer, source, sizeof(UChar) * source_length);
	limit = source_length;
	utrans_transUChars(pinyin, buffer, &source_length, capacity, 0, &limit, &status);
	check_icu(status, "utrans_transUChars");
	append_utf16(out, buffer, source_length);
	pfree(source);
	pfree(buffer);
}

bool
unicode_is_letter(uint32 codepoint)
{
	return u_isalpha((UChar32) codepoint);
}

/*
 * The Chinese calendar, opened at first use
 */
static UCalendar *
get_lunar_calendar(void)
{
	if (lunar_calendar == NULL)
	{
		static const UChar zone[] = {'G', 'M', 'T', '+', '0', '8', 0};
		UErrorCode status = U_ZERO_ERROR;
		UCalendar *opened = ucal_open(zone, -1, "zh@calendar=chinese", UCAL_TRADITIONAL, &status);

		check_icu(status, "ucal_open");
		ucal_setMillis(opened, SUMMER_2000 * MILLISECONDS_PER_DAY, &status);
		lunar_year_offset = ucal_get(opened, UCAL_EXTENDED_YEAR, &status) - 2000;
		check_icu(status, "ucal_get");
		lunar_calendar = opened;
	}
	return lunar_calendar;
}

void
unicode_lunar_day(int days, UnicodeLunarDay *lunar)
{
	UErrorCode status = U_ZERO_ERROR;
	UCalendar *calendar = get_lunar_calendar();

	/* Noon in China lies at four hours of that day in UTC. */
	ucal_setMillis(calendar, days * MILLISECONDS_PER_DAY + MILLISECONDS_PER_DAY / 6, &status);
	lunar->year = ucal_get(calendar, UCAL_EXTENDED_YEAR, &status) - lunar_year_offset;
	lunar->month = ucal_get(calendar, UCAL_MONTH, &status) + 1;
	lunar->leap = ucal_get(calendar, UCAL_IS_LEAP_MONTH, &status) != 0;
	lunar->day = ucal_get(calendar, UCAL_DATE, &status);
	check_icu(status, "ucal_get");
}

bool
unicode_days_of_lunar(const UnicodeLunarDay *lunar, int *days)
{
	UErrorCode status = U_ZERO_ERROR;
	UCalendar *calendar = get_lunar_calendar();
	UnicodeLunarDay found;
	UDate moment;

	ucal_clear(calendar);
	ucal_set(calendar, UCAL_EXTENDED_YEAR, lunar->year + lunar_year_offset);
	ucal_set(calendar, UCAL_MONTH, lunar->month - 1);
	ucal_set(calendar, UCAL_IS_LEAP_MONTH, lunar->leap ? 1 : 0);
	ucal_set(calendar, UCAL_DATE, lunar->day);
	ucal_set(calendar, UCAL_HOUR_OF_DAY, 12);
	moment = ucal_getMillis(calendar, &status);
	check_icu(status, "ucal_getMillis");
	*days = (int) floor(moment / MILLISECONDS_PER_DAY);

	/* ICU carries a day that does not exist into the next month. */
	unicode_lunar_day(*days, &found);
	return found.year == lunar->year && found.month == lunar->month && found.leap == lunar->leap &&
		   found.day == lunar->day;
}

const char *
unicode_icu_version(void)
{
	static char version[U_MAX_VERSION_STRING_LENGTH] = "";

	if (version[0] == '\0')
	{
		UVersionInfo info;

		u_getVersion(info);
		u_versionToString(info, version);
	}
	return version;
}
