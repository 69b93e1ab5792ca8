/*
 * Stand-ins for what the sources ask of the server, so that they can be fuzzed without one: memory, errors, messages, the protocol.
 * Included once, after the headers of the sources. Before it, a harness may define
 *   FUZZ_LARGEST          the largest piece of memory (default: the server's own limit)
 *   FUZZ_IS_BUG(code)     which errors must never be raised
 *   FUZZ_INTERNAL_IS_BUG  so must internal ones not be
 *   FUZZ_KEEP             memory of a context stays, since its users keep it
 *   FUZZ_TEXT             text must be UTF-8 without zero bytes, as the server sees to (needs ICU)
 */
#include <setjmp.h>
#include <signal.h>

#include "lib/stringinfo.h"
#include "libpq/pqformat.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/elog.h"
#include "utils/memutils.h"

#ifdef FUZZ_TEXT
#include <unicode/ustring.h>
#endif
#ifndef FUZZ_LARGEST
#define FUZZ_LARGEST MaxAllocSize
#endif
#ifndef FUZZ_IS_BUG
#define FUZZ_IS_BUG(code) false
#endif
#ifdef FUZZ_INTERNAL_IS_BUG
#define INTERNAL_IS_BUG true
#else
#define INTERNAL_IS_BUG false
#endif

/* Errors end the call that raised them. */
static sigjmp_buf on_error;
volatile sig_atomic_t InterruptPending = false;
MemoryContext CurrentMemoryContext = NULL;
MemoryContext TopMemoryContext = NULL;
int MyProcPid = 1;

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
	if (FUZZ_IS_BUG(code))
		abort();
	return 0;
}

/* Messages are made, so that what they read is looked at by the sanitizer. */
#define MESSAGE_FUNCTION(name, is_bug)                                                                                 \
	int name(const char *format, ...)                                                                                  \
	{                                                                                                                  \
		char message[2048];                                                                                            \
		va_list args;                                                                                                  \
		if (is_bug)                                                                                                    \
			abort();                                                                                                   \
		va_start(args, format);                                                                                        \
		vsnprintf(message, sizeof(message), format, args);                                                             \
		va_end(args);                                                                                                  \
		return 0;                                                                                                      \
	}
MESSAGE_FUNCTION(errmsg, false)
MESSAGE_FUNCTION(errmsg_internal, INTERNAL_IS_BUG)
MESSAGE_FUNCTION(errdetail, false)
MESSAGE_FUNCTION(errdetail_internal, false)
MESSAGE_FUNCTION(errhint, false)

/* Memory is freed after every input, by free_pieces. */
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

	if (size > FUZZ_LARGEST)
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

void *
repalloc_huge(void *pointer, Size size)
{
	return repalloc(pointer, size);
}

void *
MemoryContextAlloc(MemoryContext context, Size size)
{
#ifdef FUZZ_KEEP
	return malloc(size);
#else
	return palloc(size);
#endif
}

void *
MemoryContextAllocZero(MemoryContext context, Size size)
{
	return memset(MemoryContextAlloc(context, size), 0, size);
}

static void
free_pieces(void)
{
	while (pieces.next != &pieces)
		pfree(pieces.next + 1);
}

void
check_stack_depth(void)
{
}

void
ProcessInterrupts(void)
{
}

int
GetDatabaseEncoding(void)
{
	return PG_UTF8;
}

/* As many bytes of whole characters as fit. */
int
pg_mbcliplen(const char *s, int length, int limit)
{
	int clipped = 0;

	while (clipped < length)
	{
		unsigned char first = s[clipped];
		int bytes = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;

		if (clipped + bytes > limit)
			break;
		clipped += bytes;
	}
	return Min(clipped, length);
}

Size
mul_size(Size a, Size b)
{
	return a * b;
}

bool
scanner_isspace(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

int
pg_lltoa(int64 value, char *out)
{
	return sprintf(out, "%lld", (long long) value);
}

struct varlena *
pg_detoast_datum(struct varlena *datum)
{
	return datum;
}

struct varlena *
pg_detoast_datum_packed(struct varlena *datum)
{
	return datum;
}

struct varlena *
pg_detoast_datum_copy(struct varlena *datum)
{
	struct varlena *copy = palloc(VARSIZE_ANY(datum));

	return memcpy(copy, datum, VARSIZE_ANY(datum));
}

text *
cstring_to_text_with_len(const char *s, int length)
{
	text *result = palloc(VARHDRSZ + length);

	SET_VARSIZE(result, VARHDRSZ + length);
	memcpy(VARDATA(result), s, length);
	return result;
}

text *
cstring_to_text(const char *s)
{
	return cstring_to_text_with_len(s, strlen(s));
}

/* Messages of the protocol. */
static void
message_has(StringInfo message, int length)
{
	if (length < 0 || length > message->len - message->cursor)
		siglongjmp(on_error, 1);
}

const char *
pq_getmsgbytes(StringInfo message, int length)
{
	message_has(message, length);
	message->cursor += length;
	return message->data + message->cursor - length;
}

void
pq_copymsgbytes(StringInfo message, char *to, int length)
{
	memcpy(to, pq_getmsgbytes(message, length), length);
}

int
pq_getmsgbyte(StringInfo message)
{
	return (unsigned char) *pq_getmsgbytes(message, 1);
}

unsigned int
pq_getmsgint(StringInfo message, int bytes)
{
	const char *at = pq_getmsgbytes(message, bytes);
	unsigned int result = 0;

	for (int i = 0; i < bytes; i++)
		result = result << 8 | (unsigned char) at[i];
	return result;
}

int64
pq_getmsgint64(StringInfo message)
{
	uint64 high = pq_getmsgint(message, 4);

	return (int64) (high << 32 | pq_getmsgint(message, 4));
}

float8
pq_getmsgfloat8(StringInfo message)
{
	int64 bits = pq_getmsgint64(message);
	float8 result;

	memcpy(&result, &bits, sizeof(result));
	return result;
}

void
pq_begintypsend(StringInfo message)
{
	initStringInfo(message);
	appendStringInfoSpaces(message, VARHDRSZ);
}

#if PG_VERSION_NUM >= 160000
void
pq_sendbytes(StringInfo message, const void *data, int length)
#else
void
pq_sendbytes(StringInfo message, const char *data, int length)
#endif
{
	appendBinaryStringInfo(message, data, length);
}

void
pq_sendfloat8(StringInfo message, float8 value)
{
	int64 bits;

	memcpy(&bits, &value, sizeof(bits));
	pq_sendint64(message, bits);
}

bytea *
pq_endtypsend(StringInfo message)
{
	SET_VARSIZE((bytea *) message->data, message->len);
	return (bytea *) message->data;
}

/* One input: as text that ends in a zero byte, and as a message. */
static char *
take_input(const uint8_t *data, size_t size, StringInfo message)
{
	char *text = palloc(size + 1);

	memcpy(text, data, size);
	text[size] = '\0';
	message->data = text;
	message->len = message->maxlen = (int) size;
	message->cursor = 0;
	return text;
}

#ifdef FUZZ_TEXT
/* The server takes no text that isn't UTF-8 or has a zero byte. */
static bool
is_text(const char *text, int length)
{
	UErrorCode status = U_ZERO_ERROR;
	int32_t needed;

	if (length > 0 && memchr(text, '\0', length) != NULL)
		return false;
	u_strFromUTF8(NULL, 0, &needed, text, length, &status);
	return status == U_BUFFER_OVERFLOW_ERROR || U_SUCCESS(status);
}

char *
pq_getmsgtext(StringInfo message, int length, int *converted)
{
	const char *at = pq_getmsgbytes(message, length);
	char *result = palloc(length + 1);

	if (!is_text(at, length))
		siglongjmp(on_error, 1);
	memcpy(result, at, length);
	result[length] = '\0';
	*converted = length;
	return result;
}
#endif
