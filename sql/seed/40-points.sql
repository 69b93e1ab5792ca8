INSERT INTO points_program (program, name_zh, name_en, redeemable, expiry, expiry_n, expiry_round) VALUES
    ('points', '积分', 'points', true, 'never', NULL, 'month_end'),
    ('growth', '成长值', 'growth value', false, 'months', 12, 'none');

INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k.kind, o.object_type, o.object, o.privilege
FROM (VALUES ('agent'), ('app')) AS k (kind),
     (VALUES ('routine', 'redeem', 'EXECUTE'),
             ('routine', 'hold', 'EXECUTE'),
             ('routine', 'capture', 'EXECUTE'),
             ('routine', 'release', 'EXECUTE'),
             ('routine', 'refund', 'EXECUTE'),
             ('routine', 'restore', 'EXECUTE'),
             ('table', 'points_entry', 'SELECT'),
             ('table', 'points_entry_all', 'SELECT'),
             ('table', 'points_program', 'SELECT'),
             ('table', 'points_balance', 'SELECT'),
             ('table', 'points_lot', 'SELECT'),
             ('table', 'points_hold', 'SELECT')) AS o (object_type, object, privilege)
UNION ALL
SELECT k.kind, 'table', o.object, 'SELECT'
FROM (VALUES ('analyst'), ('auditor'), ('marketer')) AS k (kind),
     (VALUES ('points_entry'), ('points_entry_all'), ('points_entry_archived'), ('points_start'), ('points_program'), ('points_account'), ('points_hold'), ('points_balance'), ('points_lot'), ('points_journal'),
             ('points_trial_balance'), ('points_flow'), ('points_liability')) AS o (object)
UNION ALL
VALUES ('app', 'routine', 'earn', 'EXECUTE'),
       ('app', 'table', 'points_entry', 'INSERT'),
       ('agent', 'routine', 'adjust', 'EXECUTE'),
       -- The points of customer_360 are less what is held.
       ('owner', 'table', 'points_hold', 'SELECT'),
       ('owner', 'routine', 'adjust', 'EXECUTE'),
       ('owner', 'routine', 'transfer', 'EXECUTE'),
       ('owner', 'routine', 'convert', 'EXECUTE'),
       ('owner', 'routine', 'post_points', 'EXECUTE'),
       ('owner', 'routine', 'archive_points', 'EXECUTE'),
       ('owner', 'routine', 'points_restore_archive', 'EXECUTE'),
       ('auditor', 'table', 'points_entry_archive', 'SELECT'),
       ('auditor', 'table', 'points_checkpoint', 'SELECT'),
       ('auditor', 'table', 'points_checkpoint_leaf', 'SELECT');

INSERT INTO privacy_rule (table_name, column_name, erase, exported, why) VALUES
    ('points_account', '*', 'keep', true, 'points owed'),
    ('points_entry', '*', 'keep', true, 'the ledger is append-only; sources, references and details that look like personal data are refused'),
    ('points_hold', '*', 'keep', true, 'part of the ledger'),
    ('points_note', '*', 'delete', true, 'free text; the entry''s hash covers only a digest'),
    ('points_start', '*', 'keep', false, 'numbers and hashes'),
    ('points_entry_archive', '*', 'keep', true, 'part of the ledger'),
    ('points_checkpoint_leaf', '*', 'keep', false, 'numbers and hashes');
