-- What crm.health tells of a store, and its jobs.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
SELECT crm.create_store('t_health');
SET search_path = t_health, crm;
SELECT subject, state FROM crm.health('t_health') ORDER BY 1;
-- The jobs, for pg_cron or a crontab.
SELECT * FROM scheduled_jobs() LIMIT 3;
SELECT * FROM crontab() c WHERE c LIKE '%verify%';
SELECT schedule_jobs();
-- With the functions that pg_cron has.
BEGIN;
CREATE SCHEMA cron;
CREATE TABLE cron.job (jobid bigint GENERATED ALWAYS AS IDENTITY, jobname text, schedule text, command text, database text DEFAULT current_database(), username text DEFAULT current_user);
CREATE FUNCTION cron.schedule(text, text, text) RETURNS bigint LANGUAGE sql AS 'INSERT INTO cron.job (jobname, schedule, command) VALUES ($1, $2, $3) RETURNING jobid';
CREATE FUNCTION cron.unschedule(bigint) RETURNS boolean LANGUAGE sql AS 'DELETE FROM cron.job WHERE jobid = $1 RETURNING true';
INSERT INTO cron.job (jobname, schedule, command) VALUES ('other', '* * * * *', 'SELECT 1');
SELECT schedule_jobs();
UPDATE job_schedule SET active = false WHERE job = 'run_automations';
SELECT schedule_jobs();
SELECT jobname, schedule, command FROM cron.job ORDER BY jobname DESC LIMIT 3;
SELECT count(*) FROM cron.job;
ROLLBACK;
-- The commands run.
INSERT INTO customer (customer_id) SELECT generate_series(1, 20);
SELECT count(*) FROM customer c, LATERAL earn(c.customer_id, 10, 'shop', 'a', expires_at => now() + interval '1 day');
\t on
\o /dev/null
SELECT command FROM scheduled_jobs() \gexec
\o
\t off
SELECT job, state FROM job_progress p JOIN job_schedule j USING (job) ORDER BY 1;
SELECT jsonb_pretty(cursor) FROM job_progress WHERE job = 'verify_store';
SELECT subject, state FROM crm.health('t_health') WHERE state <> 'ok';
-- Each subject notices what it is for.
BEGIN;
UPDATE job_progress SET updated_at = now() - interval '9 days';
ALTER TABLE points_checkpoint DISABLE TRIGGER ALL;
UPDATE points_checkpoint SET taken_at = now() - interval '9 days';
SELECT subject, state, length(regexp_replace(detail, 'last [0-9: -]+', '', 'g'))::text AS detail FROM health_jobs() UNION ALL SELECT subject, state, regexp_replace(detail, '\d{4}-\d\d-\d\d \d\d:\d\d', 'DATE', 'g') FROM health_ledger();
ROLLBACK;
UPDATE customer_summary SET order_count = 7 WHERE customer_id = 3;
CALL verify_store();
SELECT state, regexp_replace(detail, '\d{4}-\d\d-\d\d \d\d:\d\d', 'DATE', 'g') AS detail FROM health_ledger() WHERE subject = 'verified';
SELECT count(*) FROM recount_customers(true);
BEGIN;
ALTER TABLE points_account DISABLE TRIGGER ALL;
UPDATE points_account SET next_due = now() - interval '2 days';
INSERT INTO tag_expiry SELECT 1, 'x', now() - interval '2 days';
INSERT INTO tag_audience_change (tag, chunk, toggled) SELECT 'x', 0, '{1}' FROM generate_series(1, 50001);
INSERT INTO outbox (customer_id, channel, purpose, idempotency_key, due_at) VALUES (1, 'app', 'service', 'k', now() - interval '2 hours');
SELECT * FROM health_backlog();
ROLLBACK;
BEGIN;
CREATE ROLE crm_t_health_agent;
SELECT crm.grant_access('t_health', 'crm_t_health_agent', 'agent');
SELECT state, detail FROM health_access();
REVOKE SELECT ON customer_360 FROM crm_t_health_agent;
GRANT SELECT ON customer TO PUBLIC;
INSERT INTO access_grantee (role, kind) VALUES ('crm_t_health_nobody', 'agent');
SELECT state, detail FROM health_access();
ROLLBACK;
BEGIN;
ALTER TABLE purchase SET (autovacuum_enabled = false);
SELECT state, detail FROM health_tables() WHERE subject = 'autovacuum';
ROLLBACK;
-- The archive: what is due and stays behind, and whether it was verified.
SELECT health_archive();
INSERT INTO customer (customer_id) VALUES (21), (22);
SELECT count(earn(c, 10, 'shop', 'old', as_of => '2021-01-01')) FROM unnest('{21,22}'::bigint[]) c;
SELECT count(hold(22, 10, 'shop', 'open', as_of => '2021-01-02'));
SELECT changed FROM points_checkpoint();
ALTER TABLE points_checkpoint DISABLE TRIGGER ALL;
SELECT checkpoint AS last, taken_at FROM points_checkpoint ORDER BY 1 DESC LIMIT 1 \gset
UPDATE points_checkpoint SET taken_at = '2021-02-01' WHERE checkpoint = :last;
CREATE VIEW archive AS SELECT state, regexp_replace(regexp_replace(detail, '\d{4}-\d\d-\d\d \d\d:\d\d', 'DATE', 'g'), '\d{4}-\d\d-\d\d', 'DAY') AS detail FROM crm.health('t_health') WHERE subject = 'archive';
CALL archive_points('-infinity');
TABLE archive;
CALL archive_points('2020-06-01');
TABLE archive;
-- two years ago it took what was older than that; an account with an open hold can never follow
UPDATE job_progress SET updated_at = now() - interval '2 years' WHERE job = 'archive_points';
TABLE archive;
CALL archive_points('2022-01-01');
SELECT customer_id, seq, archived FROM points_account WHERE customer_id > 20 ORDER BY 1;
TABLE archive;
UPDATE job_progress SET updated_at = now() - CASE job WHEN 'archive_points' THEN interval '3 days' ELSE interval '4 days' END WHERE job IN ('archive_points', 'verify_store');
TABLE archive;
UPDATE points_checkpoint SET taken_at = :'taken_at' WHERE checkpoint = :last;
ALTER TABLE points_checkpoint ENABLE ALWAYS TRIGGER points_immutable_row, ENABLE ALWAYS TRIGGER points_immutable_statement;
CALL verify_store(checkpoint => false);
TABLE archive;
DROP VIEW archive;
SET search_path = public;
SELECT crm.drop_store('t_health', confirm => 't_health');
