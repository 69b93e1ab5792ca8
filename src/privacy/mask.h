/*
 * What the masks share. A rule takes folded, trimmed UTF-8 and appends a mask to out; it never fails, and what it does not
 * recognise it hides whole.
 */
#ifndef CRM_MASK_H
#define CRM_MASK_H

#include "base/crm.h"

#include "privacy/validate.h"

/* Longer texts are hidden whole, unread. */
#define MASK_MAX_INPUT (16 * 1024 * 1024)
/* Numbers, addresses of machines and the like are shorter than this. */
#define MASK_MAX_SHAPE 256
/* A run of hidden characters is drawn no longer than this. */
#define MASK_MAX_RUN 1024
/* A cluster of more bytes than this is never shown: combining marks can make one endless. */
#define MASK_MAX_CLUSTER 48

typedef struct MaskOut
{
	char *data;
	int length;
	int size;
	int start; /* where the value being masked begins in data */
	char fill[4];
	int fill_length;
	char local[256];
} MaskOut;

/* Options of the rules that have any. */
typedef struct MaskOptions
{
	int left;
	int right;
	bool domain;
	const char *style;
	int style_length;
} MaskOptions;

typedef void (*MaskRule)(MaskOut *out, const char *s, int length, const MaskOptions *options);

extern void mask_grow(MaskOut *out, int more);
extern void mask_begin(MaskOut *out, const text *fill);
extern text *mask_finish(MaskOut *out);
extern text *mask_apply(MaskRule rule, const char *s, int length, int limit, const text *fill,
						const MaskOptions *options);
extern void mask_hidden(MaskOut *out, int count);
extern bool mask_is_plain(const char *s, int length);
extern int mask_clusters(const char *s, int length, int **offsets);
extern int mask_strip(char *to, int size, const char *s, int length, const char *drop);

/*
 * Append shown bytes
 */
static inline void
mask_shown(MaskOut *out, const char *s, int length)
{
	if (length > out->size - out->length)
		mask_grow(out, length);
	memcpy(out->data + out->length, s, length);
	out->length += length;
}

static inline void
mask_char(MaskOut *out, char c)
{
	mask_shown(out, &c, 1);
}

/*
 * Forget what was appended for this value and hide it whole, in a width that tells nothing
 */
static inline void
mask_whole(MaskOut *out)
{
	out->length = out->start;
	mask_hidden(out, 4);
}

/*
 * Show left and right characters of single bytes and hide those between
 */
static inline void
mask_middle(MaskOut *out, const char *s, int length, int left, int right)
{
	mask_shown(out, s, left);
	mask_hidden(out, length - left - right);
	mask_shown(out, s + length - right, right);
}

extern void hide_all(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_partial(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_nickname(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_phone(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_email(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_id_number(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_bank_card(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_iban(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_uscc(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_courier(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_wechat(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_ip(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_date(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_name(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_address(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_plate(MaskOut *out, const char *s, int length, const MaskOptions *options);
extern void hide_text(MaskOut *out, const char *s, int length, const MaskOptions *options);

#endif
