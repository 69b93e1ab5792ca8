/*
 * The types of RFM: a score, and the model that scores.
 */
#ifndef CRM_RFM_H
#define CRM_RFM_H

#include "base/crm.h"

/* The three axes, in the order that a score is written. */
enum
{
	RFM_R,
	RFM_F,
	RFM_M,
	RFM_AXES
};

#define RFM_MAX_BINS 100
#define RFM_DEFAULT_BINS 5

/*
 * crm.rfm fits in an int32, so that integer comparison orders it by r, then f, then m.
 */
#define RFM_MAKE(r, f, m) ((int32) ((r) << 16 | (f) << 8 | (m)))
#define RFM_SCORE(rfm, axis) (((rfm) >> (8 * (RFM_M - (axis)))) & 0xff)

/*
 * crm.rfm_model: ascending cut points of each axis. With n cut points an axis has n + 1 bins.
 */
typedef struct RfmModel
{
	int32 vl_len_; /* varlena header (do not touch directly!) */
	uint8 version; /* RFM_MODEL_VERSION */
	uint8 right_closed; /* bins are (a, b] when 1, [a, b) when 0 */
	uint8 cuts[RFM_AXES]; /* how many cut points each axis has */
	uint8 unused[7]; /* reserved for future use, always zero */
	int64 customers; /* how many it was fitted on; 0 when the cut points were given */
	double mean[RFM_AXES]; /* mean score of those customers; (bins + 1) / 2 when given */
	double cut[FLEXIBLE_ARRAY_MEMBER]; /* of r, then of f, then of m */
} RfmModel;

#define RFM_MODEL_VERSION 1
#define RFM_MODEL_SIZE(cuts) (offsetof(RfmModel, cut) + sizeof(double) * (Size) (cuts))

/*
 * The bin that a value falls in, from 1, given n ascending cut points
 */
static inline int
rfm_bin(const double *cut, int n, bool right_closed, double value)
{
	int bin = 1;

	/* Few cut points: counting them all beats a search that the processor cannot predict. NaN is the greatest value. */
	if (right_closed)
		for (int i = 0; i < n; i++)
			bin += !(value <= cut[i]);
	else
		for (int i = 0; i < n; i++)
			bin += !(value < cut[i]);
	return bin;
}

extern RfmModel *rfm_model_make(const int *cuts);
extern RfmModel *rfm_model_get(Datum datum);
extern double *rfm_model_cuts(RfmModel *model, int axis);
extern const char *const rfm_axis_name[RFM_AXES];

#endif
