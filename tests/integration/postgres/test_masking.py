"""Masked refreshes: what becomes of each value, and that no raw one is anywhere on the previews' server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pgworld import HERE, ONE, TWO, Machine, World, put

from cx.adapters.postgres.values import Clone, Masks, Source
from cx.settings.masking import Masked, Rows, masked, rows

KEY = b"a key for the tests of masking"
COLUMNS: Mapping[str, Mapping[str, str | Masked]] = {
    "customer": {
        "email": "fake email",
        "name": Masked(fake="name", by="id"),
        "phone": "fake phone",
        "born": Masked(shift_days=30, by="id"),
        "profile": Masked(json={"contacts[*].mail": "fake email"}),
        "mails": "fake email",
        "iban": "hash",
        "badge": "hash",
        "home": "fake address",
        "salary": "shuffle",
        "notes": Masked(constant="nothing to see"),
    },
    "login": {"email": "fake email", "password": "null", "last_ip": "null"},
    "visit": {"page": "hash"},
}
ROWS: Mapping[str, str | Rows] = {"audit_log": "none", "old_import": "left out"}


@pytest.fixture(scope="module")
def people(production: Machine) -> Source:
    with production.connect() as connection:
        connection.execute("CREATE DATABASE people")
    put(production, "/tmp/people.sql", (HERE / "people.sql").read_bytes())
    production.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "people", "-f", "/tmp/people.sql")
    return Source("people", url=production.url("people"), masks=Masks(masked(COLUMNS), rows(ROWS), KEY))


@pytest.fixture(scope="module")
def cloned(world: World, people: Source) -> Iterator[Clone]:
    golden = world.goldens.refresh(people)
    assert golden.sanitised_by
    yield world.clones.clone(ONE, "people")
    world.clones.drop(ONE, "people")


@pytest.fixture
def app(world: World, cloned: Clone) -> Iterator[psycopg.Connection[Any]]:
    with world.as_preview(cloned) as connection:
        yield connection


@pytest.fixture
def raw(production: Machine, people: Source) -> Iterator[psycopg.Connection[Any]]:
    with production.connect("people") as connection:
        yield connection


def values(connection: psycopg.Connection[Any], query: str) -> list[Any]:
    return [row[0] if len(row) == 1 else row for row in connection.execute(query).fetchall()]  # type: ignore[arg-type]


def test_each_rule_does_what_it_says(app: psycopg.Connection[Any], raw: psycopg.Connection[Any]) -> None:
    before = raw.execute("SELECT * FROM customer WHERE id = 7", prepare=False).fetchone()
    cursor = app.execute("SELECT * FROM customer WHERE id = 7")
    assert cursor.description
    after = dict(zip([column.name for column in cursor.description], cursor.fetchone() or (), strict=True))
    assert before
    assert after["email"].endswith("@example.com")
    assert after["phone"].startswith("+999")
    assert len(after["phone"]) == 14
    assert 1 <= abs((after["born"] - before[4]).days) <= 30
    assert after["profile"]["plan"] == "free"
    assert after["profile"]["contacts"][0]["mail"].endswith("@example.com")
    assert after["profile"]["contacts"][0]["kind"] == "home"
    assert after["profile"]["contacts"][1] == {"kind": "none"}
    assert len(set(after["mails"])) == 2
    assert all(mail.endswith("@example.com") for mail in after["mails"])
    assert len(after["iban"]) == 32
    assert after["notes"] == "nothing to see"
    assert after["upper_name"] == after["name"].upper()
    assert after["country"] == before[6]
    for mark in app.execute("SELECT t::text FROM customer AS t").fetchall():
        assert "qzqzq" not in mark[0].lower()


def test_one_person_is_one_fake_everywhere(app: psycopg.Connection[Any], raw: psycopg.Connection[Any]) -> None:
    assert values(app, "SELECT count(*) FROM login JOIN customer USING (email)") == [2002]
    assert values(app, "SELECT count(DISTINCT email) FROM customer") == [2002]
    pairs = "SELECT c.id, c.email, l.email FROM customer AS c JOIN login AS l USING (email) ORDER BY 1"
    assert all(one == other for _, one, other in values(app, pairs))
    # A shuffled column has the same values, elsewhere; none of a row's dates stays.
    assert values(app, "SELECT sum(salary) FROM customer") == values(raw, "SELECT sum(salary) FROM customer")
    assert values(app, "SELECT salary FROM customer ORDER BY id") != values(
        raw, "SELECT salary FROM customer ORDER BY id"
    )
    assert not set(values(app, "SELECT id, born FROM customer")) & set(
        values(raw, "SELECT id, born FROM customer WHERE born IS NOT NULL")
    )


def test_null_and_nothing_stay_what_they_are(app: psycopg.Connection[Any]) -> None:
    odd = "SELECT name, phone, born, mails, profile FROM customer WHERE id = 2002"
    ((name, *rest),) = values(app, odd)
    assert name is None
    assert rest == [None, None, None, None]
    assert values(app, "SELECT DISTINCT password FROM login") == [None]


def test_tables_are_emptied_and_left_out(app: psycopg.Connection[Any], world: World) -> None:
    assert values(app, "SELECT count(*) FROM audit_log") == [0]
    assert values(app, "SELECT to_regclass('old_import')") == [None]
    assert values(app, "SELECT count(*) FROM of_import") == [100]
    golden = world.goldens.current("people")
    assert golden
    assert {
        "left out: table old_import",
        "left out: foreign key of_import of_import_id_fkey",
        "left out: 1 large objects",
    } <= set(golden.notes)
    assert values(app, "SELECT count(*) FROM pg_largeobject_metadata") == [0]


def test_all_else_is_as_in_the_source(app: psycopg.Connection[Any], raw: psycopg.Connection[Any]) -> None:
    for table in ("country", "purchase", "line", "refund", "voucher"):
        same = f"SELECT md5(string_agg(t::text, ',' ORDER BY t::text)) FROM {table} AS t"
        assert values(app, same) == values(raw, same), table
    counted = "SELECT tableoid::regclass::text, count(*) FROM visit GROUP BY 1 ORDER BY 1"
    assert values(app, counted) == values(raw, counted)
    indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'old_import' ORDER BY 1"
    assert values(app, indexes) == values(raw, indexes)
    assert values(app, "SELECT n FROM directory_size") == [2002]
    assert values(app, "SELECT count(*) FROM directory WHERE email LIKE '%@example.com'") == [2002]
    assert values(app, "INSERT INTO customer (email) VALUES ('new@example.org') RETURNING id") == [2003]
    frozen = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relpages > 0 AND relallvisible < relpages"
    assert values(app, f"{frozen} AND relnamespace = 'public'::regnamespace") == []


def bytes_with(machine: Machine, folder: str, text: str) -> int:
    """How many lines of the files in `folder` hold `text`, in any spelling."""
    found = machine.run("bash", "-c", f"cat $PGDATA/{folder}/* 2>/dev/null | grep -aoi '{text}' | wc -l")
    return int(found)


def folder_of(world: World, database: str) -> str:
    world.machine.run("psql", "-d", "postgres", "-qc", "CHECKPOINT")
    with world.machine.connect() as connection:
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [database]).fetchone()
    assert row
    return f"base/{row[0]}"


def test_no_raw_value_is_in_files_wal_or_statistics(world: World, cloned: Clone, people: Source) -> None:
    """Every raw value of the source has a mark in it: the mark is nowhere. Without rules it is everywhere."""
    assert bytes_with(world.machine, folder_of(world, cloned.golden), "@example.com") > 2000
    assert bytes_with(world.machine, folder_of(world, cloned.golden), "qzqzq") == 0
    assert bytes_with(world.machine, "pg_wal", "qzqzq") == 0
    with world.as_preview(cloned) as app:
        assert values(app, "SELECT count(*) FROM pg_stats WHERE most_common_vals::text ~* 'qzqzq'") == [0]
    without = world.goldens.refresh(replace(people, name="unmasked", masks=None))
    assert bytes_with(world.machine, folder_of(world, without.database), "qzqzq") > 2000
    assert bytes_with(world.machine, "pg_wal", "qzqzq") > 2000
    world.goldens.drop("unmasked")


def test_fakes_are_the_same_again_and_others_under_another_key(
    world: World, people: Source, app: psycopg.Connection[Any]
) -> None:
    assert people.masks
    query = "SELECT id, email, name, phone, born, iban, home, mails FROM customer ORDER BY id LIMIT 50"
    before = values(app, query)
    world.goldens.refresh(people)
    with world.as_preview(world.clones.clone(TWO, "people")) as again:
        assert values(again, query) == before
    world.goldens.refresh(replace(people, masks=replace(people.masks, key=b"another")))
    with world.as_preview(world.clones.reset(TWO, "people")) as again:
        assert not {row[1] for row in values(again, query)} & {row[1] for row in before}
    world.clones.drop(TWO, "people")
