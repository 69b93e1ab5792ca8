#include "base/crm.h"

#include "mb/pg_wchar.h"
#include "port.h"
#include "utils/builtins.h"

/* Letters that are not mistaken for digits or for each other when read aloud (Crockford's base 32). */
static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";

#define ALPHABET_SIZE 32
#define CODE_LENGTH 16

/*
 * Value of a character of a code, also as people mistype it; -1 when it is none
 */
static int
code_value(char c)
{
	const char *at;

	c = (char) pg_toupper((unsigned char) c);
	if (c == 'O')
		c = '0';
	else if (c == 'I' || c == 'L')
		c = '1';
	at = c == '\0' ? NULL : strchr(alphabet, c);
	return at == NULL ? -1 : (int) (at - alphabet);
}

/*
 * Check character of the values before it, by Luhn's algorithm over 32 letters: finds each single error and most swaps
 */
static int
check_value(const int *values, int count)
{
	int sum = 0;

	for (int i = 0; i < count; i++)
	{
		int v = values[count - 1 - i] * (i % 2 == 0 ? 2 : 1);

		sum += v / ALPHABET_SIZE + v % ALPHABET_SIZE;
	}
	return (ALPHABET_SIZE - sum % ALPHABET_SIZE) % ALPHABET_SIZE;
}

/*
 * A new code: 75 random bits and a check character
 */
PG_FUNCTION_INFO_V1(coupon_code);
Datum
coupon_code(PG_FUNCTION_ARGS)
{
	uint8 random[CODE_LENGTH - 1];
	int values[CODE_LENGTH];
	char code[CODE_LENGTH];

	if (!pg_strong_random(random, sizeof(random)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not get random bytes for a coupon code")));
	for (int i = 0; i < CODE_LENGTH - 1; i++)
		values[i] = random[i] % ALPHABET_SIZE;
	values[CODE_LENGTH - 1] = check_value(values, CODE_LENGTH - 1);
	for (int i = 0; i < CODE_LENGTH; i++)
		code[i] = alphabet[values[i]];
	PG_RETURN_TEXT_P(cstring_to_text_with_len(code, CODE_LENGTH));
}

/*
 * The code as it was issued: upper case, without spaces and hyphens, mistaken letters put right; null when it can't be one
 */
PG_FUNCTION_INFO_V1(coupon_code_canonical);
Datum
coupon_code_canonical(PG_FUNCTION_ARGS)
{
	text *input = PG_GETARG_TEXT_PP(0);
	const char *data = VARDATA_ANY(input);
	int length = VARSIZE_ANY_EXHDR(input);
	int values[CODE_LENGTH];
	char code[CODE_LENGTH];
	int count = 0;

	for (int i = 0; i < length; i++)
	{
		int v;

		if (data[i] == ' ' || data[i] == '-')
			continue;
		v = code_value(data[i]);
		if (v < 0 || count == CODE_LENGTH)
			PG_RETURN_NULL();
		code[count] = alphabet[v];
		values[count++] = v;
	}
	if (count != CODE_LENGTH || values[CODE_LENGTH - 1] != check_value(values, CODE_LENGTH - 1))
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(code, CODE_LENGTH));
}
