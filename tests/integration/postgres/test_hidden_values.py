"""Raw values that a search of files does not see: in what is compressed, in bytes, in large objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from pgworld import Machine, World

from cx.data import errors
from cx.data.masking.dialects.postgres import moving
from cx.data.values import Masks, Source
from cx.settings.masking import masked

DATABASE = "hidden"
RULES = {"person": {"email": "fake email"}, "letter": {"kept": "keep"}}
# Longer than 2 kB, of which a compressor keeps little; the addresses are far apart.
LONG = "repeat('lorem ipsum ' || n || ' ', 300) || email || repeat(' dolor sit ' || n, 300)"


@pytest.fixture(scope="module")
def filled(production: Machine) -> Iterator[psycopg.Connection[Any]]:
    with production.connect() as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with production.connect(DATABASE) as connection:
        connection.execute("CREATE TABLE person (n int, email text)")
        connection.execute(
            "INSERT INTO person SELECT n, 'qzqzq.' || n || '@corp.example' FROM generate_series(1, 500) AS n"
        )
        yield connection


def source(production: Machine, *, large_objects: bool = False) -> Source:
    masks = Masks(masked(RULES), {}, b"a key", large_objects=large_objects)
    return Source(DATABASE, url=production.url(DATABASE), masks=masks)


KINDS = {
    "text": LONG,
    "text COMPRESSION lz4": LONG,
    "jsonb": f"jsonb_build_object('a', jsonb_build_array({LONG}))",
    "text[]": f"ARRAY[{LONG}]",
    "bytea": f"convert_to({LONG}, 'UTF8')",
    "xml": f"xmlelement(name a, {LONG})",
    "text STORAGE EXTERNAL": LONG,
}


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_long_is_looked_into(
    world: World, production: Machine, filled: psycopg.Connection[Any], kind: str
) -> None:
    filled.execute(f"DROP TABLE IF EXISTS letter; CREATE TABLE letter (kept {kind})".encode())
    filled.execute(f"INSERT INTO letter SELECT {KINDS[kind]} FROM person".encode())
    with pytest.raises(errors.LeakFound) as caught:
        world.goldens.refresh(source(production))
    assert "raw values of person.email (" in str(caught.value)
    assert "are in letter;" in str(caught.value)
    assert "qzqzq" not in str(caught.value)
    assert world.goldens.current(DATABASE) is None


def test_a_search_of_files_alone_sees_none_of_them(
    world: World, production: Machine, filled: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is the search on the way that found them."""
    filled.execute("DROP TABLE IF EXISTS letter; CREATE TABLE letter (kept text)")
    filled.execute(f"INSERT INTO letter SELECT {LONG} FROM person".encode())
    monkeypatch.setattr(moving, "search_hits", lambda *_: None)
    world.goldens.refresh(source(production))
    world.goldens.drop(DATABASE)


def test_large_objects_are_looked_into(world: World, production: Machine, filled: psycopg.Connection[Any]) -> None:
    filled.execute("DROP TABLE IF EXISTS letter; CREATE TABLE letter (kept text)")
    filled.execute(f"SELECT lo_from_bytea(0, convert_to({LONG}, 'UTF8')) FROM person".encode())
    try:
        world.goldens.refresh(source(production))
        with pytest.raises(errors.LeakFound, match="are in large objects"):
            world.goldens.refresh(source(production, large_objects=True))
    finally:
        filled.execute("SELECT lo_unlink(oid) FROM pg_largeobject_metadata")
        world.goldens.drop(DATABASE)
