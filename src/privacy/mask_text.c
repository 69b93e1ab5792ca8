/*
 * mask_text: phones, identity numbers, cards and e-mail addresses inside notes and messages.
 *
 * The text is read as a row of cells, one a character. A cell knows the ASCII character it looks like (full-width forms and
 * digits of any script count as what they look like) and characters that nobody sees are skipped, so that neither hides a number.
 */
#include "base/crm.h"

#include "base/unicode.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "privacy/mask.h"

/* A number written with separators has no more characters than this. */
#define MAX_NUMBER 64

/* A character that looks like two digits, such as a circled 20, is read as this plus the number. */
#define TWO_DIGITS 0x200

typedef struct Reader
{
	const char *s;
	int length;
} Reader;

/*
 * The digits in the compatible form of a character, such as a circled 20 or the 1 of a day: as looks_like
 */
static int
looks_like_digits(uint32 c)
{
	StringInfoData plain;
	unsigned char utf8[8];
	int digits = 0;
	int value = 0;

	/* Negative and sans-serif circles have no such form. */
	if (c >= 0x24EB && c <= 0x24F4)
		return TWO_DIGITS + 11 + (c - 0x24EB);
	if (c == 0x24FE || c == 0x277F || c == 0x2789 || c == 0x2793)
		return TWO_DIGITS + 10;
	initStringInfo(&plain);
	unicode_to_utf8(c, utf8);
	unicode_compat((char *) utf8, pg_utf_mblen(utf8), &plain);
	for (int i = 0; i < plain.len && digits < 2; i++)
		if (is_digit(plain.data[i]))
			value = value * 10 + plain.data[i] - '0', digits++;
	pfree(plain.data);
	return digits == 2 ? TWO_DIGITS + value : digits == 1 ? '0' + value : 0;
}

/*
 * What a character looks like: ASCII, two digits, 0 when it is like none, -1 when nobody sees it
 */
static int
looks_like(uint32 c)
{
	static const struct
	{
		uint32 first;
		uint32 last;
		char digit;
	} digits[] = {
		{0xB2, 0xB3, '2'},	   {0xB9, 0xB9, '1'},	  {0x2070, 0x2070, '0'}, {0x2074, 0x2079, '4'}, {0x2080, 0x2089, '0'},
		{0x2460, 0x2468, '1'}, {0x24EA, 0x24EA, '0'}, {0x24F5, 0x24FD, '1'}, {0x2776, 0x277E, '1'}, {0x2780, 0x2788, '1'},
		{0x278A, 0x2792, '1'},
	};
	int value;

	if (c < 0x80)
		return c < ' ' && c != '\t' && c != '\n' && c != '\r' ? -1 : (int) c;
	if (c >= 0xFF01 && c <= 0xFF5E)
		return c - 0xFEE0;
	if (c == 0xFE6B || c == 0xFE52 || c == 0xFE63)
		return c == 0xFE6B ? '@' : c == 0xFE52 ? '.' : '-';
	if (c == 0x3000 || c == 0xA0 || (c >= 0x2000 && c <= 0x200A) || c == 0x202F)
		return ' ';
	if ((c >= 0x2010 && c <= 0x2015) || c == 0x2212)
		return '-';
	if (c == 0xAD || (c >= 0x200B && c <= 0x200F) || (c >= 0x202A && c <= 0x202E) || (c >= 0x2060 && c <= 0x206F) ||
		c == 0xFEFF || c == 0x180E || c == 0x34F || (c >= 0xFE00 && c <= 0xFE0F) || c == 0x20E3 ||
		(c >= 0xE0000 && c <= 0xE0FFF) || (c >= 0x300 && c <= 0x36F))
		return -1;
	/* Ideographs and kana, most of what is not ASCII, are no digits. */
	if (c >= 0x2E80 && c <= 0xA4CF && !(c >= 0x3200 && c <= 0x33FF))
		return 0;
	for (int i = 0; i < lengthof(digits); i++)
		if (c >= digits[i].first && c <= digits[i].last)
			return digits[i].digit + (c - digits[i].first);
	value = unicode_digit_value(c);
	if (value < 0 && (c == 0xBC || c == 0xBD || c == 0xBE || (c >= 0x2150 && c <= 0x218F) || (c >= 0x2460 && c <= 0x27BF) ||
					  (c >= 0x3200 && c <= 0x33FF) || (c >= 0x1F100 && c <= 0x1F10A)))
		return looks_like_digits(c);
	return value >= 0 ? '0' + value : 0;
}

static bool
is_number(int c)
{
	return (c >= '0' && c <= '9') || c >= TWO_DIGITS;
}

/*
 * The next character that is seen, from *at on, which moves behind it; 0 at the end
 */
static int
next_seen(const Reader *reader, int *at)
{
	while (*at < reader->length)
	{
		const unsigned char *p = (const unsigned char *) reader->s + *at;
		int size = IS_HIGHBIT_SET(*p) ? pg_utf_mblen(p) : 1;
		int c;

		if (*at + size > reader->length)
			size = reader->length - *at, c = 0;
		else
			c = looks_like(size == 1 ? *p : utf8_to_unicode(p));
		*at += size;
		if (c >= 0)
			return c == 0 ? 0x100 : c;
	}
	return 0;
}

/*
 * Does a date of birth stand at d?
 */
static bool
is_birth_date(const char *d)
{
	int month = (d[4] - '0') * 10 + d[5] - '0';
	int day = (d[6] - '0') * 10 + d[7] - '0';

	return (memcmp(d, "19", 2) == 0 || memcmp(d, "20", 2) == 0 || memcmp(d, "18", 2) == 0) && month >= 1 && month <= 12 &&
		   day >= 1 && day <= 31;
}

/*
 * Mask the number that starts at from: where it ends, or from when there is none to mask
 */
static int
mask_number(MaskOut *out, const Reader *reader, int from)
{
	char digits[MAX_NUMBER + 1];
	char groups[MAX_NUMBER]; /* digits of each group */
	int ends[MAX_NUMBER];	 /* where group i ends */
	int count = 0;
	int group = -1;
	int at = from;
	bool plus = false;
	bool apart = true;
	bool last_x = false;
	int longest = 0;
	int end = from;
	int c;

	/* Read groups of digits with at most three separators between them. */
	for (int separators = 4; count < MAX_NUMBER;)
	{
		int before = at;

		c = next_seen(reader, &at);
		if (is_number(c))
		{
			if (apart)
				groups[++group] = 0;
			apart = false;
			separators = 0;
			if (c >= TWO_DIGITS && count < MAX_NUMBER - 1)
			{
				digits[count++] = '0' + (c - TWO_DIGITS) / 10;
				groups[group]++;
			}
			digits[count++] = c >= TWO_DIGITS ? '0' + (c - TWO_DIGITS) % 10 : c;
			groups[group]++;
			ends[group] = end = at;
			longest = Max(longest, groups[group]);
		}
		else if (c == '+' && before == from)
			plus = true;
		else if ((c == 'x' || c == 'X') && count >= 17 && !apart)
		{
			int ahead = at;
			int next = next_seen(reader, &ahead);

			if (is_number(next))
				break;
			digits[count++] = 'X';
			last_x = true;
			end = ends[group] = at;
			break;
		}
		else if ((c == ' ' || c == '-' || c == '.' || c == '(' || c == ')' || c == '/') && ++separators <= 3)
			apart = true;
		else
			break;
	}
	if (count < 7)
		return from;
	digits[count] = '\0';

	/* A longer row of digits than anything known: all of it goes. */
	if (count >= MAX_NUMBER)
	{
		for (at = end; at < reader->length;)
		{
			c = next_seen(reader, &at);
			if (!is_number(c))
				break;
			end = at;
		}
		mask_whole(out);
		return end;
	}
	/* Try the longest row of groups first, so that a number written in groups is seen whole. */
	for (int used = count, g = group; g >= 0; used -= last_x && g == group ? groups[g] + 1 : groups[g], g--)
	{
		int contiguous = 0;
		int length = used;
		const char *d = digits;
		bool x = last_x && g == group;

		for (int i = 0; i <= g; i++)
			contiguous = Max(contiguous, groups[i]);
		if (length == 13 && memcmp(d, "86", 2) == 0)
			d += 2, length -= 2;
		else if (length == 15 && memcmp(d, "0086", 4) == 0)
			d += 4, length -= 4;
		if (length == 11 && d[0] == '1' && d[1] >= '3' && (!plus || d > digits))
		{
			int dash = ends[g];
			int extension = ends[g];

			if (plus)
				mask_char(out, '+');
			mask_shown(out, digits, d - digits);
			mask_middle(out, d, 11, 3, 4);
			/* A virtual number routes by its extension. */
			if (g < group && groups[g + 1] <= 6 && next_seen(reader, &dash) == '-' && is_number(next_seen(reader, &dash)))
			{
				extension = ends[g + 1];
				mask_char(out, '-');
				mask_hidden(out, 4);
			}
			return extension;
		}
		else if (used == 18 && (x || (contiguous >= 17 || is_birth_date(d + 6))))
			mask_middle(out, digits, 18, 1, 2);
		else if (used >= 13 && used <= 19 && !x && (g == 0 || groups[0] == 4) && (g == 0 || groups[1] == 4 || groups[1] == 6))
			mask_middle(out, digits, used, g == 0 && used == 15 ? 1 : 0, used == 15 ? 2 : 4);
		else if (plus && used <= 15)
		{
			char number[MAX_NUMBER + 2];

			number[0] = '+';
			memcpy(number + 1, digits, used);
			out->start = out->length;
			hide_phone(out, number, used + 1, NULL);
		}
		else if (g == 1 && digits[0] == '0' && groups[0] <= 4 && groups[1] >= 7 && groups[1] <= 8)
		{
			mask_shown(out, digits, groups[0]);
			mask_char(out, '-');
			mask_hidden(out, groups[1] - 2);
			mask_shown(out, digits + used - 2, 2);
		}
		else if ((g == 1 && groups[0] == 4 && groups[1] == 4 && digits[0] >= '5' && digits[0] <= '9') ||
				 (g == 2 && memcmp(digits, "85", 2) == 0 && groups[0] == 3 && groups[1] == 4 && groups[2] == 4))
			mask_middle(out, digits, used, 0, 2);
		else if (g == 0 && used >= 7)
			mask_hidden(out, 4);
		else
			continue;
		return ends[g];
	}
	/* A group in the middle that is long enough by itself is masked when its turn comes. */
	return from;
}

/*
 * Could c stand in the local part of an e-mail address? Chinese text runs into an address without a space.
 */
static bool
is_local_char(int c)
{
	return c > 0 && c < 0x80 && (is_alpha(c) || is_digit(c) || strchr("._%+-", c) != NULL);
}

/*
 * Mask the e-mail address whose local part starts at from: where it ends, or from when there is none
 */
static int
mask_address_at(MaskOut *out, const Reader *reader, int from)
{
	char address[320];
	int count = 0;
	int at = from;
	int at_sign = -1;
	int last_dot = -1;
	int end = from;

	while (count < (int) sizeof(address))
	{
		int c = next_seen(reader, &at);

		if (c == '@' && at_sign < 0 && count > 0)
			at_sign = count;
		else if (at_sign < 0 ? !is_local_char(c) : !(c < 0x80 && (is_alpha(c) || is_digit(c) || c == '.' || c == '-')))
			break;
		address[count++] = c;
		if (c == '.' && at_sign >= 0)
			last_dot = count;
		else
			end = at;
	}
	/* A full stop may end the sentence. */
	while (count > 0 && (address[count - 1] == '.' || address[count - 1] == '-'))
		count--;
	if (at_sign < 0 || last_dot < 0 || count - at_sign < 3)
		return from;
	out->start = out->length;
	hide_email(out, address, count, &(MaskOptions){.domain = false});
	return end;
}

/*
 * Could an address stand in the text? It takes an at sign, of which there are few kinds.
 */
static bool
has_at_sign(const char *s, int length)
{
	if (memchr(s, '@', length) != NULL)
		return true;
	for (const char *p = s; (p = memchr(p, 0xEF, s + length - p)) != NULL; p++)
		if (p + 3 <= s + length && (memcmp(p, "\xEF\xBC\xA0", 3) == 0 || memcmp(p, "\xEF\xB9\xAB", 3) == 0))
			return true;
	return false;
}

/*
 * Free text: numbers and addresses in it are masked, the rest stays
 */
void
hide_text(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	Reader reader = {s, length};
	bool addresses = has_at_sign(s, length);
	int previous = 0;
	int copied = 0;		 /* the text is in out up to here */
	int searched = -1; /* the text has been looked at for an address up to here */

	for (int at = 0; at < length;)
	{
		int after = at;
		int c = (unsigned char) s[at];
		int end = at;

		CHECK_FOR_INTERRUPTS();
		if (c < 0x80 && c >= ' ')
			after++;
		else if ((c = next_seen(&reader, &after)) == 0)
			break;
		if (!addresses && !is_number(c) && c != '+')
		{
			previous = c;
			at = after;
			continue;
		}
		/* What comes before is copied now, since a mask may follow. */
		if (copied < at)
		{
			mask_shown(out, s + copied, at - copied);
			copied = at;
		}
		if (addresses && is_local_char(c) && at > searched)
		{
			end = mask_address_at(out, &reader, at);
			if (end == at)
			{
				/* No suffix of this word is an address either: skip the word. */
				int ahead = at;
				int word = at;

				while (ahead < length && is_local_char(next_seen(&reader, &ahead)))
					word = ahead;
				searched = Max(word - 1, at);
			}
		}
		if (end == at && (is_number(c) || c == '+') && !is_number(previous))
		{
			out->start = out->length;
			end = mask_number(out, &reader, at);
		}
		if (end == at)
		{
			at = after;
			previous = c;
		}
		else
		{
			at = copied = end;
			previous = 0;
		}
	}
	if (copied < length)
		mask_shown(out, s + copied, length - copied);
}
