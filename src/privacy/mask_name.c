/*
 * Masks of names, postal addresses and number plates, which need to know Chinese.
 */
#include "base/crm.h"

#include "base/unicode.h"
#include "mb/pg_wchar.h"
#include "privacy/mask.h"

/* Surnames of two characters in both scripts, sorted bytewise. */
static const char *const compound_surnames[] = {
	"万俟", "上官", "东方", "东郭", "东门", "乐正", "亓官", "令狐", "仲孙", "仲孫", "公冶", "公孙", "公孫",
	"公羊", "公良", "公西", "北堂", "单于", "南宫", "南宮", "南門", "南门", "即墨", "叶赫", "司寇", "司徒",
	"司空", "司馬", "司马", "呼延", "哥舒", "單于", "壤駟", "壤驷", "夏侯", "太史", "夹谷", "夾谷", "子車",
	"子车", "宇文", "完顏", "完颜", "宗政", "尉迟", "尉遲", "左丘", "巫馬", "巫马", "微生", "慕容", "拓拔",
	"拓跋", "東方", "東郭", "東門", "梁丘", "樂正", "欧阳", "歐陽", "段干", "淳于", "漆雕", "澹台", "澹臺",
	"濮阳", "濮陽", "独孤", "獨孤", "申屠", "百里", "皇甫", "穀梁", "端木", "第五", "納蘭", "纳兰", "羊舌",
	"耶律", "聞人", "萬俟", "葉赫", "褚师", "褚師", "西門", "西门", "諸葛", "诸葛", "谷梁", "賀蘭", "贺兰",
	"赫连", "赫連", "軒轅", "轩辕", "达奚", "達奚", "鍾離", "鐘離", "钟离", "長孫", "长孙", "閭丘", "闻人",
	"闾丘", "顓孫", "颛孙", "鮮于", "鲜于",
};

/* Provinces as people write them; the municipalities come first. */
static const char *const provinces[] = {
	"北京", "上海", "天津", "重庆", "重慶", "河北", "山西", "内蒙古", "內蒙古", "辽宁", "遼寧", "吉林", "黑龙江", "黑龍江",
	"江苏", "江蘇", "浙江", "安徽", "福建", "江西", "山东", "山東", "河南", "湖北", "湖南", "广东", "廣東", "广西", "廣西",
	"海南", "四川", "贵州", "貴州", "云南", "雲南", "西藏", "陕西", "陝西", "甘肃", "甘肅", "青海", "宁夏", "寧夏", "新疆",
	"香港", "澳门", "澳門", "台湾", "臺灣", "台灣",
};
#define MUNICIPALITIES 5

static const char *const province_suffixes[] = {
	"维吾尔自治区", "維吾爾自治區", "特别行政区", "特別行政區", "壮族自治区", "壯族自治區", "回族自治区", "回族自治區",
	"自治区", "自治區", "省",
};

/* What reads like a division without being one, what ends so, and what no division has in its name. */
static const char *const no_divisions[] = {
	"城市", "超市", "都市", "夜市", "门市", "門市", "集市", "菜市", "花市", "书市", "上市", "股市", "楼市", "早市",
};
static const char *const no_division_ends[] = {
	"小区", "小區", "社区", "社區", "校区", "校區", "景区", "景區", "厂区", "廠區", "院区", "院區", "园区", "園區", "营区",
	"片区", "库区", "住区", "街区", "街區", "展区", "生活区", "宿舍区", "别墅区", "家属区",
};
static const char *const no_division_parts[] = {
	"街", "巷", "弄", "号", "號", "栋", "棟", "幢", "座", "室", "层", "層", "村", "庭", "苑", "邨", "邸", "大厦", "大廈",
	"广场", "廣場",
};
static const char *const road_words[] = {
	"路", "街", "巷", "大道", "大街", "东路", "西路", "南路", "北路", "中路", "一路", "二路", "三路", "东街", "西街",
};

/* First characters of number plates. */
static const char *const plate_provinces = "京津沪渝冀豫云辽黑湘皖鲁新苏浙赣鄂桂甘晋蒙陕吉闽贵粤青藏川宁琼";
static const char *const plate_ends = "挂学警港澳使领試试超";

/*
 * Does s start with prefix, which has at least one ideograph? Its second and third byte tell most apart.
 */
static inline bool
starts_with(const char *s, int length, const char *prefix)
{
	return length >= 3 && s[2] == prefix[2] && s[1] == prefix[1] && length >= (int) strlen(prefix) &&
		   memcmp(s, prefix, strlen(prefix)) == 0;
}

static bool
ends_with(const char *s, int length, const char *suffix)
{
	int n = strlen(suffix);

	return length >= n && memcmp(s + length - n, suffix, n) == 0;
}

/*
 * Is the ideograph at s one of those in list?
 */
static bool
in_list(const char *s, int length, const char *list)
{
	if (length < 3)
		return false;
	for (; *list; list += 3)
		if (s[2] == list[2] && s[1] == list[1] && s[0] == list[0])
			return true;
	return false;
}

/*
 * Is part among the ideographs of s?
 */
static bool
contains(const char *s, int length, const char *part)
{
	for (int i = 0; i + 3 <= length; i += 3)
		if (starts_with(s + i, length - i, part))
			return true;
	return false;
}

static bool
starts_with_road(const char *s, int length)
{
	for (int i = 0; i < lengthof(road_words); i++)
		if (starts_with(s, length, road_words[i]))
			return true;
	return false;
}

static uint32
codepoint_at(const char *s)
{
	return IS_HIGHBIT_SET(*s) ? utf8_to_unicode((const unsigned char *) s) : (unsigned char) *s;
}

/*
 * Is this a character that stands for a syllable of a name? Rare names live in the private use area of old systems.
 */
static bool
is_ideograph(uint32 c)
{
	return (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0x3400 && c <= 0x4DBF) || (c >= 0xF900 && c <= 0xFAFF) ||
		   (c >= 0x20000 && c <= 0x3FFFF) || (c >= 0xE000 && c <= 0xF8FF) || c == 0x3005 || c == 0x3007 ||
		   (c >= 0xAC00 && c <= 0xD7A3);
}

/*
 * Is it one of the dots between the parts of a name?
 */
static bool
is_name_dot(uint32 c)
{
	return c == 0xB7 || c == 0x2022 || c == 0x2027 || c == 0x2219 || c == 0x22C5 || c == 0x30FB;
}

static bool
is_compound_surname(const char *s, int length)
{
	int low = 0;
	int high = lengthof(compound_surnames);

	while (low < high)
	{
		int middle = (low + high) / 2;
		int order = strncmp(compound_surnames[middle], s, length);

		if (order == 0 && strlen(compound_surnames[middle]) == length)
			return true;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/*
 * Words of letters: the first letter of each and three hidden ones; a word of one letter is not shown
 */
static bool
mask_words(MaskOut *out, const char *s, int length, const int *offsets, int count)
{
	int words = 0;
	bool inside = false;

	for (int i = 0; i < count; i++)
	{
		int from = offsets ? offsets[i] : i;
		int to = offsets ? offsets[i + 1] : i + 1;
		uint32 c = codepoint_at(s + from);
		uint32 next = to < length ? codepoint_at(s + to) : ' ';

		if (c == ' ' || c == ',' || c == '\t' || is_name_dot(c))
		{
			inside = false;
			continue;
		}
		if (inside)
			continue;
		inside = true;
		if (!(c < 0x80 ? is_alpha(c) : unicode_is_letter(c)) || ++words > 6)
			return false;
		if (words > 1)
			mask_char(out, ' ');
		if (next != ' ' && next != ',' && next != '.' && next != '\t' && to - from <= MASK_MAX_CLUSTER)
			mask_shown(out, s + from, to - from);
		mask_hidden(out, 3);
	}
	return words > 0;
}

/*
 * Names with dots between their parts: the first character of the first part, the others hidden
 */
static bool
mask_dotted(MaskOut *out, const char *s, const int *offsets, int count)
{
	int parts = 1;
	int first = 0;
	uint32 c = codepoint_at(s);

	while (first < count && !is_name_dot(codepoint_at(s + offsets[first])))
		first++;
	if (first == 0 || !(is_ideograph(c) || unicode_is_letter(c)))
		return false;
	if (first > 1 && offsets[1] <= MASK_MAX_CLUSTER)
		mask_shown(out, s, offsets[1]);
	mask_hidden(out, 3);
	for (int i = first; i < count; i++)
	{
		if (!is_name_dot(codepoint_at(s + offsets[i])))
			continue;
		if (++parts > 6)
			return false;
		mask_shown(out, "·", strlen("·"));
		mask_hidden(out, 3);
	}
	return true;
}

/*
 * Names: by style surname (张**), ends (张*三), given (**三) or all
 */
void
hide_name(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	bool surname = options->style_length == 7 && memcmp(options->style, "surname", 7) == 0;
	bool ends = options->style_length == 4 && memcmp(options->style, "ends", 4) == 0;
	bool given = options->style_length == 5 && memcmp(options->style, "given", 5) == 0;
	bool ascii = true;
	bool dot = false;
	int *offsets = NULL;
	int count = length;
	int left;
	int right;

	for (int i = 0; i < length; i++)
	{
		if (is_digit(s[i]) || s[i] == '@' || (unsigned char) s[i] < ' ')
		{
			mask_whole(out);
			return;
		}
		ascii &= !IS_HIGHBIT_SET(s[i]);
	}
	if (!surname && !ends && !given)
	{
		mask_whole(out);
		return;
	}
	if (!ascii)
		count = mask_clusters(s, length, &offsets);
	if (count == 1)
	{
		mask_hidden(out, 1);
		return;
	}
	if (count > 128)
	{
		mask_whole(out);
		return;
	}
	for (int i = 0; !ascii && i < count; i++)
		dot |= is_name_dot(codepoint_at(s + offsets[i]));
	if (dot)
	{
		if (!mask_dotted(out, s, offsets, count))
			mask_whole(out);
		return;
	}
	if (ascii || !is_ideograph(codepoint_at(s)))
	{
		if (!mask_words(out, s, length, offsets, count))
			mask_whole(out);
		return;
	}

	/* Spaces set a name apart without being part of it. */
	left = 0;
	for (int i = 0; i < count; i++)
		if (s[offsets[i]] != ' ')
			offsets[left++] = offsets[i];
	count = left;
	offsets[count] = length;
	if (count == 1)
	{
		mask_hidden(out, 1);
		return;
	}
	left = given ? 0 : 1;
	right = given || (ends && count > 2) ? 1 : 0;
	if (surname && count > 2 && offsets[2] == 6 && is_compound_surname(s, 6))
		left = 2;
	for (int i = 0; i < count; i++)
	{
		/* Two hidden characters at most, so that the length of a long name tells nothing. */
		if (i >= left && i < count - right)
		{
			if (i - left < 2)
				mask_hidden(out, 1);
		}
		else
		{
			int size = pg_utf_mblen((const unsigned char *) s + offsets[i]);

			/* What follows the last shown character up to the next may be spaces. */
			if (offsets[i + 1] - offsets[i] <= MASK_MAX_CLUSTER && s[offsets[i + 1] - 1] != ' ')
				size = offsets[i + 1] - offsets[i];
			mask_shown(out, s + offsets[i], size);
		}
	}
}

/*
 * Length of the division that s starts with, such as 深圳市 or 南山区, else 0. *level is 2 for what belongs to a province,
 * 3 for what belongs to a city.
 */
static int
division_length(const char *s, int length, int *level)
{
	static const char *const suffixes[] = {"自治州", "自治县", "自治縣", "自治旗", "地区", "地區", "林区", "特区", "矿区",
										   "新区",	 "市",	   "盟",	 "区",	   "區",   "县",   "縣",   "旗"};
	int at = 0;

	for (int characters = 1; characters <= 15 && at + 3 <= length; characters++, at += 3)
	{
		if (codepoint_at(s + at) < 0x3400 || codepoint_at(s + at) > 0x9FFF)
			return 0;
		/* Most characters begin no suffix. */
		if (!in_list(s + at, 3, "市区县區縣旗盟自新地林特矿"))
			continue;
		for (int i = 0; i < lengthof(suffixes); i++)
		{
			int end = at + (int) strlen(suffixes[i]);
			const char *rest = s + end;
			/* Long names are those of autonomous divisions only. */
			bool autonomous = starts_with(suffixes[i], 6, "自治");

			if (characters < 2 || end > length || !starts_with(s + at, length - at, suffixes[i]) ||
				(!autonomous && characters > 7))
				continue;
			for (int j = 0; j < lengthof(no_divisions); j++)
				if (end == (int) strlen(no_divisions[j]) && starts_with(s, end, no_divisions[j]))
					return 0;
			for (int j = 0; j < lengthof(no_division_ends); j++)
				if (ends_with(s, end, no_division_ends[j]) && !ends_with(s, end, "工业园区"))
					return 0;
			for (int j = 0; j < lengthof(no_division_parts); j++)
				if (contains(s, end, no_division_parts[j]))
					return 0;
			/* 路桥区 and 镇海区 are districts, 人民路口区 is not. */
			for (int j = 3; j < at && !autonomous; j += 3)
				if (in_list(s + j, 3, "路道镇鎮乡鄉") && !starts_with(s, end, "景德镇市") && !starts_with(s, end, "新乡"))
					return 0;
			/* 红旗路 and 红旗镇 carry the name of no banner. */
			if (in_list(rest, length - end, "街巷场場") ||
				(!starts_with(suffixes[i], 3, "市") && !autonomous &&
				 (starts_with_road(rest, length - end) || in_list(rest, length - end, "村镇鎮乡鄉号號桥橋"))))
				return 0;
			*level = i == 0 || i == 4 || i == 5 || starts_with(suffixes[i], 3, "市") || starts_with(suffixes[i], 3, "盟")
						 ? 2
						 : 3;
			return end;
		}
	}
	return 0;
}

/*
 * Length of the province that s starts with, else 0
 */
static int
province_length(const char *s, int length)
{
	for (int i = 0; i < lengthof(provinces); i++)
	{
		int n = strlen(provinces[i]);

		if (!starts_with(s, length, provinces[i]))
			continue;
		for (int j = 0; j < lengthof(province_suffixes); j++)
			if (starts_with(s + n, length - n, province_suffixes[j]))
				return n + strlen(province_suffixes[j]);
		if (starts_with(s + n, length - n, "市"))
			return i < MUNICIPALITIES || starts_with(s, length, "香港") ? n + 3 : 0;
		/* 上海路 is a road, 河北区 a district of Tianjin. */
		if (starts_with_road(s + n, length - n) || in_list(s + n, length - n, "区區县縣"))
			return 0;
		return n;
	}
	return 0;
}

/*
 * Postal addresses: cut after the last division of province, city and district, the rest in fixed width
 */
void
hide_address(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	/* No division lies beyond the first few hundred bytes. */
	char text[384];
	int count = 0;
	int at = 0;
	int level = 0;
	int part;

	for (int i = 0; i < length && count < (int) sizeof(text); i++)
		if (s[i] != ' ' && s[i] != ',' && s[i] != '-')
			text[count++] = s[i];
	if (starts_with(text, count, "中华人民共和国"))
		at = strlen("中华人民共和国");
	else if (starts_with(text, count, "中国") || starts_with(text, count, "中國"))
		at = strlen("中国");
	part = province_length(text + at, count - at);
	at = part > 0 ? at + part : at;
	/* An address may name the municipality twice, as 北京市北京市. */
	if (part > 0 && starts_with(text + at, count - at, "市辖区"))
		at += strlen("市辖区");
	while (level < 3)
	{
		int next;

		part = division_length(text + at, count - at, &next);
		if (part == 0)
			break;
		/* A city may lie in a city, as 金华市义乌市; nothing else of one level does. */
		if (next == 2 && level == 2)
			next = 3;
		level = next;
		at += part;
	}
	if (at == 0 || at > count)
	{
		mask_whole(out);
		return;
	}
	mask_shown(out, text, at);
	mask_hidden(out, 4);
}

/*
 * Number plates of the mainland: province and letter, and the last character
 */
void
hide_plate(MaskOut *out, const char *s, int length, const MaskOptions *options)
{
	char plate[16];
	int count;
	int last = 1;

	if (length < 8 || !in_list(s, length, plate_provinces))
	{
		mask_whole(out);
		return;
	}
	s += 3;
	length -= 3;
	if (length >= 3 && in_list(s + length - 3, 3, plate_ends))
		last = 3;
	count = mask_strip(plate, sizeof(plate), s, length - (last == 3 ? 3 : 0), " -\xC2\xB7");
	if (count < 0 || count + (last == 3) < 6 || count + (last == 3) > 7 || !is_upper(plate[0]))
	{
		mask_whole(out);
		return;
	}
	for (int i = 1; i < count; i++)
	{
		if (!is_upper(plate[i]) && !is_digit(plate[i]))
		{
			mask_whole(out);
			return;
		}
	}
	mask_shown(out, s - 3, 3);
	mask_char(out, plate[0]);
	mask_hidden(out, count - 1 - (last == 1));
	if (last == 3)
		mask_shown(out, s + length - 3, 3);
	else
		mask_char(out, plate[count - 1]);
}
