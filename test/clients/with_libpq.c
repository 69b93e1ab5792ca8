/* Every type out and in again as text and in binary, verbs and errors, with libpq. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static PGconn *connection;
static int failed;

/* One row of one statement with one parameter; type 0 leaves the type to the server. */
static PGresult *
ask(const char *query, Oid type, const char *value, int length, int format, int wanted_format)
{
	return PQexecParams(connection, query, 1, &type, &value, &length, &format, wanted_format);
}

static int
check(int held, const char *what, PGresult *result)
{
	if (!held)
	{
		fprintf(stderr, "%s: %s %s\n", what, PQresultErrorMessage(result), PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
		failed = 1;
	}
	return held;
}

static int
same(PGresult *a, PGresult *b)
{
	return PQntuples(a) == 1 && PQntuples(b) == 1 && PQgetlength(a, 0, 0) == PQgetlength(b, 0, 0) &&
		memcmp(PQgetvalue(a, 0, 0), PQgetvalue(b, 0, 0), PQgetlength(a, 0, 0)) == 0;
}

int
main(void)
{
	static const char *const verbs[][2] = {
		{"SELECT seq || ',' || balance_after FROM shop.earn($1, 100, 'client', 'a')", "1,100"},
		{"SELECT seq || ',' || balance_after FROM shop.earn($1, 100, 'client', 'a')", "1,100"},
		{"SELECT seq || ',' || balance_after FROM shop.redeem($1, 30, 'client', 'b')", "2,70"},
		{"SELECT h.seq || ',' || c.seq FROM shop.hold($1, 20, 'client', 'c') h, LATERAL shop.capture(h.customer_id, 'c') c", "3,4"},
		{"INSERT INTO shop.purchase (customer_id, order_no, amount, status) VALUES ($1, 'client ' || $1::text, 12.34, 'paid') RETURNING amount", "12.3400"},
		{"UPDATE shop.customer SET tags = tags OPERATOR(crm.+) 'vip'::text WHERE customer_id = $1 RETURNING tags", "{vip}"},
	};
	static const char *const errors[][2] = {
		{"SELECT shop.redeem($1, 1000, 'client', 'd')", "CP001"},
		{"SELECT shop.earn($1, 7, 'client', 'a')", "CP002"},
		{"SELECT shop.earn(-$1::bigint, 7, 'client', 'a')", "23503"},
		{"SELECT ('{' || $1)::crm.tagset", "22P02"},
	};
	int			n_verbs = sizeof(verbs) / sizeof(verbs[0]);
	int			n_errors = sizeof(errors) / sizeof(errors[0]);
	int			types = 0;
	int			texts = 0;
	int			binaries = 0;
	int			held = 0;
	char		line[100000];
	char		customer[30];
	FILE	   *file = fopen(getenv("VALUES"), "r");
	PGresult   *result;

	connection = PQconnectdb(getenv("DSN"));
	if (file == NULL || PQstatus(connection) != CONNECTION_OK)
	{
		fprintf(stderr, "no values, or %s", PQerrorMessage(connection));
		return 1;
	}
	while (fgets(line, sizeof(line), file) != NULL)
	{
		char	   *text = strchr(line, '\t');
		char		query[200];
		PGresult   *there;
		PGresult   *out;

		*text++ = '\0';
		text[strcspn(text, "\n")] = '\0';
		types++;

		snprintf(query, sizeof(query), "SELECT $1::text::crm.%s", line);
		there = ask(query, 25, text, 0, 0, 0);
		out = ask(query, 25, text, 0, 0, 1);
		result = ask("SELECT $1", PQftype(there, 0), PQgetvalue(there, 0, 0), 0, 0, 0);
		texts += check(same(there, result), line, result);
		PQclear(result);

		result = ask("SELECT $1", PQftype(out, 0), PQgetvalue(out, 0, 0), PQgetlength(out, 0, 0), 1, 1);
		if (check(same(out, result), line, result))
		{
			PQclear(result);
			result = ask("SELECT $1::text", PQftype(out, 0), PQgetvalue(out, 0, 0), PQgetlength(out, 0, 0), 1, 0);
			binaries += check(same(there, result), line, result);
		}
		PQclear(result);
		PQclear(there);
		PQclear(out);
	}
	fclose(file);
	result = PQexec(connection, "INSERT INTO shop.customer DEFAULT VALUES RETURNING customer_id");
	snprintf(customer, sizeof(customer), "%s", PQntuples(result) == 1 ? PQgetvalue(result, 0, 0) : "");
	PQclear(result);
	printf("version %d.%d\n", PQlibVersion() / 10000, PQlibVersion() % 10000);
	printf("text %d of %d\nbinary %d of %d\n", texts, types, binaries, types);
	for (int i = 0; i < n_verbs; i++)
	{
		result = ask(verbs[i][0], 20, customer, 0, 0, 0);
		held += check(PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), verbs[i][1]) == 0, verbs[i][0], result);
		PQclear(result);
	}
	printf("verbs %d of %d\n", held, n_verbs);
	held = 0;
	for (int i = 0; i < n_errors; i++)
	{
		const char *state;

		result = ask(errors[i][0], i == 3 ? 25 : 20, customer, 0, 0, 0);
		state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
		held += check(state != NULL && strcmp(state, errors[i][1]) == 0 &&
					  (state[0] != 'C' || PQresultErrorField(result, PG_DIAG_MESSAGE_HINT) != NULL), errors[i][0], result);
		PQclear(result);
	}
	printf("errors %d of %d\n", held, n_errors);
	PQfinish(connection);
	return failed;
}
