/*
 * What may not get into a ledger that nothing is ever erased from.
 */
#include "points/ledger.h"

#include <ctype.h>

#include "privacy/validate.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

/*
 * Does a word look like personal data: a mobile number, an e-mail address or a resident ID?
 */
bool
looks_personal(const char *word)
{
	size_t length = strlen(word);
	size_t digits = strspn(word, "0123456789");
	const char *at = strchr(word, '@');

	if (at != NULL && at != word && strchr(at, '.') != NULL && strpbrk(word, " /:") == NULL)
		return true;
	if (valid_cn_mobile(word, (int) length))
		return true;
	if (strncmp(word, "+86", 3) == 0 && length == 14 && strspn(word + 3, "0123456789") == 11)
		return true;
	if (length == 18 && digits >= 17)
	{
		int month = (word[10] - '0') * 10 + word[11] - '0';
		int day = (word[12] - '0') * 10 + word[13] - '0';

		return (strncmp(word + 6, "19", 2) == 0 || strncmp(word + 6, "20", 2) == 0) && month >= 1 &&
			   month <= 12 && day >= 1 && day <= 31 && toupper((unsigned char) word[17]) == cn_id_check(word);
	}
	return false;
}

/*
 * Does a word of a detail, a name or a number look like personal data?
 */
bool
detail_looks_personal(const char *detail)
{
	Jsonb *json = DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(detail)));
	JsonbIterator *it = JsonbIteratorInit(&json->root);
	JsonbValue value;
	JsonbIteratorToken token;

	while ((token = JsonbIteratorNext(&it, &value, false)) != WJB_DONE)
	{
		const char *word = NULL;

		if (token != WJB_KEY && token != WJB_VALUE && token != WJB_ELEM)
			continue;
		if (value.type == jbvString)
			word = pnstrdup(value.val.string.val, value.val.string.len);
		else if (value.type == jbvNumeric)
			word = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value.val.numeric)));
		if (word != NULL && looks_personal(word))
			return true;
	}
	return false;
}
