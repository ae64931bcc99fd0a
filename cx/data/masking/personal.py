"""Columns that look personal: by name and type, and by what is said of a sample of what they hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cx.core.names import shown
from cx.data.errors import Unmasked
from cx.data.masking.catalog import Column, Table
from cx.data.masking.checking import Plan
from cx.data.masking.vocabulary import DISTINCT, HASHED

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
# What a value says: the rule, an expression of PostgreSQL's (in PCRE, \m and \M are \b), and the least share of the
# sample that it fits.
CONTENT: Sequence[tuple[str, str, float]] = (
    ("fake email", r"[[:alnum:]._%+-]+@[[:alnum:]-]+\.[[:alpha:]]{2}", 0.0),
    ("fake phone", r"^(\+|00|\(?0)[1-9][0-9 ()/.-]{6,18}$", 0.3),
    ("hash", r"\m([0-9]{1,3}\.){3}[0-9]{1,3}\M", 0.3),
    ("hash", r"^[A-Z]{2}[0-9]{2} ?[A-Z0-9]{4}[A-Z0-9 ]{7,26}$", 0.3),
    ("hash", r"^(4|5[1-5]|3[47]|6[05])[0-9]{2}[ -]?[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{3,4}$", 0.3),
)
_NAMED_SHARE = 0.4
OURS = r"[a-z]+\.[0-9a-f]{16}@example\.com|\+999[0-9]{10}"


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


def collected(plan: Plan, found: Iterable[Suspect]) -> tuple[Suspect, ...]:
    """Each column once, in order; partitions are told of by their root."""
    first: dict[tuple[int, str], Suspect] = {}
    for one in found:
        above = plan.catalog.ancestors(one.table)
        root = next((table for table in reversed(above) if one.column.name in table.columns), one.table)
        first.setdefault((root.oid, one.column.name), Suspect(root, root.columns[one.column.name], one.why, one.rule))
    return tuple(sorted(first.values(), key=lambda one: (one.table.schema, one.table.name, one.column.number)))


def unmasked(name: str, found: Sequence[Suspect]) -> Unmasked:
    columns = ", ".join(f"{one.said} ({one.why})" for one in found[:20])
    more = f" and {len(found) - 20} more" if len(found) > 20 else ""
    error = Unmasked(
        f"source {name}: no rule for what looks personal: {columns}{more}",
        remedy=f'`cx db classify {name}` proposes rules; "keep" is one. The golden that was there serves on',
    )
    error.log = tuple(f"{one.said}: {one.why}; proposed: {one.rule}" for one in found)
    return error


def looked_into(plan: Plan, table: Table) -> list[Column]:
    """The columns whose values say whether they are personal: those without a rule, and the paths without one."""

    def is_one(column: Column) -> bool:
        rule = plan.rules[table.oid].get(column.name)
        if column.generated or (rule and rule.json is None):
            return False
        return column.holds_text or column.is_json or column.base in ("xml", "hstore")

    return [one for one in table.columns.values() if is_one(one)]


def by_name(plan: Plan) -> Iterator[Suspect]:
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


def by_counts(table: Table, column: Column, counts: Sequence[int]) -> Iterator[Suspect]:
    """`counts`: the size of the sample, and how many fit each of CONTENT, are names, are first names."""
    if rule := _of_counts(counts):
        yield Suspect(table, column, f"what it holds looks like {_kind(rule)}", fitting(table, column, rule))


def _of_counts(counts: Sequence[int]) -> str:
    sampled, *fits = counts
    for (rule, _, share), fit in zip(CONTENT, fits, strict=False):
        if fit and fit >= share * sampled:
            return rule
    full, first = fits[len(CONTENT) :]
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
