/*
 * Merkle trees as RFC 6962 section 2.1 defines them: leaves are hashed with a zero byte before them, nodes with a one, and a
 * tree of n leaves splits at the largest power of two below n.
 */
#include "points/points.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"

typedef struct Hash
{
	uint8 bytes[POINTS_HASH_SIZE];
} Hash;

static Hash
leaf_hash(const void *data, size_t length)
{
	uint8 *input = palloc(length + 1);
	Hash hash;

	input[0] = 0;
	memcpy(input + 1, data, length);
	points_sha256(input, length + 1, hash.bytes);
	pfree(input);
	return hash;
}

static Hash
node_hash(const Hash *left, const Hash *right)
{
	uint8 input[1 + 2 * POINTS_HASH_SIZE];
	Hash hash;

	input[0] = 1;
	memcpy(input + 1, left->bytes, POINTS_HASH_SIZE);
	memcpy(input + 1 + POINTS_HASH_SIZE, right->bytes, POINTS_HASH_SIZE);
	points_sha256(input, sizeof(input), hash.bytes);
	return hash;
}

/*
 * Largest power of two below n
 */
static int
split(int n)
{
	int k = 1;

	while (k < n - k)
		k *= 2;
	return k;
}

/*
 * Root of some leaves
 */
static Hash
tree_hash(const Hash *leaves, int n)
{
	Hash left;
	Hash right;
	int k;

	CHECK_FOR_INTERRUPTS();
	if (n == 1)
		return leaves[0];
	k = split(n);
	left = tree_hash(leaves, k);
	right = tree_hash(leaves + k, n - k);
	return node_hash(&left, &right);
}

/*
 * Hash the leaves of an array
 */
static Hash *
read_leaves(ArrayType *array, int *count)
{
	Datum *elements;
	bool *nulls;
	Hash *leaves;

	deconstruct_array(array, BYTEAOID, -1, false, TYPALIGN_INT, &elements, &nulls, count);
	leaves = palloc_extended(sizeof(Hash) * Max(*count, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < *count; i++)
	{
		bytea *leaf;

		if (nulls[i])
			ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED), errmsg("leaf %d of a Merkle tree is null", i)));
		leaf = DatumGetByteaPP(elements[i]);
		leaves[i] = leaf_hash(VARDATA_ANY(leaf), VARSIZE_ANY_EXHDR(leaf));
	}
	return leaves;
}

static Datum
hash_datum(const Hash *hash)
{
	return PointerGetDatum(cstring_to_text_with_len((const char *) hash->bytes, POINTS_HASH_SIZE));
}

/*
 * Root of the tree over these leaves
 */
PG_FUNCTION_INFO_V1(merkle_root);
Datum
merkle_root(PG_FUNCTION_ARGS)
{
	int n;
	Hash *leaves = read_leaves(PG_GETARG_ARRAYTYPE_P(0), &n);
	Hash root;

	if (n == 0)
		points_sha256((const uint8 *) "", 0, root.bytes);
	else
		root = tree_hash(leaves, n);
	PG_RETURN_DATUM(hash_datum(&root));
}

/*
 * The hashes that prove one leaf, from the leaf up
 */
PG_FUNCTION_INFO_V1(merkle_path);
Datum
merkle_path(PG_FUNCTION_ARGS)
{
	int64 index = PG_GETARG_INT64(1);
	int n;
	Hash *leaves = read_leaves(PG_GETARG_ARRAYTYPE_P(0), &n);
	Datum path[64];
	int length = 0;
	int low = 0;

	if (index < 0 || index >= n)
		ereport(ERROR,
				(errcode(ERRCODE_ARRAY_SUBSCRIPT_ERROR),
				 errmsg("leaf " INT64_FORMAT " is not in a tree of %d leaves", index, n)));
	while (n > 1)
	{
		int k = split(n);
		Hash sibling;

		if (index < k)
		{
			sibling = tree_hash(leaves + low + k, n - k);
			n = k;
		}
		else
		{
			sibling = tree_hash(leaves + low, k);
			index -= k;
			low += k;
			n -= k;
		}
		path[length++] = hash_datum(&sibling);
	}
	for (int i = 0; i < length / 2; i++)
	{
		Datum other = path[i];

		path[i] = path[length - 1 - i];
		path[length - 1 - i] = other;
	}
	PG_RETURN_ARRAYTYPE_P(construct_array(path, length, BYTEAOID, -1, false, TYPALIGN_INT));
}

/*
 * Does a path prove that a leaf stands at an index of a tree of size leaves with this root? As RFC 9162 section 2.1.3.2 says.
 */
PG_FUNCTION_INFO_V1(merkle_verify);
Datum
merkle_verify(PG_FUNCTION_ARGS)
{
	bytea *leaf = PG_GETARG_BYTEA_PP(0);
	int64 fn = PG_GETARG_INT64(1);
	int64 sn = PG_GETARG_INT64(2) - 1;
	bytea *root = PG_GETARG_BYTEA_PP(4);
	Datum *elements;
	bool *nulls;
	int n;
	Hash hash;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(3), BYTEAOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
	if (fn < 0 || fn > sn || VARSIZE_ANY_EXHDR(root) != POINTS_HASH_SIZE)
		PG_RETURN_BOOL(false);
	hash = leaf_hash(VARDATA_ANY(leaf), VARSIZE_ANY_EXHDR(leaf));
	for (int i = 0; i < n; i++)
	{
		bytea *element = nulls[i] ? NULL : DatumGetByteaPP(elements[i]);
		Hash sibling;

		if (sn == 0 || element == NULL || VARSIZE_ANY_EXHDR(element) != POINTS_HASH_SIZE)
			PG_RETURN_BOOL(false);
		memcpy(sibling.bytes, VARDATA_ANY(element), POINTS_HASH_SIZE);
		if ((fn & 1) != 0 || fn == sn)
		{
			hash = node_hash(&sibling, &hash);
			while ((fn & 1) == 0 && fn != 0)
			{
				fn >>= 1;
				sn >>= 1;
			}
		}
		else
			hash = node_hash(&hash, &sibling);
		fn >>= 1;
		sn >>= 1;
	}
	PG_RETURN_BOOL(sn == 0 && memcmp(hash.bytes, VARDATA_ANY(root), POINTS_HASH_SIZE) == 0);
}
