/*
 * Names as staff type them: zhangsan or zs for 张三. A search aid, never an exact reading.
 */
#include "base/crm.h"

#include "base/unicode.h"
#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* A name is shorter than this; the rest is not read. */
#define MAX_NAME 256
#define MAX_WORDS 64

/* Surnames that ICU reads as it would any word. */
static const struct
{
	const char *surname;
	const char *pinyin;
} readings[] = {{"朴", "piao"}, {"缪", "miao"}, {"繆", "miao"}};

typedef struct LatinName
{
	StringInfoData latin; /* words of a-z and 0-9 with one space between them */
	int count;
	int words[MAX_WORDS + 1]; /* where each word starts, and the end */
} LatinName;

/*
 * Read a name into words of Latin letters
 */
static void
read_name(text *value, LatinName *name)
{
	const char *s = VARDATA_ANY(value);
	int length = VARSIZE_ANY_EXHDR(value);
	bool ascii = true;
	StringInfoData folded;
	StringInfoData raw;
	int from = 0;
	bool inside = false;

	if (length > MAX_NAME)
		length = pg_mbcliplen(s, length, MAX_NAME);
	for (int i = 0; i < length; i++)
		ascii &= !IS_HIGHBIT_SET(s[i]);
	initStringInfo(&raw);
	if (ascii)
		appendBinaryStringInfo(&raw, s, length);
	else
	{
		initStringInfo(&folded);
		unicode_compat(s, length, &folded);
		while (from < folded.len && folded.data[from] == ' ')
			from++;
		for (int i = 0; i < lengthof(readings); i++)
		{
			int size = strlen(readings[i].surname);

			if (folded.len - from > size && memcmp(folded.data + from, readings[i].surname, size) == 0)
			{
				appendStringInfo(&raw, "%s ", readings[i].pinyin);
				from += size;
				break;
			}
		}
		unicode_pinyin(folded.data + from, folded.len - from, &raw);
	}
	initStringInfo(&name->latin);
	name->count = 0;
	for (int i = 0; i < raw.len; i++)
	{
		unsigned char c = pg_ascii_tolower((unsigned char) raw.data[i]);

		if (c == '\'' || c == '.')
			continue;
		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
		{
			inside = false;
			continue;
		}
		if (!inside)
		{
			if (name->count == MAX_WORDS)
				break;
			name->words[name->count++] = name->latin.len;
		}
		inside = true;
		appendStringInfoChar(&name->latin, c);
	}
	name->words[name->count] = name->latin.len;
}

/*
 * First letters of the words
 */
static char *
initials(const LatinName *name)
{
	char *result = palloc(MAX_WORDS + 1);

	for (int i = 0; i < name->count; i++)
		result[i] = name->latin.data[name->words[i]];
	result[name->count] = '\0';
	return result;
}

/*
 * name_pinyin(text): zhangsan
 */
PG_FUNCTION_INFO_V1(name_pinyin);
Datum
name_pinyin(PG_FUNCTION_ARGS)
{
	LatinName name;

	read_name(PG_GETARG_TEXT_PP(0), &name);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(name.latin.data, name.latin.len));
}

/*
 * name_initials(text): zs
 */
PG_FUNCTION_INFO_V1(name_initials);
Datum
name_initials(PG_FUNCTION_ARGS)
{
	LatinName name;

	read_name(PG_GETARG_TEXT_PP(0), &name);
	PG_RETURN_TEXT_P(cstring_to_text(initials(&name)));
}

/*
 * Add a key unless it is empty or there already
 */
static void
add_key(Datum *keys, int *count, const char *key)
{
	for (int i = 0; i < *count; i++)
		if (strcmp(TextDatumGetCString(keys[i]), key) == 0)
			return;
	if (key[0] != '\0')
		keys[(*count)++] = CStringGetTextDatum(key);
}

/*
 * The word with each v written as something else
 */
static char *
spell_v(const char *word, const char *as)
{
	StringInfoData result;

	initStringInfo(&result);
	for (; *word; word++)
	{
		if (*word == 'v')
			appendStringInfoString(&result, as);
		else
			appendStringInfoChar(&result, *word);
	}
	return result.data;
}

/*
 * name_keys(text): all that a name is found by
 */
PG_FUNCTION_INFO_V1(name_keys);
Datum
name_keys(PG_FUNCTION_ARGS)
{
	text *value = PG_GETARG_TEXT_PP(0);
	LatinName name;
	Datum keys[MAX_WORDS + 8];
	int count = 0;
	StringInfoData folded;

	read_name(value, &name);
	initStringInfo(&folded);
	if (VARSIZE_ANY_EXHDR(value) <= MAX_NAME &&
		unicode_fold(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value), &folded) == UNICODE_FOLD_OK)
		add_key(keys, &count, folded.data);
	add_key(keys, &count, name.latin.data);
	add_key(keys, &count, initials(&name));
	if (strchr(name.latin.data, 'v') != NULL)
	{
		add_key(keys, &count, spell_v(name.latin.data, "u"));
		add_key(keys, &count, spell_v(name.latin.data, "yu"));
	}
	/* People write and ask for one word of a Latin name; syllables of Chinese alone would find everybody. */
	if (count > 0 && folded.len > 0 && !IS_HIGHBIT_SET(folded.data[0]) && name.count > 1)
		for (int i = 0; i < name.count; i++)
			if (name.words[i + 1] - name.words[i] > 1)
				add_key(keys, &count, pnstrdup(name.latin.data + name.words[i], name.words[i + 1] - name.words[i]));
	PG_RETURN_ARRAYTYPE_P(construct_array(keys, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/*
 * Version of the running ICU
 */
PG_FUNCTION_INFO_V1(icu_version);
Datum
icu_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(unicode_icu_version()));
}
