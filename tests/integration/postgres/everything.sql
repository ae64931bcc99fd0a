-- A database with one of everything that a clone must keep. Values are plain enough to be read in a failure.
CREATE EXTENSION pgcrypto;
CREATE SCHEMA "Förderung";
CREATE SCHEMA ext;
CREATE EXTENSION citext SCHEMA ext;
CREATE EXTENSION btree_gist SCHEMA ext;
CREATE EXTENSION amcheck SCHEMA ext;  -- not a trusted one
CREATE SCHEMA sales;
COMMENT ON SCHEMA sales IS 'Orders, and all that hangs on them';

CREATE COLLATION german (provider = icu, locale = 'de-u-co-phonebk');
CREATE COLLATION ignoring_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE address AS (street text, zip text);
CREATE TYPE span AS RANGE (subtype = float8);

CREATE TABLE person (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email ext.citext UNIQUE NOT NULL,
    name text COLLATE german,
    nick text COLLATE ignoring_case,
    mood mood DEFAULT 'ok',
    home address,
    tags text[],
    grid int[][],
    data jsonb,
    raw bytea,
    shoe positive,
    seen tstzrange,
    spans span,
    twice integer GENERATED ALWAYS AS (shoe * 2) STORED,
    token uuid DEFAULT gen_random_uuid(),
    born date, paid numeric(30, 10), at timestamptz, gone interval, net inet, bits bit varying, doc xml, words tsvector
);
COMMENT ON TABLE person IS 'Who it is';
COMMENT ON COLUMN person.email IS 'Case does not matter';
INSERT INTO person (email, name, nick, mood, home, tags, grid, data, raw, shoe, seen, spans,
                    born, paid, at, gone, net, bits, doc, words)
SELECT 'user' || g || '@example.com', (ARRAY['Ärger', 'Zebra', 'Öl', 'Straße', '数据', ''])[1 + g % 6], 'Nick' || g,
       (ARRAY['sad', 'ok', 'happy']::mood[])[1 + g % 3], ROW('Weg ' || g, lpad(g::text, 5, '0'))::address,
       ARRAY['a' || g, NULL, 'x,y"z'], ARRAY[[g, 1], [2, 3]], jsonb_build_object('n', g, 'deep', jsonb_build_array(NULL, g)),
       decode(md5(g::text), 'hex'), 1 + g % 50, tstzrange('2026-01-01', '2026-01-01'::timestamptz + g * interval '1 h'),
       span(g, g + 0.5), '2000-01-01'::date + g, g / 7.0, '2026-01-01'::timestamptz + g * interval '1 min',
       g * interval '1 day 2 min', ('10.0.0.' || g % 250)::inet, (g % 8)::bit(3)::varbit,
       ('<p n="' || g || '"/>')::xml, to_tsvector('simple', 'word' || g)
FROM generate_series(1, 500) AS g;
CREATE INDEX ON person (lower(name)) WHERE shoe > 10;
CREATE INDEX ON person USING gin (data);
CREATE INDEX ON person USING gin (words);
CREATE STATISTICS person_together ON mood, shoe FROM person;

CREATE SEQUENCE sales.number START 1000 INCREMENT 7 MINVALUE 10 CYCLE CACHE 5;
SELECT nextval('sales.number') FROM generate_series(1, 13);
CREATE TABLE sales."Order" (
    number bigint DEFAULT nextval('sales.number') PRIMARY KEY,
    person bigint REFERENCES person ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    placed date NOT NULL,
    "strange "" column" text
);
ALTER SEQUENCE sales.number OWNED BY sales."Order".number;
INSERT INTO sales."Order" (person, placed, "strange "" column")
SELECT 1 + g % 500, '2026-01-01'::date + g % 300, E'tab\t line\n back\\slash ' || g FROM generate_series(1, 800) AS g;

CREATE TABLE sales.event (id integer, at date NOT NULL, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE sales.event_2025 PARTITION OF sales.event FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE sales.event_2026 PARTITION OF sales.event FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')
    PARTITION BY HASH (id);
CREATE TABLE sales.event_2026_0 PARTITION OF sales.event_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE sales.event_2026_1 PARTITION OF sales.event_2026 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE sales.event_other PARTITION OF sales.event DEFAULT;
INSERT INTO sales.event SELECT g, '2024-06-01'::date + g, 'event ' || g FROM generate_series(1, 900) AS g;

CREATE TABLE animal (id serial PRIMARY KEY, name text);
CREATE TABLE dog (barks boolean) INHERITS (animal);
INSERT INTO animal (name) VALUES ('cat');
INSERT INTO dog (name, barks) VALUES ('Rex', true), ('Hasso', NULL);

CREATE TABLE booking (
    room integer,
    during tsrange,
    EXCLUDE USING gist (room WITH =, during WITH &&)
);
INSERT INTO booking SELECT g, tsrange('2026-01-01', '2026-01-02') FROM generate_series(1, 20) AS g;
CREATE UNLOGGED TABLE cache (key text PRIMARY KEY, value jsonb);
INSERT INTO cache SELECT 'k' || g, to_jsonb(g) FROM generate_series(1, 50) AS g;
CREATE TABLE empty (id integer, CHECK (id > 0) NO INHERIT);
CREATE TABLE no_columns ();

CREATE MATERIALIZED VIEW sales.per_person AS
    SELECT person, count(*) AS orders FROM sales."Order" GROUP BY person ORDER BY person;
CREATE UNIQUE INDEX ON sales.per_person (person);
CREATE VIEW sales.happy WITH (security_barrier) AS
    SELECT p.id, p.name, o.number FROM person AS p JOIN sales."Order" AS o ON o.person = p.id WHERE p.mood = 'happy';
CREATE RECURSIVE VIEW counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 10;

CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    NEW.name := coalesce(NEW.name, '') || '';
    RETURN NEW;
END
$body$;
CREATE TRIGGER touched BEFORE UPDATE ON animal FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION touch();
CREATE FUNCTION "Förderung".add(a integer, b integer DEFAULT 1) RETURNS integer LANGUAGE sql IMMUTABLE
    RETURN a + b;
CREATE FUNCTION secret_sum() RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = public
    AS 'SELECT sum(id) FROM person';
CREATE PROCEDURE noop() LANGUAGE plpgsql AS 'BEGIN END';
CREATE AGGREGATE product(double precision) (SFUNC = float8mul, STYPE = double precision, INITCOND = '1');
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE CAST (mood AS integer) WITH FUNCTION hashenum(anyenum);
CREATE RULE quiet AS ON DELETE TO empty DO INSTEAD NOTHING;
CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);

CREATE ROLE tenant_reader NOLOGIN;
CREATE TABLE tenant (id integer PRIMARY KEY, owner name, note text);
INSERT INTO tenant SELECT g, 'nobody', 'note ' || g FROM generate_series(1, 30) AS g;
ALTER TABLE tenant ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenant FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON tenant USING (owner = current_user);
CREATE POLICY "reading TO all" ON tenant AS PERMISSIVE FOR SELECT TO tenant_reader USING (true);
GRANT SELECT ON tenant TO tenant_reader;

SELECT lo_from_bytea(424242, decode(repeat('00ff10', 5000), 'hex'));
SELECT lo_from_bytea(424243, ''::bytea);
COMMENT ON LARGE OBJECT 424242 IS 'a picture';

-- What does not come along: it would call home, run as somebody else, or is the source's own.
CREATE PUBLICATION everything FOR ALL TABLES;
CREATE FOREIGN DATA WRAPPER elsewhere;
CREATE SERVER far FOREIGN DATA WRAPPER elsewhere OPTIONS (host 'production.example');
CREATE USER MAPPING FOR PUBLIC SERVER far OPTIONS (password 'hunter2');
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE EVENT TRIGGER watching ON ddl_command_start EXECUTE FUNCTION on_ddl();
SELECT format('ALTER DATABASE %I SET timezone = %L', current_database(), 'Asia/Tokyo') \gexec
SELECT format('ALTER DATABASE %I SET search_path = sales, public, "Förderung"', current_database()) \gexec
ANALYZE;
