/*
 * What every part of crm shares.
 */
#ifndef CRM_H
#define CRM_H

#include "base/compat.h"

/* Name of the schema that the kit lives in; fixed by crm.control. */
#define CRM_SCHEMA "crm"

/* Who acts behind a pooled login, as set by SET LOCAL crm.actor; NULL or empty when unset. */
extern char *crm_actor;

#endif
