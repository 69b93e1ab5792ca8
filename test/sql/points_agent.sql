-- What people at a desk may do with points by hand: within a limit, and nothing around it.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET client_min_messages = warning;
CREATE ROLE crm_t_pagent_anna;
CREATE ROLE crm_t_pagent_boss;
SELECT crm.create_store('t_pagent');
SET search_path = t_pagent;
SELECT crm.grant_access('t_pagent', 'crm_t_pagent_anna', 'agent'), crm.grant_access('t_pagent', 'crm_t_pagent_boss', 'owner');
INSERT INTO customer (customer_id) SELECT generate_series(1, 2);
UPDATE settings SET adjust_points = 100;
SET ROLE crm_t_pagent_anna;
SELECT earn(1, 5, 'desk', 'a');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (1, 'earn', 5, 'desk', 'a');
INSERT INTO points_entry (customer_id, kind, points, source, reference) VALUES (1, 'adjust', 5, 'desk', 'a');
SELECT check_adjusted(1, 'points', now());
SELECT points FROM adjust(1, 60, 'desk', 'a', 'goodwill');
SELECT points FROM adjust(1, -40, 'desk', 'b', 'one too many');
-- 101 are more than 100; a repeated request is none; another account has its own.
SELECT points FROM adjust(1, -1, 'desk', 'c', 'one too many');
\echo :LAST_ERROR_SQLSTATE
SELECT points FROM adjust(1, 60, 'desk', 'a', 'goodwill');
SELECT points FROM adjust(2, 100, 'desk', 'a', 'goodwill');
SELECT points FROM adjust(2, 1, 'desk', 'b', 'goodwill', program => 'growth');
-- Another moment would have other 24 hours.
SELECT points FROM adjust(1, 1, 'desk', 'd', 'goodwill', as_of => '2026-01-01');
SELECT points FROM adjust(1, 1, 'desk', 'd', 'goodwill', as_of => '2100-01-01');
\echo :LAST_ERROR_SQLSTATE
-- Kind owner and the owner have no limit.
SET ROLE crm_t_pagent_boss;
SELECT points FROM adjust(1, 5000, 'desk', 'e', 'settled');
RESET ROLE;
SELECT points FROM adjust(2, 5000, 'desk', 'e', 'settled', as_of => '2100-01-01');
SELECT customer_id, program, available FROM points_balance ORDER BY 1, 2;
SELECT * FROM points_verify();
SELECT crm.drop_store('t_pagent', confirm => 't_pagent');
DROP ROLE crm_t_pagent_anna, crm_t_pagent_boss;
