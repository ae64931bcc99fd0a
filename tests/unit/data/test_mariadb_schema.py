"""What MariaDB says of a schema, as the rules are held against it; and the statements that the rules become."""

from __future__ import annotations

import json

import pytest

from cx.core.errors import Invalid
from cx.data.masking.checking import checked
from cx.data.masking.dialects.mariadb.catalog import Schema, literal, quoted, read
from cx.data.masking.dialects.mariadb.expressions import Row, changed, fill
from cx.data.values import Masks
from cx.settings.masking import Masked, Rows, masked, rows

COLUMNS = [
    ("customer", "id", "bigint", "bigint(20)", None, "NO", "auto_increment"),
    ("customer", "email", "varchar", "varchar(80)", 80, "NO", ""),
    ("customer", "code", "char", "char(8)", 8, "YES", ""),
    ("customer", "profile", "longtext", "longtext", 4294967295, "YES", ""),
    ("customer", "born", "date", "date", None, "NO", ""),
    ("customer", "upper", "text", "text", 65535, "YES", "STORED GENERATED"),
    ("login", "mail", "varchar", "varchar(80)", 80, "NO", ""),
    ("login", "at", "timestamp", "timestamp", None, "NO", "on update current_timestamp()"),
]


def schema() -> Schema:
    said: list[dict[str, object]] = [
        {"is": "table", "table": "customer", "rows": 10, "bytes": 16384, "next": 11},
        {"is": "table", "table": "login", "rows": 10, "bytes": 16384, "next": None},
        {"is": "check", "table": "customer", "clause": "json_valid(`profile`)"},
        {"is": "key", "table": "customer", "name": "PRIMARY", "column": "id"},
        {"is": "key", "table": "customer", "name": "email", "column": "email"},
        {"is": "reference", "table": "login", "name": "f", "column": "mail", "to": "customer", "to_column": "email"},
        {"is": "trigger", "name": "kept"},
    ]
    names = ("table", "name", "kind", "type", "length", "nullable", "extra")
    said += [{"is": "column", "number": n, **dict(zip(names, one, strict=True))} for n, one in enumerate(COLUMNS, 1)]
    return read(json.dumps(one) for one in said)


def test_a_schema_is_read() -> None:
    found = schema()
    customer, login = found.catalog.tables.values()
    assert (customer.said, customer.primary, customer.unique) == ("customer", ("id",), (("id",), ("email",)))
    assert {one.name: one.base for one in customer.columns.values()} == {
        "id": "int8",
        "email": "varchar",
        "code": "varchar",
        "profile": "json",
        "born": "date",
        "upper": "text",
    }
    assert [one.name for one in customer.columns.values() if one.generated] == ["upper"]
    assert [customer.columns[name].length for name in ("email", "profile")] == [80, 0]
    (reference,) = found.catalog.references
    assert (reference.columns, reference.to_columns, reference.to) == (("mail",), ("email",), customer.oid)
    assert found.next == {"customer": 11}
    assert found.triggers == ("kept",)
    assert login.primary == ()


def test_what_mysql_says_in_other_words() -> None:
    """A type of its own for JSON; a default that is an expression; a key of an expression, which names no column."""
    said: list[dict[str, object]] = [
        {"is": "table", "table": "t", "rows": 1, "bytes": 1, "next": None},
        {"is": "key", "table": "t", "name": "PRIMARY", "column": "id"},
        {"is": "key", "table": "t", "name": "lower_mail", "column": None},
    ]
    names = ("name", "kind", "type", "length", "nullable", "extra")
    for number, one in enumerate(
        [
            ("id", "bigint", "bigint unsigned", None, "NO", "auto_increment"),
            ("about", "json", "json", None, "YES", ""),
            ("made", "timestamp", "timestamp", None, "NO", "DEFAULT_GENERATED"),
            ("upper", "text", "text", 65535, "YES", "STORED GENERATED"),
        ]
    ):
        said.append({"is": "column", "table": "t", "number": number, **dict(zip(names, one, strict=True))})
    (table,) = read(json.dumps(one) for one in said).catalog.tables.values()
    assert table.unique == (("id",),)
    assert table.columns["about"].is_json
    assert [one.name for one in table.columns.values() if one.generated] == ["upper"]


@pytest.mark.parametrize(
    ("columns", "row_rules", "key", "problem"),
    [
        ({"custmer": {"email": "hash"}}, {}, "mask.custmer", "did you mean customer"),
        ({"customer": {"emial": "hash"}}, {}, "mask.customer.emial", "did you mean email"),
        ({"customer": {"email": "null"}}, {}, "mask.customer.email", "is NOT NULL"),
        ({"customer": {"email": "fake email"}}, {}, "mask.login.mail", "refers to customer.email"),
        ({"customer": {"email": "fake name"}, "login": {"mail": "fake name"}}, {}, "mask.customer.email", "is unique"),
        ({"customer": {"code": "hash"}}, {}, "mask.customer.code", "8 characters"),
        ({"customer": {"born": "fake email"}}, {}, "mask.customer.born", "holds no fake email"),
        ({"customer": {"upper": "hash"}}, {}, "mask.customer.upper", "is generated"),
        ({"customer": {"email": Masked(json={"a": "hash"})}}, {}, "mask.customer.email", "not json"),
        ({}, {"shop.customer": "none"}, 'rows."shop.customer"', "no such table"),
    ],
)
def test_a_rule_that_does_not_fit_is_told_with_its_key(
    columns: dict[str, dict[str, str | Masked]], row_rules: dict[str, str | Rows], key: str, problem: str
) -> None:
    with pytest.raises(Invalid) as caught:
        checked("shop", Masks(masked(columns), rows(row_rules), b"key"), schema().catalog)
    assert caught.value.key == f"databases.shop.{key}"
    assert problem in str(caught.value)


def test_a_table_is_filled_without_generated_columns_and_with_each_digest_once() -> None:
    table = schema().catalog.tables[1]
    rules = masked({"t": {"email": "fake email", "code": "keep", "born": Masked(shift_days=3, by="email")}})["t"]
    row = Row(table.columns)
    for column in table.columns.values():
        row.masked(column, rules.get(column.name))
    made = fill(table, rules, row, "new")
    assert made.startswith("INSERT INTO `new` (`id`, `email`, `code`, `profile`, `born`) SELECT t.`id`, ")
    assert made.count("SHA2(") == 1
    assert changed(rules)
    assert not changed({"code": Masked(do="keep"), "email": Masked(do="script")})


def test_names_and_texts_are_quoted() -> None:
    assert quoted("a`b") == "`a``b`"
    assert literal("it's \\ and\nmore") == "'it''s \\\\ and\\nmore'"
