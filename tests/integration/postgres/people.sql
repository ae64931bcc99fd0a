-- A database of people, for the tests of masking. Every raw value has the mark `qzqzq` in it.
CREATE TABLE country (code text PRIMARY KEY, name text NOT NULL);
INSERT INTO country SELECT 'c' || g, 'Land ' || g FROM generate_series(1, 20) AS g;

CREATE TABLE customer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email text UNIQUE NOT NULL,
    name text,
    phone varchar(30),
    born date,
    joined timestamptz DEFAULT now(),
    country text REFERENCES country,
    invited_by bigint REFERENCES customer,
    profile jsonb,
    mails text[],
    iban varchar(34),
    badge uuid DEFAULT gen_random_uuid(),
    home text,
    salary numeric(10, 2),
    notes text,
    upper_name text GENERATED ALWAYS AS (upper(name)) STORED
);
INSERT INTO customer (email, name, phone, born, country, invited_by, profile, mails, iban, home, salary, notes)
SELECT 'qzqzq.person' || g || '@corp' || g % 50 || '.example', 'Qzqzqname' || g || ' Qzqzqlast' || g % 700, '+49 30 qzqzq' || 5550000 + g,
       '1950-01-01'::date + g, 'c' || 1 + g % 20, CASE WHEN g > 10 THEN 1 + g % 10 END,
       jsonb_build_object('plan', 'free', 'contacts', jsonb_build_array(
           jsonb_build_object('mail', 'qzqzq.deep' || g || '@example.org', 'kind', 'home'), jsonb_build_object('kind', 'none'))),
       ARRAY['qzqzq.alias' || g || '@example.net', 'qzqzq.other' || g || '@example.net'], 'DE00qzqzq' || lpad(g::text, 18, '0'),
       'Qzqzqstreet ' || g || ', 10115 Berlin', g, repeat('qzqzqnote' || g || ' ', CASE WHEN g % 100 = 0 THEN 500 ELSE 1 END)
FROM generate_series(1, 2000) AS g;
INSERT INTO customer (email, name, notes) VALUES ('qzqzq.odd@corp.example', E'Qzqzq\tTab\nLine\\back', ''), ('QZQZQ.UPPER@corp.example', NULL, NULL);

-- Joined by what is masked.
CREATE TABLE login (email text PRIMARY KEY REFERENCES customer (email), password text, last_ip inet);
INSERT INTO login SELECT email, 'qzqzqhash' || id, '10.1.2.3' FROM customer;

CREATE TABLE purchase (id bigint PRIMARY KEY, customer bigint NOT NULL REFERENCES customer, placed timestamptz, what text CHECK (what <> ''));
INSERT INTO purchase SELECT g, 1 + g % 2000, '2026-01-01'::timestamptz + g * interval '1 min', 'thing ' || g FROM generate_series(1, 5000) AS g;
CREATE TABLE line (purchase bigint REFERENCES purchase, number int, amount int, PRIMARY KEY (purchase, number));
INSERT INTO line SELECT p, n, 1 FROM generate_series(1, 5000) AS p, generate_series(1, 3) AS n;
CREATE TABLE refund (id serial PRIMARY KEY, purchase bigint, number int, FOREIGN KEY (purchase, number) REFERENCES line);
INSERT INTO refund (purchase, number) SELECT p, 1 FROM generate_series(1, 5000, 10) AS p;
CREATE TABLE voucher (id serial PRIMARY KEY, customer bigint REFERENCES customer, code text);
INSERT INTO voucher (customer, code) SELECT CASE WHEN g % 4 > 0 THEN g END, 'v' || g FROM generate_series(1, 2000) AS g;

CREATE TABLE visit (customer bigint, at date NOT NULL, page text) PARTITION BY RANGE (at);
CREATE TABLE visit_2025 PARTITION OF visit FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE visit_2026 PARTITION OF visit FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO visit SELECT g % 100, '2025-07-01'::date + g % 360, '/qzqzqpage/' || g FROM generate_series(1, 3000) AS g;

CREATE TABLE audit_log (id serial PRIMARY KEY, entry text);
INSERT INTO audit_log (entry) SELECT 'qzqzq.person' || g || '@corp.example did it' FROM generate_series(1, 500) AS g;
CREATE TABLE old_import (id int PRIMARY KEY, raw_email text);
INSERT INTO old_import SELECT g, 'qzqzq.import' || g || '@corp.example' FROM generate_series(1, 100) AS g;
CREATE TABLE of_import (id int REFERENCES old_import, note int);
INSERT INTO of_import SELECT g, g FROM generate_series(1, 100) AS g;

CREATE INDEX ON customer (lower(email));
CREATE MATERIALIZED VIEW directory AS SELECT id, name, email FROM customer;
CREATE MATERIALIZED VIEW directory_size AS SELECT count(*) AS n FROM directory;
CREATE VIEW adults AS SELECT id, name FROM customer WHERE born < '2008-01-01';
SELECT lo_from_bytea(777, 'qzqzq.large@object.example');
ANALYZE;
