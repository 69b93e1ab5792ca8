-- Every mask with its vectors: what is shown, what is not, and what happens to odd input.
\set SHOW_CONTEXT never
SET datestyle = 'ISO, YMD';
-- psql's width of some characters depends on its version.
\pset format unaligned
SELECT v, crm.mask_phone(v) FROM unnest(ARRAY['13812341234', '+86 138-1234-1234', '+8613812341234', '8613812341234', '0086 138 1234 1234',
    '１３８１２３４１２３４', '138 1234 1234', '18049531999', '+14155552671', '+1 (415) 555-2671', '+852 9123 4567', '91234567', '85291234567',
    '+853 66123456', '0912345678', '+886 912 345 678', '0915-7518479', '09157518479', '010-65529988', '(021) 12345678', '021-12345678转8001',
    '13812341234-5678', '13812341234 ext 5678', '13812341234转12', '400-123-4567', '65529988', '7518479', '+86 10 65529988', '+4479460958',
    '+12', '1234567', '123456', '12345678901', '٠١٢٣٤٥٦٧٨٩', '138123412345', 'call 13812341234', '张三', '', ' ', '+', '-', '1', '👨‍👩‍👧']) v;
SELECT v, crm.mask_email(v), crm.mask_email(v, true) FROM unnest(ARRAY['a@x.cn', 'ab@x.cn', 'abc@x.cn', 'abcd@x.cn', 'duandazhi@126.com', 'duandazhi@gmail.com.cn',
    'ＷＡＮＧ＠ｘ．ｃｎ', '王小明@例子.cn', '王小明@example.cn', 'é@x.cn', '13812341234@139.com', 'wang@13812341234.com', 'wang@localhost', '@x.cn', 'wang@', 'wang', 'a@b@c.cn',
    'wang xiao@x.cn', '"wang"@x.cn', '👨‍👩‍👧@x.cn', '']) v;
SELECT v, crm.mask_id_number(v) FROM unnest(ARRAY['11010519491231002X', '11010519491231002x', '51343620000320711X', '110105 19491231 002X', '１１０１０５１９４９１２３１００２Ｘ',
    '150102880730303', 'H12345678', 'M1234567890', '12345678', 'E12345678', 'EA1234567', 'A123456(3)', 'A123456(A)', 'B221690311', 'USA123456789012',
    '91135619800101001X', '1101051949123100', '110105', 'X', '张三', '']) v;
SELECT crm.mask_id_number('11010519491231002X', 6, 4), crm.mask_id_number('11010519491231002X', 18, 18), crm.mask_id_number('11010519491231002X', -1, -1), crm.mask_id_number('150102880730303', 6, 4);
SELECT v, crm.mask_bank_card(v) FROM unnest(ARRAY['6222021234567890123', '4111 1111 1111 1111', '11011111222233333256', '6227880100100105123', '123456789012345', '12345678901234',
    '12345678901', '1', 'x', '']) v;
SELECT v, crm.mask_name(v), crm.mask_name(v, 'ends') AS ends, crm.mask_name(v, 'given') AS given FROM unnest(ARRAY['张', '张三', '段正淳', '欧阳锋', '欧阳娜娜', '欧阳', '歐陽鋒', '司馬光',
    '迪丽热巴·迪力木拉提', '迪丽热巴', '𠮷田', '𠮷野家', '䶮一', '张 三', '张　三', '张先生', '王Amy', '张三13812341234', '김철수', 'さくら', 'John Smith', 'john', 'J. Smith', 'J', 'Élodie Dupont',
    'Jean-Luc O''Brien', 'محمد علي', '👨‍👩‍👧', '👨‍👩‍👧张三', '张三@qq', 'a b c d e f g', '', ' ']) v;
SELECT crm.mask_name('张三', 'all'), crm.mask_name('张三', 'no such style'), crm.mask_name('张三丰', 'surname', '某'), crm.mask_name('张三', 'surname', '');
SELECT v, crm.mask_address(v) FROM unnest(ARRAY['北京市海淀区马连洼街道289号', '广东省深圳市南山区科技园1号', '浙江省义乌市稠城街道江滨北路88号', '金华市义乌市稠城街道', '山东省济南市市中区经十路1号',
    '内蒙古自治区锡林郭勒盟锡林浩特市团结大街', '新疆维吾尔自治区喀什地区喀什市人民路', '江苏省盐城市亭湖区大庆路', '四川成都市武侯区', '浙江省台州市路桥区路北街道', '江西省景德镇市昌江区', '上海市浦东新区世纪大道超市', '苏州市吴中区',
    '江苏省苏州工业园区星湖街', '重庆市重庆市万州区白岩路', '臺北市大安區信義路', '香港特别行政区湾仔区', '杭州市红旗路5号', '杭州市城市花园3幢', '幸福小区5栋', '南山区', '中国广东省广州市天河区', '甘肃省积石山保安族东乡族撒拉族自治县吹麻滩镇',
    '湖南省芷江侗族自治县', '恩施土家族苗族自治州恩施市', '吉林市昌邑区', '青岛市新疆路5号', '221B Baker Street', '北 京 市 海 淀 区 ５ 号', '张三家', '']) v;
SELECT v, crm.mask_plate(v) FROM unnest(ARRAY['京A12345', '苏D40000', '陕A12345D', '京A·12345', '粤Z1234港', '京A1234挂', '京a12345', '京Ａ１２３４５', '京A123', 'A12345', '使224578', '']) v;
SELECT v, crm.mask_wechat(v) FROM unnest(ARRAY['wxid_abc123456', 'abcdef', 'abcde', '13812341234', '123456789', 'oUpF8uMuAJO_M2pxb1Q9zNjWeS6o', '微信', '']) v;
SELECT v, crm.mask_nickname(v) FROM unnest(ARRAY['tb_12345', '张三的小店', '张三', '张', '13812341234', '👨‍👩‍👧店👨‍👩‍👧', 'e' || repeat(U&'\0301', 100) || 'bc']) v;
SELECT v, crm.mask_courier(v) FROM unnest(ARRAY['SF1234567890123', '75312345678901', 'SF123', 'abcdefghijkl', '']) v;
SELECT v, crm.mask_iban(v), crm.mask_uscc(v) FROM unnest(ARRAY['GB82WEST12345698765432', 'gb82 west 1234 5698 7654 32', '91310110666007217T', '150102880730303', '']) v;
SELECT v, crm.mask_ip(v) FROM unnest(ARRAY['192.168.1.77', '2001:db8:86a3:8d3::', '2001:0db8:86a3:08d3:1319:8a2e:0370:7344', '::ffff:1.2.3.4', '192.168.1', '192.168.1.77/24', 'fe80::1%eth0', 'host', '']) v;
SELECT v, crm.mask_ip(v), crm.mask_ip(v, 16, 32), crm.mask_ip(v, 99, 999) FROM unnest(ARRAY['192.168.1.77', '10.1.2.3/8', '2001:db8:86a3:8d3::5']::inet[]) v;
SELECT v, crm.mask_date(v), crm.mask_date(v, 'month') AS month, crm.mask_date(v, 'five_years') AS five, crm.mask_date(v, 'decade') AS decade, crm.mask_date(v, 'day') AS day
FROM unnest(ARRAY['1990-05-06', '1990/5/6', '19900506', '1990年5月6日', '１９９０-05-06', '1990-13-01', '05/06/1990', '1990', '1990-05-06 10:00', '1990-05-06-', '']) v;
SELECT v, crm.mask_date(v), crm.mask_date(v, 'month') FROM unnest(ARRAY['1990-05-06', 'infinity', '-infinity', '0044-03-15 BC', '12345-01-01']::date[]) v;
SELECT v, crm.age_band(v, '2026-05-06'), crm.age_band(v, '2026-05-06', 5) AS five FROM unnest(ARRAY['1996-05-06', '1996-05-07', '1930-01-01', '1936-05-06', '2026-05-06', '2027-01-01', 'infinity']::date[]) v;
SELECT v, crm.mask_partial(v), crm.mask_partial(v, 3, 4) AS p34, crm.mask_partial(v, 5, 1, 'X') AS p51, crm.mask_partial(v, -1, 2147483647) AS odd
FROM unnest(ARRAY['This is a string', 'abcdefgh', 'abcdefg', 'abc', 'a', '', '👨‍👩‍👧张三🇨🇳🇺🇸', 'नमस्ते', E'a\r\nb']) v;
SELECT v, crm.mask_all(v) FROM unnest(ARRAY['1234567890', 'a', '']) v;
SELECT crm.mask_all('secret', 'ab'), crm.mask_phone('13812341234', '●'), crm.mask_phone('13812341234', ''), crm.mask_phone(NULL);
SELECT v, crm.mask_text(v) FROM unnest(ARRAY[
    '请打13812341234找王先生', '手机 138-1234-1234 或 +86 138 1234 1234。', '电话１３８１２３４１２３４', E'138\u200b1234\u200b1234', '1 3 8 1 2 3 4 1 2 3 4', '①③⑧①②③④①②③④', '13812341234-5678',
    '身份证11010519491231002X，谢谢', '110105 19491231 002X', '卡号6222 0212 3456 7890 123', '卡号6222021234567890123.', '邮箱zhang.san@qq.com。', '邮箱ＺＨＡＮＧ＠ｑｑ．ｃｏｍ', 'mail zhang@example.com.',
    '座机010-65529988转8001', '+1 415 555 2671', 'HK 9123 4567', '订单2024-01-15 13:45下单，共3件，1299.00元', '2023-2024', 'SF1234567890123', '护照E12345678', repeat('1', 100), 'a@b', 'a@@b.com', '13812341234@139.com',
    '无', '', '👨‍👩‍👧13812341234👨‍👩‍👧', '12 13812341234', '٠١٢٣٤٥٦٧٨٩']) v;
