INSERT INTO access_rule (kind, object_type, object, privilege)
SELECT k, 'routine', r, 'EXECUTE' FROM unnest('{owner,analyst}'::text[]) k, unnest('{report_svg,report_html}'::text[]) r
ON CONFLICT DO NOTHING;
