-- Surveys: NPS, CSAT and drivers against figures worked out by hand, by segment and over time, over a change in the middle.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SET timezone = 'Asia/Shanghai';
SELECT crm.create_store('t_survey');
SET search_path = t_survey, crm, public;
INSERT INTO customer (customer_id, joined_at, region) SELECT i, '2020-01-01', CASE WHEN i <= 5 THEN '华东' ELSE '华南' END FROM generate_series(1, 10) i;
INSERT INTO survey (survey, title) VALUES ('shop', '满意度');
INSERT INTO survey_question (survey, version, question, seq, kind, wording, overall) VALUES
    ('shop', 1, 'nps', 1, 'nps', '推荐', true), ('shop', 1, 'goods', 2, 'csat', '商品', false), ('shop', 1, 'speed', 3, 'csat', '物流', false), ('shop', 1, 'price', 4, 'scale', '价格', false);
SELECT publish_survey('shop', 1);
SELECT publish_survey('shop', 7);
SELECT count(submit_survey(invite(c, 'shop', as_of => '2026-01-05'), jsonb_build_object('nps', n, 'goods', g, 'speed', s, 'price', p), '2026-01-10'))
FROM (VALUES (1, 10, 5, 3, 2), (2, 9, 5, 4, 3), (3, 8, 4, 2, 4), (4, 3, 1, 5, 3), (5, 6, 2, 3, 5)) v (c, n, g, s, p);
-- The same answers again change nothing, others are refused.
SELECT submit_survey(invite(1, 'shop'), '{"nps": "10", "goods": [5], "speed": 3, "price": 2}');
SELECT submit_survey(invite(1, 'shop'), '{"nps": 0, "goods": 5, "speed": 3, "price": 2}');
-- Changed in the middle: customer 6 was invited to version 1 and answers it still, the others answer version 2.
SELECT invite(6, 'shop', as_of => '2026-01-20') IS NOT NULL;
SELECT copy_survey('shop');
UPDATE survey_question SET wording = '再次推荐' WHERE question = 'nps' AND version = 2;
DELETE FROM survey_question WHERE question = 'price' AND version = 2;
UPDATE survey SET state = 'closed' WHERE version = 2;
SELECT publish_survey('shop', 2), publish_survey('shop', 2);
UPDATE survey SET state = 'draft' WHERE version = 1;
SELECT survey, version, state FROM survey ORDER BY 2;
SELECT submit_survey(invite(6, 'shop'), '{"nps": 7, "goods": 4, "speed": 4, "price": 1}', '2026-02-02');
SELECT count(submit_survey(invite(c, 'shop', as_of => '2026-02-05'), jsonb_build_object('nps', n, 'goods', g, 'speed', s), '2026-02-10'))
FROM (VALUES (7, 10, 5, 5), (8, 10, 4, 4), (9, 9, 4, 2), (10, 0, 3, 1)) v (c, n, g, s);
-- January: 2 promoters, 2 detractors of 5: 0. February, version 1: 1 passive: 0; version 2: 3 promoters, 1 detractor of 4: 50.
SELECT version, month, answers, promoters, passives, detractors, nps FROM nps('shop');
-- 3 of 5 with the goods, mean 3.40; 2 of 5 with speed, 3.40.
SELECT version, question, month, answers, satisfied, csat, mean FROM csat('shop');
-- Worked out by hand: version 1 goods 0.9558, price -0.2278, speed -0.5759; version 2 goods 0.8407, speed 0.7895; once more below by the textbook's formula.
SELECT version, question, answers, mean, correlation, advice FROM survey_driver ORDER BY 1, 2;
WITH a AS (
    SELECT d.version, d.question, d.score AS x, o.score AS y FROM survey_score d JOIN survey_score o USING (customer_id, invitation_id) WHERE o.overall AND NOT d.overall)
SELECT version, question, round(((count(*) * sum(x * y) - sum(x) * sum(y)) / sqrt((count(*) * sum(x * x) - sum(x) ^ 2) * (count(*) * sum(y * y) - sum(y) ^ 2)))::numeric, 4) AS by_hand
FROM a GROUP BY 1, 2 ORDER BY 1, 2;
-- 华东 2 − 2 of 5: 0; 华南 3 − 1 of 5: 40.
SELECT * FROM nps_by('region', 'shop');
INSERT INTO purchase (customer_id, order_no, amount, paid_at) SELECT i, 'o' || i, 100 * i, '2026-01-02' FROM generate_series(1, 4) i;
DELETE FROM segment;
INSERT INTO segment (segment, rule) VALUES ('buyers', 'order_count > 0'), ('big', 'spend_total >= 300');
SELECT * FROM nps_by('segment', 'shop', '2026-01-01', '2026-02-01');
SELECT * FROM csat_by('segment', 'shop', '2026-01-01', '2026-02-01');
SELECT value, month, answers, nps FROM nps_by('all');
SELECT nps_by('phone');
SELECT close_survey('shop'), close_survey('shop');
SELECT invite(10, 'shop', 'again');
SELECT (customer_id, version, question, score)::text FROM survey_score WHERE customer_id = 6 ORDER BY question;
RESET search_path;
SELECT crm.drop_store('t_survey', 't_survey');
