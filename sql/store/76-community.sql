-- Communities (社群): groups on Qianniu, QQ, WeChat and Douyin.

CREATE TABLE community (
    community text PRIMARY KEY,
    platform text NOT NULL CHECK (platform IN ('qianniu', 'qq', 'wechat', 'douyin', 'other')),
    name text NOT NULL,
    owner text REFERENCES agent,
    link text,
    qr_text text,
    capacity integer NOT NULL DEFAULT 500 CHECK (capacity > 0),
    members integer NOT NULL DEFAULT 0,
    active boolean NOT NULL DEFAULT true,
    CONSTRAINT community_capacity CHECK (members BETWEEN 0 AND capacity)
);
COMMENT ON TABLE community IS 'groups with their owner, link and capacity; members is kept by join_community and leave_community';

CREATE TABLE community_member (
    customer_id bigint NOT NULL REFERENCES customer,
    community text NOT NULL REFERENCES community,
    joined_at timestamptz NOT NULL,
    left_at timestamptz CHECK (left_at >= joined_at),
    source text,
    PRIMARY KEY (customer_id, community, joined_at)
);
CREATE UNIQUE INDEX community_member_current ON community_member (customer_id, community) WHERE left_at IS NULL;
COMMENT ON TABLE community_member IS 'who was in which group from when to when';

CREATE TABLE community_activity (
    customer_id bigint NOT NULL REFERENCES customer,
    community text NOT NULL REFERENCES community,
    at timestamptz NOT NULL,
    kind text NOT NULL CHECK (kind IN ('message', 'like', 'share', 'order', 'event')),
    count integer NOT NULL DEFAULT 1 CHECK (count > 0),
    PRIMARY KEY (customer_id, community, at, kind)
);
COMMENT ON TABLE community_activity IS 'what members do in a group';

CREATE FUNCTION join_community(customer_id bigint, community text, source text DEFAULT NULL, as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM community c WHERE c.community = join_community.community AND c.active FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'community "%" does not exist or is closed', join_community.community USING ERRCODE = 'CS020';
    END IF;
    INSERT INTO community_member (customer_id, community, joined_at, source)
    VALUES (join_community.customer_id, join_community.community, as_of, join_community.source)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    BEGIN
        UPDATE community c SET members = c.members + 1 WHERE c.community = join_community.community;
    EXCEPTION WHEN check_violation THEN
        RAISE EXCEPTION 'community "%" is full', join_community.community USING ERRCODE = 'CS021', HINT = 'Open another group.';
    END;
    RETURN true;
END
$$;
COMMENT ON FUNCTION join_community(bigint, text, text, timestamptz) IS 'puts a customer into a group; false when already in it. Errors: CS020 no such group, CS021 full';

CREATE FUNCTION leave_community(customer_id bigint, community text, as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    PERFORM FROM community c WHERE c.community = leave_community.community FOR UPDATE;
    UPDATE community_member m SET left_at = greatest(as_of, m.joined_at)
    WHERE m.customer_id = leave_community.customer_id AND m.community = leave_community.community AND m.left_at IS NULL;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE community c SET members = c.members - 1 WHERE c.community = leave_community.community;
    RETURN true;
END
$$;
COMMENT ON FUNCTION leave_community(bigint, text, timestamptz) IS 'takes a customer out of a group; false when not in it';

CREATE FUNCTION record_community_activity(customer_id bigint, community text, kind text, count integer DEFAULT 1, as_of timestamptz DEFAULT now()) RETURNS boolean
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM community_member m WHERE m.customer_id = record_community_activity.customer_id
                   AND m.community = record_community_activity.community AND m.joined_at <= as_of AND coalesce(m.left_at, 'infinity') >= as_of) THEN
        RAISE EXCEPTION 'customer % was not in community "%" then', record_community_activity.customer_id, record_community_activity.community
            USING ERRCODE = 'CS022', HINT = 'join_community() puts a customer in.';
    END IF;
    INSERT INTO community_activity (customer_id, community, at, kind, count)
    VALUES (record_community_activity.customer_id, record_community_activity.community, as_of, record_community_activity.kind, record_community_activity.count)
    ON CONFLICT DO NOTHING;
    RETURN FOUND;
END
$$;
COMMENT ON FUNCTION record_community_activity(bigint, text, text, integer, timestamptz) IS
'records what a member did (message, like, share, order, event); once a moment and kind: false when it is there. Errors: CS022 not a member then';

CREATE VIEW community_report AS
SELECT c.community, c.platform, c.name, c.owner, c.members, c.capacity, coalesce(m.joined, 0) AS joined_30_days, coalesce(m.left_group, 0) AS left_30_days,
       coalesce(a.active, 0) AS active_30_days, coalesce(p.net, 0) AS net_30_days
FROM community c
LEFT JOIN (SELECT m.community, count(*) FILTER (WHERE m.joined_at > now() - interval '30 days') AS joined, count(*) FILTER (WHERE m.left_at > now() - interval '30 days') AS left_group
           FROM community_member m GROUP BY m.community) m ON m.community = c.community
LEFT JOIN (SELECT a.community, count(DISTINCT a.customer_id) AS active FROM community_activity a WHERE a.at > now() - interval '30 days' GROUP BY a.community) a ON a.community = c.community
LEFT JOIN (SELECT m.community, sum(p.net) AS net
           FROM community_member m JOIN purchase p ON p.customer_id = m.customer_id AND p.order_at >= m.joined_at AND p.order_at < coalesce(m.left_at, 'infinity')
           WHERE p.order_at > now() - interval '30 days' GROUP BY m.community) p ON p.community = c.community;
COMMENT ON VIEW community_report IS 'groups with their growth, activity and the sales of their members in the last 30 days';

-- What the columns without a word above are.
COMMENT ON COLUMN community.community IS 'name of the group';
COMMENT ON COLUMN community.platform IS 'where it is: qianniu, qq, wechat, douyin or other';
COMMENT ON COLUMN community.name IS 'name that members read';
COMMENT ON COLUMN community.owner IS 'the agent who looks after it';
COMMENT ON COLUMN community.link IS 'link to join';
COMMENT ON COLUMN community.qr_text IS 'text of the QR code to join';
COMMENT ON COLUMN community.capacity IS 'members at most';
COMMENT ON COLUMN community.members IS 'members now';
COMMENT ON COLUMN community.active IS 'false: nobody can join';
COMMENT ON COLUMN community_member.customer_id IS 'the member';
COMMENT ON COLUMN community_member.community IS 'the group';
COMMENT ON COLUMN community_member.joined_at IS 'from when';
COMMENT ON COLUMN community_member.left_at IS 'up to when; null: still there';
COMMENT ON COLUMN community_member.source IS 'what brought the member';
COMMENT ON COLUMN community_activity.customer_id IS 'the member';
COMMENT ON COLUMN community_activity.community IS 'the group';
COMMENT ON COLUMN community_activity.at IS 'when';
COMMENT ON COLUMN community_activity.kind IS 'message, like, share, order or event';
COMMENT ON COLUMN community_activity.count IS 'how many of the kind at that moment';
