-- A schema in which each kind of definition holds a value of the masked columns of `person`, which only ada has.
CREATE EXTENSION btree_gist;
CREATE TABLE person (
    id int PRIMARY KEY, email text, name text, phone bigint, iban text, notes jsonb, raw bytea, nick text
);
INSERT INTO person SELECT g, 'p' || g || '@corp.example', 'Person Number' || g, 491510000000 + g, 'DE00' || md5(g::text),
    jsonb_build_object('mail', 'n' || g || '@corp.example', 'state', 'completed'), convert_to('raw-' || g, 'UTF8'), 'nick' || g
FROM generate_series(1, 3000) AS g;
INSERT INTO person VALUES (0, 'Ada@corp.example', 'Ada Lovelace', 491701234567, 'DE89370400440532013000',
    '{"mail": "ada.private@corp.example", "state": "completed"}', 'ada-of-bytes', 'countess');

CREATE TABLE by_list (email text, n int) PARTITION BY LIST (email);
CREATE TABLE by_list_1 PARTITION OF by_list FOR VALUES IN ('ada@corp.example');
CREATE TABLE by_list_2 PARTITION OF by_list DEFAULT;
CREATE TABLE by_range (v text) PARTITION BY RANGE (v);
CREATE TABLE by_range_1 PARTITION OF by_range FOR VALUES FROM ('DE89370400440532013000') TO ('E');
CREATE VIEW in_view AS SELECT id FROM person WHERE email = 'ADA@CORP.EXAMPLE';
CREATE MATERIALIZED VIEW in_materialised AS SELECT id FROM person WHERE name IN ('Ada Lovelace', 'nobody');
CREATE TABLE held (
    id int, v text DEFAULT 'ada@corp.example', w text GENERATED ALWAYS AS (coalesce(v, 'Ada Lovelace')) STORED,
    x text GENERATED ALWAYS AS (v || 'ada@corp.example') VIRTUAL, during tsrange,
    CONSTRAINT in_check CHECK (v !~ '^ada@corp\.example$'), CONSTRAINT in_number CHECK (id::bigint <> 491701234567),
    CONSTRAINT in_exclusion EXCLUDE USING gist (during WITH &&) WHERE (v = 'ada@corp.example')
);
CREATE INDEX in_predicate ON held (id) WHERE v = 'ada@corp.example';
CREATE INDEX in_expression ON held ((v = 'Ada Lovelace'));
CREATE STATISTICS in_statistics ON (v = 'ada@corp.example'), (id % 2) FROM held;
CREATE POLICY in_policy ON held USING (v = 'ada@corp.example');
CREATE ROLE "ada@corp.example" NOLOGIN;
CREATE POLICY in_role ON held TO "ada@corp.example" USING (true);
CREATE RULE in_rule AS ON DELETE TO held WHERE OLD.v = 'ada@corp.example' DO INSTEAD NOTHING;
CREATE FUNCTION on_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
CREATE TRIGGER in_when BEFORE UPDATE ON held FOR EACH ROW WHEN (NEW.v = 'ada@corp.example') EXECUTE FUNCTION on_change();
CREATE TRIGGER in_argument BEFORE INSERT ON held FOR EACH ROW EXECUTE FUNCTION on_change('x', 'ada@corp.example');
CREATE FUNCTION in_atomic() RETURNS bigint LANGUAGE sql BEGIN ATOMIC
    SELECT count(*) FROM person WHERE name = 'Ada Lovelace'; END;
CREATE FUNCTION in_body() RETURNS void LANGUAGE plpgsql AS $_$ BEGIN
    EXECUTE 'DELETE FROM person WHERE email = ''ada@corp.example'''; END $_$;
CREATE FUNCTION in_remark() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
    NULL; -- as Ada Lovelace wants it
END $$;
CREATE FUNCTION in_backslashes() RETURNS text LANGUAGE sql AS $$ SELECT replace('\', '/', '') || 'ada@corp.example' $$;
CREATE FUNCTION in_default(v text DEFAULT 'ada@corp.example') RETURNS text LANGUAGE sql RETURN v;
CREATE PROCEDURE in_procedure() LANGUAGE sql AS $$ SELECT 1 /* ada@corp.example */ $$;
CREATE AGGREGATE in_aggregate(text) (SFUNC = textcat, STYPE = text, INITCOND = 'ada@corp.example');
CREATE DOMAIN in_domain AS text CONSTRAINT not_her CHECK (VALUE <> 'ada@corp.example');
CREATE DOMAIN in_domain_default AS text DEFAULT 'ada@corp.example';
CREATE TYPE in_label AS ENUM ('Ada Lovelace', 'other');
CREATE TYPE composite AS (v text, n int);
CREATE VIEW in_composite AS SELECT '(ada@corp.example,1)'::composite AS c;
CREATE VIEW in_array AS SELECT '{a,"Ada Lovelace"}'::text[] AS a;
CREATE VIEW in_json AS SELECT '{"a": ["x", "ada@corp.example"]}'::jsonb AS j;
CREATE VIEW in_bytes AS SELECT '\x616461406f627974657340636f72702e6578616d706c65'::bytea AS b, '\x6164612d6f662d6279746573'::bytea AS c;
CREATE VIEW in_xml AS SELECT xmlparse(content '<p mail="ada@corp.example">Ada&#32;Lovelace</p>') AS x;
CREATE VIEW of_json AS SELECT 'ada.private@corp.example' AS v;
COMMENT ON COLUMN held.v IS 'Ask Ada Lovelace, ada@corp.example.';
CREATE TEXT SEARCH CONFIGURATION in_remark_of (COPY = simple);
COMMENT ON TEXT SEARCH CONFIGURATION in_remark_of IS 'for Ada Lovelace';
CREATE SCHEMA "ada@corp.example";
CREATE TABLE "ada@corp.example".t (id int);
CREATE COLLATION "Ada Lovelace" FROM "C";
SELECT format('ALTER DATABASE %I SET search_path = public, "ada@corp.example"', current_database()) \gexec
-- Nobody has it, but it is somebody's.
ALTER TABLE person ADD CONSTRAINT nobody_has CHECK (email <> 'gone@corp.example');
-- What is the program's own, and no word of it is anybody's alone.
CREATE VIEW plain AS SELECT 'completed' AS a, 'countess' AS b, 'p@corp.example' AS c, 10000000000 AS d, 'Person' AS e;
COMMENT ON VIEW plain IS 'It is completed by p@corp.example, in a county.';
ANALYZE;
