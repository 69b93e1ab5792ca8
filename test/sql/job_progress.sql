-- Who calls a long job is told how far it is; a run that begins anew is dated anew.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT crm.create_store('t_progress');
SET search_path = t_progress, crm;
INSERT INTO job_progress (job, done, total, started_at, updated_at) VALUES ('sweep', 10, 200, clock_timestamp() - interval '12 seconds', clock_timestamp() - interval '8 seconds');
UPDATE job_progress SET done = 50, updated_at = clock_timestamp();
-- Not twice in five seconds.
UPDATE job_progress SET started_at = clock_timestamp() - interval '10.2 seconds', updated_at = clock_timestamp();
UPDATE job_progress SET done = 60, updated_at = clock_timestamp();
UPDATE job_progress SET done = 200, state = 'done', updated_at = clock_timestamp();
-- The next run.
UPDATE job_progress SET done = 5, state = 'running', total = NULL, updated_at = clock_timestamp();
SELECT job, state, done, clock_timestamp() - started_at < interval '5 seconds' AS began_now FROM job_progress;
UPDATE job_progress SET started_at = clock_timestamp() - interval '1 hour', updated_at = clock_timestamp() - interval '1 minute', done = 7;
-- Short jobs say nothing.
CALL record_lifecycle();
SELECT job, state, done FROM job_progress WHERE job = 'record_lifecycle';
SET client_min_messages = warning;
SELECT crm.drop_store('t_progress', 't_progress');
