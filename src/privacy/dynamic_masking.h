/*
 * The second lock on masked columns, for a preloaded library.
 */
#ifndef CRM_DYNAMIC_MASKING_H
#define CRM_DYNAMIC_MASKING_H

/* Define the setting and, while shared libraries are preloaded, hook into the check of permissions. */
extern void dynamic_masking_init(void);

#endif
