#include "base/crm.h"

#include "utils/builtins.h"

#include "value/rfm.h"

/* A segment: the scores it takes, both ends included. */
typedef struct Segment
{
	const char *en;
	const char *zh;
	uint8 low[RFM_AXES];
	uint8 high[RFM_AXES];
} Segment;

/* The first segment that takes a score wins; each list ends with the one that takes all. */
#define OTHERS {"Others", "其他客户", {0, 0, 0}, {255, 255, 255}}

/* The table of the R package rfm since its version 0.3.0. */
static const Segment rfm_package[] = {
	{"Champions", "冠军客户", {5, 5, 5}, {5, 5, 5}},
	{"Potential Loyalist", "潜在忠诚客户", {3, 3, 2}, {5, 5, 5}},
	{"Loyal Customers", "忠诚客户", {2, 2, 2}, {4, 4, 4}},
	{"Promising", "有望客户", {3, 1, 3}, {4, 3, 5}},
	{"New Customers", "新客户", {4, 1, 1}, {5, 3, 5}},
	{"Can't Lose Them", "不可流失客户", {1, 3, 4}, {2, 4, 5}},
	{"At Risk", "流失风险客户", {1, 2, 4}, {2, 5, 5}},
	{"Need Attention", "需关注客户", {1, 3, 3}, {3, 5, 5}},
	{"About To Sleep", "即将沉睡客户", {2, 1, 1}, {3, 3, 4}},
	{"Lost", "流失客户", {1, 1, 1}, {1, 5, 5}},
	OTHERS,
};

/* The table of its versions 0.2, which most articles print. */
static const Segment rfm_package_v02[] = {
	{"Champions", "冠军客户", {4, 4, 4}, {5, 5, 5}},
	{"Loyal Customers", "忠诚客户", {2, 3, 3}, {5, 5, 5}},
	{"Potential Loyalist", "潜在忠诚客户", {3, 1, 1}, {5, 3, 3}},
	{"New Customers", "新客户", {4, 1, 1}, {5, 1, 1}},
	{"Promising", "有望客户", {3, 1, 1}, {4, 1, 1}},
	{"Need Attention", "需关注客户", {2, 2, 2}, {3, 3, 3}},
	{"About To Sleep", "即将沉睡客户", {2, 1, 1}, {3, 2, 2}},
	{"At Risk", "流失风险客户", {1, 2, 2}, {2, 5, 5}},
	{"Can't Lose Them", "不可流失客户", {1, 4, 4}, {1, 5, 5}},
	{"Lost", "流失客户", {1, 1, 1}, {2, 2, 2}},
	OTHERS,
};

/* Indexed by 4 when m is high, 2 when r is, 1 when f is. */
static const Segment eight[] = {
	{"General Win-back", "一般挽留"},
	{"General Retention", "一般保持"},
	{"General Development", "一般发展"},
	{"General Value", "一般价值"},
	{"Important Win-back", "重要挽留"},
	{"Important Retention", "重要保持"},
	{"Important Development", "重要发展"},
	{"Important Value", "重要价值"},
};

/* The mean of scores from 1 to 5, for the scheme eight when no model says better. */
static const double five_bin_means[RFM_AXES] = {3, 3, 3};

/*
 * The first segment of a table that takes a score
 */
static const Segment *
first_match(const Segment *table, int32 rfm)
{
	for (;; table++)
	{
		bool inside = true;

		for (int axis = 0; axis < RFM_AXES; axis++)
			inside &= RFM_SCORE(rfm, axis) >= table->low[axis] && RFM_SCORE(rfm, axis) <= table->high[axis];
		if (inside)
			return table;
	}
}

/*
 * The segment of a score as text
 */
static text *
segment(int32 rfm, const double *means, text *scheme, text *lang)
{
	const char *s = VARDATA_ANY(scheme);
	Size s_len = VARSIZE_ANY_EXHDR(scheme);
	const char *l = VARDATA_ANY(lang);
	const Segment *found;
	bool zh;

#define IS(name) (s_len == strlen(name) && memcmp(s, name, strlen(name)) == 0)
	if (IS("rfm_package"))
		found = first_match(rfm_package, rfm);
	else if (IS("rfm_package_v02"))
		found = first_match(rfm_package_v02, rfm);
	else if (IS("eight"))
		found = &eight[(RFM_SCORE(rfm, RFM_M) > means[RFM_M] ? 4 : 0) + (RFM_SCORE(rfm, RFM_R) > means[RFM_R] ? 2 : 0) +
					   (RFM_SCORE(rfm, RFM_F) > means[RFM_F] ? 1 : 0)];
	else
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown RFM scheme"),
				 errdetail("It is \"%s\".", text_to_cstring(scheme)),
				 errhint("The schemes are rfm_package, rfm_package_v02 and eight.")));
#undef IS
	zh = VARSIZE_ANY_EXHDR(lang) == 2 && memcmp(l, "zh", 2) == 0;
	if (!zh && !(VARSIZE_ANY_EXHDR(lang) == 2 && memcmp(l, "en", 2) == 0))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("unknown language"),
				 errdetail("It is \"%s\".", text_to_cstring(lang)),
				 errhint("The languages are zh and en.")));
	return cstring_to_text(zh ? found->zh : found->en);
}

/*
 * The segment of a score on the scale of 1 to 5
 */
PG_FUNCTION_INFO_V1(rfm_segment);
Datum
rfm_segment(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(segment(PG_GETARG_INT32(0), five_bin_means, PG_GETARG_TEXT_PP(1), PG_GETARG_TEXT_PP(2)));
}

/*
 * The segment of a score given by a model, whose mean scores the scheme eight compares with
 */
PG_FUNCTION_INFO_V1(rfm_segment_of_model);
Datum
rfm_segment_of_model(PG_FUNCTION_ARGS)
{
	RfmModel *model = rfm_model_get(PG_GETARG_DATUM(1));

	PG_RETURN_TEXT_P(segment(PG_GETARG_INT32(0), model->mean, PG_GETARG_TEXT_PP(2), PG_GETARG_TEXT_PP(3)));
}
