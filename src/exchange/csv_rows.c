/*
 * Comma-separated values in SQL: a file as rows, and a row as a line.
 */
#include "base/compat.h"

#include "catalog/pg_type.h"
#include "exchange/csv.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

/*
 * The delimiter of an argument: one character of ASCII that is neither quote nor line end; zero when it is null
 */
static char
delimiter_of(FunctionCallInfo fcinfo, int argument)
{
	text *given;
	char c;

	if (PG_ARGISNULL(argument))
		return '\0';
	given = PG_GETARG_TEXT_PP(argument);
	c = VARSIZE_ANY_EXHDR(given) == 1 ? VARDATA_ANY(given)[0] : '\0';
	if (c == '\0' || c == '"' || c == '\n' || c == '\r' || IS_HIGHBIT_SET(c))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE), errmsg("invalid delimiter \"%s\"", text_to_cstring(given)),
				 errhint("It is one ASCII character such as a comma, semicolon or tab.")));
	return c;
}

/*
 * The records of a file: line that each begins in, its fields, and what is wrong with it
 */
PG_FUNCTION_INFO_V1(csv_rows);
Datum
csv_rows(PG_FUNCTION_ARGS)
{
	static const char *const problems[] = {
		NULL,
		"text stands between a closing quote and the next delimiter",
		"a quote is never closed",
		"more than 1664 fields",
	};
	text *file;
	char *copy;
	CsvReader *reader;
	ReturnSetInfo *result = (ReturnSetInfo *)fcinfo->resultinfo;
	char delimiter = delimiter_of(fcinfo, 1);
	MemoryContext row_context;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum)0;
	file = PG_GETARG_TEXT_PP(0);
	copy = MemoryContextAllocHuge(CurrentMemoryContext, VARSIZE_ANY_EXHDR(file) + 1);
	memcpy(copy, VARDATA_ANY(file), VARSIZE_ANY_EXHDR(file));
	reader = palloc(sizeof(CsvReader));
	csv_begin(reader, copy, VARSIZE_ANY_EXHDR(file), delimiter);
	row_context = AllocSetContextCreate(CurrentMemoryContext, "csv_rows", ALLOCSET_DEFAULT_SIZES);
	while (csv_next(reader))
	{
		MemoryContext before = MemoryContextSwitchTo(row_context);
		Datum *fields = palloc(reader->count * sizeof(Datum));
		Datum values[3];
		bool nulls[3] = {false, false, reader->problem == CSV_FINE};

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < reader->count; i++)
			fields[i] = PointerGetDatum(cstring_to_text_with_len(reader->fields[i].data, reader->fields[i].length));
		values[0] = Int64GetDatum(reader->start);
		values[1] = PointerGetDatum(construct_array(fields, reader->count, TEXTOID, -1, false, TYPALIGN_INT));
		values[2] = reader->problem == CSV_FINE ? (Datum)0 : CStringGetTextDatum(problems[reader->problem]);
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
		MemoryContextSwitchTo(before);
		MemoryContextReset(row_context);
	}
	return (Datum)0;
}

/*
 * A line of a file, without its end
 */
PG_FUNCTION_INFO_V1(csv_line);
Datum
csv_line(PG_FUNCTION_ARGS)
{
	Datum *fields;
	bool *nulls;
	int count;
	char delimiter;
	StringInfoData out;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	delimiter = delimiter_of(fcinfo, 1);
	if (delimiter == '\0')
		delimiter = ',';
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), TEXTOID, -1, false, TYPALIGN_INT, &fields, &nulls, &count);
	initStringInfo(&out);
	for (int i = 0; i < count; i++)
	{
		const char *data;
		int length;
		bool quoted;

		if (i > 0)
			appendStringInfoChar(&out, delimiter);
		if (nulls[i])
			continue;
		data = VARDATA_ANY(DatumGetPointer(fields[i]));
		length = VARSIZE_ANY_EXHDR(DatumGetPointer(fields[i]));
		/* A lone empty field would be an empty line. */
		quoted = csv_needs_quotes(data, length, delimiter) || (count == 1 && length == 0);
		if (quoted)
			appendStringInfoChar(&out, '"');
		if (csv_is_formula(data, length))
			appendStringInfoChar(&out, '\'');
		for (int j = 0; j < length; j++)
		{
			if (data[j] == '"')
				appendStringInfoChar(&out, '"');
			appendStringInfoChar(&out, data[j]);
		}
		if (quoted)
			appendStringInfoChar(&out, '"');
	}
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
