/*
 * Reading and writing comma-separated values. A record ends with LF, CR LF or CR; a field in quotes may hold all of
 * them.
 */
#include "exchange/csv.h"

#include <string.h>

/*
 * Begin a file
 */
void
csv_begin(CsvReader *reader, char *text, size_t length, char delimiter)
{
	reader->at = text;
	reader->end = text + length;
	reader->line = 1;
	reader->start = 1;
	reader->count = 0;
	reader->problem = CSV_FINE;
	if (length >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
		reader->at += 3;
	if (delimiter == '\0')
	{
		size_t commas = 0;
		size_t semicolons = 0;
		size_t tabs = 0;
		bool quoted = false;

		for (char *p = reader->at; p < reader->end && (quoted || (*p != '\n' && *p != '\r')); p++)
		{
			if (*p == '"')
				quoted = !quoted;
			else if (!quoted)
			{
				commas += *p == ',';
				semicolons += *p == ';';
				tabs += *p == '\t';
			}
		}
		delimiter = tabs > commas && tabs >= semicolons ? '\t' : semicolons > commas ? ';' : ',';
	}
	reader->delimiter = delimiter;
}

/*
 * Step over the end of a line, if one is here
 */
static bool
skip_line_end(CsvReader *reader)
{
	if (reader->at == reader->end || (*reader->at != '\n' && *reader->at != '\r'))
		return false;
	if (*reader->at == '\r' && reader->at + 1 < reader->end && reader->at[1] == '\n')
		reader->at++;
	reader->at++;
	reader->line++;
	return true;
}

/*
 * Read a field in quotes, at its opening one; doubled quotes become single where they stand
 */
static void
read_quoted(CsvReader *reader, CsvField *field)
{
	char *to = ++reader->at;

	field->data = to;
	for (;;)
	{
		if (reader->at == reader->end)
		{
			reader->problem = CSV_OPEN_QUOTE;
			break;
		}
		if (*reader->at == '"')
		{
			reader->at++;
			if (reader->at == reader->end || *reader->at != '"')
				break;
		}
		else if (*reader->at == '\n' ||
				 (*reader->at == '\r' && (reader->at + 1 == reader->end || reader->at[1] != '\n')))
			reader->line++;
		*to++ = *reader->at++;
	}
	field->length = to - field->data;
	if (reader->at < reader->end && *reader->at != reader->delimiter && *reader->at != '\n' && *reader->at != '\r')
	{
		if (reader->problem == CSV_FINE)
			reader->problem = CSV_AFTER_QUOTE;
		while (reader->at < reader->end && *reader->at != reader->delimiter && *reader->at != '\n' &&
			   *reader->at != '\r')
			reader->at++;
	}
}

/*
 * Read the next record that is not an empty line
 */
bool
csv_next(CsvReader *reader)
{
	CsvField spare = {NULL, 0};

	reader->count = 0;
	reader->problem = CSV_FINE;
	while (skip_line_end(reader))
		continue;
	if (reader->at == reader->end)
		return false;
	reader->start = reader->line;
	for (;;)
	{
		CsvField *field = reader->count < CSV_MAX_FIELDS ? &reader->fields[reader->count] : &spare;

		if (field == &spare)
			reader->problem = CSV_MANY_FIELDS;
		else
			reader->count++;
		if (reader->at < reader->end && *reader->at == '"')
			read_quoted(reader, field);
		else
		{
			field->data = reader->at;
			while (reader->at < reader->end && *reader->at != reader->delimiter && *reader->at != '\n' &&
				   *reader->at != '\r')
				reader->at++;
			field->length = reader->at - field->data;
		}
		if (reader->at == reader->end || *reader->at != reader->delimiter)
			break;
		reader->at++;
	}
	skip_line_end(reader);
	return true;
}

/*
 * Must a field stand in quotes? White space at an end is quoted, since some readers trim it
 */
bool
csv_needs_quotes(const char *data, size_t length, char delimiter)
{
	if (length == 0)
		return false;
	if (data[0] == ' ' || data[length - 1] == ' ' || memcmp(data, "\xef\xbb\xbf", length < 3 ? length : 3) == 0)
		return true;
	for (size_t i = 0; i < length; i++)
	{
		if (data[i] == delimiter || data[i] == '"' || data[i] == '\n' || data[i] == '\r')
			return true;
	}
	return false;
}

/*
 * Would a spreadsheet take the field for a formula?
 */
bool
csv_is_formula(const char *data, size_t length)
{
	if (length == 0)
		return false;
	if (data[0] == '=' || data[0] == '@' || data[0] == '\t' || data[0] == '\r')
		return true;
	if (data[0] != '+' && data[0] != '-')
		return false;
	for (size_t i = 1; i < length; i++)
	{
		if ((data[i] < '0' || data[i] > '9') && data[i] != ' ' && data[i] != '.')
			return true;
	}
	return false;
}
