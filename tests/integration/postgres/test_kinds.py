"""cx's queries of catalogs and samples, against one of every kind of thing that PostgreSQL 18 has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pgworld import HERE, ONE, Machine, World, put
from test_fidelity import checksums, definitions

from cx.data.shared.spares import PostgresSpares
from cx.data.values import Masks, Source, Terms
from cx.settings.masking import Masked, Rows, masked, rows

KEY = b"a key for the tests of kinds"
# Of each table, what is not kept; values of all kinds of columns are.
COLUMNS: Mapping[str, Mapping[str, str | Masked]] = {
    "keyed": {"Code": "hash", "other": "hash"},
    "pointing": {"code": "hash", "other": "hash"},
    "parent": {"v": "hash"},
    "by_list": {"kind": "fake city"},
    "row_of_a_table": {"whole": "null", "of_rows": "null"},  # rows of every_type
    "every_type": {
        "bytea": "hash", "int8": "hash", "text": "fake name", "name": "hash", "varchar": "fake last name",
        "jsonb": Masked(json={"n.m[*]": "hash"}), "date": "shift 3 days", "timestamptz": "shift 3 days", "uuid": "hash",
        "no_case": "fake name", "no_accent": "fake city", "german": "hash", "word": Masked(constant="no one"),
        "citext": "fake email", "texts": "fake phone", "no_cases": "hash", "nos": "null", "pair": "null",
        "tsvector": "null", "hstore": Masked(constant="a=>b"), "ranges": "null", "xml": "null", "mood": "shuffle",
        "nested": "shuffle", "ruled": "shuffle", "c": "script",
        "macaddr": "keep", "macaddr8": "null", "inet": "null", "cidr": "keep",
    },
}  # fmt: skip

CHANGED = {"public.every_type", "public.keyed", "public.pointing", "public.parent", "public.child", "public.grandchild"}
CHANGED |= {"public.row_of_a_table"}
CHANGED |= {f"public.by_list{part}" for part in ("", "_1", "_1_0", "_1_1", "_other")} | {"public.no_case_view"}


@pytest.fixture(scope="module")
def kinds(production: Machine) -> Source:
    return made(production, "kinds", "kinds.sql")


def made(production: Machine, name: str, *scripts: str) -> Source:
    with production.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    for script in scripts:
        put(production, f"/tmp/{script}", (HERE / script).read_bytes())
        production.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", name, "-f", f"/tmp/{script}")
    not_trusted = ("amcheck", "bloom", "file_fdw", "postgres_fdw", "pg_stat_statements")
    return Source(
        name,
        url=production.url(name),
        extensions=not_trusted,
        masks=Masks(masked(COLUMNS), rows({}), KEY, large_objects=True),
    )


def test_no_column_of_these_kinds_looks_personal(world: World, kinds: Source) -> None:
    assert world.goldens.classify(kinds) == ()


def test_classify_reads_what_only_superusers_make(world: World, production: Machine, kinds: Source) -> None:
    """No golden can hold such things, but who wants to know what to mask need not care."""
    name = "kinds_of_superusers"
    made(production, name, "kinds.sql", f"{name}.sql")
    assert world.goldens.classify(replace(kinds, name=name, url=production.url(name))) == ()


def test_a_plain_dump_of_these_kinds(world: World, kinds: Source, production: Machine, tmp_path: Path) -> None:
    file = tmp_path / "kinds.sql"
    file.write_text(production.run("pg_dump", "--no-large-objects", kinds.name))
    golden = world.goldens.refresh(replace(kinds, name="dumped", url=None, file=file))
    assert "left out: foreign table foreign_table" in golden.notes


# What of comments belongs to what stays behind.
BEHIND = re.compile(r"FOREIGN TABLE|SUBSCRIPTION|PUBLICATION|ON SERVER|EVENT TRIGGER")


def test_a_masked_refresh_has_all_values_and_definitions(world: World, kinds: Source, production: Machine) -> None:
    golden = world.goldens.refresh(kinds)
    assert "left out: foreign table foreign_table" in golden.notes
    with cloned(world, kinds) as ours, production.connect(kinds.name) as source:
        expected, found = checksums(source), checksums(ours)
        assert {name for name in expected if expected[name] != found.get(name)} == CHANGED
        mine = definitions(world.machine, world.machine.url(ours.info.dbname))
        theirs = definitions(world.machine, production.url(kinds.name))
        assert mine == [one for one in theirs if not BEHIND.search(one)]
        assert len(mine) > 240
    with PostgresSpares(world.server, world.names).borrowed(kinds.name, Terms()) as copy:
        assert world.goldens.audit(kinds, copy).clean


def test_a_subset_of_these_kinds(world: World, kinds: Source) -> None:
    """Keys that are not enforced, over periods, to and from partitions, from and to ancestors."""
    assert kinds.masks
    few = {"keyed": Rows(newest=3, by="w", where="id < 12"), "term": Rows(where="id < 4")}
    few |= {"by_range": Rows(newest=2), "secured": Rows(keep="none")}
    world.goldens.refresh(replace(kinds, name="few", masks=replace(kinds.masks, rows=few)))
    with cloned(world, replace(kinds, name="few")) as ours:

        def count(table: str) -> int:
            row = ours.execute(f"SELECT count(*) FROM {table}").fetchone()
            assert row
            return int(row[0])

        expected = {"keyed": 3, "pointing": 3, "term": 9, "within_term": 3, "secured": 0, "every_type": 41}
        assert {table: count(table) for table in expected} == expected


@contextmanager
def cloned(world: World, source: Source) -> Iterator[psycopg.Connection[Any]]:
    clone = world.clones.clone(ONE, source.name)
    try:
        with world.machine.connect(clone.database) as ours:
            ours.execute("SET timezone = 'Asia/Tokyo'")
            yield ours
    finally:
        world.clones.drop(ONE, source.name)
