"""Which columns a source's own server finds personal, of every type that can hold a text or a number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from likeness import CARDS, COUNTS, EMAILS, KEYS, NAMES, OTHERS, PASSWORDS, PHONE_NUMBERS, PHONES, PLAIN, TOKENS
from pgworld import Machine, World
from psycopg import sql

from cx.data.values import Source

DATABASE = "personal"
TYPES = """
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE COLLATION no_case (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE pair AS (n integer, v text);
CREATE TYPE texts AS RANGE (subtype = text, collation = "C");
CREATE DOMAIN short AS varchar(2000) COLLATE no_case;
"""
# How a column of each type holds one text `v`.
HOLDS = {
    "text": "v",
    "text COLLATE no_case": "v",
    "short": "v",
    "citext": "v",
    "char(200)": "v",
    "bytea": "convert_to(v, 'UTF8')",
    "jsonb": "jsonb_build_object('id', 7, 'mary', jsonb_build_array(v, true))",
    "json": "json_build_object('mary', v)",
    "jsonb[]": "ARRAY[jsonb_build_object('a', 1), jsonb_build_object('b', v)]",
    "text[]": "ARRAY['', NULL, v]",
    "bytea[]": "ARRAY[convert_to(v, 'UTF8')]",
    "pair": "ROW(1, v)::pair",
    "pair[]": "ARRAY[ROW(1, 'x'), ROW(2, v)]::pair[]",
    "texts": "texts(v, NULL)",
    "hstore": "hstore('mary', v)",
    "xml": "xmlelement(name mary, xmlattributes('x' AS a), v)",
    "tsvector": "array_to_tsvector(ARRAY['x', v])",
}
LOOKS = {
    "emails": EMAILS, "phones": PHONES, "hashes of passwords": PASSWORDS, "keys": KEYS, "names": NAMES,
    "numbers of people or machines": (*CARDS, *OTHERS),
}  # fmt: skip


@pytest.fixture(scope="module")
def empty(production: Machine) -> Iterator[psycopg.Connection[Any]]:
    with production.connect() as connection:
        connection.execute(f"CREATE DATABASE {DATABASE}")
    with production.connect(DATABASE) as connection:
        connection.execute(TYPES)
        yield connection


def seen(world: World, production: Machine) -> dict[str, str]:
    """What is said of each column that looks personal."""
    found = world.goldens.classify(Source(DATABASE, url=production.url(DATABASE)))
    return {one.column.name: one.why.removeprefix("what it holds looks like ") for one in found}


def fill(connection: psycopg.Connection[Any], values: Sequence[str], holds: dict[str, str] = HOLDS) -> list[str]:
    """A table with a column of each type, numbered, in which the values are; the names of the columns."""
    names = [f"c{number}" for number in range(len(holds))]
    columns = ", ".join(f"{name} {type_}" for name, type_ in zip(names, holds, strict=True))
    connection.execute(f"DROP TABLE IF EXISTS holding; CREATE TABLE holding ({columns})".encode())
    literals = sql.SQL(", ").join(sql.SQL("({})").format(sql.Literal(value)) for value in values)
    query = sql.SQL("INSERT INTO holding SELECT {} FROM (VALUES {}) AS v(v)")
    connection.execute(query.format(sql.SQL(", ".join(holds.values())), literals))
    return names


@pytest.mark.parametrize("says", LOOKS)
def test_personal_values_are_seen_in_every_type(
    world: World, production: Machine, empty: psycopg.Connection[Any], says: str
) -> None:
    names = fill(empty, LOOKS[says])
    expected = dict.fromkeys(names, says)
    if says == "names":  # nobody's name is in bytes; and a lexeme is a word, but these are more
        del expected[names[list(HOLDS).index("bytea")]]
    assert seen(world, production) == expected


def test_plain_values_are_not(world: World, production: Machine, empty: psycopg.Connection[Any]) -> None:
    fill(empty, PLAIN)
    assert seen(world, production) == {}


def test_tokens_are_seen_where_the_name_says_so(
    world: World, production: Machine, empty: psycopg.Connection[Any]
) -> None:
    fill(empty, TOKENS, {"text": "v", "jsonb": "to_jsonb(v)"})
    assert seen(world, production) == {}
    empty.execute('ALTER TABLE holding RENAME c0 TO "Zugangs-Schlüssel"')
    empty.execute("ALTER TABLE holding RENAME c1 TO credentials")
    assert seen(world, production) == {"Zugangs-Schlüssel": "its name", "credentials": "keys"}


def test_numbers(world: World, production: Machine, empty: psycopg.Connection[Any]) -> None:
    """Phone numbers and those of cards in numbers; keys and counts of things are none."""
    empty.execute(
        "DROP TABLE IF EXISTS holding; CREATE TABLE holding (id bigint PRIMARY KEY, contact bigint, n numeric(20, 0),"
        " f float8, many bigint[], contact_id bigint, ean bigint, parent bigint REFERENCES holding, paid_with bigint,"
        " plain bigint)"
    )
    for number in PHONE_NUMBERS:
        empty.execute(
            "INSERT INTO holding VALUES (%(n)s, %(n)s, %(n)s, %(n)s, ARRAY[%(n)s, NULL], %(n)s, %(n)s, %(n)s,"
            " 4111111111111111, 5)",
            {"n": number},
        )
    found = {"contact": "phones", "n": "phones", "f": "phones", "many": "phones", "paid_with": "numbers of cards"}
    assert seen(world, production) == found
    empty.execute("UPDATE holding SET contact = NULL, n = NULL, f = NULL, many = NULL, paid_with = NULL")
    empty.cursor().executemany("INSERT INTO holding (id, contact, n) VALUES (%s, %s, %s)", [(n, n, n) for n in COUNTS])
    assert seen(world, production) == {}


def test_what_is_not_looked_into(world: World, production: Machine, empty: psycopg.Connection[Any]) -> None:
    """Columns that are generated anew from others; enumerations but by what their names call personal."""
    empty.execute("DROP TABLE IF EXISTS holding; CREATE TYPE gender AS ENUM ('a@corp.example')")
    empty.execute("CREATE TABLE holding (a text, b text GENERATED ALWAYS AS (a) STORED, c gender, gender gender)")
    empty.execute("INSERT INTO holding VALUES ('a@corp.example', DEFAULT, 'a@corp.example')")
    assert seen(world, production) == {"a": "emails", "gender": "its name"}
