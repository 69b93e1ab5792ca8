-- The order path of the ledger.

CREATE FUNCTION points_lines_changed() RETURNS trigger
LANGUAGE c AS 'MODULE_PATHNAME';
COMMENT ON FUNCTION points_lines_changed() IS
'statement trigger AFTER changes of purchase_item, or of purchase_refund, with transition tables: brings the points of those orders to what their rules give, where a rule multiplies by category or product';
