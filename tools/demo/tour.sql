-- A tour of a store with orders in it, step by step: \i tools/demo/tour.sql in the database of `make demo KEEP=1`.
-- Each step stands for itself: \i tools/demo/tour/auditor.sql runs that one alone. Between the stops it waits for Enter when a person sits there.
\ir tour/customer.sql
\ir tour/merchant.sql
\ir tour/auditor.sql
\ir tour/attacker.sql
\set say_en 'The end. What else there is: SELECT * FROM crm.help();  and doc/quick-start.md'
\set say_zh '到此结束。更多:SELECT * FROM crm.help();  以及 doc/quick-start.md'
\ir tour/say.sql
