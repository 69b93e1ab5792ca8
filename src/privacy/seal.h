/*
 * crm.sealed: a text sealed with AES-256-GCM.
 */
#ifndef CRM_SEAL_H
#define CRM_SEAL_H

#include "base/crm.h"

/* The text in a sealed value, or NULL when it cannot be opened. Raises when there is no keyring. */
extern char *sealed_open(const struct varlena *sealed, int *length);

#endif
