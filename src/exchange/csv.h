/*
 * Reading and writing comma-separated values as of RFC 4180, and as programs write them in fact. Needs nothing of the
 * server.
 */
#ifndef CRM_CSV_H
#define CRM_CSV_H

#include <stdbool.h>
#include <stddef.h>

/* More fields than a table has columns. */
#define CSV_MAX_FIELDS 1664

typedef enum CsvProblem
{
	CSV_FINE,
	CSV_AFTER_QUOTE, /* something stands between a closing quote and the next delimiter */
	CSV_OPEN_QUOTE,	 /* a quote is never closed */
	CSV_MANY_FIELDS, /* more than CSV_MAX_FIELDS */
} CsvProblem;

typedef struct CsvField
{
	const char *data;
	size_t length;
} CsvField;

/* A file being read. Fields are unquoted where they stand, so the text is changed. */
typedef struct CsvReader
{
	char *at;
	char *end;
	char delimiter;
	long line;	/* of at, from 1 */
	int count;	/* fields of the record read last */
	long start; /* the line that it begins in */
	CsvProblem problem;
	CsvField fields[CSV_MAX_FIELDS];
} CsvReader;

/* Begins a file; a zero delimiter is told from the first record: the most frequent of comma, semicolon and tab. */
extern void
csv_begin(CsvReader *reader, char *text, size_t length, char delimiter);

/* Reads the next record that is not an empty line; false at the end. */
extern bool
csv_next(CsvReader *reader);

/* Must a field stand in quotes? */
extern bool
csv_needs_quotes(const char *data, size_t length, char delimiter);

/* Would a spreadsheet take the field for a formula? Numbers and phone numbers with a sign are none. */
extern bool
csv_is_formula(const char *data, size_t length);

#endif
