/*
 * The peer of crm.audience: the same operations by CRoaring alone, on two bitmaps in memory. Prints the least milliseconds of each.
 */
#include <math.h>
#include <roaring/roaring.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REPEAT 31

static roaring_bitmap_t *
read_bitmap(const char *path)
{
	FILE *f = fopen(path, "rb");
	char *data;
	long size;
	roaring_bitmap_t *bitmap;

	if (f == NULL)
		exit(1);
	fseek(f, 0, SEEK_END);
	size = ftell(f);
	rewind(f);
	data = malloc(size);
	if (data == NULL || fread(data, 1, size, f) != (size_t) size)
		exit(1);
	fclose(f);
	bitmap = roaring_bitmap_portable_deserialize_safe(data, size);
	free(data);
	if (bitmap == NULL)
		exit(1);
	return bitmap;
}

int
main(int argc, char **argv)
{
	static const char *const names[] = {"and", "or", "andnot", "and_cardinality", "or_cardinality", "andnot_cardinality"};
	roaring_bitmap_t *a = read_bitmap(argv[1]);
	roaring_bitmap_t *b = read_bitmap(argv[argc - 1]);
	uint64_t sum = 0;

	for (int op = 0; op < 6; op++)
	{
		double least = 1e9;

		for (int i = 0; i < REPEAT; i++)
		{
			struct timespec from;
			struct timespec to;
			roaring_bitmap_t *result = NULL;

			clock_gettime(CLOCK_MONOTONIC, &from);
			switch (op)
			{
				case 0:
					result = roaring_bitmap_and(a, b);
					break;
				case 1:
					result = roaring_bitmap_or(a, b);
					break;
				case 2:
					result = roaring_bitmap_andnot(a, b);
					break;
				case 3:
					sum += roaring_bitmap_and_cardinality(a, b);
					break;
				case 4:
					sum += roaring_bitmap_or_cardinality(a, b);
					break;
				default:
					sum += roaring_bitmap_andnot_cardinality(a, b);
					break;
			}
			if (result != NULL)
				roaring_bitmap_free(result);
			clock_gettime(CLOCK_MONOTONIC, &to);
			least = fmin(least, (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6);
		}
		printf("%s %.6f\n", names[op], least);
	}
	return sum == 42;
}
