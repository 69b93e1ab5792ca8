// Every type out and in again as text and in binary, verbs and errors, with pgJDBC.
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.sql.*;
import java.util.*;
import org.postgresql.PGConnection;
import org.postgresql.PGStatement;
import org.postgresql.util.*;

public class WithJdbc {
    /** A value in the form in which it came. */
    public static class Raw extends PGobject implements PGBinaryObject {
        byte[] bytes;

        @Override public void setByteValue(byte[] value, int offset) {
            bytes = Arrays.copyOfRange(value, offset, value.length);
        }

        @Override public int lengthInBytes() {
            return bytes == null ? 0 : bytes.length;
        }

        @Override public void toBytes(byte[] target, int offset) {
            System.arraycopy(bytes, 0, target, offset, bytes.length);
        }
    }

    static final List<String> rows = new ArrayList<>();
    static boolean failed;

    static void count(String name, Map<String, Boolean> results) {
        int held = 0;
        for (Map.Entry<String, Boolean> result : results.entrySet()) {
            if (result.getValue()) {
                held++;
            } else {
                System.err.println(name + ": " + result.getKey());
                failed = true;
            }
        }
        rows.add(name + " " + held + " of " + results.size());
    }

    static String one(Connection connection, String query, Object... parameters) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(query)) {
            for (int i = 0; i < parameters.length; i++) statement.setObject(i + 1, parameters[i]);
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                StringBuilder all = new StringBuilder(row.getString(1));
                for (int i = 2; i <= row.getMetaData().getColumnCount(); i++) all.append(',').append(row.getString(i));
                return all.toString();
            }
        }
    }

    static Raw binary(Connection connection, String query, Object parameter) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(query)) {
            statement.unwrap(PGStatement.class).setPrepareThreshold(-1); // the driver's word for: in binary from the first time
            statement.setObject(1, parameter);
            try (ResultSet row = statement.executeQuery()) {
                row.next();
                return (Raw) row.getObject(1);
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        String url = System.getenv("JDBC_URL");
        List<String[]> values = new ArrayList<>();
        for (String line : Files.readAllLines(Paths.get(System.getenv("VALUES")), StandardCharsets.UTF_8)) values.add(line.split("\t", 2));
        // The driver names its prepared statements alike in every session, so a pool that shares sessions has to know them.
        boolean pooled = System.getenv("POOLED") != null;
        StringBuilder oids = new StringBuilder();
        Map<String, Boolean> results = new LinkedHashMap<>();
        try (Connection connection = DriverManager.getConnection(url)) {
            for (String[] value : values) {
                oids.append(oids.length() == 0 ? "" : ",").append(one(connection, "SELECT ?::text::regtype::oid", "crm." + value[0]));
                String there = one(connection, "SELECT ?::text::crm." + value[0], value[1]);
                PGobject object = new PGobject();
                object.setType("crm." + value[0]);
                object.setValue(there);
                String back = one(connection, "SELECT ?", object);
                results.put(value[0] + " " + there + " " + back, there.equals(back));
            }
        }
        count("text", results);
        results.clear();
        if (pooled) {
            rows.add("binary none");
        } else {
            try (Connection connection = DriverManager.getConnection(url + "&binaryTransferEnable=" + oids)) {
                connection.createStatement().execute("SET search_path = crm");
                for (String[] value : values) {
                    connection.unwrap(PGConnection.class).addDataType(value[0], Raw.class);
                    Raw out = binary(connection, "SELECT ?::text::" + value[0], value[1]);
                    // A text of its own for each type: the driver keeps the formats of a statement it has seen.
                    Raw again = binary(connection, "SELECT ? AS " + value[0], out);
                    String told = one(connection, "SELECT ?::text AS " + value[0], out);
                    results.put(value[0] + " " + told, out.bytes != null && again.bytes != null && Arrays.equals(out.bytes, again.bytes)
                        && told.equals(one(connection, "SELECT ?::text::" + value[0] + "::text", value[1])));
                }
            }
            count("binary", results);
            results.clear();
        }
        try (Connection connection = DriverManager.getConnection(url)) {
            long customer = Long.parseLong(one(connection, "INSERT INTO shop.customer DEFAULT VALUES RETURNING customer_id"));
            one(connection, "INSERT INTO shop.purchase (customer_id, order_no, amount, status) VALUES (?, ?, 12.34, 'paid') RETURNING order_no", customer, "client " + customer);
            String[][] verbs = {
                {"SELECT seq, balance_after FROM shop.earn(?, 100, 'client', 'a')", "1,100"},
                {"SELECT seq, balance_after FROM shop.earn(?, 100, 'client', 'a') AS again", "1,100"},
                {"SELECT seq, balance_after FROM shop.redeem(?, 30, 'client', 'b')", "2,70"},
                {"SELECT h.seq, c.seq FROM shop.hold(?, 20, 'client', 'c') h, LATERAL shop.capture(h.customer_id, 'c') c", "3,4"},
                {"SELECT count(*), max(p.amount)::text FROM shop.purchase p WHERE p.customer_id = ?", "1,12.3400"},
                {"UPDATE shop.customer SET tags = tags OPERATOR(crm.+) 'vip'::text WHERE customer_id = ? RETURNING tags", "{vip}"},
            };
            for (String[] verb : verbs) {
                String got = one(connection, verb[0], customer);
                results.put(verb[0] + ": " + got, got.equals(verb[1]));
            }
            count("verbs", results);
            results.clear();
            String[][] errors = {
                {"SELECT shop.redeem(?, 1000, 'client', 'd')", "CP001"},
                {"SELECT shop.earn(?, 7, 'client', 'a')", "CP002"},
                {"SELECT shop.earn(-?, 7, 'client', 'a')", "23503"},
                {"SELECT ('{' || ?)::crm.tagset", "22P02"},
            };
            for (String[] error : errors) {
                try {
                    one(connection, error[0], customer);
                    results.put(error[0] + " is not refused", false);
                } catch (PSQLException refusal) {
                    String hint = refusal.getServerErrorMessage().getHint();
                    results.put(error[0] + ": " + refusal.getSQLState() + " " + hint,
                        error[1].equals(refusal.getSQLState()) && (hint != null || !error[1].startsWith("C")));
                }
            }
            count("errors", results);
            System.out.println("version " + connection.getMetaData().getDriverVersion());
        }
        rows.forEach(System.out::println);
        System.exit(failed ? 1 : 0);
    }
}
