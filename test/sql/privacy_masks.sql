-- Masks on a table of one's own: policy, partitions, new columns, readers, and what check_masks finds.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE ROLE crm_t_mask_owner;
CREATE ROLE crm_t_mask_clerk;
CREATE ROLE crm_t_mask_doctor;
CREATE ROLE crm_t_mask_late;
CREATE ROLE crm_t_mask_reads_all LOGIN;
CREATE ROLE crm_t_mask_member LOGIN;
CREATE SCHEMA t_mask AUTHORIZATION crm_t_mask_owner;
GRANT USAGE ON SCHEMA t_mask TO PUBLIC;
SET ROLE crm_t_mask_owner;
SET search_path = t_mask;
CREATE TABLE patient (id int, seen date, name text, phone varchar(20), mail text, ip inet, born date, history jsonb, "odd ""name" text, PRIMARY KEY (id, seen)) PARTITION BY RANGE (seen);
CREATE TABLE patient_2025 PARTITION OF patient FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
INSERT INTO patient VALUES (1, '2025-05-05', '欧阳锋', '13812341234', 'feng@example.com', '192.168.1.77', '1980-02-03', '{"x": 1}', '13812341234');
GRANT SELECT, INSERT, REFERENCES, TRIGGER ON patient, patient_2025 TO crm_t_mask_clerk WITH GRANT OPTION;
GRANT SELECT ON patient TO crm_t_mask_doctor WITH GRANT OPTION;
GRANT SELECT (phone) ON patient TO crm_t_mask_late;

-- The list of kinds is closed, parameters are typed.
SELECT crm.mask_column('patient', 'name', 'upper(name)');
SELECT crm.mask_column('patient', 'name', 'name', '{"style": "x''); drop table patient; --"}');
SELECT crm.mask_column('patient', 'name', 'partial', '{"left": -1}');
SELECT crm.mask_column('patient', 'name', 'partial', '{"left": 1.5}');
SELECT crm.mask_column('patient', 'name', 'partial', '{"mask": "**"}');
SELECT crm.mask_column('patient', 'name', 'name', '{"length": 3}');
SELECT crm.mask_column('patient', 'name', 'name', '[]');
SELECT crm.mask_column('patient', 'age', 'name');
SELECT crm.mask_column('patient', 'phone', 'date');
SELECT crm.mask_column('patient_2025', 'phone', 'phone');
SELECT crm.apply_masks('patient');
SELECT crm.unmask_column('patient', 'name');
SELECT crm.mask_column('patient', 'name', 'name', '{"style": "ends"}');
SELECT crm.mask_column('patient', 'phone', 'phone'), crm.mask_column('patient', 'mail', 'email'), crm.mask_column('patient', 'ip', 'ip'),
       crm.mask_column('patient', 'born', 'date', '{"to": "month"}'), crm.mask_column('patient', 'history', 'hide'),
       crm.mask_column('patient', 'odd "name', 'partial', '{"left": 3, "right": 4, "mask": "#"}');
SELECT crm.apply_masks('patient', readers => '{crm_t_mask_doctor}');
SELECT * FROM patient_masked;
SELECT column_name, kind, params FROM crm.mask_policy WHERE relid = 'patient'::regclass ORDER BY column_name;
-- MAINTAIN (m) came with PostgreSQL 17.
SELECT c.relname, c.relkind, replace(a.entry::text, 'arwdDxtm/', 'arwdDxt/') AS entry
FROM pg_class c, unnest(c.relacl) WITH ORDINALITY a (entry, n) WHERE c.relnamespace = 't_mask'::regnamespace AND c.relkind IN ('r', 'p', 'v') ORDER BY c.relname, a.n;
SELECT c.relname, a.attname, a.attacl FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 't_mask'::regnamespace AND a.attacl IS NOT NULL ORDER BY c.relname, a.attnum;
SELECT * FROM crm.check_masks('patient');

-- Others have no say.
SET ROLE crm_t_mask_clerk;
SELECT crm.mask_column('patient', 'name', 'clear');
SELECT crm.apply_masks('patient');
SELECT crm.accept_way('patient', 'x', 'y');
SELECT id, seen FROM patient;
SELECT phone FROM patient;
SELECT phone FROM patient_2025;
SELECT * FROM patient_masked;
GRANT SELECT (phone) ON patient TO crm_t_mask_late;
SET ROLE crm_t_mask_doctor;
SELECT phone FROM patient;
GRANT SELECT ON patient TO crm_t_mask_late;

-- A column that comes later is denied until it is classified.
SET ROLE crm_t_mask_owner;
ALTER TABLE patient ADD COLUMN wechat text DEFAULT 'nanana_99', ADD COLUMN ward text DEFAULT 'B';
SET ROLE crm_t_mask_clerk;
SELECT wechat FROM patient;
SET ROLE crm_t_mask_owner;
SELECT * FROM crm.check_masks('patient');
SELECT crm.mask_column('patient', 'ward', 'clear'), crm.mask_column('patient', 'wechat', 'wechat');
SET ROLE crm_t_mask_clerk;
SELECT wechat FROM patient;
SELECT ward FROM patient;
SELECT id, wechat, ward FROM patient_masked;
-- So is a renamed one.
SET ROLE crm_t_mask_owner;
ALTER TABLE patient RENAME COLUMN mail TO e_mail;
SELECT crm.apply_masks('patient');
SET ROLE crm_t_mask_clerk;
SELECT e_mail FROM patient;
SET ROLE crm_t_mask_owner;
SELECT crm.mask_column('patient', 'e_mail', 'email');
SET ROLE crm_t_mask_clerk;
SELECT e_mail FROM patient_masked;
SET ROLE crm_t_mask_owner;
-- A partition made later grants nothing by itself.
CREATE TABLE patient_2026 PARTITION OF patient FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
SET ROLE crm_t_mask_clerk;
SELECT phone FROM patient_2026;
SET ROLE crm_t_mask_owner;
SELECT crm.unmask_column('patient', 'born');
SELECT regexp_replace(pg_get_viewdef('patient_masked'), '\mt\.', '', 'g') AS view;
-- Row security would not hold through the view.
CREATE TABLE guarded (id int, phone text);
ALTER TABLE guarded ENABLE ROW LEVEL SECURITY;
SELECT crm.mask_column('guarded', 'phone', 'phone');
SELECT crm.apply_masks('guarded');
CREATE TABLE taken (id int, phone text);
CREATE TABLE taken_masked (id int);
SELECT crm.mask_column('taken', 'phone', 'phone');
SELECT crm.apply_masks('taken');

-- Leaks planted one by one; every one is found.
CREATE TABLE walker (id int PRIMARY KEY, phone text UNIQUE, mail text, last4 text GENERATED ALWAYS AS (right(phone, 4)) STORED);
INSERT INTO walker VALUES (1, '13812341234', 'a@example.com');
SELECT crm.mask_column('walker', 'phone', 'phone'), crm.mask_column('walker', 'mail', 'email');
SELECT crm.apply_masks('walker');
RESET ROLE;
GRANT SELECT (mail) ON walker TO crm_t_mask_clerk;
GRANT SELECT ON walker TO PUBLIC;
GRANT pg_read_all_data TO crm_t_mask_reads_all;
GRANT crm_t_mask_owner TO crm_t_mask_member;
SET ROLE crm_t_mask_owner;
CREATE VIEW leak_view AS SELECT id, phone FROM walker;
CREATE VIEW leak_whole_row AS SELECT w AS w FROM walker w;
CREATE VIEW leak_over_view AS SELECT count(*) AS n, max(phone) AS phone FROM leak_view;
CREATE MATERIALIZED VIEW leak_matview AS SELECT mail FROM walker;
CREATE VIEW fine_invoker WITH (security_invoker) AS SELECT phone FROM walker;
CREATE VIEW fine_clear AS SELECT id FROM walker;
CREATE VIEW fine_over_masked AS SELECT phone FROM walker_masked;
GRANT SELECT ON leak_view, leak_whole_row, leak_over_view, leak_matview, fine_invoker, fine_clear, fine_over_masked TO crm_t_mask_clerk;
CREATE FUNCTION leak_atomic() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER BEGIN ATOMIC SELECT phone FROM walker; END;
CREATE FUNCTION leak_text() RETURNS SETOF text LANGUAGE sql SECURITY DEFINER SET search_path = t_mask AS 'SELECT phone FROM walker';
CREATE FUNCTION fine_atomic() RETURNS SETOF text LANGUAGE sql BEGIN ATOMIC SELECT phone FROM walker; END;
CREATE TABLE leak_reference (phone text REFERENCES walker (phone));
CREATE STATISTICS leak_statistics ON phone, mail FROM walker;
RESET ROLE;
CREATE FUNCTION leak_trigger() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
ALTER FUNCTION leak_trigger() OWNER TO crm_t_mask_late;
CREATE TRIGGER leak BEFORE INSERT ON walker FOR EACH ROW EXECUTE FUNCTION leak_trigger();
SET client_min_messages = error;
CREATE PUBLICATION crm_t_mask_leak FOR TABLE walker;
CREATE PUBLICATION crm_t_mask_fine FOR TABLE walker (id);
SET client_min_messages = warning;
ALTER DEFAULT PRIVILEGES FOR ROLE crm_t_mask_owner IN SCHEMA t_mask GRANT SELECT ON TABLES TO crm_t_mask_late;
SELECT way, who, detail FROM crm.check_masks('walker');
SELECT way, who, detail FROM crm.check_masks('patient');
-- What was looked at is left out, but never a grant.
SELECT crm.accept_way('walker', 'leak_view', 'reviewed'), crm.accept_way('walker', 't_mask.leak_atomic()', 'reviewed'), crm.accept_way('walker', 'PUBLIC', 'no');
SELECT count(*) FILTER (WHERE who ~ 'leak_view|leak_atomic') AS accepted, count(*) FILTER (WHERE who = 'PUBLIC') AS public FROM crm.check_masks('walker');
-- Applied again, the grants are gone.
SELECT crm.apply_masks('walker');
SELECT way, who FROM crm.check_masks('walker') WHERE way IN ('grant', 'public');

-- The export takes masked tables through their views.
SELECT * FROM crm.masked_dump('t_mask') WHERE masked_dump ~ 'patient|walker';

-- A restored schema brings its masks along in the comments.
SELECT obj_description('walker_masked'::regclass, 'pg_class');
DELETE FROM crm.mask_policy WHERE relid = 'walker'::regclass;
DELETE FROM crm.masked_table WHERE relid = 'walker'::regclass;
SELECT crm.adopt_masks('t_mask');
SELECT column_name, kind FROM crm.mask_policy WHERE relid = 'walker'::regclass ORDER BY 1;
SET ROLE crm_t_mask_owner;
DROP VIEW fine_over_masked;
SELECT crm.drop_masks('walker');
SELECT count(*) FROM crm.mask_policy WHERE relid = 'walker'::regclass;
RESET ROLE;
DROP PUBLICATION crm_t_mask_leak, crm_t_mask_fine;
RESET search_path;
DROP SCHEMA t_mask CASCADE;
-- Rows of dropped tables are anybody's to clear away, and are not dumped.
SET ROLE crm_t_mask_clerk;
DELETE FROM crm.masked_table m WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = m.relid);
DELETE FROM crm.mask_policy m WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = m.relid);
DELETE FROM crm.mask_accepted m WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = m.relid);
RESET ROLE;
DROP OWNED BY crm_t_mask_owner, crm_t_mask_clerk, crm_t_mask_doctor, crm_t_mask_late, crm_t_mask_reads_all, crm_t_mask_member;
DROP ROLE crm_t_mask_owner, crm_t_mask_clerk, crm_t_mask_doctor, crm_t_mask_late, crm_t_mask_reads_all, crm_t_mask_member;
