-- A small "production": customers with orders, made up by arithmetic.
CREATE TABLE customers (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  name text NOT NULL, email text NOT NULL UNIQUE, city text NOT NULL, since date NOT NULL
);
CREATE TABLE orders (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  customer_id bigint NOT NULL REFERENCES customers, item text NOT NULL, price_cents integer NOT NULL,
  ordered_at timestamptz NOT NULL
);
INSERT INTO customers (name, email, city, since)
SELECT first || ' ' || last, lower(first || '.' || last || '.' || n || '@shop.example'), city, date '2020-01-01' + n
FROM (
  SELECT n,
    (ARRAY['Ada','Grace','Linus','Margaret','Dennis','Barbara','Edsger','Radia','Ken','Frances'])[1 + n % 10] AS first,
    (ARRAY['Young','Okafor','Nilsson','Rossi','Tanaka','Haddad','Novak','Silva','Kaur'])[1 + n % 9] AS last,
    (ARRAY['Oslo','Lagos','Turin','Osaka','Beirut','Brno','Porto'])[1 + n % 7] AS city
  FROM generate_series(1, 1000) AS n
) AS people;
INSERT INTO orders (customer_id, item, price_cents, ordered_at)
SELECT 1 + n % 1000, (ARRAY['lamp','chair','rug','kettle'])[1 + n % 4], 500 + (n * 37) % 9500,
  timestamptz '2024-01-01' + n * interval '1 hour'
FROM generate_series(1, 5000) AS n;
CREATE INDEX orders_of ON orders (customer_id);
