-- Questionnaires (问卷): versions, one answer an invitation, NPS and CSAT.

CREATE TABLE survey (
    survey text NOT NULL,
    version integer NOT NULL DEFAULT 1 CHECK (version > 0),
    title text NOT NULL,
    state text NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'active', 'closed')),
    valid_days integer NOT NULL DEFAULT 30 CHECK (valid_days > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (survey, version)
);
COMMENT ON TABLE survey IS 'questionnaires; a change makes a new version, so that answers stay with what was asked';
COMMENT ON COLUMN survey.survey IS 'its code';
COMMENT ON COLUMN survey.version IS 'published versions do not change';
COMMENT ON COLUMN survey.title IS 'what customers read';
COMMENT ON COLUMN survey.state IS 'draft, active or closed';
COMMENT ON COLUMN survey.valid_days IS 'how long an invitation can be answered';
COMMENT ON COLUMN survey.created_at IS 'when it was drafted';

CREATE TABLE survey_question (
    survey text NOT NULL,
    version integer NOT NULL,
    question text NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL CHECK (kind IN ('single', 'multiple', 'scale', 'nps', 'csat', 'text')),
    wording text NOT NULL,
    options text[],
    low integer NOT NULL DEFAULT 1,
    high integer NOT NULL DEFAULT 5,
    required boolean NOT NULL DEFAULT true,
    overall boolean NOT NULL DEFAULT false,
    show_question text,
    show_answers text[],
    PRIMARY KEY (survey, version, question),
    UNIQUE (survey, version, seq),
    FOREIGN KEY (survey, version) REFERENCES survey ON DELETE CASCADE,
    FOREIGN KEY (survey, version, show_question) REFERENCES survey_question,
    CHECK (kind NOT IN ('single', 'multiple') OR cardinality(options) > 1),
    CHECK (high > low),
    CHECK ((show_question IS NULL) = (show_answers IS NULL))
);
COMMENT ON TABLE survey_question IS 'questions of a version. nps is 0 to 10, csat 1 to 5, scale low to high; a branch is shown only when show_question was answered by one of show_answers';
COMMENT ON COLUMN survey_question.overall IS 'the question whose score the drivers are measured against';

CREATE TABLE survey_invitation (
    customer_id bigint NOT NULL REFERENCES customer,
    invitation_id uuid NOT NULL DEFAULT gen_random_uuid(),
    survey text NOT NULL,
    version integer NOT NULL,
    reference text NOT NULL DEFAULT '',
    invited_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    answered_at timestamptz,
    PRIMARY KEY (customer_id, invitation_id),
    UNIQUE (customer_id, survey, reference),
    FOREIGN KEY (survey, version) REFERENCES survey
);
CREATE INDEX survey_invitation_id ON survey_invitation (invitation_id);
COMMENT ON TABLE survey_invitation IS 'who was asked, about what (reference, such as an order); the id is the secret of the link';

CREATE TABLE survey_answer (
    customer_id bigint NOT NULL,
    invitation_id uuid NOT NULL,
    question text NOT NULL,
    answers text[] NOT NULL,
    score numeric,
    PRIMARY KEY (customer_id, invitation_id, question),
    FOREIGN KEY (customer_id, invitation_id) REFERENCES survey_invitation
);
COMMENT ON TABLE survey_answer IS 'what was answered; score is the number of nps, csat and scale questions';

CREATE FUNCTION publish_survey(survey text, version integer) RETURNS void
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
BEGIN
    IF NOT EXISTS (SELECT FROM survey s WHERE s.survey = publish_survey.survey AND s.version = publish_survey.version) THEN
        RAISE EXCEPTION 'survey "%" has no version %', publish_survey.survey, publish_survey.version USING ERRCODE = 'CS012';
    ELSIF NOT EXISTS (SELECT FROM survey_question q WHERE q.survey = publish_survey.survey AND q.version = publish_survey.version) THEN
        RAISE EXCEPTION 'survey "%" version % has no questions', publish_survey.survey, publish_survey.version
            USING ERRCODE = 'CS010', HINT = 'Insert its rows into survey_question first.';
    END IF;
    -- One publisher of a survey at a time, or two versions could be active.
    PERFORM FROM survey s WHERE s.survey = publish_survey.survey ORDER BY s.version FOR UPDATE;
    UPDATE survey s SET state = 'closed' WHERE s.survey = publish_survey.survey AND s.state = 'active' AND s.version <> publish_survey.version;
    UPDATE survey s SET state = 'active' WHERE s.survey = publish_survey.survey AND s.version = publish_survey.version AND s.state <> 'active';
END
$$;
COMMENT ON FUNCTION publish_survey(text, integer) IS 'makes a version the one that invitations use and closes the one before; invitations already out keep theirs. Errors: CS010 no questions, CS012 unknown';

CREATE UNIQUE INDEX survey_active ON survey (survey) WHERE state = 'active';

CREATE FUNCTION survey_step_guard() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
BEGIN
    IF NEW.state = 'draft' THEN
        RAISE EXCEPTION 'survey "%" version % is % and cannot become draft', OLD.survey, OLD.version, OLD.state
            USING ERRCODE = 'CS019', HINT = format('From %s it can become %s; copy_survey() drafts the next version.', OLD.state,
                                                   CASE OLD.state WHEN 'active' THEN 'closed' ELSE 'active' END);
    ELSIF OLD.state = 'draft' AND NEW.state = 'closed' THEN
        RAISE EXCEPTION 'survey "%" version % is draft and cannot become closed', OLD.survey, OLD.version
            USING ERRCODE = 'CS019', HINT = 'From draft it can become active; a draft that nobody wants is deleted.';
    END IF;
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION survey_step_guard() IS 'trigger of survey: draft → active ⇄ closed';
CREATE TRIGGER survey_step_guard BEFORE UPDATE ON survey FOR EACH ROW WHEN (OLD.state IS DISTINCT FROM NEW.state) EXECUTE FUNCTION survey_step_guard();

CREATE FUNCTION close_survey(survey text) RETURNS boolean
LANGUAGE sql
BEGIN ATOMIC
    WITH closed AS (UPDATE survey s SET state = 'closed' WHERE s.survey = close_survey.survey AND s.state = 'active' RETURNING 1)
    SELECT EXISTS (SELECT FROM closed);
END;
COMMENT ON FUNCTION close_survey(text) IS 'ends a survey: no more invitations, those already out are still taken; false when it was not active';

CREATE FUNCTION survey_question_locked() RETURNS trigger
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
DECLARE
    row survey_question := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    IF EXISTS (SELECT FROM survey s WHERE s.survey = row.survey AND s.version = row.version AND s.state <> 'draft') THEN
        RAISE EXCEPTION 'survey "%" version % is published', row.survey, row.version
            USING ERRCODE = 'CS011', HINT = 'Make a new version: copy_survey() copies the questions.';
    END IF;
    RETURN row;
END
$$;
CREATE TRIGGER survey_question_locked BEFORE INSERT OR UPDATE OR DELETE ON survey_question
    FOR EACH ROW EXECUTE FUNCTION survey_question_locked();

CREATE FUNCTION copy_survey(survey text) RETURNS integer
LANGUAGE plpgsql
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    last survey;
BEGIN
    SELECT s.* INTO last FROM survey s WHERE s.survey = copy_survey.survey ORDER BY s.version DESC LIMIT 1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'survey "%" does not exist', copy_survey.survey USING ERRCODE = 'CS012';
    END IF;
    INSERT INTO survey (survey, version, title, valid_days) VALUES (last.survey, last.version + 1, last.title, last.valid_days);
    INSERT INTO survey_question
    SELECT q.survey, q.version + 1, q.question, q.seq, q.kind, q.wording, q.options, q.low, q.high, q.required, q.overall, q.show_question, q.show_answers
    FROM survey_question q WHERE q.survey = last.survey AND q.version = last.version ORDER BY q.seq;
    RETURN last.version + 1;
END
$$;
COMMENT ON FUNCTION copy_survey(text) IS 'makes a draft of the next version with the questions of the last; its number. Errors: CS012 unknown';

CREATE FUNCTION invite(customer_id bigint, survey text, reference text DEFAULT '', as_of timestamptz DEFAULT now()) RETURNS uuid
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    s survey;
    id uuid;
BEGIN
    SELECT k.* INTO s FROM survey k WHERE k.survey = invite.survey AND k.state = 'active';
    IF FOUND THEN
        INSERT INTO survey_invitation AS i (customer_id, survey, version, reference, invited_at, expires_at)
        VALUES (invite.customer_id, s.survey, s.version, invite.reference, as_of, as_of + make_interval(days => s.valid_days))
        ON CONFLICT (customer_id, survey, reference) DO NOTHING
        RETURNING i.invitation_id INTO id;
    END IF;
    IF id IS NULL THEN
        SELECT i.invitation_id INTO id FROM survey_invitation i
        WHERE i.customer_id = invite.customer_id AND i.survey = invite.survey AND i.reference = invite.reference;
    END IF;
    IF id IS NULL THEN
        RAISE EXCEPTION 'survey "%" has no published version', invite.survey USING ERRCODE = 'CS012', HINT = 'publish_survey() publishes one.';
    END IF;
    RETURN id;
END
$$;
COMMENT ON FUNCTION invite(bigint, text, text, timestamptz) IS 'invites a customer to answer the published version, once a survey and reference; the id for the link. Errors: CS012 none published';
REVOKE EXECUTE ON FUNCTION invite(bigint, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION send_invitation(customer_id bigint, survey text, reference text DEFAULT '', channel text DEFAULT 'sms', as_of timestamptz DEFAULT now()) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    id uuid := invite(send_invitation.customer_id, send_invitation.survey, send_invitation.reference, as_of);
BEGIN
    RETURN queue_message(send_invitation.customer_id, send_invitation.channel, 'survey', 'survey_invitation', jsonb_build_object('link', id), 'survey/' || id, as_of);
END
$$;
COMMENT ON FUNCTION send_invitation(bigint, text, text, text, timestamptz) IS
'invites and puts the message into the outbox, once an invitation; null, or why the customer may not be asked. Errors: CS012 none published';
REVOKE EXECUTE ON FUNCTION send_invitation(bigint, text, text, text, timestamptz) FROM PUBLIC;

CREATE FUNCTION submit_survey(invitation_id uuid, answers jsonb, as_of timestamptz DEFAULT now()) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    invitation survey_invitation;
    q survey_question;
    given text[];
    shown boolean;
    score numeric;
    taken integer := 0;
    unknown text;
BEGIN
    SELECT i.* INTO invitation FROM survey_invitation i WHERE i.invitation_id = submit_survey.invitation_id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such invitation' USING ERRCODE = 'CS013';
    ELSIF invitation.answered_at IS NOT NULL AND (
        SELECT jsonb_object_agg(a.question, to_jsonb(a.answers)) FROM survey_answer a
        WHERE a.customer_id = invitation.customer_id AND a.invitation_id = invitation.invitation_id)
        = (SELECT jsonb_object_agg(e.key, CASE jsonb_typeof(e.value) WHEN 'array' THEN (SELECT jsonb_agg(x) FROM jsonb_array_elements_text(e.value) x)
                                                                     ELSE jsonb_build_array(e.value #>> '{}') END)
           FROM jsonb_each(answers) e WHERE e.value NOT IN ('null', '[]')) THEN
        -- The same answers once more: the customer pressed the button twice.
        RETURN (SELECT count(*) FROM survey_answer a WHERE a.customer_id = invitation.customer_id AND a.invitation_id = invitation.invitation_id);
    ELSIF invitation.answered_at IS NOT NULL THEN
        RAISE EXCEPTION 'the invitation is answered already' USING ERRCODE = 'CS014', HINT = 'Each invitation takes one answer.';
    ELSIF invitation.expires_at <= as_of THEN
        RAISE EXCEPTION 'the invitation has expired' USING ERRCODE = 'CS015', HINT = 'Invite again with another reference.';
    END IF;
    SELECT k INTO unknown FROM jsonb_object_keys(answers) k
    WHERE NOT EXISTS (SELECT FROM survey_question s WHERE s.survey = invitation.survey AND s.version = invitation.version AND s.question = k) LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'the survey has no question "%"', unknown USING ERRCODE = 'CS016';
    END IF;
    FOR q IN SELECT s.* FROM survey_question s WHERE s.survey = invitation.survey AND s.version = invitation.version ORDER BY s.seq LOOP
        given := CASE jsonb_typeof(answers -> q.question)
                     WHEN 'array' THEN ARRAY(SELECT jsonb_array_elements_text(answers -> q.question))
                     WHEN 'null' THEN NULL
                     ELSE CASE WHEN answers ? q.question THEN ARRAY[answers ->> q.question] END END;
        IF cardinality(given) = 0 THEN
            given := NULL;
        END IF;
        shown := q.show_question IS NULL OR EXISTS (
            SELECT FROM survey_answer a WHERE a.customer_id = invitation.customer_id AND a.invitation_id = invitation.invitation_id
            AND a.question = q.show_question AND a.answers && q.show_answers);
        IF NOT shown THEN
            IF given IS NOT NULL THEN
                RAISE EXCEPTION 'question "%" is not asked after these answers', q.question USING ERRCODE = 'CS016';
            END IF;
            CONTINUE;
        END IF;
        IF given IS NULL THEN
            IF q.required THEN
                RAISE EXCEPTION 'question "%" is not answered', q.question USING ERRCODE = 'CS017';
            END IF;
            CONTINUE;
        END IF;
        score := NULL;
        IF q.kind <> 'multiple' AND cardinality(given) <> 1 THEN
            RAISE EXCEPTION 'question "%" takes one answer', q.question USING ERRCODE = 'CS018';
        ELSIF q.kind IN ('single', 'multiple') AND NOT given <@ q.options THEN
            RAISE EXCEPTION 'an answer to question "%" is not among its options', q.question USING ERRCODE = 'CS018',
                HINT = format('The options are %s.', array_to_string(q.options, ', '));
        ELSIF q.kind IN ('scale', 'nps', 'csat') THEN
            IF given[1] !~ '^[0-9]{1,4}$'
               OR NOT given[1]::int BETWEEN (CASE q.kind WHEN 'nps' THEN 0 WHEN 'csat' THEN 1 ELSE q.low END)
                                        AND (CASE q.kind WHEN 'nps' THEN 10 WHEN 'csat' THEN 5 ELSE q.high END) THEN
                RAISE EXCEPTION 'the answer to question "%" is out of its range', q.question USING ERRCODE = 'CS018',
                    HINT = 'nps is 0 to 10, csat 1 to 5, scale as the question says.';
            END IF;
            score := given[1]::numeric;
        END IF;
        INSERT INTO survey_answer (customer_id, invitation_id, question, answers, score)
        VALUES (invitation.customer_id, invitation.invitation_id, q.question, given, score);
        taken := taken + 1;
    END LOOP;
    UPDATE survey_invitation i SET answered_at = as_of
    WHERE i.customer_id = invitation.customer_id AND i.invitation_id = invitation.invitation_id;
    RETURN taken;
END
$$;
COMMENT ON FUNCTION submit_survey(uuid, jsonb, timestamptz) IS
'takes the answers of an invitation, {"question": answer or [answers]}, whole or not at all; the number of answers. The same answers again change nothing. Errors: CS013 no such invitation, CS014 answered, CS015 expired, CS016 question unknown or not shown, CS017 missing, CS018 not an answer to that question';
REVOKE EXECUTE ON FUNCTION submit_survey(uuid, jsonb, timestamptz) FROM PUBLIC;

CREATE VIEW survey_score AS
SELECT a.customer_id, i.survey, i.version, a.question, q.kind, q.overall, a.score, i.answered_at, i.reference, a.invitation_id
FROM survey_answer a
JOIN survey_invitation i USING (customer_id, invitation_id)
JOIN survey_question q ON q.survey = i.survey AND q.version = i.version AND q.question = a.question
WHERE a.score IS NOT NULL;
COMMENT ON VIEW survey_score IS 'each answer that has a number, with its survey, version and moment';

CREATE FUNCTION nps(survey text DEFAULT NULL, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (survey text, version integer, question text, month date, answers bigint, promoters bigint, passives bigint, detractors bigint, nps numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.survey, v.version, v.question, date_trunc('month', shop_date(v.answered_at))::date,
           count(*), count(*) FILTER (WHERE v.score >= 9), count(*) FILTER (WHERE v.score BETWEEN 7 AND 8), count(*) FILTER (WHERE v.score <= 6),
           round(100.0 * (count(*) FILTER (WHERE v.score >= 9) - count(*) FILTER (WHERE v.score <= 6)) / count(*), 1)
    FROM survey_score v
    WHERE v.kind = 'nps' AND (nps.survey IS NULL OR v.survey = nps.survey) AND v.answered_at >= since AND v.answered_at < until
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
END;
COMMENT ON FUNCTION nps(text, timestamptz, timestamptz) IS 'net promoter score by survey, version and month: percent of 9 and 10 less percent of 0 to 6';

CREATE FUNCTION csat(survey text DEFAULT NULL, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (survey text, version integer, question text, month date, answers bigint, satisfied bigint, csat numeric, mean numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.survey, v.version, v.question, date_trunc('month', shop_date(v.answered_at))::date,
           count(*), count(*) FILTER (WHERE v.score >= 4), round(100.0 * count(*) FILTER (WHERE v.score >= 4) / count(*), 1), round(avg(v.score), 2)
    FROM survey_score v
    WHERE v.kind = 'csat' AND (csat.survey IS NULL OR v.survey = csat.survey) AND v.answered_at >= since AND v.answered_at < until
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4;
END;
COMMENT ON FUNCTION csat(text, timestamptz, timestamptz) IS 'percent of answers 4 and 5, and the mean, by survey, version and month';

CREATE VIEW survey_driver AS
WITH driver AS (
    SELECT d.survey, d.version, d.question, count(*) AS answers, avg(d.score) AS mean, corr(d.score, o.score)::numeric AS correlation
    FROM survey_score d
    JOIN survey_score o ON o.customer_id = d.customer_id AND o.invitation_id = d.invitation_id AND o.overall
    WHERE NOT d.overall
    GROUP BY 1, 2, 3
), middle AS (
    SELECT survey, version, avg(mean) AS mean, avg(correlation) AS correlation FROM driver GROUP BY 1, 2
)
SELECT d.survey, d.version, d.question, d.answers, round(d.mean, 2) AS mean, round(d.correlation, 4) AS correlation,
       CASE WHEN d.correlation IS NULL THEN NULL
            WHEN d.correlation >= m.correlation THEN CASE WHEN d.mean < m.mean THEN 'improve' ELSE 'keep up' END
            ELSE CASE WHEN d.mean < m.mean THEN 'watch' ELSE 'enough' END END AS advice
FROM driver d JOIN middle m USING (survey, version);
COMMENT ON VIEW survey_driver IS
'how strongly each scored question goes with the overall one (Pearson correlation over the same answers). advice compares it with the mean of the questions of the version: improve (strong and below the mean score), keep up (strong, above), watch (weak, below), enough';

CREATE FUNCTION score_by(kind text, dimension text, survey text, since timestamptz, until timestamptz)
RETURNS TABLE (value text, month date, scores numeric[])
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT
AS $$
#variable_conflict use_column
DECLARE
    member text;
BEGIN
    IF dimension NOT IN ('all', 'segment', 'tier', 'lifecycle', 'value_class', 'service_grade', 'rfm_segment', 'region', 'source', 'last_channel', 'top_category') THEN
        RAISE EXCEPTION 'scores are not counted by "%"', dimension
            USING ERRCODE = 'CS016', HINT = 'By all, segment, tier, lifecycle, value_class, service_grade, rfm_segment, region, source, last_channel or top_category.';
    END IF;
    member := CASE dimension
        WHEN 'all' THEN '(SELECT customer_id, ''all''::text AS value FROM customer)'
        WHEN 'segment' THEN '(SELECT m AS customer_id, g.segment::text AS value FROM segment g, crm.members(segment_members(g.segment)) m)'
        ELSE format('(SELECT c.customer_id, c.%I::text AS value FROM customer_360 c)', dimension) END;
    RETURN QUERY EXECUTE format(
        'SELECT m.value, date_trunc(''month'', v.answered_at AT TIME ZONE $5)::date, array_agg(v.score)
         FROM survey_score v JOIN %s m USING (customer_id)
         WHERE v.kind = $1 AND ($2 IS NULL OR v.survey = $2) AND v.answered_at >= $3 AND v.answered_at < $4
         GROUP BY 1, 2', member)
        USING kind, survey, since, until, (SELECT s.time_zone FROM settings s);
END
$$;
COMMENT ON FUNCTION score_by(text, text, text, timestamptz, timestamptz) IS 'scores of a kind of question by month and by what the customers are now; part of nps_by and csat_by. Errors: CS016 unknown dimension';

CREATE FUNCTION nps_by(dimension text DEFAULT 'segment', survey text DEFAULT NULL, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (value text, month date, answers bigint, promoters bigint, passives bigint, detractors bigint, nps numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.value, v.month, count(*), count(*) FILTER (WHERE s >= 9), count(*) FILTER (WHERE s BETWEEN 7 AND 8), count(*) FILTER (WHERE s <= 6),
           round(100.0 * (count(*) FILTER (WHERE s >= 9) - count(*) FILTER (WHERE s <= 6)) / count(*), 1)
    FROM score_by('nps', nps_by.dimension, nps_by.survey, nps_by.since, nps_by.until) v, unnest(v.scores) s
    GROUP BY GROUPING SETS ((v.value, v.month), (v.value)) ORDER BY v.value NULLS LAST, v.month NULLS FIRST;
END;
COMMENT ON FUNCTION nps_by(text, text, timestamptz, timestamptz) IS
'net promoter score by what the customers are now (dimension: segment, tier, lifecycle, value_class, service_grade, rfm_segment, region, source, last_channel, top_category, all) and by month; the row without a month is the whole period';

CREATE FUNCTION csat_by(dimension text DEFAULT 'segment', survey text DEFAULT NULL, since timestamptz DEFAULT '-infinity', until timestamptz DEFAULT 'infinity')
RETURNS TABLE (value text, month date, answers bigint, satisfied bigint, csat numeric, mean numeric)
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT v.value, v.month, count(*), count(*) FILTER (WHERE s >= 4), round(100.0 * count(*) FILTER (WHERE s >= 4) / count(*), 1), round(avg(s), 2)
    FROM score_by('csat', csat_by.dimension, csat_by.survey, csat_by.since, csat_by.until) v, unnest(v.scores) s
    GROUP BY GROUPING SETS ((v.value, v.month), (v.value)) ORDER BY v.value NULLS LAST, v.month NULLS FIRST;
END;
COMMENT ON FUNCTION csat_by(text, text, timestamptz, timestamptz) IS 'percent of answers 4 and 5, and the mean, by the same dimensions as nps_by and by month; the row without a month is the whole period';

-- What the columns without a word above are.
COMMENT ON COLUMN survey_question.survey IS 'the survey';
COMMENT ON COLUMN survey_question.version IS 'version of the survey';
COMMENT ON COLUMN survey_question.question IS 'name of the question';
COMMENT ON COLUMN survey_question.seq IS 'place in the survey';
COMMENT ON COLUMN survey_question.kind IS 'single, multiple, scale, nps (0 to 10), csat (1 to 5) or text';
COMMENT ON COLUMN survey_question.wording IS 'what is asked';
COMMENT ON COLUMN survey_question.options IS 'for single and multiple: the answers to choose from';
COMMENT ON COLUMN survey_question.low IS 'for scale: the least';
COMMENT ON COLUMN survey_question.high IS 'for scale: the most';
COMMENT ON COLUMN survey_question.required IS 'must be answered when it is shown';
COMMENT ON COLUMN survey_question.show_question IS 'shown only when this question was answered by one of show_answers; null: always';
COMMENT ON COLUMN survey_question.show_answers IS 'the answers of show_question that show this one';
COMMENT ON COLUMN survey_invitation.customer_id IS 'who is asked';
COMMENT ON COLUMN survey_invitation.invitation_id IS 'the secret of the link';
COMMENT ON COLUMN survey_invitation.survey IS 'the survey';
COMMENT ON COLUMN survey_invitation.version IS 'its version at the time';
COMMENT ON COLUMN survey_invitation.reference IS 'what it is about, such as an order; empty: nothing';
COMMENT ON COLUMN survey_invitation.invited_at IS 'when';
COMMENT ON COLUMN survey_invitation.expires_at IS 'up to when an answer is taken (exclusive)';
COMMENT ON COLUMN survey_invitation.answered_at IS 'when it was answered; null: not yet';
COMMENT ON COLUMN survey_answer.customer_id IS 'who answered';
COMMENT ON COLUMN survey_answer.invitation_id IS 'the invitation';
COMMENT ON COLUMN survey_answer.question IS 'the question';
COMMENT ON COLUMN survey_answer.answers IS 'what was answered: one text, or several for multiple';
COMMENT ON COLUMN survey_answer.score IS 'the number of nps, csat and scale questions';
