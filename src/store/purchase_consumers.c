#include "store/purchase.h"

/* Who is told of orders, in this order: a line a part. */
const PurchaseConsumer purchase_consumers[] = {
	{NULL, NULL, NULL},
};
