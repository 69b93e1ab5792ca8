-- Draws: a draw stands on every node, and who enters holds the copy of one.

CREATE OR REPLACE FUNCTION lock_draw(draw text) RETURNS draw
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    result draw;
BEGIN
    -- A lock would be taken on this node alone; what writes is on all.
    UPDATE draw k SET name = k.name WHERE k.draw = lock_draw.draw RETURNING k.* INTO result;
    RETURN result;
END
$$;
