-- The members of the extension, each with what defines it, in an order that does not depend on how they came.
\pset format unaligned
\pset tuples_only on
SELECT format('%s %s', i.type, i.identity) COLLATE "C" AS line
FROM pg_depend d, LATERAL pg_identify_object(d.classid, d.objid, d.objsubid) i
WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'crm') AND d.deptype = 'e'
UNION ALL
SELECT format('%s %s %s %s %s %s %s', p.oid::regprocedure, p.provolatile, p.proparallel, p.proisstrict, p.proconfig, p.proacl, md5(pg_get_functiondef(p.oid)))
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('crm', 'shop') AND p.prokind IN ('f', 'p') AND p.proname <> 'store_manifest'
UNION ALL
SELECT format('comment %s %s %s', i.type, i.identity, md5(c.description))
FROM pg_description c, LATERAL pg_identify_object(c.classoid, c.objoid, c.objsubid) i
WHERE i.schema IN ('crm', 'shop') OR i.identity LIKE 'crm.%' OR i.identity LIKE 'shop.%'
UNION ALL
SELECT format('manifest %s', m) FROM shop.store_manifest() m
ORDER BY 1;
