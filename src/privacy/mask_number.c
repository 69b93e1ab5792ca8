/*
 * Masks of things that have a shape, phone numbers aside: identity, card and account numbers, e-mail, addresses of machines, dates.
 */
#include "base/crm.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "base/unicode.h"
#include "privacy/mask.h"

/*
 * Could this be a domain name that tells nothing of the person? Labels of many digits may be a phone number.
 */
static bool
is_plain_domain(const char *s, int length)
{
	int label = 0;
	int digits = 0;
	bool dot = false;

	if (length > 253)
		return false;
	for (int i = 0; i < length; i++)
	{
		if (s[i] == '.')
		{
			if (label == 0)
				return false;
			dot = true;
			label = digits = 0;
			continue;
		}
		if (!is_alpha(s[i]) && !is_digit(s[i]) && s[i] != '-')
			return false;
		if (++label > 63 || (is_digit(s[i]) && ++digits > 6))
			return false;
	}
	return dot && label >= 2 && digits < label;
}

/*
 * E-mail: one or two characters of the local part, of fixed width, and the domain
 */
void
hide_email(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	const char *at = memchr(s, '@', length);
	int local = at ? (int) (at - s) : 0;
	int domain = length - local - 1;
	bool ascii = true;

	if (local == 0 || domain <= 0 || memchr(at + 1, '@', domain) != NULL || local > 256)
	{
		mask_whole(out);
		return;
	}
	for (int i = 0; i < local; i++)
	{
		if ((unsigned char) s[i] <= ' ' || strchr("\"(),:;<>[\\]", s[i]) != NULL || s[i] == 0x7f)
		{
			mask_whole(out);
			return;
		}
		ascii &= !IS_HIGHBIT_SET(s[i]);
	}
	if (ascii)
	{
		mask_shown(out, s, local == 1 ? 0 : local <= 3 ? 1 : 2);
		mask_hidden(out, local == 1 ? 1 : 4);
	}
	else
	{
		int *offsets;
		int count = unicode_graphemes(s, local, &offsets);
		int keep = count == 1 ? 0 : count <= 3 ? 1 : 2;

		for (int i = 0; i < keep; i++)
			if (offsets[i + 1] - offsets[i] > MASK_MAX_CLUSTER)
				keep = i;
		mask_shown(out, s, offsets[keep]);
		mask_hidden(out, count == 1 ? 1 : 4);
	}
	mask_char(out, '@');
	if (!options->domain && is_plain_domain(at + 1, domain))
		mask_shown(out, at + 1, domain);
	else
		mask_hidden(out, 4);
}

/*
 * Identity documents: resident ID of 18 and 15 digits, permits, passports. Never any part of the birth date.
 */
void
hide_id_number(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	char id[32];
	int count = mask_strip(id, sizeof(id), s, length, " -()");
	int letters = 0;
	int left = 1;
	int right = 2;
	int digits;

	if (count < 7)
	{
		mask_whole(out);
		return;
	}
	while (letters < count && is_upper(id[letters]))
		letters++;
	digits = letters;
	while (digits < count && is_digit(id[digits]))
		digits++;
	digits -= letters;

	if (letters == 0 && count == 18 && (digits == 18 || (digits == 17 && id[17] == 'X')))
	{
		left = Max(0, Min(options->left, 6));
		right = Max(0, Min(options->right, 4));
	}
	else if (letters == 0 && count == 15 && digits == 15)
	{
		left = Max(0, Min(options->left, 6));
		right = Max(0, Min(options->right, 3));
	}
	else if ((letters == 0 && count == 8 && (digits == 8 || (digits == 7 && is_upper(id[7])))) || /* Taiwan, Macau */
			 (letters == 0 && digits == 9 && count == 9) ||										  /* passports of 9 digits */
			 ((letters == 1 || letters == 2) && letters + digits == count && digits >= 7 && digits <= 9) ||
			 ((letters == 1 || letters == 2) && digits == 6 && count == letters + 7 && id[count - 1] == 'A') || /* HK */
			 (letters == 1 && digits == 10 && count == 11 && (id[0] == 'H' || id[0] == 'M')) ||
			 (letters == 3 && digits == 12 && count == 15))
	{
		/* 1 + last 2 */
	}
	else
	{
		mask_whole(out);
		return;
	}
	mask_middle(out, id, count, left, right);
}

/*
 * Bank cards: issuer (first 6) and last 4; of shorter numbers the last 4 alone
 */
void
hide_bank_card(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	char card[20];
	int count = mask_strip(card, sizeof(card), s, length, " -");

	if (count < 12 || count > 19 || !all_digits(card, count))
		mask_whole(out);
	else
		mask_middle(out, card, count, count >= 15 ? 6 : 0, 4);
}

/*
 * International bank account numbers: country, check digits, last 4
 */
void
hide_iban(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	char iban[34];
	int count = mask_strip(iban, sizeof(iban), s, length, " -");
	bool known = count >= 15 && is_upper(iban[0]) && is_upper(iban[1]) && is_digit(iban[2]) && is_digit(iban[3]);

	for (int i = 4; known && i < count; i++)
		known = is_upper(iban[i]) || is_digit(iban[i]);
	if (known)
		mask_middle(out, iban, count, 4, 4);
	else
		mask_whole(out);
}

/*
 * Unified social credit codes and the older registration numbers of 15 digits
 */
void
hide_uscc(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	char code[18];
	int count = mask_strip(code, sizeof(code), s, length, " -");
	bool known = count == 18 || (count == 15 && all_digits(code, 15));

	for (int i = 0; known && i < count; i++)
		known = is_upper(code[i]) || is_digit(code[i]);
	for (int i = 2; known && count == 18 && i < 8; i++)
		known = is_digit(code[i]);
	if (known)
		mask_middle(out, code, count, 2, 4);
	else
		mask_whole(out);
}

/*
 * Numbers of parcels
 */
void
hide_courier(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	char number[32];
	int count = mask_strip(number, sizeof(number), s, length, " -");
	int digits = 0;

	for (int i = 0; i < count; i++)
	{
		if (!is_upper(number[i]) && !is_digit(number[i]))
			count = -1;
		else
			digits += is_digit(number[i]);
	}
	if (count < 10 || digits < 6)
	{
		mask_whole(out);
		return;
	}
	mask_shown(out, number, 2);
	mask_hidden(out, 4);
	mask_shown(out, number + count - 4, 4);
}

/*
 * The common case of IPv4 with three bytes of network: length up to the last dot, or 0 when it is not of that shape
 */
static int
plain_network(const char *s, int length)
{
	int last_dot = 0;
	int fields = 0;
	int value = -1;

	for (int i = 0; i <= length; i++)
	{
		if (i < length && is_digit(s[i]))
		{
			if (value == 0)
				return 0;
			value = (value < 0 ? 0 : value * 10) + (s[i] - '0');
			if (value > 255)
				return 0;
		}
		else if (value >= 0 && fields < 4 && (i == length || s[i] == '.'))
		{
			fields++;
			value = -1;
			if (i < length)
				last_dot = i;
		}
		else
			return 0;
	}
	return fields == 4 ? last_dot : 0;
}

/*
 * Addresses of machines: the network, the rest zero
 */
void
hide_ip(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	char address[INET6_ADDRSTRLEN + 1];
	char shown[INET6_ADDRSTRLEN + 1];
	unsigned char bytes[16];
	unsigned char network[16] = {0};
	int family = memchr(s, ':', length) != NULL ? AF_INET6 : AF_INET;
	int bits = family == AF_INET6 ? options->right : options->left;
	int plain = bits == 24 && family == AF_INET ? plain_network(s, length) : 0;

	if (plain > 0)
	{
		mask_shown(out, s, plain);
		mask_shown(out, ".0", 2);
		return;
	}
	if (length >= (int) sizeof(address) || memchr(s, '\0', length) != NULL)
	{
		mask_whole(out);
		return;
	}
	memcpy(address, s, length);
	address[length] = '\0';
	if (inet_pton(family, address, bytes) != 1)
	{
		mask_whole(out);
		return;
	}
	bits = Max(0, Min(bits, (family == AF_INET6 ? 128 : 32) - 8));
	for (int i = 0; i < bits; i++)
		network[i / 8] |= bytes[i / 8] & (0x80 >> (i % 8));
	if (inet_ntop(family, network, shown, sizeof(shown)) == NULL)
		mask_whole(out);
	else
		mask_shown(out, shown, strlen(shown));
}

/*
 * Dates as 1990-05-06, 1990/5/6, 1990.5.6, 19900506 or 1990年5月6日, to the year, month, five years or decade
 */
void
hide_date(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	int field[3] = {0, 0, 0};
	int fields = 0;
	int i = 0;
	char shown[32];

#define UNIT_IS(name) (options->style_length == (int) strlen(name) && memcmp(options->style, name, strlen(name)) == 0)
	if (length == 8 && all_digits(s, 8))
	{
		field[0] = (s[0] - '0') * 1000 + (s[1] - '0') * 100 + (s[2] - '0') * 10 + (s[3] - '0');
		field[1] = (s[4] - '0') * 10 + (s[5] - '0');
		field[2] = (s[6] - '0') * 10 + (s[7] - '0');
		fields = 3;
		i = length;
	}
	while (i < length && fields < 3)
	{
		int digits = 0;

		while (i < length && is_digit(s[i]) && digits < 4)
		{
			field[fields] = field[fields] * 10 + (s[i++] - '0');
			digits++;
		}
		if (digits == 0 || (fields == 0) != (digits == 4) || (fields > 0 && digits > 2))
			break;
		fields++;
		if (i < length && fields < 3 && strchr("-/.", s[i]) != NULL && s[i] != '\0')
			i++;
		else if (i + 3 <= length && memcmp(s + i, fields == 1 ? "年" : fields == 2 ? "月" : "日", 3) == 0)
			i += 3;
		else
			break;
	}
	if (i != length || fields != 3 || field[0] < 1 || field[1] < 1 || field[1] > 12 || field[2] < 1 || field[2] > 31)
	{
		mask_whole(out);
		return;
	}
	if (UNIT_IS("year"))
		snprintf(shown, sizeof(shown), "%04d", field[0]);
	else if (UNIT_IS("month"))
		snprintf(shown, sizeof(shown), "%04d-%02d", field[0], field[1]);
	else if (UNIT_IS("five_years"))
		snprintf(shown, sizeof(shown), "%04d-%04d", field[0] - field[0] % 5, field[0] - field[0] % 5 + 4);
	else if (UNIT_IS("decade"))
		snprintf(shown, sizeof(shown), "%04ds", field[0] - field[0] % 10);
	else
	{
		mask_whole(out);
		return;
	}
	mask_shown(out, shown, strlen(shown));
#undef UNIT_IS
}
