"""Rules as SQL expressions over a row of the source. Pure: text in, text out.

A fake is made from a keyed digest of the value that it replaces (or of the column named by `by`): SHA-256 over the key
and the value in lower case, of which at most half shows. The key comes with the session as the parameter
`cx.mask_key`, so that no statement, and no log of statements, holds it. Everything is built in: the source has nothing
of ours, and needs no extension.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cx.data.masking.catalog import Column, quoted
from cx.data.masking.dialects.postgres.columns import literal
from cx.data.masking.vocabulary import words
from cx.settings.masking import Masked, steps_of, worded

KEY_SETTING = "cx.mask_key"
_KEY = f"(SELECT pg_catalog.decode(pg_catalog.current_setting('{KEY_SETTING}'), 'hex'))"


def digest(value: str, folding: str = "") -> str:
    """32 bytes that depend on the key and on `value`, a text, without case (as the collation `folding` has it, or the
    database) and outer spaces, which go as bytes: of a text, each character would be looked at."""
    collated = f" COLLATE {folding}" if folding else ""
    plain = f"pg_catalog.convert_to(pg_catalog.lower({value}{collated}), 'UTF8')"
    return f"pg_catalog.sha256({_KEY} OPERATOR(pg_catalog.||) pg_catalog.btrim({plain}, '\\x20'::pg_catalog.bytea))"


def _number(seed: str, at: int, below: int) -> str:
    """A number from 0 to `below` - 1 (at most 2^20) by three bytes of the digest `seed`, from byte `at` on."""
    bytes_ = [f"pg_catalog.get_byte({seed}, {at + one})" for one in range(3)]
    return f"((({bytes_[0]} << 16) + ({bytes_[1]} << 8) + {bytes_[2]}) % {below})"


def _hex(seed: str, at: int, count: int) -> str:
    return f"pg_catalog.encode(pg_catalog.substr({seed}, {at + 1}, {count}), 'hex')"


def _array(listed: Sequence[str]) -> str:
    """Words as an SQL value of type name[].

    The elements are of one size, so that picking the n-th takes the same time for each n; of text[] it takes a walk.
    """
    inner = ",".join('"' + one.replace("\\", "\\\\").replace('"', '\\"') + '"' for one in listed)
    return f"({literal('{' + inner + '}')}::pg_catalog.name[])"


def _word(seed: str, at: int, kind: str, *, small: bool = False) -> str:
    listed = [one.lower() for one in words(kind)] if small else words(kind)
    return f"({_array(listed)})[1 + {_number(seed, at, len(listed))}]::text"


def fake(kind: str, seed: str) -> str:
    """A text of this kind. The same bytes make the same first name in a name, an address and an e-mail."""
    first, last = _word(seed, 0, "first"), _word(seed, 3, "last")
    small = _word(seed, 0, "first", small=True)
    number = f"(1 + {_number(seed, 6, 999)})::text"
    street = f"{number} || ' ' || {_word(seed, 9, 'last')} || ' ' || {_word(seed, 12, 'street')}"
    city = _word(seed, 15, "city")
    postcode = f"pg_catalog.lpad({_number(seed, 18, 100_000)}::text, 5, '0')"
    match kind:
        case "name":
            return f"({first} || ' ' || {last})"
        case "first name":
            return f"({first})"
        case "last name":
            return f"({last})"
        case "email":
            return f"({small} || '.' || {_hex(seed, 8, 8)} || '@example.com')"
        case "username":
            return f"({small} || {_hex(seed, 8, 8)})"
        case "phone":  # no country has the code 999
            return f"('+999' || pg_catalog.lpad({_number(seed, 20, 100_000)}::text, 5, '0') || {postcode})"
        case "street":
            return f"({street})"
        case "city":
            return f"({city})"
        case "postcode":
            return f"({postcode})"
        case "address":
            return f"({street} || ', ' || {postcode} || ' ' || {city})"
        case "company":
            return f"({_word(seed, 3, 'last')} || ' ' || {_word(seed, 6, 'suffix')})"
    raise ValueError(kind)


def hashed(column: Column, seed: str) -> str:
    """A value of the column's type by half of the digest."""
    half = _hex(seed, 0, 16)
    match column.base:
        case "uuid":
            # Of version 4, as MariaDB takes none of versions that there are not.
            parts = (
                _hex(seed, 0, 6),
                "'4'",
                f"pg_catalog.substr({half}, 14, 3)",
                "'8'",
                f"pg_catalog.substr({half}, 18)",
            )
            return f"({' || '.join(parts)})::pg_catalog.uuid"
        case "bytea":
            return f"pg_catalog.substr({seed}, 1, 16)"
        case "int8":
            return f"(('x' || {_hex(seed, 0, 8)})::pg_catalog.bit(64)::pg_catalog.int8 & 9223372036854775807)"
    return f"pg_catalog.left({half}, {min(column.length or 32, 32)})"


def text_mask(rule: Masked, value: str, seed: str) -> str:
    """What becomes of one text: of an array's element, or of a leaf of JSON."""
    if rule.fake:
        return fake(rule.fake, seed)
    if rule.do == "hash":
        return _hex(seed, 0, 16)
    return value


@dataclass
class Row:
    """The expressions of one table's row `t`. Digests that several of them need are made once: `seeds`, by the value
    that they are of. `folding` is as for `digest`."""

    columns: Mapping[str, Column]
    folding: str = ""
    seeds: dict[str, str] = field(default_factory=dict)

    def column(self, column: Column) -> str:
        return f"t.{quoted(column.name)}"

    def seed(self, column: Column, by: str | None) -> str:
        """The name of the digest of this column's value, or of that of the column `by`."""
        value = f"{self.column(column)}::text"
        if by:
            other = self.columns[by]
            theirs = f"{self.column(other)}::text"
            value = theirs if other.not_null else f"coalesce({theirs}, {value})"
        return f"t.{quoted(self.seeds.setdefault(value, f'cx seed {len(self.seeds)}'))}"

    def seeded(self, rows: str, *more: str) -> str:
        """The rows of the FROM clause `rows`, in which they are called `t`, with their digests and `more`.

        OFFSET 0 keeps the planner from making each digest once per use. Several processes of the source can make them
        side by side, which they cannot in a LATERAL.
        """
        made = [f"{digest(value, self.folding)} AS {quoted(seed)}" for value, seed in self.seeds.items()]
        return f"(SELECT {', '.join(['t.*', *made, *more])} {rows}{' OFFSET 0' if made else ''}) AS t"

    def masked(self, column: Column, rule: Masked | None) -> str:
        """The expression of the column's new value, of the column's type."""
        value = self.column(column)
        if rule is None or rule.do in ("keep", "script"):
            return value
        if rule.do == "null":
            return f"NULL::{column.type}"
        if rule.do == "shuffle":
            return f"{shuffled(column)}.v"
        if rule.constant is not None:
            constant = str(rule.constant).lower() if isinstance(rule.constant, bool) else str(rule.constant)
            return f"{literal(constant)}::{column.type}"
        if rule.json is not None:
            return self._json(value, rule.json, column)
        if column.element and not rule.by:
            inner = text_mask(rule, "e", digest("e", self.folding))
            made = f"(SELECT pg_catalog.array_agg({_unless_empty('e', inner)} ORDER BY o)"
            made += f" FROM pg_catalog.unnest({value}) WITH ORDINALITY AS a(e, o))"
            return f"CASE WHEN pg_catalog.cardinality({value}) = 0 THEN {value} ELSE {made}::{column.type} END"
        seed = self.seed(column, rule.by)
        if rule.shift_days:
            # Never by nothing: a number from 1 to 2N, of which the upper half goes back.
            number = f"(1 + {_number(seed, 24, 2 * rule.shift_days)})"
            days = f"(CASE WHEN {number} > {rule.shift_days} THEN {rule.shift_days} - {number} ELSE {number} END)"
            step = days if column.base == "date" else f"pg_catalog.make_interval(days => {days})"
            moved = f"({value} OPERATOR(pg_catalog.+) {step})::{column.type}"
            return f"CASE WHEN pg_catalog.isfinite({value}) THEN {moved} ELSE {value} END"
        if rule.do == "hash":
            new = f"{hashed(column, seed)}::{column.type}"
            return f"CASE WHEN {value} IS NULL THEN NULL ELSE {new} END"
        new = f"{fake(rule.fake or 'name', seed)}::{column.type}"
        return f"CASE WHEN {value}::text = '' OR {value} IS NULL THEN {value} ELSE {new} END"

    def _json(self, value: str, paths: Mapping[str, str], column: Column) -> str:
        made = f"{value}::pg_catalog.jsonb"
        for path, word in paths.items():
            made = _at(made, steps_of(path), worded(word), 0, self.folding)
        return f"({made})::{column.type}"


def shuffled(column: Column) -> str:
    return f"shuffled_{column.number}"


def _unless_empty(value: str, new: str) -> str:
    return f"CASE WHEN {value} IS NULL OR {value}::text = '' THEN {value} ELSE {new} END"


def _at(value: str, steps: Sequence[str | None], rule: Masked, depth: int, folding: str) -> str:
    """The jsonb `value` with what is at `steps` below it changed; where nothing is, nothing changes."""
    if not steps:
        if rule.do == "keep":
            return value
        if rule.do == "null":
            return "'null'::pg_catalog.jsonb"
        name = f"v{depth}"
        text = f"{name}.t"
        new = text_mask(rule, text, digest(text, folding))
        # A subquery, so that a long way to the leaf is gone once.
        return (
            f"(SELECT CASE WHEN {text} IS NULL OR {text} = '' THEN {name}.j ELSE pg_catalog.to_jsonb({new}) END"
            f" FROM (SELECT {value} AS j, ({value} #>> '{{}}') AS t OFFSET 0) AS {name})"
        )
    step, *rest = steps
    here, each = f"j{depth}", f"e{depth}"
    if step is None:
        inner = _at(f"{each}.e", rest, rule, depth + 1, folding)
        made = (
            f"(SELECT coalesce(pg_catalog.jsonb_agg({inner} ORDER BY {each}.o), '[]')"
            f" FROM pg_catalog.jsonb_array_elements({here}.x) WITH ORDINALITY AS {each}(e, o))"
        )
        test = f"pg_catalog.jsonb_typeof({here}.x) = 'array'"
    else:
        key = literal(step)
        inner = _at(f"({here}.x -> {key})", rest, rule, depth + 1, folding)
        made = f"{here}.x || pg_catalog.jsonb_build_object({key}, {inner})"
        test = f"pg_catalog.jsonb_typeof({here}.x) = 'object' AND {here}.x ? {key}"
    return f"(SELECT CASE WHEN {test} THEN {made} ELSE {here}.x END FROM (SELECT {value} AS x OFFSET 0) AS {here})"


def select(
    table_quoted: str,
    columns: Mapping[str, Column],
    rules: Mapping[str, Masked],
    conditions: Sequence[str],
    folding: str = "",
) -> str:
    """The table's rows as the previews get them, without generated columns, which are generated anew. `folding` is as
    for `digest`."""
    kept = [column for column in columns.values() if not column.generated]
    row = Row(columns, folding=folding)
    made = ", ".join(row.masked(column, rules.get(column.name)) for column in kept)
    where = f" WHERE {' AND '.join(f'({one})' for one in conditions)}" if conditions else ""
    rows = f"FROM ONLY {table_quoted} AS t{where}"
    moved = [column for column in kept if (rule := rules.get(column.name)) and rule.do == "shuffle"]
    if not moved:
        return f"SELECT {made} FROM {row.seeded(rows)}"
    numbered = row.seeded(rows, f"pg_catalog.row_number() OVER (ORDER BY {digest('t::text')}) AS cx_n")
    joins = ""
    for column in moved:
        order = digest(f"({literal(column.name + ' ')} || t::text)")
        values = f"SELECT {row.column(column)} AS v, pg_catalog.row_number() OVER (ORDER BY {order}) AS n {rows}"
        joins += f" JOIN ({values}) AS {shuffled(column)} ON {shuffled(column)}.n = t.cx_n"
    return f"SELECT {made} FROM {numbered}{joins}"
