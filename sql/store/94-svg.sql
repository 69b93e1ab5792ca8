-- Two more kinds of charts for 95-report.sql: areas that share a rectangle, and values with an interval.

CREATE FUNCTION svg_treemap(labels text[], amounts numeric[], language text DEFAULT 'en') RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path FROM CURRENT
AS $treemap$
DECLARE
    wide CONSTANT numeric := 360;
    high CONSTANT numeric := 220;
    x numeric := 0;
    y numeric := 0;
    w numeric := wide;
    h numeric := high;
    total numeric := (SELECT sum(greatest(a, 0)) FROM unnest(amounts) a);
    rank integer[];
    n integer;
    first integer := 1;
    last integer;
    side numeric;
    strip numeric;
    area numeric;
    worst numeric;
    better numeric;
    at numeric;
    cell numeric;
    cx numeric;
    cy numeric;
    cw numeric;
    ch numeric;
    shade integer;
    lines text[];
    word text;
    body text := '';
BEGIN
    SELECT array_agg(o ORDER BY a DESC, o) INTO rank FROM unnest(amounts) WITH ORDINALITY u (a, o) WHERE a > 0;
    n := coalesce(cardinality(rank), 0);
    -- Squarified (Bruls, Huizing, van Wijk 2000): a strip along the shorter side takes areas while that makes them squarer.
    WHILE first <= n LOOP
        side := least(w, h);
        area := 0;
        worst := NULL;
        last := first - 1;
        WHILE last < n LOOP
            strip := area + amounts[rank[last + 1]] * wide * high / total;
            -- The first of a strip is its largest and the next one its smallest.
            better := greatest(side * side * (amounts[rank[first]] * wide * high / total) / (strip * strip),
                               strip * strip / (side * side * (amounts[rank[last + 1]] * wide * high / total)));
            EXIT WHEN worst IS NOT NULL AND better > worst;
            worst := better;
            area := strip;
            last := last + 1;
        END LOOP;
        strip := area / side;
        at := 0;
        FOR k IN first..last LOOP
            cell := amounts[rank[k]] * wide * high / total / strip;
            IF w >= h THEN
                cx := x; cy := y + at; cw := strip; ch := cell;
            ELSE
                cx := x + at; cy := y; cw := cell; ch := strip;
            END IF;
            at := at + cell;
            shade := least(6, greatest(1, ceil(6 * amounts[rank[k]] / amounts[rank[1]])));
            body := body || format('<rect class="h%s" data-value="%s" x="%s" y="%s" width="%s" height="%s"><title>%s</title></rect>',
                shade, trim_scale(amounts[rank[k]]), round(cx + 0.5, 1), round(cy + 0.5, 1), greatest(round(cw - 1, 1), 0.1), greatest(round(ch - 1, 1), 0.1),
                xml_escape(labels[rank[k]] || ': ' || trim_scale(amounts[rank[k]])));
            -- A label stands where it fits whole, in lines of whole words; the table names every area.
            lines := '{}';
            FOREACH word IN ARRAY string_to_array(labels[rank[k]], ' ') LOOP
                IF cardinality(lines) > 0 AND svg_width(lines[cardinality(lines)] || ' ' || word) + 8 <= cw THEN
                    lines[cardinality(lines)] := lines[cardinality(lines)] || ' ' || word;
                ELSE
                    lines := lines || word;
                END IF;
            END LOOP;
            IF (SELECT max(svg_width(l)) FROM unnest(lines) l) + 8 <= cw AND ch >= 4 + 14 * cardinality(lines) THEN
                IF ch >= 20 + 14 * cardinality(lines) THEN
                    lines := lines || svg_number(amounts[rank[k]], language);
                END IF;
                body := body || (SELECT string_agg(format('<text class="t%s" x="%s" y="%s">%s</text>', shade, round(cx + 5, 1), round(cy + 1 + 14 * i, 1), xml_escape(l)), '' ORDER BY i)
                                 FROM unnest(lines) WITH ORDINALITY u (l, i));
            END IF;
        END LOOP;
        IF w >= h THEN
            x := x + strip; w := w - strip;
        ELSE
            y := y + strip; h := h - strip;
        END IF;
        first := last + 1;
    END LOOP;
    RETURN format('<svg xmlns="http://www.w3.org/2000/svg" class="crm" role="img" viewBox="0 0 360 %s" width="360" height="%s" aria-labelledby="@">@%s</svg>', high, high, body);
END
$treemap$;
COMMENT ON FUNCTION svg_treemap(text[], numeric[], text) IS
'areas in proportion to the amounts, together one rectangle of 360 by 220, the largest first and darkest; amounts of 0 and less have no area. For @ see svg_bars';

CREATE FUNCTION svg_intervals(labels text[], amounts numeric[], lows numeric[], highs numeric[], language text DEFAULT 'en') RETURNS text
LANGUAGE plpgsql IMMUTABLE
SET search_path FROM CURRENT
AS $intervals$
DECLARE
    n integer := cardinality(labels);
    low numeric := least(0, (SELECT min(v) FROM unnest(amounts || lows) v));
    high numeric := greatest(0, (SELECT max(v) FROM unnest(amounts || highs) v));
    unit numeric := 340 / nullif(high - low, 0);
    tick numeric;
    x numeric;
    y numeric := 0;
    body text := '';
BEGIN
    IF unit IS NOT NULL THEN
        tick := svg_tick_step(high - low);
        FOR t IN ceil(low / tick)::integer .. floor(high / tick)::integer LOOP
            x := round(10 + (t * tick - low) * unit, 1);
            body := body || format('<line class="%s" x1="%s" x2="%s" y1="0" y2="%s"/><text class="ax" x="%s" y="%s" text-anchor="middle">%s</text>',
                CASE t WHEN 0 THEN 'base' ELSE 'grid' END, x, x, n * 36, least(greatest(x, 14), 346), n * 36 + 14, svg_number(t * tick, language));
        END LOOP;
    END IF;
    FOR i IN 1..n LOOP
        body := body || format('<text x="4" y="%s">%s</text>', y + 13,
            xml_escape(CASE WHEN svg_width(labels[i]) > 290 THEN left(labels[i], 22) || '…' ELSE labels[i] END || ': ' || svg_number(amounts[i], language)));
        IF unit IS NOT NULL AND lows[i] IS NOT NULL AND highs[i] IS NOT NULL THEN
            body := body || format('<line class="whisker" x1="%s" x2="%s" y1="%s" y2="%s"/>', round(10 + (lows[i] - low) * unit, 1), round(10 + (highs[i] - low) * unit, 1), y + 24, y + 24);
        END IF;
        IF unit IS NOT NULL AND amounts[i] IS NOT NULL THEN
            body := body || format('<circle class="c1" data-value="%s" cx="%s" cy="%s" r="5"><title>%s</title></circle>', trim_scale(amounts[i]), round(10 + (amounts[i] - low) * unit, 1), y + 24,
                xml_escape(labels[i] || ': ' || trim_scale(amounts[i]) || coalesce(' (' || trim_scale(lows[i]) || ' … ' || trim_scale(highs[i]) || ')', '')));
        END IF;
        y := y + 36;
    END LOOP;
    RETURN format('<svg xmlns="http://www.w3.org/2000/svg" class="crm" role="img" viewBox="0 0 360 %s" width="360" height="%s" aria-labelledby="@">@%s</svg>', y + 20, y + 20, body);
END
$intervals$;
COMMENT ON FUNCTION svg_intervals(text[], numeric[], numeric[], numeric[], text) IS 'a point with its interval on a line for each label, 360 wide, the line of zero among them. For @ see svg_bars';
