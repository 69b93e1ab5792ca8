-- Duplicates of a part: those whose first customer is here.

CREATE FUNCTION keep_duplicates(these jsonb) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    DELETE FROM duplicate_candidate d
    WHERE d.state = 'open' AND NOT EXISTS (SELECT FROM jsonb_to_recordset(these) s (customer_id bigint, other bigint) WHERE s.customer_id = d.customer_id AND s.other = d.other);
    INSERT INTO duplicate_candidate AS d (customer_id, other, score, reasons)
    SELECT s.* FROM jsonb_to_recordset(these) s (customer_id bigint, other bigint, score smallint, reasons text[]) ORDER BY s.customer_id, s.other
    ON CONFLICT (customer_id, other) DO UPDATE SET score = EXCLUDED.score, reasons = EXCLUDED.reasons, problem = NULL
        WHERE d.state = 'open' AND (d.score, d.reasons, d.problem IS NULL) IS DISTINCT FROM (EXCLUDED.score, EXCLUDED.reasons, true);
END
$$;
COMMENT ON FUNCTION keep_duplicates(jsonb) IS 'brings the open pairs of this part up to those that were found';
