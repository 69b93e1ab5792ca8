-- Names as staff type them, and finding them by an index.
\set SHOW_CONTEXT never
SELECT v, crm.name_pinyin(v), crm.name_initials(v), crm.name_keys(v) FROM unnest(ARRAY['张三', '歐陽鋒', '欧阳娜娜', '单于', '单田芳', '曾国藩', '仇英', '区楚良', '查良镛', '解缙', '尉迟恭', '万俟卨', '长孙无忌', '翟天临', '盖叫天', '种师道',
    '朴槿惠', '缪贤', '吕布', '女娲', '乐毅', '任贤齐', '张Amy', '迪丽热巴·迪力木拉提', 'John Smith', 'O''Brien', 'Élodie Dupont', 'J. Smith', 'Мария', '😀', '', ' ', '张　三', 'ＺＨＡＮＧ', '𠮷田']) v;
SELECT length(crm.name_pinyin(repeat('张', 100000))) BETWEEN 1 AND 1000 AS bounded;
CREATE TEMP TABLE pinyin_people (id int, name text, keys text[] GENERATED ALWAYS AS (crm.name_keys(name)) STORED, pinyin text GENERATED ALWAYS AS (crm.name_pinyin(name)) STORED);
INSERT INTO pinyin_people SELECT i, substr('王李张刘陈杨赵黄周吴', i % 10 + 1, 1) || substr('三四伟芳娜敏静丽强磊', i / 10 % 10 + 1, 1) FROM generate_series(0, 999) i;
CREATE INDEX ON pinyin_people USING gin (keys);
CREATE INDEX ON pinyin_people (pinyin text_pattern_ops);
ANALYZE pinyin_people;
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT DISTINCT name FROM pinyin_people WHERE keys @> ARRAY['zs'];
SELECT DISTINCT name FROM pinyin_people WHERE keys @> ARRAY['zs'] ORDER BY 1;
SELECT DISTINCT name FROM pinyin_people WHERE keys @> ARRAY['zhangsan'];
EXPLAIN (COSTS OFF) SELECT DISTINCT name FROM pinyin_people WHERE pinyin LIKE 'zhangs%';
SELECT DISTINCT name FROM pinyin_people WHERE pinyin LIKE 'zhangs%' ORDER BY 1;
