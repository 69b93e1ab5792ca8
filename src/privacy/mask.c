/*
 * Masks: folding, output, and the functions that SQL calls. The rules themselves stand in mask_number.c, mask_phone.c,
 * mask_name.c and mask_text.c.
 */
#include "base/crm.h"

#include <sys/socket.h>

#include "base/unicode.h"
#include "mb/pg_wchar.h"
#include "privacy/mask.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/inet.h"

/*
 * Make room for more bytes
 */
void
mask_grow(MaskOut *out, int more)
{
	Size size = Max((Size) out->size * 2, (Size) out->length + more + 64);

	if (out->data == out->local)
	{
		out->data = palloc(size);
		memcpy(out->data, out->local, out->length);
	}
	else
		out->data = repalloc(out->data, size);
	out->size = (int) size;
}

/*
 * Start a mask whose hidden characters are drawn as the first character of fill
 */
void
mask_begin(MaskOut *out, const text *fill)
{
	out->data = out->local;
	out->length = 0;
	out->start = 0;
	out->size = sizeof(out->local);
	out->fill[0] = '*';
	out->fill_length = 1;
	if (fill != NULL && VARSIZE_ANY_EXHDR(fill) > 0)
	{
		int length = pg_utf_mblen((const unsigned char *) VARDATA_ANY(fill));

		if (length <= (int) sizeof(out->fill) && length <= (int) VARSIZE_ANY_EXHDR(fill))
		{
			memcpy(out->fill, VARDATA_ANY(fill), length);
			out->fill_length = length;
		}
	}
}

text *
mask_finish(MaskOut *out)
{
	text *result = cstring_to_text_with_len(out->data, out->length);

	if (out->data != out->local)
		pfree(out->data);
	return result;
}

/*
 * Append count hidden characters
 */
void
mask_hidden(MaskOut *out, int count)
{
	count = Min(count, MASK_MAX_RUN);
	if (count <= 0)
		return;
	if (count * out->fill_length > out->size - out->length)
		mask_grow(out, count * out->fill_length);
	if (out->fill_length == 1)
		memset(out->data + out->length, out->fill[0], count);
	else
		for (int i = 0; i < count; i++)
			memcpy(out->data + out->length + i * out->fill_length, out->fill, out->fill_length);
	out->length += count * out->fill_length;
}

/*
 * Copy s without the characters of drop, in upper case: length, or -1 when the rest is not short ASCII
 */
int
mask_strip(char *to, int size, const char *s, int length, const char *drop)
{
	int n = 0;

	for (int i = 0; i < length; i++)
	{
		char c = s[i];

		if (!is_digit(c) && !is_upper(c))
		{
			if (c != '\0' && strchr(drop, c) != NULL)
				continue;
			if (IS_HIGHBIT_SET(c))
				return -1;
			c = pg_ascii_toupper((unsigned char) c);
		}
		if (n >= size)
			return -1;
		to[n++] = c;
	}
	return n;
}

/*
 * Is it all ASCII and the common ideographs? Neither changes by NFKC, and each character is one that a reader sees, but for CR LF.
 */
bool
mask_is_plain(const char *s, int length)
{
	uint64 word;
	int i = 0;

	while (i < length)
	{
		if (i + 8 <= length)
		{
			memcpy(&word, s + i, 8);
			if ((word & UINT64CONST(0x8080808080808080)) == 0)
			{
				i += 8;
				continue;
			}
		}
		if (!IS_HIGHBIT_SET(s[i]))
		{
			i++;
			continue;
		}
		/* U+4E00 to U+9FFF are E4 B8 80 to E9 BF BF. */
		if (i + 3 > length || (unsigned char) s[i] < 0xE4 || (unsigned char) s[i] > 0xE9 ||
			((unsigned char) s[i] == 0xE4 && (unsigned char) s[i + 1] < 0xB8))
			return false;
		i += 3;
	}
	return memchr(s, '\r', length) == NULL;
}

/*
 * Where the characters that a reader sees begin; (*offsets)[count] is the end
 */
int
mask_clusters(const char *s, int length, int **offsets)
{
	int count = 0;
	int *result;

	if (!mask_is_plain(s, length))
		return unicode_graphemes(s, length, offsets);
	result = palloc(sizeof(int) * ((Size) length + 1));
	for (int i = 0; i < length; i += IS_HIGHBIT_SET(s[i]) ? 3 : 1)
		result[count++] = i;
	result[count] = length;
	*offsets = result;
	return count;
}

/*
 * Turn the decimal digits of every script into ASCII's, in place; what NFKC does for the full-width ones only
 */
static void
fold_digits(StringInfo folded)
{
	int to = 0;

	for (int from = 0; from < folded->len;)
	{
		const unsigned char *at = (const unsigned char *) folded->data + from;
		int size = Min(pg_utf_mblen(at), folded->len - from);
		int value = size > 1 ? unicode_digit_value(utf8_to_unicode(at)) : -1;

		if (value >= 0)
			folded->data[to++] = '0' + value;
		else
		{
			memmove(folded->data + to, at, size);
			to += size;
		}
		from += size;
	}
	folded->len = to;
	folded->data[to] = '\0';
}

/*
 * Mask one value. Texts of more than limit bytes are hidden whole.
 */
text *
mask_apply(MaskRule rule, const char *s, int length, int limit, const text *fill, const MaskOptions *options)
{
	MaskOut out;

	mask_begin(&out, fill);
	if (length == 0)
		return mask_finish(&out);
	if (length > limit)
	{
		mask_whole(&out);
		return mask_finish(&out);
	}
	if (rule != hide_text && !mask_is_plain(s, length))
	{
		StringInfoData folded;

		initStringInfo(&folded);
		unicode_compat(s, length, &folded);
		fold_digits(&folded);
		s = folded.data;
		length = folded.len;
	}
	if (rule != hide_text)
	{
		while (length > 0 && isspace((unsigned char) s[length - 1]) && !IS_HIGHBIT_SET(s[length - 1]))
			length--;
		while (length > 0 && isspace((unsigned char) s[0]) && !IS_HIGHBIT_SET(s[0]))
			s++, length--;
	}
	if (length == 0)
		mask_whole(&out);
	else
		rule(&out, s, length, options);
	return mask_finish(&out);
}

/*
 * Call a rule with the value in the first argument and what hidden characters are drawn as in another
 */
static Datum
mask_call(FunctionCallInfo fcinfo, MaskRule rule, int limit, int fill, const MaskOptions *options)
{
	text *value = PG_GETARG_TEXT_PP(0);

	PG_RETURN_TEXT_P(mask_apply(rule,
								VARDATA_ANY(value),
								VARSIZE_ANY_EXHDR(value),
								limit,
								fill < PG_NARGS() ? PG_GETARG_TEXT_PP(fill) : NULL,
								options));
}

#define MASK_NAME(name) name
#define MASK_CALL mask_call
#include "privacy/mask_functions.h"

/*
 * mask_ip(inet, ipv4_bits, ipv6_bits): the network alone
 */
PG_FUNCTION_INFO_V1(mask_ip_inet);
Datum
mask_ip_inet(PG_FUNCTION_ARGS)
{
	inet *value = PG_GETARG_INET_PP(0);
	bool six = ip_family(value) == PGSQL_AF_INET6;
	int size = six ? 128 : 32;
	int bits = PG_GETARG_INT32(six ? 2 : 1);
	inet *result = palloc0(sizeof(inet));

	/* At least the last eight bits go. */
	bits = Max(0, Min(bits, size - 8));
	ip_family(result) = ip_family(value);
	ip_bits(result) = Min(ip_bits(value), size);
	for (int i = 0; i < bits; i++)
		ip_addr(result)[i / 8] |= ip_addr(value)[i / 8] & (0x80 >> (i % 8));
	SET_INET_VARSIZE(result);
	PG_RETURN_INET_P(result);
}

/*
 * mask_date(date, unit)
 */
PG_FUNCTION_INFO_V1(mask_date_date);
Datum
mask_date_date(PG_FUNCTION_ARGS)
{
	DateADT value = PG_GETARG_DATEADT(0);
	text *unit = PG_GETARG_TEXT_PP(1);
	MaskOptions options = {.style = VARDATA_ANY(unit), .style_length = VARSIZE_ANY_EXHDR(unit)};
	char iso[32] = "";

	if (!DATE_NOT_FINITE(value))
	{
		int year;
		int month;
		int day;

		j2date(value + POSTGRES_EPOCH_JDATE, &year, &month, &day);
		snprintf(iso, sizeof(iso), "%04d-%02d-%02d", year, month, day);
	}
	else
		strcpy(iso, "infinity");
	PG_RETURN_TEXT_P(mask_apply(hide_date, iso, strlen(iso), MASK_MAX_SHAPE, NULL, &options));
}

/*
 * age_band(birth, as_of, width): the band of ages that a person is in, such as 30-39
 */
PG_FUNCTION_INFO_V1(age_band);
Datum
age_band(PG_FUNCTION_ARGS)
{
	DateADT birth = PG_GETARG_DATEADT(0);
	DateADT as_of = PG_GETARG_DATEADT(1);
	int width = PG_GETARG_INT32(2);
	int birth_year;
	int birth_month;
	int birth_day;
	int year;
	int month;
	int day;
	int age;

	if (DATE_NOT_FINITE(birth) || DATE_NOT_FINITE(as_of) || birth > as_of)
		PG_RETURN_NULL();
	width = Max(2, Min(width, 100));
	j2date(birth + POSTGRES_EPOCH_JDATE, &birth_year, &birth_month, &birth_day);
	j2date(as_of + POSTGRES_EPOCH_JDATE, &year, &month, &day);
	age = year - birth_year - (month < birth_month || (month == birth_month && day < birth_day));
	/* Few people are older than ninety: they share one band. */
	if (age >= 90)
		PG_RETURN_TEXT_P(cstring_to_text("90+"));
	age -= age % width;
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d-%d", age, Min(age + width - 1, 89))));
}

void
hide_all(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	mask_whole(out);
}

/*
 * Show cluster i unless it is of an odd size
 */
static void
show_cluster(MaskOut *out, const char *s, const int *offsets, int i)
{
	int size = offsets[i + 1] - offsets[i];

	if (size > MASK_MAX_CLUSTER)
		mask_hidden(out, 1);
	else
		mask_shown(out, s + offsets[i], size);
}

/*
 * Show so many characters on the left and on the right; all are hidden when that would show everything
 */
void
hide_partial(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	int *offsets;
	int count = mask_clusters(s, length, &offsets);
	int left = Min(Max(options->left, 0), count);
	int right = Min(Max(options->right, 0), count);

	if (left + right >= count)
		left = right = 0;
	for (int i = 0; i < left; i++)
		show_cluster(out, s, offsets, i);
	mask_hidden(out, count - left - right);
	for (int i = count - right; i < count; i++)
		show_cluster(out, s, offsets, i);
}

/*
 * Names that people give themselves on platforms: t**8, as the platforms show them
 */
void
hide_nickname(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	int *offsets;
	int count = mask_clusters(s, length, &offsets);

	if (count == 1)
	{
		mask_hidden(out, 1);
		return;
	}
	show_cluster(out, s, offsets, 0);
	mask_hidden(out, count == 2 ? 1 : 2);
	if (count > 2)
		show_cluster(out, s, offsets, count - 1);
}
