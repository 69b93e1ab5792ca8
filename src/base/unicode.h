/*
 * Text as readers see it, by ICU. Everything takes and gives UTF-8; the database must be UTF-8.
 */
#ifndef CRM_UNICODE_H
#define CRM_UNICODE_H

#include "base/compat.h"

#include "lib/stringinfo.h"

typedef enum UnicodeFoldResult
{
	UNICODE_FOLD_OK,
	UNICODE_FOLD_EMPTY,		 /* nothing is left after folding and trimming */
	UNICODE_FOLD_CONTROL,	 /* has a control character */
	UNICODE_FOLD_UNASSIGNED, /* has a code point that this ICU does not know */
} UnicodeFoldResult;

/* Raise unless the database's encoding is UTF-8. */
extern void unicode_check_database(void);

/* Canonical form of a short text: NFKC_Casefold, white space trimmed and collapsed. Appended to out. */
extern UnicodeFoldResult unicode_fold(const char *text, int length, StringInfo out);

/* NFKC without case folding, white space kept: full-width forms become plain. Appended to out. */
extern void unicode_compat(const char *text, int length, StringInfo out);

/* Byte offsets of the grapheme clusters of text: count of clusters; (*offsets)[i] starts cluster i, (*offsets)[count] = length. */
extern int unicode_graphemes(const char *text, int length, int **offsets);

/* Value 0-9 of a decimal digit in any script, else -1. */
extern int unicode_digit_value(uint32 codepoint);

/* A name in Latin letters without accents, in lower case, a space after each syllable of Chinese. Appended to out. */
extern void unicode_pinyin(const char *text, int length, StringInfo out);

/* Is it a letter of any script? */
extern bool unicode_is_letter(uint32 codepoint);

/* A day of the Chinese lunar calendar. The year is the Gregorian one that the lunar year begins in. */
typedef struct UnicodeLunarDay
{
	int year;
	int month;
	bool leap;
	int day;
} UnicodeLunarDay;

/* Lunar day of a day counted from 1970-01-01, in China's time zone. */
extern void unicode_lunar_day(int days, UnicodeLunarDay *lunar);

/* Day from 1970-01-01 of a lunar day; false when that year has no such day. */
extern bool unicode_days_of_lunar(const UnicodeLunarDay *lunar, int *days);

/* Version of the running ICU, such as "72.1". */
extern const char *unicode_icu_version(void);

#endif
