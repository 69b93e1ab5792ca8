/*
 * Shapes of personal data, for validators, normalisers and masks.
 */
#ifndef CRM_VALIDATE_H
#define CRM_VALIDATE_H

#include "base/compat.h"

static inline bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static inline bool
is_alpha(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
}

static inline bool
all_digits(const char *s, int length)
{
	for (int i = 0; i < length; i++)
		if (!is_digit(s[i]))
			return false;
	return true;
}

extern bool valid_cn_mobile(const char *s, int length);
extern char cn_id_check(const char *s);
extern bool valid_email(const char *s, int length);

#endif
