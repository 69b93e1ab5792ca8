-- Tags of customers: dictionary, rules, events, expiry.

CREATE TABLE tag_namespace (
    namespace text COLLATE "C" PRIMARY KEY CHECK (namespace <> '' AND strpos(namespace, ':') = 0),
    name_zh text,
    name_en text,
    exclusive boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE tag_namespace IS 'what stands before the colon of tags such as channel:tmall. A namespace without a row holds any number of values';
COMMENT ON COLUMN tag_namespace.exclusive IS 'a customer has at most one tag of it, such as a life cycle; else any number, such as groups';

CREATE TABLE tag (
    tag text COLLATE "C" PRIMARY KEY CHECK (tag <> ''),
    namespace text COLLATE "C" GENERATED ALWAYS AS (CASE WHEN strpos(tag, ':') > 1 THEN split_part(tag, ':', 1) END) STORED,
    name_zh text,
    name_en text,
    description text,
    kind text NOT NULL DEFAULT 'manual' CHECK (kind IN ('manual', 'rule', 'official')),
    valid_for interval CHECK (valid_for > '0'),
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL DEFAULT crm.actor_or_user()
);
CREATE INDEX tag_of_namespace ON tag (namespace);
COMMENT ON TABLE tag IS 'dictionary of tags. Customers may carry tags that are not in it: those are manual and never expire';
COMMENT ON COLUMN tag.name_zh IS 'name in Chinese';
COMMENT ON COLUMN tag.name_en IS 'name in English';
COMMENT ON COLUMN tag.description IS 'when to give it';
COMMENT ON COLUMN tag.created_at IS 'when it came into the dictionary';
COMMENT ON COLUMN tag.created_by IS 'who put it there';
COMMENT ON COLUMN tag.tag IS 'in canonical form; a trigger folds what is written';
COMMENT ON COLUMN tag.namespace IS 'what stands before the first colon';
COMMENT ON COLUMN tag.kind IS 'manual: given by staff; rule: given by a rule; official: given by the platform or the store''s owner, and out of reach of agents';
COMMENT ON COLUMN tag.valid_for IS 'how long a customer keeps it, unless said otherwise when it is given; null: without end';

CREATE FUNCTION fold_tag_row() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF crm.table_name(TG_RELID) = 'tag' THEN
        NEW.tag := fold_tag(NEW.tag);
    ELSE
        NEW.namespace := fold_tag(NEW.namespace);
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION fold_tag_row() IS 'row trigger: brings a tag or namespace to canonical form';
CREATE TRIGGER fold BEFORE INSERT OR UPDATE OF tag ON tag FOR EACH ROW EXECUTE FUNCTION fold_tag_row();
CREATE TRIGGER fold BEFORE INSERT OR UPDATE OF namespace ON tag_namespace FOR EACH ROW EXECUTE FUNCTION fold_tag_row();

ALTER TABLE customer ADD COLUMN tags crm.tagset NOT NULL DEFAULT '{}';
COMMENT ON COLUMN customer.tags IS 'the customer''s tags; every change is written to tag_event';
CREATE INDEX customer_tags ON customer USING gin (tags);

-- No foreign key: only the triggers of customer write here, in the statement that writes the customer, and a check for each
-- event would cost more than the event.
CREATE TABLE tag_event (
    customer_id bigint NOT NULL,
    event_id bigint GENERATED ALWAYS AS IDENTITY,
    tag text COLLATE "C" NOT NULL,
    added boolean NOT NULL,
    at timestamptz NOT NULL,
    who text NOT NULL,
    why text,
    expires_at timestamptz,
    PRIMARY KEY (customer_id, event_id)
);
CREATE INDEX tag_event_at ON tag_event USING brin (at);
COMMENT ON TABLE tag_event IS 'each tag that a customer got or lost; written by the triggers of customer';
COMMENT ON COLUMN tag_event.tag IS 'the tag, as it was named then';
COMMENT ON COLUMN tag_event.at IS 'when';
COMMENT ON COLUMN tag_event.added IS 'true: got it; false: lost it';
COMMENT ON COLUMN tag_event.who IS 'crm.actor, or else the role that made the change';
COMMENT ON COLUMN tag_event.why IS 'the reason given to the verb, or crm.tag_reason';
COMMENT ON COLUMN tag_event.expires_at IS 'when the tag lapses, as known when it was given';

CREATE TABLE tag_expiry (
    customer_id bigint NOT NULL REFERENCES customer ON DELETE CASCADE,
    tag text COLLATE "C" NOT NULL,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (customer_id, tag)
);
CREATE INDEX tag_expiry_at ON tag_expiry (expires_at);
COMMENT ON TABLE tag_expiry IS 'when a tag that a customer has now expires; tags without a row stay';

CREATE TABLE tag_audience (
    tag text COLLATE "C" NOT NULL,
    chunk bigint NOT NULL,
    members crm.audience NOT NULL,
    PRIMARY KEY (tag, chunk)
) WITH (fillfactor = 70);
COMMENT ON TABLE tag_audience IS
'who has a tag, by chunks of 1048576 customer ids, as of the last fold. The exclusive or with the rows of tag_audience_change is who has it now. The empty tag stands for all customers';
COMMENT ON COLUMN tag_audience.chunk IS 'customer_id >> 20';

CREATE TABLE tag_audience_change (
    tag text COLLATE "C" NOT NULL,
    chunk bigint NOT NULL,
    change_id uuid NOT NULL DEFAULT gen_random_uuid(),
    toggled crm.audience NOT NULL,
    PRIMARY KEY (tag, chunk, change_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
COMMENT ON TABLE tag_audience_change IS
'customers that got or lost a tag since the last fold. Only ever inserted by who changes tags, so nobody waits for anybody; whoever is in an odd number of rows changed sides';

CREATE TRIGGER tags_inserted AFTER INSERT ON customer
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION crm.tags_changed();
CREATE TRIGGER tags_updated AFTER UPDATE ON customer
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION crm.tags_changed();
CREATE TRIGGER tags_deleted AFTER DELETE ON customer
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION crm.tags_changed();

CREATE FUNCTION customers_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
DECLARE
    id bigint;
BEGIN
    IF crm.is_shard(TG_RELID) THEN
        FOR id IN SELECT o.customer_id FROM old_rows o LOOP
            DELETE FROM tag_event e WHERE e.customer_id = id;
        END LOOP;
        RETURN NULL;
    END IF;
    DELETE FROM tag_event e USING old_rows o WHERE e.customer_id = o.customer_id;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION customers_deleted() FROM PUBLIC;
COMMENT ON FUNCTION customers_deleted() IS 'statement trigger: the events of a customer go with it';
CREATE TRIGGER tag_events_deleted AFTER DELETE ON customer
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION customers_deleted();

CREATE FUNCTION customers_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
BEGIN
    TRUNCATE tag_audience, tag_audience_change, tag_event;
    RETURN NULL;
END
$$;
REVOKE EXECUTE ON FUNCTION customers_truncated() FROM PUBLIC;
COMMENT ON FUNCTION customers_truncated() IS 'statement trigger: no customers, no audiences';
CREATE TRIGGER tags_truncated AFTER TRUNCATE ON customer FOR EACH STATEMENT EXECUTE FUNCTION customers_truncated();

-- What the columns without a word above are.
COMMENT ON COLUMN tag_namespace.namespace IS 'what stands before the colon';
COMMENT ON COLUMN tag_namespace.name_zh IS 'Chinese name';
COMMENT ON COLUMN tag_namespace.name_en IS 'English name';
COMMENT ON COLUMN tag_event.customer_id IS 'whose tag';
COMMENT ON COLUMN tag_event.event_id IS 'number of the event';
COMMENT ON COLUMN tag_expiry.customer_id IS 'whose tag';
COMMENT ON COLUMN tag_expiry.tag IS 'the tag';
COMMENT ON COLUMN tag_expiry.expires_at IS 'when expire_tags takes it away';
COMMENT ON COLUMN tag_audience.tag IS 'the tag; empty: all customers';
COMMENT ON COLUMN tag_audience.members IS 'ids of this chunk that had the tag at the last fold';
COMMENT ON COLUMN tag_audience_change.tag IS 'the tag; empty: all customers';
COMMENT ON COLUMN tag_audience_change.chunk IS 'customer id divided by 1048576';
COMMENT ON COLUMN tag_audience_change.change_id IS 'number of the change';
COMMENT ON COLUMN tag_audience_change.toggled IS 'ids that got or lost the tag';
