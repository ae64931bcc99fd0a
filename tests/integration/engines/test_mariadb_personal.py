"""Which columns of MariaDB and MySQL look personal, of every type that can hold a text or a number."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from engineworld import open_host
from likeness import CARDS, EMAILS, KEYS, NAMES, OTHERS, PASSWORDS, PHONE_NUMBERS, PHONES, PLAIN
from live import Cx, free_pool, free_port, sweep

from cx.data.masking.dialects.mariadb.catalog import literal
from cx.host import Host

# How a column of each type holds one text.
HOLDS = {
    "varchar(300)": "{}",
    "longtext": "{}",
    "char(200) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin": "{}",
    "longblob": "{}",
    "json": "JSON_OBJECT('id', 7, 'mary', JSON_ARRAY({}, true))",
}
LOOKS = {
    "emails": EMAILS, "phones": PHONES, "hashes of passwords": PASSWORDS, "keys": KEYS, "names": NAMES,
    "numbers of people or machines": (*CARDS, *OTHERS), "": PLAIN,
}  # fmt: skip


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, engine: str) -> Iterator[Host]:
    """A host whose source is a dump file that is not there yet; nothing of it is up."""
    folder = tmp_path_factory.mktemp("likeness")
    instance = f"t{secrets.token_hex(3)}"
    config = folder / "host.toml"
    config.write_text(
        f'instance = "{instance}"\nstate_dir = "{folder / "state"}"\n[router]\nhttp_port = {free_port()}\n'
        f'admin_port = {free_port()}\n[network]\npool = "{free_pool()}"\n'
        f'[databases.shop]\nengine = "{engine}"\nfile = "{folder / "dump.sql"}"\n'
    )
    host = open_host(Cx(config, 0, instance))
    try:
        yield host
    finally:
        host.close()
        sweep(instance)


def seen(host: Host, path: Path, statements: Sequence[str]) -> Mapping[str, str]:
    """What is said of each column that looks personal in a dump of these statements."""
    path.write_text("SET NAMES utf8mb4;\n" + ";\n".join(statements) + ";\n-- Dump completed\n")
    found = host.engine_goldens.classify(replace(host.specs["shop"], file=path))
    return {one.said: one.why.removeprefix("what it holds looks like ") for one in found}


def test_personal_values_are_seen_in_every_type(host: Host, tmp_path: Path) -> None:
    statements, expected = [], {}
    for number, (says, values) in enumerate(LOOKS.items()):
        columns = {f"c{n}": type_ for n, type_ in enumerate(HOLDS)}
        statements.append(f"CREATE TABLE t{number} ({', '.join(f'{name} {type_}' for name, type_ in columns.items())})")
        rows = (", ".join(one.format(literal(value)) for one in HOLDS.values()) for value in values)
        statements.append(f"INSERT INTO t{number} VALUES {', '.join(f'({row})' for row in rows)}")
        expected |= {f"t{number}.{name}": says for name in columns if says}
        if says == "names":
            del expected[f"t{number}.c3"]  # nobody's name is in bytes
    assert seen(host, tmp_path / "dump.sql", statements) == expected


def test_names_and_numbers(host: Host, tmp_path: Path) -> None:
    columns = "id bigint PRIMARY KEY, contact bigint, n decimal(20), ean bigint, customer_id bigint, place point"
    rows = ", ".join(f"({n}, {n}, {n}, {n}, {n}, NULL, NULL, 'f', NULL)" for n in PHONE_NUMBERS)
    statements = [
        f"CREATE TABLE t ({columns}, `E-Mail des Kunden` text, gender enum('f', 'm'), `密码` blob)",
        f"INSERT INTO t VALUES {rows}",
    ]
    named = dict.fromkeys(("t.E-Mail des Kunden", "t.gender", "t.密码"), "its name")
    assert seen(host, tmp_path / "dump.sql", statements) == {"t.contact": "phones", "t.n": "phones", **named}


def test_long_values_are_looked_into(host: Host, tmp_path: Path) -> None:
    """What takes the server's expressions the longest: texts and JSON of many parts, in which nothing is personal."""
    words = "'" + "lorem ipsum [dolor] {sit} amet, 1234 56.78 " * 450 + "'"
    statements = [
        "CREATE TABLE t (a longtext, b json, c longblob)",
        f"INSERT INTO t VALUES ({words}, JSON_ARRAY({words}, {words}), {words})",
        *["INSERT INTO t SELECT * FROM t"] * 5,
    ]
    assert seen(host, tmp_path / "dump.sql", statements) == {}
