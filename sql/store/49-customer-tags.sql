-- The tags of a customer, where no earlier script has made them.
DO $tags$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'customer'::regclass AND a.attname = 'tags' AND NOT a.attisdropped) THEN
        ALTER TABLE customer ADD COLUMN tags tagset NOT NULL DEFAULT '{}';
    END IF;
END
$tags$;
