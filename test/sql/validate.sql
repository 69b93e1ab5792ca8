-- Validators, what identity numbers tell, normalisers and domains.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
SELECT v, crm.is_cn_mobile(v) FROM unnest(ARRAY['13812341234', '+8613812341234', '19912341234', '12812341234', '1381234123', '138123412345', '8613812341234', '１３８１２３４１２３４', '138 1234 1234', '']) v;
SELECT v, crm.is_cn_id(v), crm.id_birth_date(v), crm.id_gender(v), crm.id_region(v), crm.id_15_to_18(v) FROM unnest(ARRAY['11010519491231002X', '11010519491231002x', '321083197812162119',
    '51343620000320711X', '81000019980902013X', '830000200209060065', '150102880730303', '150102198807303035',
    '110105194912310021', '11010519491331002X', '11010519490229002X', '00010519491231002X', '1101051949123100', '110105194912310', '', 'X']) v;
-- every wrong check character is found, and so is every digit changed
SELECT count(*) FILTER (WHERE crm.is_cn_id('11010519491231002' || c)) AS good FROM unnest(string_to_array('0123456789X', NULL)) c;
SELECT count(*) AS changed, count(*) FILTER (WHERE crm.is_cn_id(overlay('321083197812162119' placing d::text from p for 1))) AS passed
FROM generate_series(1, 18) p, generate_series(0, 9) d WHERE substr('321083197812162119', p, 1) <> d::text;
SELECT v, crm.is_uscc(v), crm.is_uscc(v, true) AS lenient FROM unnest(ARRAY['91310110666007217T', '91310115591693856A', '91350211M00013FA1N', '91310110666007217t', '91310110666007217', 'I1310110666007217T', '913101106660072170', '']) v;
SELECT v, crm.is_bank_card(v) FROM unnest(ARRAY['4111111111111111', '5555555555554444', '6200000000000005', '6227880100100105123', '11011111222233333256', '4111 1111 1111 1111', '0000000000000000', '42', '']) v;
SELECT v, crm.is_iban(v) FROM unnest(ARRAY['GB82WEST12345698765432', 'DE89370400440532013000', 'FR1420041010050500013M02606', 'GB82WEST12345698765431', 'GB82WEST1234569876543', 'XX82WEST12345698765432',
    'gb82west12345698765432', 'GB82 WEST 1234 5698 7654 32', '']) v;
SELECT v, crm.is_email(v) FROM unnest(ARRAY['a@x.cn', 'zhang.san+shop@mail.example.com', 'o''brien@x.ie', '.a@x.cn', 'a.@x.cn', 'a..b@x.cn', 'a@x', 'a@x.c', 'a@-x.cn', 'a@x-.cn', 'a@x.12', 'a@x..cn', 'a@b@x.cn',
    'a b@x.cn', '张@x.cn', 'a@例子.cn', 'a@xn--fsqu00a.cn', repeat('a', 65) || '@x.cn', 'a@' || repeat('a', 64) || '.cn', '']) v;
SELECT v, crm.is_hk_id(v), crm.is_tw_id(v) FROM unnest(ARRAY['P174468(6)', 'A123456(3)', 'A1234563', 'A123456(4)', 'AB987654(3)', 'B221690311', 'M517086311', 'A123456789', 'A123456788', '']) v;
SELECT v, crm.normalize_phone(v), crm.normalize_phone(v, 'HK') AS hk, crm.normalize_phone(v, 'US') AS us FROM unnest(ARRAY['13812341234', '138-1234-1234', '＋８６ １３８ １２３４ １２３４', '8613812341234', '0086 138 1234 1234', '010-65529988',
    '(0915) 7518479', '65529988', '400-123-4567', '91234567', '+852 9123 4567', '+1 (415) 555-2671', '4155552671', '1 415 555 2671', '+44 (0)20 7946 0958', '13812341234-5678', '13812341234转12', '+86 12', '12345', '张三', '', '٠١٠٦٥٥٢٩٩٨٨']) v;
SELECT crm.normalize_phone('0912345678', 'TW'), crm.normalize_phone('03-1234-5678', 'jp'), crm.normalize_phone('13812341234', 'XX'), crm.normalize_phone('020 7946 0958', 'GB');
SELECT v, crm.normalize_email(v) FROM unnest(ARRAY[' Zhang.San@Example.COM ', 'ＺＨＡＮＧ＠ｘ．ｃｎ', 'a@x', '张@x.cn', '']) v;
-- psql's width of some characters depends on its version.
\pset format unaligned
SELECT v, crm.normalize_name(v) FROM unnest(ARRAY[' 张　三 ', 'John  SMITH', '迪丽热巴•迪力木拉提', '迪丽热巴・迪力木拉提', E'a\u200bb', '']) v;
\pset format aligned
SELECT '13812341234'::crm.cn_mobile, '11010519491231002X'::crm.cn_id, '91310110666007217T'::crm.uscc, '4111111111111111'::crm.bank_card, 'GB82WEST12345698765432'::crm.iban, 'a@x.cn'::crm.email, 'A123456(3)'::crm.hk_id, 'B221690311'::crm.tw_id;
SELECT '1381234123'::crm.cn_mobile;
SELECT '110105194912310021'::crm.cn_id;
SELECT '91350211M00013FA1N'::crm.uscc;
SELECT '4111111111111112'::crm.bank_card;
SELECT 'GB82WEST12345698765431'::crm.iban;
SELECT 'a@x'::crm.email;
