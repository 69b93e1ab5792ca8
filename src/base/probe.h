/*
 * Looking one key up in a B-tree, without a scan.
 */
#ifndef CRM_PROBE_H
#define CRM_PROBE_H

#include "storage/itemptr.h"
#include "utils/relcache.h"

/* What crm_btree_probe gives when a scan has to say. */
#define CRM_PROBE_UNKNOWN (-1)

/*
 * Where the rows with a key, none of whose columns is null, may be: as many as max places, how many is given. They come from now,
 * so that who looks at the rows needs a snapshot that was taken before. None is sure.
 */
extern int crm_btree_probe(Relation heap, Relation index, const Datum *key, ItemPointer places, int max);

#endif
