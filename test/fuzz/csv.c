/*
 * libFuzzer harness for the reader and writer of comma-separated values, which need nothing of the server. Fields lie
 * inside the text, lines are counted as they are, and what is written is read back as the same.
 */
#include "exchange/csv.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/*
 * Write fields as csv_line does, without the guard against formulas
 */
static size_t
write_line(const CsvReader *from, char delimiter, char *to)
{
	char *start = to;

	for (int i = 0; i < from->count; i++)
	{
		const CsvField *field = &from->fields[i];
		bool quoted =
			csv_needs_quotes(field->data, field->length, delimiter) || (from->count == 1 && field->length == 0);

		if (i > 0)
			*to++ = delimiter;
		if (quoted)
			*to++ = '"';
		for (size_t j = 0; j < field->length; j++)
		{
			if (field->data[j] == '"')
				*to++ = '"';
			*to++ = field->data[j];
		}
		if (quoted)
			*to++ = '"';
	}
	*to++ = '\n';
	return to - start;
}

/*
 * One input: the first byte chooses the delimiter
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char delimiters[] = {'\0', ',', ';', '\t', '|'};
	static CsvReader reader;
	static CsvReader again;
	char delimiter;
	char *text;
	char *line;
	long before = 0;

	if (size == 0)
		return 0;
	delimiter = delimiters[data[0] % sizeof(delimiters)];
	text = malloc(size);
	line = malloc(4 * size + 2 * CSV_MAX_FIELDS + 16);
	memcpy(text, data + 1, size - 1);
	csv_begin(&reader, text, size - 1, delimiter);
	while (csv_next(&reader))
	{
		size_t total = 0;

		if (reader.count < 1 || reader.count > CSV_MAX_FIELDS || reader.start <= before || reader.line < reader.start)
			abort();
		before = reader.start;
		for (int i = 0; i < reader.count; i++)
		{
			if (reader.fields[i].data < text || reader.fields[i].data + reader.fields[i].length > text + size - 1)
				abort();
			total += reader.fields[i].length;
			csv_is_formula(reader.fields[i].data, reader.fields[i].length);
		}
		if (total > size)
			abort();
		csv_begin(&again, line, write_line(&reader, reader.delimiter, line), reader.delimiter);
		if (!csv_next(&again) || again.problem != CSV_FINE || again.count != reader.count)
			abort();
		for (int i = 0; i < reader.count; i++)
		{
			if (again.fields[i].length != reader.fields[i].length ||
				memcmp(again.fields[i].data, reader.fields[i].data, again.fields[i].length) != 0)
				abort();
		}
		if (csv_next(&again))
			abort();
	}
	free(text);
	free(line);
	return 0;
}
