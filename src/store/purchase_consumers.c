#include "store/purchase.h"

#include "value/instant.h"

#include "points/order.h"

/* Who is told of orders, in this order: a line a part. */
const PurchaseConsumer purchase_consumers[] = {
	{"points", points_wants_orders, points_take_orders},
	{"value", value_wants_orders, value_take_orders},
	{NULL, NULL, NULL},
};
