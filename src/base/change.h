/*
 * Being told of changed relations.
 */
#ifndef CRM_CHANGE_H
#define CRM_CHANGE_H

#include "base/compat.h"

#include "utils/inval.h"

/* Call listener with the OID of each relation that changes, InvalidOid for all of them, as long as the session lives. */
extern void on_relation_change(RelcacheCallbackFunction listener);

#endif
