/*
 * libFuzzer harness for what reads tag sets and tag queries: tagset_in, tagset_recv, tagquery_in, tagquery_recv, chosen by
 * FUZZ_TARGET. The sources are those of the extension; of the server there are stand-ins here for memory, errors and
 * messages. What is accepted must be written and read back as the same, and must be canonical.
 */
#include "tags/tagquery.h"

#include <setjmp.h>

#include "common/hashfn.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/elog.h"
#include "utils/memutils.h"

#include <unicode/ustring.h>

extern Datum tagset_recv(PG_FUNCTION_ARGS);
extern Datum tagset_send(PG_FUNCTION_ARGS);
extern Datum tagquery_recv(PG_FUNCTION_ARGS);

/* Errors end the call that raised them. */
static sigjmp_buf on_error;
MemoryContext CurrentMemoryContext = NULL;

bool
errstart(int level, const char *domain)
{
	return level >= ERROR;
}

bool
errstart_cold(int level, const char *domain)
{
	return level >= ERROR;
}

void
errfinish(const char *file, int line, const char *function)
{
	siglongjmp(on_error, 1);
}

int
errcode(int code)
{
	return 0;
}

/* Messages are made, so that what they read is looked at by the sanitizer. */
#define MESSAGE_FUNCTION(name)                                                                                         \
	int name(const char *format, ...)                                                                                  \
	{                                                                                                                  \
		char message[2048];                                                                                            \
		va_list args;                                                                                                  \
		va_start(args, format);                                                                                        \
		vsnprintf(message, sizeof(message), format, args);                                                             \
		va_end(args);                                                                                                  \
		return 0;                                                                                                      \
	}
MESSAGE_FUNCTION(errmsg)
MESSAGE_FUNCTION(errmsg_internal)
MESSAGE_FUNCTION(errdetail)
MESSAGE_FUNCTION(errdetail_internal)
MESSAGE_FUNCTION(errhint)

/* Memory is freed after every input. */
typedef struct Piece
{
	struct Piece *previous;
	struct Piece *next;
	Size size;
	Size padding;
} Piece;
static Piece pieces = {&pieces, &pieces, 0, 0};

void *
palloc(Size size)
{
	Piece *piece;

	if (size > MaxAllocSize)
		siglongjmp(on_error, 1);
	piece = malloc(sizeof(Piece) + size);
	piece->size = size;
	piece->next = pieces.next;
	piece->previous = &pieces;
	pieces.next->previous = piece;
	pieces.next = piece;
	return piece + 1;
}

void *
palloc0(Size size)
{
	return memset(palloc(size), 0, size);
}

void
pfree(void *pointer)
{
	Piece *piece = (Piece *) pointer - 1;

	piece->previous->next = piece->next;
	piece->next->previous = piece->previous;
	free(piece);
}

void *
repalloc(void *pointer, Size size)
{
	void *result = palloc(size);

	memcpy(result, pointer, Min(size, ((Piece *) pointer - 1)->size));
	pfree(pointer);
	return result;
}

void
check_stack_depth(void)
{
}

int
GetDatabaseEncoding(void)
{
	return PG_UTF8;
}

Size
mul_size(Size a, Size b)
{
	return a * b;
}

struct varlena *
pg_detoast_datum_packed(struct varlena *datum)
{
	return datum;
}

/* Messages of the protocol. */
static void
need(StringInfo message, int length)
{
	if (length < 0 || length > message->len - message->cursor)
		siglongjmp(on_error, 1);
}

int
pq_getmsgbyte(StringInfo message)
{
	need(message, 1);
	return (unsigned char) message->data[message->cursor++];
}

unsigned int
pq_getmsgint(StringInfo message, int bytes)
{
	unsigned int result = 0;

	need(message, bytes);
	for (int i = 0; i < bytes; i++)
		result = result << 8 | (unsigned char) message->data[message->cursor++];
	return result;
}

/* The server takes no text that isn't UTF-8 or has a zero byte. */
static bool
is_text(const char *text, int length)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t needed;

	if (memchr(text, '\0', length) != NULL)
		return false;
	u_strFromUTF8(NULL, 0, &needed, text, length, &status);
	return status == U_BUFFER_OVERFLOW_ERROR || U_SUCCESS(status);
}

char *
pq_getmsgtext(StringInfo message, int length, int *converted)
{
	char *result;

	need(message, length);
	if (!is_text(message->data + message->cursor, length))
		siglongjmp(on_error, 1);
	result = palloc(length + 1);
	memcpy(result, message->data + message->cursor, length);
	result[length] = '\0';
	message->cursor += length;
	*converted = length;
	return result;
}

/*
 * What a reader gave must be canonical and survive its own text
 */
static void
check_set(struct varlena *set)
{
	StringInfoData out;
	struct varlena *again;
	int count;
	Tag *tags;

	initStringInfo(&out);
	tagset_format(set, &out);
	again = tagset_parse(out.data, NULL);
	if (VARSIZE(again) != VARSIZE(set) || memcmp(again, set, VARSIZE(set)) != 0)
		abort();
	tags = tagset_tags(set, &count);
	for (int i = 0; i < count; i++)
	{
		if (tags[i].length < 1 || tags[i].length > TAG_MAX_BYTES || !tagset_has(set, &tags[i]) ||
			(i > 0 && tag_compare(&tags[i - 1], &tags[i]) >= 0))
			abort();
	}
}

static void
check_query(struct varlena *query)
{
	StringInfoData out;
	struct varlena *again;
	TagsetView view;
	int count;
	TagqueryNode *nodes;

	initStringInfo(&out);
	tagquery_format(query, &out);
	again = tagquery_parse(out.data, out.len, NULL);
	if (VARSIZE(again) != VARSIZE(query) || memcmp(again, query, VARSIZE(query)) != 0)
		abort();
	nodes = tagquery_nodes(query, &count);
	if (nodes[0].next != count)
		abort();
	tagset_view(&view, tagset_parse("{a,b,channel:jd,vip}", NULL));
	if (tagquery_matches(query, &view) != tagquery_bytes_match((uint8 *) VARDATA(query), VARSIZE(query) - VARHDRSZ, &view))
		abort();
}

static Datum
call(PGFunction function, Datum argument)
{
	LOCAL_FCINFO(info, 1);

	InitFunctionCallInfoData(*info, NULL, 1, InvalidOid, NULL, NULL);
	info->args[0].value = argument;
	info->args[0].isnull = false;
	return function(info);
}

/*
 * One input
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	volatile bool read = false;

	if (sigsetjmp(on_error, 0) == 0)
	{
		StringInfoData message;
		char *text = palloc(size + 1);

		memcpy(text, data, size);
		text[size] = '\0';
		message.data = text;
		message.len = message.maxlen = (int) size;
		message.cursor = 0;
		if (strcmp(FUZZ_TARGET, "tagset_in") == 0 && is_text(text, size))
		{
			struct varlena *set = tagset_parse(text, NULL);

			read = true;
			check_set(set);
		}
		else if (strcmp(FUZZ_TARGET, "tagquery_in") == 0 && is_text(text, size))
		{
			struct varlena *query = tagquery_parse(text, size, NULL);

			read = true;
			check_query(query);
		}
		else if (strcmp(FUZZ_TARGET, "tagset_recv") == 0)
		{
			Datum set = call(tagset_recv, PointerGetDatum(&message));

			read = true;
			check_set((struct varlena *) DatumGetPointer(set));
		}
		else if (strcmp(FUZZ_TARGET, "tagquery_recv") == 0)
		{
			Datum query = call(tagquery_recv, PointerGetDatum(&message));

			read = true;
			check_query((struct varlena *) DatumGetPointer(query));
		}
	}
	else if (read)
		abort(); /* what was read cannot be written or read again */
	while (pieces.next != &pieces)
		pfree(pieces.next + 1);
	return 0;
}
