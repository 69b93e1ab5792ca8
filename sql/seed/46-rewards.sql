INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k, 'routine', r, 'EXECUTE' FROM unnest('{app,agent}'::text[]) k, unnest('{redeem_reward,cancel_reward,check_in,invited_by}'::text[]) r
UNION ALL
SELECT k, 'table', t, 'SELECT' FROM unnest('{app,agent,marketer,analyst}'::text[]) k, unnest('{reward,reward_redemption,customer_benefit,check_in,invitation}'::text[]) t;

INSERT INTO privacy_rule (table_name, column_name, erase, step, exported, why) VALUES
    ('reward_code', '*', 'keep', 0, false, 'which codes are gone'),
    ('reward_redemption', 'code', 'null', 0, true, 'a secret of the person'),
    ('reward_redemption', 'cancelled_at', 'keep', 0, true, 'record of a transaction'),
    ('customer_benefit', '*', 'delete', 0, true, 'what the person was granted'),
    ('check_in', '*', 'delete', 0, true, 'habits of the person'),
    ('invitation', '*', 'keep', 0, true, 'what points rest on');
