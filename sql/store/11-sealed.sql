-- A sealed store keeps who its customers are as crm.sealed; gender and date of birth stay as they are, since rules and birthdays need them.

CREATE FUNCTION is_sealed() RETURNS boolean
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT a.atttypid = 'crm.sealed'::regtype FROM pg_catalog.pg_attribute a WHERE a.attrelid = 'contact'::regclass AND a.attname = 'phone';
END;
COMMENT ON FUNCTION is_sealed() IS 'does this store keep contact sealed?';

DO $do$
BEGIN
    IF obj_description((SELECT c.relnamespace FROM pg_catalog.pg_class c WHERE c.oid = 'contact'::regclass), 'pg_namespace')
       IS DISTINCT FROM 'a sealed store of the extension crm' THEN
        RETURN;
    END IF;
    ALTER TABLE contact
        ALTER COLUMN name TYPE sealed USING NULL, ALTER COLUMN phone TYPE sealed USING NULL, ALTER COLUMN email TYPE sealed USING NULL,
        ALTER COLUMN wechat TYPE sealed USING NULL, ALTER COLUMN id_number TYPE sealed USING NULL, ALTER COLUMN address TYPE sealed USING NULL,
        ADD COLUMN phone_index bytea,
        ADD COLUMN email_index bytea,
        ADD COLUMN name_index bytea,
        ADD COLUMN pinyin_index bytea;
    COMMENT ON COLUMN contact.phone_index IS 'blind index of the phone number in E.164, or as it is when it has no such form; kept by a trigger';
    COMMENT ON COLUMN contact.email_index IS 'blind index of the normal form of the e-mail address; kept by a trigger';
    COMMENT ON COLUMN contact.name_index IS 'blind index of the normal form of the name; kept by a trigger';
    COMMENT ON COLUMN contact.pinyin_index IS 'blind index of the whole name in pinyin; kept by a trigger';
    CREATE INDEX contact_phone ON contact (phone_index);
    CREATE INDEX contact_email ON contact (email_index);
    CREATE INDEX contact_name ON contact (name_index);
    CREATE INDEX contact_pinyin ON contact (pinyin_index);
END
$do$;
