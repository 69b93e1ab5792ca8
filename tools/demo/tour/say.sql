-- Says what comes, in the language of the store, and waits when a person sits at the terminal.
\if :{?tour_zh}
\else
    SELECT language = 'zh' AS tour_zh FROM shop.settings \gset
    \set tour_wait `test -t 0 && echo on || echo off`
    \set QUIET on
    SET search_path = shop, crm, public;
    SET client_min_messages = warning;
    -- The orders of the demonstration end on a day of their own.
    SELECT max(order_at) + interval '1 day' AS today FROM shop.purchase WHERE order_no NOT LIKE 'tour-%' \gset
    \pset footer off
    \pset null '·'
    -- A refusal is part of the tour, not its end.
    \set ON_ERROR_STOP off
    \set VERBOSITY terse
    \set SHOW_CONTEXT never
    -- The statements are what there is to see.
    \set ECHO queries
\endif
\echo
\if :tour_zh
    \echo '--' :say_zh
\else
    \echo '--' :say_en
\endif
\if :tour_wait
    \prompt '   [Enter]' tour_key
\endif
