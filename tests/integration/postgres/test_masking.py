"""Masked refreshes: what becomes of each value, and that no raw one is anywhere on the previews' server."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import psycopg
import pytest
from pgworld import HERE, ONE, TWO, Machine, World, put, until

from cx.core.errors import CxError, Invalid
from cx.data import errors
from cx.data.masking.auditing import Audit
from cx.data.masking.catalog import Column
from cx.data.masking.dialects.postgres.expressions import select
from cx.data.masking.dialects.postgres.moving import PARALLEL
from cx.data.masking.personal import proposal
from cx.data.shared.spares import PostgresSpares
from cx.data.values import Clone, Masks, Source, Terms
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


def test_several_processes_of_the_source_make_digests(raw: psycopg.Connection[Any]) -> None:
    """The lowest node of the plan makes them, not what gathers its rows; joined to a row, they were made by one."""
    email = Column(2, "email", "text", "text", "S", True, False)
    query = select("public.customer", {"email": email}, {"email": Masked(fake="email")}, [])
    with raw.transaction(force_rollback=True):
        raw.execute(f"{PARALLEL} SET LOCAL min_parallel_table_scan_size = 0; SET LOCAL parallel_setup_cost = 0")
        plan = values(raw, f"EXPLAIN (VERBOSE) {query}")
    scan = next(number for number, line in enumerate(plan) if "Parallel Seq Scan" in line)
    assert any("Gather" in line for line in plan[:scan])
    assert "sha256(" in plan[scan + 1]


# --- it fails closed


def without(source: Source, *gone: str, **more: Mapping[str, str | Masked]) -> Source:
    """The source without the rules for the columns `gone`, and with `more` for tables."""
    assert source.masks
    columns = {
        table: {column: rule for column, rule in rules.items() if f"{table}.{column}" not in gone}
        for table, rules in source.masks.columns.items()
    }
    for table, rules in masked(more).items():
        columns[table] = {**columns.get(table, {}), **rules}
    return replace(source, masks=replace(source.masks, columns=columns))


def stays(world: World, source: Source, kind: type[CxError], *words: str) -> CxError:
    """The refresh fails as said, the golden that was there serves on, and nothing is left of the other."""
    before = (world.goldens.current("people"), world.databases(), world.roles())
    with pytest.raises(kind) as caught:
        world.goldens.refresh(source)
    for word in words:
        assert word in str(caught.value)
    assert "qzqzq" not in str(caught.value).lower()
    assert (world.goldens.current("people"), world.databases(), world.roles()) == before
    until(lambda: world.engine_leftovers() == [])
    return caught.value


def test_a_new_column_that_looks_personal_stops_the_refresh(
    world: World, people: Source, cloned: Clone, raw: psycopg.Connection[Any]
) -> None:
    raw.execute("ALTER TABLE voucher ADD COLUMN mobile_number text, ADD COLUMN data text, ADD COLUMN at_ip inet")
    raw.execute("UPDATE voucher SET data = 'ask qzqzq.voucher@corp.example' WHERE id = 5")
    try:
        error = stays(
            world,
            people,
            errors.Unmasked,
            "voucher.mobile_number (its name)",
            "voucher.data (what it holds looks like emails)",
            "voucher.at_ip",
            "cx db classify people",
        )
        assert len(error.log) == 3
        found = world.goldens.classify(people)
        assert [(one.said, one.rule) for one in found] == [
            ("voucher.mobile_number", "fake phone"),
            ("voucher.data", "fake email"),
            ("voucher.at_ip", "null"),
        ]
        proposed = tomllib.loads(proposal("people", found))["databases"]["people"]["mask"]
        world.goldens.refresh(without(people, **proposed))
    finally:
        raw.execute("ALTER TABLE voucher DROP COLUMN mobile_number, DROP COLUMN data, DROP COLUMN at_ip")
    world.goldens.refresh(people)


WRONG: Mapping[str, tuple[Mapping[str, Mapping[str, str | Masked]], tuple[str, ...]]] = {
    "no such table": ({"custmer": {"email": "hash"}}, ("databases.people.mask.custmer", "did you mean customer?")),
    "no such column": ({"customer": {"emial": "hash"}}, ("mask.customer.emial", "did you mean email?")),
    "a type": ({"purchase": {"placed": "fake email"}}, ("mask.purchase.placed", "timestamp with time zone")),
    "not null": ({"visit": {"at": "null"}}, ("mask.visit.at", "NOT NULL")),
    "unique": ({"customer": {"email": "fake name"}}, ("mask.customer.email", "is unique")),
    "generated": ({"customer": {"upper_name": "hash"}}, ("upper_name", "generated")),
    "one end of a key": ({"login": {"email": "hash"}}, ("mask.login.email", "customer.email", "fake email")),
    "by nothing": ({"customer": {"name": Masked(fake="name", by="person")}}, ("no column person",)),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_rule_that_does_not_fit_is_told_with_its_key(world: World, people: Source, cloned: Clone, case: str) -> None:
    more, words = WRONG[case]
    stays(world, without(people, **more), Invalid, *words)


def test_a_value_that_cannot_be_masked_is_not_told(world: World, people: Source, cloned: Clone) -> None:
    """Of a value that breaks a check, and of one that a filter casts: PostgreSQL would say which it was."""
    assert people.masks
    stays(world, without(people, purchase={"what": Masked(constant="")}), CxError, "purchase_what_check")
    broken = {**people.masks.rows, "customer": Rows(where="notes::int > 0")}
    stays(world, replace(people, masks=replace(people.masks, rows=broken)), errors.SourceRefused, "type integer")


def test_the_leak_scan_finds_what_no_rule_hides(
    world: World, people: Source, cloned: Clone, raw: psycopg.Connection[Any]
) -> None:
    """The same addresses in a column that was said to be kept: the refresh does not use that golden."""
    raw.execute("ALTER TABLE voucher ADD COLUMN sent_to text")
    raw.execute("UPDATE voucher SET sent_to = (SELECT email FROM customer WHERE customer.id = voucher.id)")
    try:
        kept = without(people, voucher={"sent_to": "keep"})
        stays(world, kept, errors.LeakFound, "customer.email (", "are in voucher")
        canary = Masked(fake="email", canary=False)
        allowed = without(kept, customer={"email": canary}, login={"email": canary})
        stays(world, without(kept, "customer.email", "login.email"), errors.Unmasked, "customer.email")
        world.goldens.refresh(allowed)
        assert audit(world, allowed).clean
        found = audit(world, kept)
        assert not found.clean
        assert found.in_files
        assert found.in_rows
        assert set(found.in_rows.columns) == {"customer.email", "login.email"}
    finally:
        raw.execute("ALTER TABLE voucher DROP COLUMN sent_to")
    world.goldens.refresh(people)


def test_the_leak_scan_looks_into_files_too(
    world: World, people: Source, cloned: Clone, raw: psycopg.Connection[Any]
) -> None:
    """A view that makes the addresses itself: no row and no definition has them."""
    raw.execute(
        "CREATE MATERIALIZED VIEW made AS SELECT 'qzqzq' || '.person' || g || '@corp' || g % 50 || '.example' AS v"
        " FROM generate_series(1, 2000) AS g"
    )
    try:
        stays(world, people, errors.LeakFound, "customer.email (", "made", "the WAL")
    finally:
        raw.execute("DROP MATERIALIZED VIEW made")


def audit(world: World, source: Source) -> Audit:
    with PostgresSpares(world.server, world.names).borrowed("people", Terms()) as copy:
        return world.goldens.audit(source, copy)


def test_an_audit_compares_every_value(world: World, people: Source, cloned: Clone) -> None:
    world.goldens.refresh(people)
    found = audit(world, people)
    assert found.clean
    assert found.same_rules
    assert found.canaries > 10_000
    compared = {one.column: one.values for one in found.compared}
    assert compared["customer.email"] == 2002
    assert compared["customer.profile"] == 2000
    assert compared["customer.mails"] == 4000
    # A golden that was made without a rule for it is found out.
    world.goldens.refresh(without(people, customer={"iban": "keep"}))
    found = audit(world, people)
    assert not found.same_rules
    assert {one.column: one.found for one in found.compared if one.found} == {"customer.iban": 2000}
    assert found.in_files
    assert found.in_rows
    world.goldens.refresh(people)


def test_no_key_is_seen(world: World, people: Source, production: Machine, cloned: Clone) -> None:
    assert people.masks
    key = people.masks.key_hex
    assert "cx.mask_key" in production.container.logs().decode()
    assert key not in production.container.logs().decode()
    assert key not in world.machine.container.logs().decode()
    golden = world.goldens.current("people")
    assert golden
    assert bytes_with(world.machine, folder_of(world, golden.database), key) == 0
    assert KEY.decode() not in repr(people)
