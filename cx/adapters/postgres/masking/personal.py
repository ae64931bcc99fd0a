"""Columns that look personal: by name and type, and by a sample of what they hold, which the source itself looks at.

Nothing that is sampled leaves the source: it answers with counts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cx.adapters.postgres.masking.checking import Plan
from cx.adapters.postgres.masking.columns import Column, Table, literal
from cx.adapters.postgres.masking.expressions import DISTINCT, HASHED, Row
from cx.adapters.postgres.masking.reading import Reading
from cx.adapters.postgres.masking.vocabulary import words
from cx.model.names import shown

_SAMPLE = 1000  # values of a column
_READ = 100_000  # rows; of a larger table, blocks with about so many are read

# What a name says: the rule that is proposed, by the first expression that fits the name in snake case.
_NAMES: Sequence[tuple[str, str]] = (
    ("fake email", r"e_?mail|mail_?(addr|to|from)|^mail$"),
    (
        "null",
        r"passw|^pwd|_pwd|secret|api_?key|private_?key|(^|_)token|session_?(id|key)|^salt$|otp_|totp|recovery_?code",
    ),
    ("hash", r"(^|_)ssn|social_?sec|tax_?(id|number|no)|(^|_)vat(_|$)|(^|_)iban|(^|_)bic$|swift|passport|national_?id"),
    (
        "hash",
        r"licen[cs]e_?(no|num|plate)|credit_?card|card_?num|(^|_)cc_?num|(^|_)pan$|account_?(no|num)|insurance_?(no|num|id)",
    ),
    ("fake phone", r"phone|mobile|telefon|(^|_)fax|(^|_)cell(_|$)|msisdn|whatsapp"),
    ("fake username", r"user_?name|(^|_)login(_?name)?$|nick_?name|(^|_)nick$|(^|_)handle$"),
    ("fake first name", r"first_?name|given_?name|fore_?name|vorname|middle_?name"),
    ("fake last name", r"last_?name|sur_?name|family_?name|nachname|maiden"),
    ("fake postcode", r"(^|_)zip|postal|post_?code|(^|_)plz$"),
    ("fake street", r"street|strasse|straße|address_?(line)?_?[12]$|(^|_)addr[12]$"),
    ("fake city", r"(^|_)city$|(^|_)town$|birth_?place"),
    ("hash", r"(^|_)ip$|ip_?addr|remote_?addr|client_?ip|user_?agent|device_?id|mac_?addr"),
    ("fake address", r"address|(^|_)addr$"),
    ("shift 30 days", r"birth|(^|_)dob$|born"),
    ("fake company", r"company|employer|organi[sz]ation_?name"),
    (
        "fake name",
        r"(full|display|contact|customer|client|billing|shipping|card|holder|owner|real|recipient|person)_?name",
    ),
    ("null", r"(^|_)gender$|(^|_)sex$|religio|ethnic|nationality|diagnos|medical|disabil|marital"),
    ("null", r"(^|_)lat(itude)?$|(^|_)(lng|lon|longitude)$|geo_?(loc|pos|point)|coordinates"),
    ("null", r"salary|income|photo|avatar|signature|picture|biometr|fingerprint"),
)
_PEOPLE = re.compile(
    r"(^|_)(customer|client|user|person|people|contact|employee|staff|member|patient|student|teacher|account|guest"
    r"|subscriber|driver|tenant|owner|author|lead|candidate|applicant|participant)s?$"
)
# What a value says: at least this share of the sample, and of how many.
_CONTENT: Sequence[tuple[str, str, float]] = (
    ("fake email", r"[[:alnum:]._%+-]+@[[:alnum:]-]+\.[[:alpha:]]{2}", 0.0),
    ("fake phone", r"^(\+|00|\(?0)[1-9][0-9 ()/.-]{6,18}$", 0.3),
    ("hash", r"\m([0-9]{1,3}\.){3}[0-9]{1,3}\M", 0.3),
    ("hash", r"^[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}[A-Z0-9 ]{7,26}$", 0.3),
    ("hash", r"^(4|5[1-5]|3[47]|6[05])[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{3,4}$", 0.3),
)
_NAMED_SHARE = 0.4
_OURS = r"[a-z]+\.[0-9a-f]{16}@example\.com|\+999[0-9]{10}"


@dataclass(frozen=True)
class Suspect:
    """A column that looks personal: why, and the rule that is proposed."""

    table: Table
    column: Column
    why: str
    rule: str

    @property
    def said(self) -> str:
        return f"{self.table.said}.{self.column.name}"


def suspects(reading: Reading, plan: Plan) -> tuple[Suspect, ...]:
    """The columns that come along, have no rule, and look personal; partitions are told of by their root."""
    found: dict[tuple[int, str], Suspect] = {}
    for one in (*_by_name(plan), *_by_content(reading, plan)):
        above = plan.catalog.ancestors(one.table)
        root = next((table for table in reversed(above) if one.column.name in table.columns), one.table)
        found.setdefault((root.oid, one.column.name), Suspect(root, root.columns[one.column.name], one.why, one.rule))
    return tuple(sorted(found.values(), key=lambda one: (one.table.schema, one.table.name, one.column.number)))


def _by_name(plan: Plan) -> Iterator[Suspect]:
    for table in plan.moved:
        for column in table.columns.values():
            if column.name in plan.rules[table.oid] or column.generated:
                continue
            if rule := named(table.name, column):
                yield Suspect(table, column, "its name", fitting(table, column, rule))
            elif column.base in ("inet", "cidr", "macaddr", "macaddr8"):
                yield Suspect(table, column, "its type", fitting(table, column, "null"))


def named(table: str, column: Column) -> str:
    """The rule that the column's name calls for, or ""."""
    name = _snake(column.name)
    rule = next((rule for rule, pattern in _NAMES if re.search(pattern, name)), "")
    if not rule and name == "name" and _PEOPLE.search(_snake(table)):
        rule = "fake name"
    if column.is_text or column.is_json or column.element or column.category == "U":
        return rule
    if column.category == "D":
        return rule if rule.startswith("shift") else ""
    if column.category == "N":
        numbers = rule in ("hash", "fake phone") or re.search("salary|income|lat|lng|lon", name)
        return rule if numbers and not name.endswith("_id") else ""
    return ""


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def fitting(table: Table, column: Column, rule: str) -> str:
    """`rule`, or where the column cannot take it what comes nearest."""
    unique = (column.name,) in table.unique
    if unique and rule.startswith("fake ") and rule[5:] not in DISTINCT:
        rule = "hash"
    if rule.startswith("fake ") and not column.holds_text:
        rule = "hash"
    if rule == "hash" and not (column.holds_text or column.base in HASHED):
        rule = "null"
    if rule.startswith("shift") and column.base not in ("date", "timestamp", "timestamptz"):
        rule = "null"
    if rule == "null" and column.not_null:
        return "hash" if column.holds_text or column.base in HASHED else "keep"
    return rule


def _by_content(reading: Reading, plan: Plan) -> Iterator[Suspect]:
    statements, asked = [], {}
    for table in plan.moved:
        looked = [one for one in table.columns.values() if _is_looked_into(plan, table, one)]
        if looked:
            asked[table.oid] = table
            statements += list(_questions(plan, table, looked))
    for line in reading.lines(statements) if statements else ():
        oid, number, *counts = (int(part) for part in line.split("\t"))
        table = asked[oid]
        column = next(one for one in table.columns.values() if one.number == number)
        if rule := _of_counts(counts):
            yield Suspect(table, column, f"what it holds looks like {_kind(rule)}", fitting(table, column, rule))


def _is_looked_into(plan: Plan, table: Table, column: Column) -> bool:
    rule = plan.rules[table.oid].get(column.name)
    if column.generated or (rule and rule.json is None):
        return False
    return column.holds_text or column.is_json or column.base in ("xml", "hstore")


def _questions(plan: Plan, table: Table, columns: Sequence[Column]) -> Iterator[str]:
    """One row for each column that holds anything: oid, number, sampled, and how many of those each test fits.

    The sample is of the values that are there, so that a column that is mostly empty is looked into as well.
    """
    share = f" TABLESAMPLE SYSTEM ({100 * _READ / table.rows:.4f})" if table.rows > _READ else ""
    row = Row(table.columns)
    names = "{" + ",".join(one.lower() for one in words("first")) + "}"
    tests = [f"c ~ {literal(pattern)}" for _, pattern, _ in _CONTENT]
    tests.append(f"c LIKE '% %' AND lower(split_part(c, ' ', 1)) = ANY ({literal(names)}::text[])")
    tests.append(f"lower(c) = ANY ({literal(names)}::text[])")
    counts = ", ".join(f"count(*) FILTER (WHERE {test})" for test in tests)
    for one in columns:
        rule = plan.rules[table.oid].get(one.name)
        value = f"({row.masked(one, rule)})::text"
        if rule:  # what is left beside our own fakes
            value = f"regexp_replace({value}, {literal(_OURS)}, '', 'g')"
        there = f"SELECT {row.column(one)} FROM ONLY {table.quoted} AS t{share} WHERE {row.column(one)}::text <> ''"
        picked = f"SELECT {value} AS c FROM ({there} ORDER BY random() LIMIT {_SAMPLE}) AS t OFFSET 0"
        yield f"SELECT {table.oid}, {one.number}, count(*), {counts} FROM ({picked}) AS picked HAVING count(*) > 0"


def _of_counts(counts: Sequence[int]) -> str:
    sampled, *fits = counts
    for (rule, _, share), fit in zip(_CONTENT, fits, strict=False):
        if fit and fit >= share * sampled:
            return rule
    full, first = fits[len(_CONTENT) :]
    if full >= max(2, _NAMED_SHARE * sampled):
        return "fake name"
    return "fake first name" if first >= max(2, _NAMED_SHARE * sampled) else ""


def _kind(rule: str) -> str:
    return {"hash": "numbers of people or machines"}.get(rule, f"{rule.removeprefix('fake ')}s")


# --- as configuration


def proposal(source: str, found: Sequence[Suspect]) -> str:
    """TOML for the host's configuration."""
    lines: list[str] = []
    last = None
    for one in found:
        if one.table != last:
            lines += ([""] if lines else []) + [f"[databases.{source}.mask.{_toml_key(one.table.said)}]"]
            last = one.table
        lines.append(f'{_toml_key(one.column.name)} = "{one.rule}"  # {one.why}; {shown(one.column.type)}')
    return "\n".join(lines)


def _toml_key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name)
