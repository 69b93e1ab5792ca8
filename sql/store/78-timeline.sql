-- Everything that passed with one customer, in one stream.

CREATE FUNCTION timeline(customer_id bigint, n integer DEFAULT 50, before timestamptz DEFAULT 'infinity')
RETURNS TABLE (at timestamptz, kind text, what text, detail jsonb)
LANGUAGE sql STABLE
SET jit = off
BEGIN ATOMIC
    SELECT v.at, v.kind, v.what, v.detail
    FROM ((SELECT p.ordered_at, 'order' AS kind, format('%s/%s %s', p.channel, p.order_no, p.status) AS what, jsonb_build_object('amount', p.amount, 'refunded', p.refunded) AS detail
           FROM purchase p WHERE p.customer_id = timeline.customer_id AND p.ordered_at < timeline.before ORDER BY p.ordered_at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT r.at, 'refund', format('%s/%s', r.channel, r.order_no), jsonb_build_object('amount', r.amount)
           FROM purchase_refund r WHERE r.customer_id = timeline.customer_id AND r.at < timeline.before ORDER BY r.at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT e.booked_at, 'points', e.kind, jsonb_build_object('program', e.program, 'points', e.points, 'balance', e.balance_after, 'source', e.source)
           FROM points_entry_all e WHERE e.customer_id = timeline.customer_id AND e.booked_at < timeline.before ORDER BY e.booked_at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT t.at, 'tag', CASE WHEN t.added THEN '+' ELSE '-' END || t.tag, jsonb_build_object('who', t.who, 'why', t.why)
           FROM tag_event t WHERE t.customer_id = timeline.customer_id AND t.at < timeline.before ORDER BY t.at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT c.at, 'tier', format('%s → %s', c.from_tier, c.to_tier), jsonb_build_object('reason', c.reason, 'value', c.value)
           FROM tier_change c WHERE c.customer_id = timeline.customer_id AND c.at < timeline.before ORDER BY c.at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT i.at, 'message', format('%s %s', i.channel, i.direction), jsonb_build_object('agent', i.agent, 'topic', i.topic, 'body', i.body, 'automatic', i.automatic)
           FROM interaction i WHERE i.customer_id = timeline.customer_id AND i.at < timeline.before ORDER BY i.at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT k.at, 'ticket', format('%s %s', k.ticket_id, k.action), jsonb_build_object('to', k.to_state, 'actor', k.actor, 'remark', k.remark)
           FROM ticket_event k WHERE k.customer_id = timeline.customer_id AND k.at < timeline.before ORDER BY k.at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT f.done_at, 'follow-up', f.outcome, jsonb_build_object('agent', f.done_by, 'plan', f.plan)
           FROM follow_up f WHERE f.customer_id = timeline.customer_id AND f.done_at < timeline.before ORDER BY f.done_at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT o.sent_at, 'sent', format('%s %s', o.channel, o.purpose), jsonb_build_object('template', o.template, 'opened', o.opened_at IS NOT NULL)
           FROM outbox o WHERE o.customer_id = timeline.customer_id AND o.sent_at < timeline.before ORDER BY o.sent_at DESC LIMIT timeline.n)
          UNION ALL
          (SELECT y.answered_at, 'survey', y.survey, jsonb_build_object('version', y.version, 'reference', y.reference)
           FROM survey_invitation y WHERE y.customer_id = timeline.customer_id AND y.answered_at < timeline.before ORDER BY y.answered_at DESC LIMIT timeline.n)) v (at, kind, what, detail)
    ORDER BY v.at DESC, v.kind
    LIMIT timeline.n;
END;
COMMENT ON FUNCTION timeline(bigint, integer, timestamptz) IS
'the last n things that passed with a customer before a moment, the newest first: orders, refunds, points, tags, tiers, messages, tickets, follow-ups, what was sent, surveys answered. For the next page give the last row''s moment as before';
