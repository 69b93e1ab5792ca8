/*
 * Loads CRoaring for this library alone (see roaring.h).
 */
#include "base/crm.h"

#include <dlfcn.h>

#include "tags/roaring.h"

#ifdef CRM_ROARING

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif

CRoaring croaring;

/*
 * Load the CRoaring that this library was built with; without it the library cannot be used
 */
void
croaring_load(void)
{
	void *library = dlopen(CRM_ROARING, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

	if (library == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FILE), errmsg("could not load the library %s: %s", CRM_ROARING, dlerror())));
#define CROARING_FIND(name) \
	if ((*(void **) &croaring.name = dlsym(library, "roaring_bitmap_" #name)) == NULL) \
		ereport(ERROR, \
				(errcode(ERRCODE_UNDEFINED_FUNCTION), \
				 errmsg("the library %s has no function %s", CRM_ROARING, "roaring_bitmap_" #name)));
	CROARING_FUNCTIONS(CROARING_FIND)
#undef CROARING_FIND
}

#endif
