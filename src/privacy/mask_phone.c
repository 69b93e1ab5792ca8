/*
 * Masks of phone numbers and WeChat names. The prefix that tells the country is not personal; of the rest at most seven digits are shown.
 */
#include "base/crm.h"

#include "privacy/mask.h"

#define MAX_PHONE_DIGITS 20

/* A phone number taken apart. */
typedef struct Phone
{
	char digits[MAX_PHONE_DIGITS + 1];
	int count;
	bool plus;
	char gap[MAX_PHONE_DIGITS + 1]; /* the separator before digit i, 0 when none */
	int last_gap;
	int extension; /* digits of an extension that is marked as such */
} Phone;

/*
 * Take a phone number apart: false when anything else is in it
 */
static bool
parse_phone(const char *s, int length, Phone *phone)
{
	int i = 0;
	bool extension = false;

	memset(phone, 0, sizeof(*phone));
	if (s[0] == '+')
	{
		phone->plus = true;
		i = 1;
	}
	for (; i < length; i++)
	{
		char c = s[i];

		if (is_digit(c))
		{
			if (extension)
				phone->extension++;
			else if (phone->count >= MAX_PHONE_DIGITS)
				return false;
			else
			{
				if (phone->gap[phone->count])
					phone->last_gap = phone->count;
				phone->digits[phone->count++] = c;
			}
		}
		else if (c == ' ' || c == '-' || c == '.' || c == '(' || c == ')' || c == '/')
		{
			if (phone->count > 0 && !extension)
				phone->gap[phone->count] = c == ' ' ? ' ' : '-';
		}
		else if (phone->count < 7 || extension)
			return false;
		else if (c == '#' || c == 'x' || c == 'X' || c == ',')
			extension = true;
		else if (i + 3 <= length && (memcmp(s + i, "转", 3) == 0 || memcmp(s + i, "轉", 3) == 0))
		{
			extension = true;
			i += 2;
		}
		else if (i + 3 <= length && pg_strncasecmp(s + i, "ext", 3) == 0)
		{
			extension = true;
			i += 2;
		}
		else
			return false;
	}
	return phone->count > 0 && phone->extension <= 8 && (!extension || phone->extension > 0);
}

/*
 * Number of digits of the country code that d starts with, after ITU-T E.164; 0 when there is none such
 */
static int
country_code_length(const char *d)
{
	static const char *const two = "20 27 30 31 32 33 34 36 39 40 41 43 44 45 46 47 48 49 51 52 53 54 55 56 57 58 60 61 "
								   "62 63 64 65 66 81 82 84 86 90 91 92 93 94 95 98 ";
	static const char *const three = "21 22 23 24 25 26 29 35 37 38 42 50 59 67 68 69 80 85 87 88 96 97 99 ";
	char pair[4] = {d[0], d[1], ' ', '\0'};

	if (d[0] == '1' || d[0] == '7')
		return 1;
	if (strstr(two, pair) != NULL)
		return 2;
	return strstr(three, pair) != NULL ? 3 : 0;
}

static bool
is_mobile(const char *d, int count)
{
	return count == 11 && d[0] == '1' && d[1] >= '3';
}

/*
 * Length of the area code of a mainland landline with the digits d, else 0
 */
static int
area_code_length(const char *d, int count)
{
	if (count < 10 || count > 12 || d[0] != '0')
		return 0;
	if (d[1] == '1' || d[1] == '2')
		return (d[1] == '2' || d[2] == '0') && count <= 11 ? 3 : 0;
	return d[1] >= '3' ? 4 : 0;
}

/*
 * Mask the first count digits as one number: false when the shape is not known
 */
static bool
mask_phone_digits(MaskOut *out, const Phone *phone, int count)
{
	const char *d = phone->digits;
	int prefix = 0;
	int dialled = 0; /* how much of the prefix is not the country code */
	int national;
	int left = 0;
	int right;

	if (phone->plus)
		prefix = count > 3 ? country_code_length(d) : 0;
	else if (count > 9 && d[0] == '0' && d[1] == '0')
	{
		dialled = 2;
		prefix = country_code_length(d + 2);
		if (prefix == 0)
			return false;
		prefix += dialled;
	}
	else if (count == 13 && memcmp(d, "86", 2) == 0 && is_mobile(d + 2, 11))
		prefix = 2;
	else if (count == 11 && (memcmp(d, "852", 3) == 0 || memcmp(d, "853", 3) == 0))
		prefix = 3;
	else if (count == 12 && memcmp(d, "8869", 4) == 0)
		prefix = 3;
	if ((phone->plus && prefix == 0) || count - prefix < 1)
		return false;

	d += prefix;
	national = count - prefix;
	if (prefix > 0)
	{
		const char *code = phone->digits + dialled;
		int code_length = prefix - dialled;

		/* So few digits after a prefix are no number. */
		if (national > 15 - code_length || national < 5)
			return false;
		if (code_length == 2 && memcmp(code, "86", 2) == 0 && is_mobile(d, national))
			left = 3, right = 4;
		else if (code_length == 2 && memcmp(code, "86", 2) == 0)
			right = national >= 9 ? 2 : 0;
		else if (code_length == 3 && memcmp(code, "85", 2) == 0 && (code[2] == '2' || code[2] == '3') && national == 8)
			left = 2, right = 2;
		else if (code_length == 3 && memcmp(code, "886", 3) == 0 && national == 9 && d[0] == '9')
			left = 3, right = 3;
		else if (national >= 10)
			right = 4;
		else if (national == 9)
			right = 3;
		else
			right = 2;
	}
	else if (is_mobile(d, national))
		left = 3, right = 4;
	else if (national == 10 && d[0] == '0' && d[1] == '9')
		left = 4, right = 3;
	else if ((left = area_code_length(d, national)) > 0)
		right = 2;
	else if (national == 10 && (memcmp(d, "400", 3) == 0 || memcmp(d, "800", 3) == 0))
		left = 3, right = 2;
	else if (national == 8 && d[0] >= '2')
		left = 2, right = 2;
	else if (national == 7 && d[0] >= '2')
		right = 2;
	else
		return false;

	if (phone->plus)
		mask_char(out, '+');
	mask_shown(out, phone->digits, prefix);
	if (prefix > 0 && phone->gap[prefix])
		mask_char(out, phone->gap[prefix]);
	mask_shown(out, d, left);
	/* An area code stays apart as it was written; the groups of a mobile number do not. */
	if (prefix == 0 && d[0] == '0' && left > 0 && phone->gap[left])
		mask_char(out, phone->gap[left]);
	mask_hidden(out, national - left - right);
	mask_shown(out, d + national - right, right);
	return true;
}

/*
 * Phone numbers: mainland mobile and landline, Hong Kong, Macau, Taiwan, E.164, and virtual numbers with an extension
 */
void
hide_phone(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	Phone phone;

	/* The common case needs no taking apart. */
	if (length == 11 && s[0] == '1' && s[1] >= '3' && all_digits(s, 11))
	{
		mask_middle(out, s, 11, 3, 4);
		return;
	}
	if (!parse_phone(s, length, &phone))
	{
		mask_whole(out);
		return;
	}
	if (mask_phone_digits(out, &phone, phone.count))
	{
		if (phone.extension == 0)
			return;
	}
	/* A virtual number routes by its extension, so none of that is shown. */
	else if (phone.extension > 0 || phone.last_gap == 0 || phone.count - phone.last_gap > 6 ||
			 !mask_phone_digits(out, &phone, phone.last_gap))
	{
		mask_whole(out);
		return;
	}
	mask_char(out, '-');
	mask_hidden(out, 4);
}

/*
 * WeChat IDs; a phone number used as one is masked as such, and an openid is not shown at all
 */
void
hide_wechat(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	if (is_digit(s[0]) || s[0] == '+')
	{
		Phone phone;

		if (parse_phone(s, length, &phone) && is_mobile(phone.digits, phone.count))
			hide_phone(out, s, length, options);
		else
			mask_whole(out);
		return;
	}
	if (length < 6 || length > 20 || !is_alpha(s[0]))
	{
		mask_whole(out);
		return;
	}
	for (int i = 1; i < length; i++)
	{
		if (!is_alpha(s[i]) && !is_digit(s[i]) && s[i] != '-' && s[i] != '_')
		{
			mask_whole(out);
			return;
		}
	}
	mask_shown(out, s, 2);
	mask_hidden(out, 4);
	mask_shown(out, s + length - 2, 2);
}
