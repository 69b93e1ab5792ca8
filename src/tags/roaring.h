/*
 * CRoaring, of which nothing is left for other libraries to stumble over.
 *
 * Other extensions carry a CRoaring of another version in themselves. PostgreSQL loads libraries so that all see the
 * symbols of all: were ours linked as usual, their calls would end in it, or ours in theirs, and the server would
 * crash. So it is loaded by hand, seen by nobody but us, and told to look at itself first.
 */
#ifndef CRM_ROARING_H
#define CRM_ROARING_H

#include <roaring/roaring.h>

/* create_with_capacity, since roaring_bitmap_create is inline in some versions. */
#define CROARING_FUNCTIONS(F) \
	F(add) \
	F(and_inplace) \
	F(andnot_inplace) \
	F(clear) \
	F(create_with_capacity) \
	F(free) \
	F(from_range) \
	F(get_cardinality) \
	F(is_empty) \
	F(or_inplace) \
	F(portable_deserialize_safe) \
	F(portable_serialize) \
	F(portable_size_in_bytes) \
	F(run_optimize) \
	F(xor_inplace)

/* Not defined where a program links CRoaring itself, as the fuzzers do. */
#ifdef CRM_ROARING

typedef struct CRoaring
{
#define CROARING_POINTER(name) __typeof__(roaring_bitmap_##name) *name;
	CROARING_FUNCTIONS(CROARING_POINTER)
#undef CROARING_POINTER
} CRoaring;

extern CRoaring croaring;
extern void croaring_load(void);

#define roaring_bitmap_add croaring.add
#define roaring_bitmap_and_inplace croaring.and_inplace
#define roaring_bitmap_andnot_inplace croaring.andnot_inplace
#define roaring_bitmap_clear croaring.clear
#define roaring_bitmap_create_with_capacity croaring.create_with_capacity
#define roaring_bitmap_free croaring.free
#define roaring_bitmap_from_range croaring.from_range
#define roaring_bitmap_get_cardinality croaring.get_cardinality
#define roaring_bitmap_is_empty croaring.is_empty
#define roaring_bitmap_or_inplace croaring.or_inplace
#define roaring_bitmap_portable_deserialize_safe croaring.portable_deserialize_safe
#define roaring_bitmap_portable_serialize croaring.portable_serialize
#define roaring_bitmap_portable_size_in_bytes croaring.portable_size_in_bytes
#define roaring_bitmap_run_optimize croaring.run_optimize
#define roaring_bitmap_xor_inplace croaring.xor_inplace

#else
#define croaring_load() ((void) 0)
#endif

#endif
