"""What is in the source is in the clone: everything.sql, value by value and definition by definition."""

from __future__ import annotations

import hashlib
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pgworld import HERE, ONE, UNICODE_NAME, Machine, World, fill
from psycopg import sql

from cx.data.shared.spares import PostgresSpares
from cx.data.values import Clone, Source, Terms

TABLES = """
SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm') AND c.relispopulated AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
ORDER BY 1, 2
"""


def checksums(connection: psycopg.Connection[Any]) -> dict[str, str]:
    """A checksum of the rows of each table and materialised view, of sequences and of large objects."""
    sums = {}
    for schema, table in connection.execute(TABLES).fetchall():
        rows = connection.execute(
            sql.SQL('SELECT t::text FROM {} AS t ORDER BY t::text COLLATE "C"').format(sql.Identifier(schema, table))
        ).fetchall()
        sums[f"{schema}.{table}"] = hashlib.sha256(repr(rows).encode()).hexdigest() + f" {len(rows)} rows"
    sequences = "SELECT schemaname, sequencename, last_value FROM pg_sequences ORDER BY 1, 2"
    sums["sequences"] = repr(connection.execute(sequences).fetchall())
    objects = "SELECT oid, md5(lo_get(oid)), obj_description(oid, 'pg_largeobject') FROM pg_largeobject_metadata"
    sums["large objects"] = repr(connection.execute(objects).fetchall())
    return sums


LEFT_OUT = re.compile(
    r"CREATE (EVENT TRIGGER|PUBLICATION|FOREIGN DATA WRAPPER|SERVER|USER MAPPING)\b|COMMENT ON EXTENSION"
)


def definitions(dumper: Machine, url: str) -> list[str]:
    """Every statement of the schema, as one and the same pg_dump spells it, without what stays behind."""
    text = dumper.run("pg_dump", "-s", "--no-owner", "--no-privileges", "--restrict-key=x", "-d", url)
    statements = re.split(r"\n\n+", re.sub(r"(?m)^--.*\n|^SET .*\n|^.* SET \(pg_attver=.*\n", "", text))
    return [s for s in statements if s.strip() and not LEFT_OUT.search(s)]


@pytest.fixture(scope="module", params=["postgres:18", "postgres:17", "postgres:18 sanitised"])
def cloned(
    request: pytest.FixtureRequest,
    world: World,
    production: Machine,
    start: Callable[..., Machine],
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Machine, Clone]:
    """The source of a version, and a clone of it; also by way of the scratch server."""
    image, *sanitised = request.param.split()
    machine = production
    if image != "postgres:18":
        machine = start(image)
        fill(machine)
    script = None
    if sanitised:
        script = Path(tmp_path_factory.mktemp("s") / "nothing.sql")
        script.write_text("SELECT 1;")
    source = Source("everything", url=machine.url(UNICODE_NAME), extensions=("amcheck",), sanitise=script)
    golden = world.goldens.refresh(source)
    assert any("event trigger watching" in note for note in golden.notes), golden.notes
    return machine, world.clones.reset(ONE, "everything")


def test_every_value_is_the_same(cloned: tuple[Machine, Clone], world: World) -> None:
    machine, clone = cloned
    with machine.connect(UNICODE_NAME) as source, world.machine.connect(clone.database) as ours:
        ours.execute("SET timezone = 'Asia/Tokyo'; SET search_path = sales, public, \"Förderung\"")
        expected = checksums(source)
        assert checksums(ours) == expected
        assert len(expected) == 18


def test_every_definition_is_the_same(cloned: tuple[Machine, Clone], world: World) -> None:
    machine, clone = cloned
    expected = definitions(world.machine, machine.url(UNICODE_NAME))
    assert definitions(world.machine, world.machine.url(clone.database)) == expected
    assert len(expected) > 100


def test_the_locale_and_the_settings_are_the_same(cloned: tuple[Machine, Clone], world: World) -> None:
    machine, clone = cloned
    query = (
        "SELECT pg_encoding_to_char(encoding), datlocprovider, datcollate, datctype, datlocale,"
        " current_setting('search_path'), current_setting('timezone')"
        " FROM pg_database WHERE datname = current_database()"
    )
    with machine.connect(UNICODE_NAME) as source, world.as_preview(clone) as ours:
        assert ours.execute(query).fetchone() == source.execute(query).fetchone()


def test_the_app_owns_everything_and_can_change_it(cloned: tuple[Machine, Clone], world: World) -> None:
    _, clone = cloned
    with world.as_preview(clone) as app:
        foreign = app.execute(
            "SELECT c.oid::regclass, c.relowner::regrole FROM pg_class AS c"
            " JOIN pg_namespace AS n ON n.oid = c.relnamespace"
            " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
            " AND c.relowner <> current_user::regrole"
        ).fetchall()
        assert foreign == []
        for change in (
            "ALTER TABLE person ADD COLUMN more text",
            "CREATE TABLE public.migrated (id serial PRIMARY KEY)",
            "CREATE SCHEMA another",
            "CREATE EXTENSION IF NOT EXISTS pgcrypto",
            "CREATE EXTENSION hstore SCHEMA public",
            "DROP VIEW sales.happy",
            "REFRESH MATERIALIZED VIEW CONCURRENTLY sales.per_person",
            "SELECT lo_put(424242, 0, 'x')",
            "ALTER TYPE mood ADD VALUE 'wild'",
            "CREATE TEMP TABLE scratch (id int)",
            'DROP SCHEMA "Förderung" CASCADE',
            "INSERT INTO person (email) VALUES ('new@example.com')",
        ):
            app.execute(change)


# The sample database of MySQL's documentation: 239 countries, 4,079 cities, 984 languages that are spoken there.
WORLD = """
CREATE TABLE country (
  code char(3) PRIMARY KEY, name varchar(52) NOT NULL UNIQUE, surface_area numeric(10, 2) NOT NULL,
  population integer NOT NULL, capital integer
);
CREATE TABLE city (
  id integer GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, name varchar(35) NOT NULL,
  country char(3) NOT NULL REFERENCES country, population integer NOT NULL
);
CREATE TABLE countrylanguage (
  country char(3) NOT NULL REFERENCES country, language varchar(30) NOT NULL, percentage real NOT NULL,
  PRIMARY KEY (country, language)
);
CREATE INDEX ON city (population);
"""


@pytest.fixture
def the_world(production: Machine) -> Iterator[Machine]:
    """The source `world`: a public sample database."""
    build = ["docker", "build", "--quiet", HERE.parent / "images" / "world"]
    image = subprocess.run(build, check=True, capture_output=True, text=True).stdout.strip()
    run = ["docker", "run", "--rm", "--network", "none", image, "cat", "/world.sql"]
    rows = subprocess.run(run, check=True, capture_output=True, text=True, encoding="utf-8").stdout
    rows = re.sub("(?m)^(#|ANALYZE).*$", "", rows).replace("INSERT IGNORE INTO", "INSERT INTO")  # of MySQL's language
    with production.connect() as connection:
        connection.execute("CREATE DATABASE world")
    with production.connect("world") as connection:
        connection.execute(WORLD.encode() + rows.encode())
        connection.execute("ALTER TABLE country ADD FOREIGN KEY (capital) REFERENCES city")
        connection.execute("SELECT setval('city_id_seq', max(id)) FROM city")
    yield production
    with production.connect() as connection:
        connection.execute("DROP DATABASE world WITH (FORCE)")


def test_a_public_sample_database(world: World, the_world: Machine) -> None:
    with the_world.connect("world") as theirs:
        expected = checksums(theirs)
    assert expected["public.city"].endswith(" 4079 rows")
    assert expected["public.country"].endswith(" 239 rows")
    assert expected["public.countrylanguage"].endswith(" 984 rows")
    try:
        world.goldens.refresh(Source("world", url=the_world.url("world")))
        for way in ("wal_log", "file_copy"):
            clone = world.clones.reset(ONE, "world", Terms(strategy=way))
            with world.machine.connect(clone.database) as ours:
                assert checksums(ours) == expected
        assert definitions(world.machine, world.machine.url(clone.database)) == definitions(
            world.machine, the_world.url("world")
        )
    finally:
        world.clones.drop(ONE, "world")
        world.goldens.drop("world")


def test_the_benchmark_that_postgresql_brings(world: World, production: Machine) -> None:
    """pgbench's own tables, partitioned, with foreign keys: every row of every table, by each way into a clone."""
    with production.connect() as connection:
        connection.execute("CREATE DATABASE pgbench")
    production.run("pgbench", "-iq", "-s", "1", "--foreign-keys", "--partitions=4", "pgbench")
    production.run("pgbench", "-n", "-c", "2", "-t", "50", "pgbench")
    try:
        world.goldens.refresh(Source("pgbench", url=production.url("pgbench")))
        with production.connect("pgbench") as source:
            expected = checksums(source)
        assert expected["public.pgbench_history"].endswith(" 100 rows")
        assert expected["public.pgbench_accounts"].endswith(" 100000 rows")
        assert len(expected) == 10
        for way in ("wal_log", "file_copy", "spare"):
            if way == "spare":
                PostgresSpares(world.server, world.names).refill("pgbench", Terms(spares=1))
            clone = world.clones.reset(ONE, "pgbench", Terms(strategy="" if way == "spare" else way))
            assert clone.made == way
            with world.machine.connect(clone.database) as ours:
                assert checksums(ours) == expected
    finally:
        world.clones.drop(ONE, "pgbench")
        PostgresSpares(world.server, world.names).refill("pgbench", Terms())
        world.goldens.drop("pgbench")
