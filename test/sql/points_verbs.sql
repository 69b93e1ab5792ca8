-- Verbs write rows without a statement, or by one where a statement has to be heeded: with the same results.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'UTC';
SET search_path = pg_catalog;

-- The language is for verbs alone.
CREATE SCHEMA t_verb_tools;
SELECT crm.create_store('t_verbs');
SET search_path = t_verbs, crm;
INSERT INTO customer (customer_id) SELECT generate_series(1, 20);
CREATE FUNCTION t_verb_tools.f(bigint) RETURNS points_entry LANGUAGE crm_points AS 'earn';
CREATE FUNCTION t_verb_tools.f(bigint) RETURNS points_entry LANGUAGE crm_points AS 'steal';
CREATE FUNCTION t_verb_tools.f(bigint, text, text, text, timestamptz, text) RETURNS bigint LANGUAGE crm_points AS 'release';
CREATE FUNCTION t_verb_tools.f(bigint, text, text, text, timestamptz, text) RETURNS SETOF points_entry LANGUAGE crm_points AS 'release';
-- Nor is one made unchecked.
SET check_function_bodies = off;
CREATE FUNCTION t_verb_tools.f(bigint, text, text, text, timestamptz, text) RETURNS bigint LANGUAGE crm_points AS 'release';
RESET check_function_bodies;
DO LANGUAGE crm_points 'earn';

-- What every verb does, on a plain ledger and on one with a trigger of the user's, compared row by row.
CREATE FUNCTION t_verb_tools.run(first bigint) RETURNS TABLE (n bigint, kind text, seq bigint, points bigint, balance_after bigint, source text, reference text, reverses bigint,
                                                   expires_at timestamptz, available_at timestamptz, shortfall bigint, detail jsonb, noted boolean, hashed boolean)
LANGUAGE plpgsql SET search_path = t_verbs, crm, pg_temp AS $$
DECLARE
    call text;
    e points_entry;
BEGIN
    FOR n, call IN
        SELECT o, c FROM unnest(ARRAY[
            $c$earn($1, 100, 's', 'e1', as_of => '2026-01-01', detail => '{"b": 1, "a": 2}')$c$,
            $c$earn($1, 100, 's', 'e1', as_of => '2026-02-01')$c$,
            $c$earn($1, 50, 's', 'e2', expires_at => '2026-06-01', available_at => 'infinity', as_of => '2026-01-02', note => 'a note')$c$,
            $c$earn($1, 50, 's', 'e2', as_of => '2026-01-02', note => 'another')$c$,
            $c$mature($1, 'e2', as_of => '2026-01-03')$c$,
            $c$redeem($1, 30, 's', 'r1', as_of => '2026-01-04', note => 'for a cup')$c$,
            $c$redeem($1, 30, 's', 'r1')$c$,
            $c$hold($1, 40, 's', 'h1', expires_at => '2027-01-01', as_of => '2026-01-05')$c$,
            $c$hold($1, 10, 's', 'h2', as_of => '2026-01-05', note => 'held')$c$,
            $c$capture($1, 'h1', 15, as_of => '2026-01-06', note => 'captured')$c$,
            $c$capture($1, 'h1', 15, as_of => '2026-01-06')$c$,
            $c$release($1, 'h2', as_of => '2026-01-07')$c$,
            $c$restore($1, 'r1', 10, as_of => '2026-01-08')$c$,
            $c$restore($1, 'r1', reference => 'r1/2', as_of => '2026-01-08', note => 'the rest')$c$,
            $c$restore($1, 'h1', 5, source => 's', as_of => '2026-01-08')$c$,
            $c$refund($1, 'e1', 20, reference => 'part', as_of => '2026-01-09')$c$,
            $c$refund($1, 'e1', as_of => '2026-01-10', note => 'all')$c$,
            $c$refund($1, 'e1')$c$,
            $c$earn($1, 1, 's', 'late', as_of => '2026-07-01')$c$]) WITH ORDINALITY u (c, o)
    LOOP
        EXECUTE 'SELECT * FROM ' || call INTO e USING first;
        kind := e.kind; seq := e.seq; points := e.points; balance_after := e.balance_after; source := e.source; reference := e.reference; reverses := e.reverses;
        expires_at := e.expires_at; available_at := e.available_at; shortfall := e.shortfall; detail := e.detail; noted := e.note_hash IS NOT NULL;
        hashed := e::text = (SELECT x::text FROM points_entry x WHERE x.customer_id = e.customer_id AND x.program = e.program AND x.seq = e.seq);
        RETURN NEXT;
    END LOOP;
END
$$;
CREATE FUNCTION t_verb_tools.refused(first bigint) RETURNS TABLE (call text, code text, message text, detail text, hint text)
LANGUAGE plpgsql SET search_path = t_verbs, crm, pg_temp AS $$
BEGIN
    FOREACH call IN ARRAY ARRAY[
        $c$earn($1, 7, 's', 'e1')$c$,
        $c$earn($1, 100, 's', 'e1', available_at => '2027-01-01')$c$,
        $c$earn($1, 0, 's', 'zero')$c$,
        $c$earn($1, NULL, 's', 'none')$c$,
        $c$earn(NULL, 5, 's', 'nobody')$c$,
        $c$earn($1, 5, NULL, 'x')$c$,
        $c$earn($1, 5, 's', NULL)$c$,
        $c$earn($1, 5, 's', '13812341234')$c$,
        $c$earn($1, 5, 's', 'x', program => 'none')$c$,
        $c$earn(999, 5, 's', 'x')$c$,
        $c$earn($1, 5, 's', 'x', as_of => 'infinity')$c$,
        $c$redeem($1, 1000000, 's', 'r9')$c$,
        $c$redeem($1, 1, 's', 'r9', program => 'growth')$c$,
        $c$capture($1, 'h9')$c$,
        $c$capture($1, NULL)$c$,
        $c$capture(NULL, 'h1')$c$,
        $c$capture($1, 'h1', program => NULL)$c$,
        $c$release($1, 'h1')$c$,
        $c$restore($1, 'e1', source => 'other')$c$,
        $c$refund($1, 'e9')$c$,
        $c$mature($1, 'e2', reference => 'again')$c$]
    LOOP
        BEGIN
            EXECUTE 'SELECT * FROM ' || call USING first;
            code := NULL;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
        END;
        detail := replace(detail, 'customer ' || first, 'customer N');
        RETURN NEXT;
    END LOOP;
END
$$;
CREATE TABLE t_verb_tools.ran AS SELECT 'plain' AS way, r.* FROM t_verb_tools.run(1) r;
CREATE TABLE t_verb_tools.refusals AS SELECT 'plain' AS way, r.* FROM t_verb_tools.refused(1) r;
CREATE FUNCTION t_verb_tools.look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER look AFTER INSERT ON points_entry FOR EACH ROW EXECUTE FUNCTION t_verb_tools.look();
INSERT INTO t_verb_tools.ran SELECT 'trigger', r.* FROM t_verb_tools.run(2) r;
INSERT INTO t_verb_tools.refusals SELECT 'trigger', r.* FROM t_verb_tools.refused(2) r;
DROP TRIGGER look ON points_entry;
ALTER TABLE points_entry ADD COLUMN desk text DEFAULT 'front';
INSERT INTO t_verb_tools.ran SELECT 'column', r.* FROM t_verb_tools.run(3) r;
SELECT DISTINCT desk FROM points_entry WHERE customer_id = 3;
ALTER TABLE points_entry ALTER COLUMN desk DROP DEFAULT;
INSERT INTO t_verb_tools.ran SELECT 'null column', r.* FROM t_verb_tools.run(4) r;
CREATE INDEX more ON points_entry USING brin (booked_at);
INSERT INTO t_verb_tools.ran SELECT 'index', r.* FROM t_verb_tools.run(5) r;
DROP INDEX more;
ALTER TABLE points_entry ENABLE ROW LEVEL SECURITY;
INSERT INTO t_verb_tools.ran SELECT 'row security', r.* FROM t_verb_tools.run(6) r;
ALTER TABLE points_entry DISABLE ROW LEVEL SECURITY;
SELECT n, kind, seq, points, balance_after, source, reference, reverses, expires_at, available_at, shortfall, detail, noted, hashed FROM t_verb_tools.ran WHERE way = 'plain' ORDER BY n;
SELECT way, count(*) AS differ FROM (SELECT way, to_jsonb(r) - 'way' AS row FROM t_verb_tools.ran r) r
WHERE row NOT IN (SELECT to_jsonb(p) - 'way' FROM t_verb_tools.ran p WHERE way = 'plain') GROUP BY way;
SELECT call, code, message, detail, hint FROM t_verb_tools.refusals WHERE way = 'plain';
SELECT p.call, p.code, p.message, t.code, t.message FROM t_verb_tools.refusals p JOIN t_verb_tools.refusals t ON t.call = p.call AND t.way = 'trigger'
WHERE p.way = 'plain' AND (p.code, p.message, p.detail, p.hint) IS DISTINCT FROM (t.code, t.message, t.detail, t.hint);
-- Notes are those of the entries, and their hashes.
SELECT e.customer_id, e.kind, n.note, e.note_hash = sha256(n.salt || convert_to(n.note, 'UTF8')) AS fits
FROM points_entry e JOIN points_note n USING (customer_id, program, seq) WHERE e.customer_id < 3 ORDER BY 1, e.seq;
SELECT count(*) AS entries_without_note FROM points_entry e WHERE e.note_hash IS NOT NULL AND NOT EXISTS (SELECT FROM points_note n WHERE (n.customer_id, n.program, n.seq) = (e.customer_id, e.program, e.seq));
SELECT * FROM points_verify();

-- A statement that makes the customer, and several calls in one statement.
WITH made AS (INSERT INTO customer (customer_id) VALUES (100) RETURNING customer_id)
SELECT e.seq, e.balance_after FROM made m, LATERAL earn(m.customer_id, 5, 's', 'first') e;
SELECT (earn(100, 1, 's', 'a')).balance_after AS a, (earn(100, 1, 's', 'b')).balance_after AS b, (earn(100, 1, 's', 'a')).seq AS again;
-- Nothing is written where nothing may be.
BEGIN READ ONLY;
SELECT seq FROM earn(1, 5, 's', 'read only');
ROLLBACK;
-- The counts of the tables go on.
SELECT pg_stat_force_next_flush();
SELECT n_tup_ins AS before FROM pg_stat_user_tables WHERE relid = 'points_entry'::regclass \gset
SELECT count(earn(100, 1, 's', n::text)) FROM generate_series(1, 10) n;
SELECT pg_stat_force_next_flush();
SELECT n_tup_ins - :before AS counted FROM pg_stat_user_tables WHERE relid = 'points_entry'::regclass;

-- EXECUTE on a verb is enough; without it or the right to insert nobody posts, whatever function they make.
CREATE ROLE crm_t_verbs_caller;
GRANT USAGE ON SCHEMA t_verbs, crm TO crm_t_verbs_caller;
GRANT EXECUTE ON FUNCTION earn TO crm_t_verbs_caller;
GRANT CREATE ON SCHEMA t_verb_tools TO crm_t_verbs_caller;
GRANT USAGE ON SCHEMA t_verb_tools TO crm_t_verbs_caller;
SET ROLE crm_t_verbs_caller;
SELECT seq, balance_after FROM earn(7, 5, 's', 'by a caller');
SELECT seq FROM redeem(7, 5, 's', 'by a caller');
CREATE FUNCTION t_verb_tools.mine(bigint, bigint, text, text, text, timestamptz, text, jsonb) RETURNS points_entry LANGUAGE crm_points AS 'redeem';
SELECT t_verb_tools.mine(7, 5, 's', 'mine', 'points', now(), NULL, NULL);
RESET ROLE;
GRANT INSERT ON points_entry TO crm_t_verbs_caller;
SET ROLE crm_t_verbs_caller;
SELECT t_verb_tools.mine(7, 1, 's', 'mine', 'points', now(), NULL, NULL);
RESET ROLE;
GRANT SELECT ON points_entry TO crm_t_verbs_caller;
SET ROLE crm_t_verbs_caller;
SELECT (t_verb_tools.mine(7, 2, 's', 'mine', 'points', now(), NULL, NULL)).balance_after;
RESET ROLE;
-- The owner is not a superuser.
CREATE ROLE crm_t_verbs_owner;
SELECT format('GRANT CREATE ON DATABASE %I TO crm_t_verbs_owner', current_database()) \gexec
SET ROLE crm_t_verbs_owner;
SET search_path = pg_catalog;
SELECT crm.create_store('t_verbs_owned');
INSERT INTO t_verbs_owned.customer (customer_id) VALUES (1);
SELECT seq, balance_after FROM t_verbs_owned.earn(1, 5, 's', 'e', note => 'mine');
SELECT seq, balance_after FROM t_verbs_owned.redeem(1, 2, 's', 'r');
SELECT * FROM t_verbs_owned.points_verify();
SELECT crm.drop_store('t_verbs_owned', 't_verbs_owned');
RESET ROLE;
SELECT format('REVOKE CREATE ON DATABASE %I FROM crm_t_verbs_owner', current_database()) \gexec
DROP ROLE crm_t_verbs_owner;
SELECT * FROM t_verbs.points_verify();
DROP FUNCTION t_verb_tools.mine;
SET client_min_messages = warning;
SELECT crm.drop_store('t_verbs', 't_verbs');
DROP SCHEMA t_verb_tools CASCADE;
DROP OWNED BY crm_t_verbs_caller;
DROP ROLE crm_t_verbs_caller;
