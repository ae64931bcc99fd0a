-- After kinds.sql: kinds of things that only a superuser makes, so that no golden can hold them. Classify reads such a source.
SET client_min_messages = warning;
CREATE TYPE own;
CREATE FUNCTION own_in(cstring) RETURNS own AS 'textin' LANGUAGE internal IMMUTABLE STRICT;
CREATE FUNCTION own_out(own) RETURNS cstring AS 'textout' LANGUAGE internal IMMUTABLE STRICT;
CREATE TYPE own (INPUT = own_in, OUTPUT = own_out, LIKE = text, CATEGORY = 'Y', PREFERRED = true);
CREATE TYPE only_a_shell;
CREATE CAST (own AS text) WITHOUT FUNCTION;
CREATE TABLE of_own_type (v own, vs own[], d text);
INSERT INTO of_own_type VALUES ('own', ARRAY['x', NULL]::own[], 'd');
CREATE AGGREGATE most_seen(ORDER BY anyelement)
    (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = mode_final, FINALFUNC_EXTRA);
CREATE FUNCTION window_like() RETURNS bigint LANGUAGE internal WINDOW AS 'window_row_number';
CREATE OPERATOR FAMILY whole USING btree;
CREATE OPERATOR CLASS backwards FOR TYPE integer USING btree FAMILY whole AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =,
    OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 btint4cmp(integer, integer);
CREATE UNIQUE INDEX ON keyed (w backwards);
CREATE ACCESS METHOD heap_again TYPE TABLE HANDLER heap_tableam_handler;
CREATE TABLE other_method (v text) USING heap_again;
CREATE TEXT SEARCH PARSER own_parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype);
CREATE TEXT SEARCH TEMPLATE own_template (INIT = dsimple_init, LEXIZE = dsimple_lexize);
CREATE TRANSFORM FOR integer LANGUAGE sql
    (FROM SQL WITH FUNCTION prsd_lextype(internal), TO SQL WITH FUNCTION int4recv(internal));
CREATE LANGUAGE own_language HANDLER plpgsql_call_handler;
SET allow_in_place_tablespaces = on;
CREATE TABLESPACE elsewhere LOCATION '';
CREATE TABLE in_another_place (id integer PRIMARY KEY, v text) TABLESPACE elsewhere;
ANALYZE;
