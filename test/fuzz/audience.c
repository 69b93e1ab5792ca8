/*
 * libFuzzer harness for what reads audiences: audience_in and audience_recv, chosen by FUZZ_TARGET. The sources are those of
 * the extension; of the server there are stand-ins here for memory, errors and messages. What is accepted must survive its
 * text, and the algebra on the stored bytes must agree with that of CRoaring and with its own counts.
 */
#include "tags/audience.h"

#define FUNCTION(name) extern Datum name(PG_FUNCTION_ARGS)
FUNCTION(audience_in);
FUNCTION(audience_out);
FUNCTION(audience_recv);
FUNCTION(audience_eq);
FUNCTION(audience_hash);
FUNCTION(audience_contains);
FUNCTION(audience_overlaps);
FUNCTION(audience_min);
FUNCTION(audience_max);
FUNCTION(audience_rank);
FUNCTION(audience_select);
FUNCTION(audience_has);
FUNCTION(audience_split);

/* Stored bytes were checked, so nothing may find them damaged; and CRoaring must write well. */
#define FUZZ_IS_BUG(code) ((code) == ERRCODE_DATA_CORRUPTED)
#define FUZZ_INTERNAL_IS_BUG
#define FUZZ_LARGEST (256 * 1024 * 1024)
#include "server.h"

/* What resetting a context calls. */
static MemoryContextCallback *callbacks;

void
MemoryContextRegisterResetCallback(MemoryContext context, MemoryContextCallback *callback)
{
	callback->next = callbacks;
	callbacks = callback;
}

static Datum
call(PGFunction function, Datum a, Datum b, Datum c)
{
	LOCAL_FCINFO(info, 3);

	InitFunctionCallInfoData(*info, NULL, 3, InvalidOid, NULL, NULL);
	info->args[0].value = a;
	info->args[1].value = b;
	info->args[2].value = c;
	info->args[0].isnull = info->args[1].isnull = info->args[2].isnull = false;
	return function(info);
}

#define CALL1(f, a) call(f, PointerGetDatum(a), 0, 0)
#define CALL2(f, a, b) call(f, PointerGetDatum(a), PointerGetDatum(b), 0)

static void
need(bool good)
{
	if (!good)
		abort();
}

/*
 * The stored algebra against CRoaring and its own counts
 */
static void
check_pair(const Audience *a, const Audience *b)
{
	int64 common = audience_common(a, b);
	int64 counts[] = {audience_count(a) + audience_count(b) - common, common, audience_count(a) - common,
					  audience_count(a) + audience_count(b) - 2 * common};

	for (int op = AUDIENCE_OR; op <= AUDIENCE_XOR; op++)
	{
		Audience *made = audience_combine((AudienceOp) op, a, b);

		need(audience_check(made, VARSIZE(made)) == NULL && audience_count(made) == counts[op]);
		if (a->parts <= 8 && b->parts <= 8)
		{
			AudienceSet *set = audience_set_create(NULL);
			Audience *peer;

			audience_set_combine(set, AUDIENCE_OR, a);
			audience_set_combine(set, (AudienceOp) op, b);
			peer = audience_set_value(set);
			need(DatumGetBool(CALL2(audience_eq, made, peer)));
			need(CALL1(audience_hash, made) == CALL1(audience_hash, peer));
		}
	}
	need(DatumGetBool(CALL2(audience_overlaps, a, b)) == (common > 0));
	need(DatumGetBool(CALL2(audience_contains, a, b)) == (common == audience_count(b)));
}

/*
 * One audience that was accepted
 */
static void
check_audience(Audience *a)
{
	Audience *half = (Audience *) DatumGetPointer(call(audience_split, PointerGetDatum(a), Float8GetDatum(0.5), 7));
	int64 count = audience_count(a);

	need(audience_check(a, VARSIZE(a)) == NULL);
	if (count > 0)
	{
		int64 middle = DatumGetInt64(call(audience_select, PointerGetDatum(a), count / 2 + 1, 0));

		need(DatumGetInt64(call(audience_rank, PointerGetDatum(a), middle, 0)) == count / 2 + 1);
		need(DatumGetBool(call(audience_has, PointerGetDatum(a), middle, 0)));
		need(DatumGetInt64(CALL1(audience_min, a)) <= middle && middle <= DatumGetInt64(CALL1(audience_max, a)));
	}
	check_pair(a, half);
	check_pair(half, a);
	if (a->parts <= 8 && count < 100000)
	{
		char *text = DatumGetCString(CALL1(audience_out, a));

		need(DatumGetBool(CALL2(audience_eq, a, DatumGetPointer(CALL1(audience_in, text)))));
	}
}

/*
 * One input
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile bool read = false;

	callbacks = NULL;
	if (sigsetjmp(on_error, 0) == 0)
	{
		StringInfoData message;
		char *text = take_input(data, size, &message);
		Audience *value;

		if (strcmp(FUZZ_TARGET, "audience_in") == 0)
		{
			int ranges = 0;

			/* More parts than the stand-ins have a hash table for, and ranges that take long, tell nothing new. */
			for (size_t i = 0, digits = 0; i < size; i++)
			{
				digits = data[i] >= '0' && data[i] <= '9' ? digits + 1 : 0;
				ranges += digits == 10;
			}
			if (ranges <= 8)
			{
				value = (Audience *) DatumGetPointer(CALL1(audience_in, text));
				read = true;
				if (audience_count(value) < 10000000)
					check_audience(value);
			}
		}
		else
		{
			value = (Audience *) DatumGetPointer(CALL1(audience_recv, &message));
			read = true;
			check_audience(value);
		}
	}
	else if (read && audience_check((const Audience *) data, 0) == NULL)
		abort();
	/* What resetting a context does. */
	for (; callbacks != NULL; callbacks = callbacks->next)
		callbacks->func(callbacks->arg);
	free_pieces();
	return 0;
}
