"""Rules as SQL expressions of MariaDB. Pure: text in, text out.

They give what the same rules give on PostgreSQL (cx/data/masking/dialects/postgres/expressions.py): the same bytes of
the same keyed digest choose the same words, so that a person has one fake in the databases of both. The digest is
here a text of hexadecimal digits. The key is in a variable of the session, which is set by a file of its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cx.data.masking.catalog import Column, Table
from cx.data.masking.dialects.mariadb.catalog import literal, quoted
from cx.data.masking.vocabulary import WORDS, words
from cx.settings.masking import Masked, steps_of, worded

KEY = "@cx_key"
FUNCTIONS = "cx masking"  # a database beside the source's, which is not dumped; no source may be called so


def utf8(value: str) -> str:
    """The text `value` in one encoding and collation, so that two may meet in one expression."""
    return f"CONVERT({value} USING utf8mb4)"


def text(column: Column, value: str) -> str:
    """The value as a text, as PostgreSQL has it."""
    if column.base == "bytea":
        return f"CONCAT('\\\\x', LOWER(HEX({value})))"
    if column.is_text or column.is_json or column.base == "enum":
        return utf8(value)
    return f"CAST({value} AS CHAR CHARACTER SET utf8mb4)"


def digest(value: str) -> str:
    """64 digits that depend on the key and on `value`, a text, without case and outer spaces."""
    return f"SHA2(CONCAT({KEY}, CAST(LOWER(TRIM({value})) AS BINARY)), 256)"


def _number(seed: str, at: int, below: int) -> str:
    """A number from 0 to `below` - 1 by three bytes of the digest `seed`, from byte `at` on."""
    return f"(CAST(CONV({_hex(seed, at, 3)}, 16, 10) AS SIGNED) % {below})"


def _hex(seed: str, at: int, count: int) -> str:
    return f"SUBSTR({seed}, {2 * at + 1}, {2 * count})"


def _word(seed: str, at: int, kind: str) -> str:
    width = _width(kind)
    number = _number(seed, at, len(words(kind)))
    return utf8(f"RTRIM(SUBSTR(@cx_{kind}, 1 + {width} * {number}, {width}))")


def _width(kind: str) -> int:
    return max(len(one) for one in words(kind))


def vocabulary() -> str:
    """Statements that give the session its words: each kind in one text, in which the n-th is found at once. A list of
    arguments would be looked through with each call of a function."""
    kinds = {kind: "".join(one.ljust(_width(kind)) for one in words(kind)) for kind in WORDS}
    return "".join(f"SET @cx_{kind} = CONVERT({literal(text)} USING ascii);\n" for kind, text in kinds.items())


def fake(kind: str, seed: str) -> str:
    """A text of this kind."""

    def concat(*parts: str) -> str:
        return f"CONCAT({', '.join(parts)})"

    def five(at: int) -> str:
        return f"LPAD({_number(seed, at, 100_000)}, 5, '0')"

    street = (f"1 + {_number(seed, 6, 999)}", "' '", _word(seed, 9, "last"), "' '", _word(seed, 12, "street"))
    match kind:
        case "name":
            return concat(_word(seed, 0, "first"), "' '", _word(seed, 3, "last"))
        case "first name":
            return _word(seed, 0, "first")
        case "last name":
            return _word(seed, 3, "last")
        case "email":
            return concat(f"LOWER({_word(seed, 0, 'first')})", "'.'", _hex(seed, 8, 8), "'@example.com'")
        case "username":
            return concat(f"LOWER({_word(seed, 0, 'first')})", _hex(seed, 8, 8))
        case "phone":
            return concat("'+999'", five(20), five(18))
        case "street":
            return concat(*street)
        case "city":
            return _word(seed, 15, "city")
        case "postcode":
            return five(18)
        case "address":
            return concat(*street, "', '", five(18), "' '", _word(seed, 15, "city"))
        case "company":
            return concat(_word(seed, 3, "last"), "' '", _word(seed, 6, "suffix"))
    raise ValueError(kind)


def _hashed(column: Column, seed: str) -> str:
    match column.base:
        case "uuid":
            third, fourth = f"CONCAT('4', SUBSTR({seed}, 14, 3))", f"CONCAT('8', SUBSTR({seed}, 18, 3))"
            return f"CONCAT_WS('-', {_hex(seed, 0, 4)}, {_hex(seed, 4, 2)}, {third}, {fourth}, {_hex(seed, 10, 6)})"
        case "bytea":
            return f"LEFT(UNHEX({_hex(seed, 0, 16)}), {min(column.length or 16, 16)})"
        case "int8":
            return f"(CAST(CONV({_hex(seed, 0, 8)}, 16, 10) AS UNSIGNED) & 9223372036854775807)"
    return utf8(f"LEFT({seed}, {min(column.length or 32, 32)})")


@dataclass
class Row:
    """The expressions of one table's row `t`. Digests that several of them need are made once: `seeds`.

    `functions` are those that `masked` calls, by name.
    """

    columns: Mapping[str, Column]
    seeds: dict[str, str] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)

    def seed(self, column: Column, by: str | None) -> str:
        """The name of the digest of this column's value, or of that of the column `by`."""
        value = text(column, f"t.{quoted(column.name)}")
        if by:
            other = self.columns[by]
            theirs = text(other, f"t.{quoted(other.name)}")
            value = theirs if other.not_null else f"COALESCE({theirs}, {value})"
        return f"t.{quoted(self.seeds.setdefault(value, f'cx seed {len(self.seeds)}'))}"

    def masked(self, column: Column, rule: Masked | None) -> str:
        """The expression of the column's new value."""
        value = f"t.{quoted(column.name)}"
        if rule is None or rule.do in ("keep", "script"):
            return value
        if rule.do == "null":
            return "NULL"
        if rule.do == "shuffle":
            return f"{_shuffled(column)}.v"
        if rule.constant is not None:
            return _constant(rule.constant)
        if rule.json is not None:
            return self._json(value, rule.json)
        seed = self.seed(column, rule.by)
        if rule.shift_days:
            number = f"(1 + {_number(seed, 24, 2 * rule.shift_days)})"
            days = f"IF({number} > {rule.shift_days}, {rule.shift_days} - {number}, {number})"
            # The dates that mean none, or never, are like PostgreSQL's infinity.
            return f"IF(YEAR({value}) BETWEEN 1 AND 9000, DATE_ADD({value}, INTERVAL {days} DAY), {value})"
        if rule.do == "hash":
            return f"IF({value} IS NULL, NULL, {_hashed(column, seed)})"
        plain = text(column, value)
        return f"IF({value} IS NULL OR CHAR_LENGTH({value}) = 0, {plain}, {utf8(fake(rule.fake or 'name', seed))})"

    def _json(self, value: str, paths: Mapping[str, str]) -> str:
        made = value
        for path, word in paths.items():
            if word != "keep":
                name = f"{path} {word}"
                self.functions[name] = _function(self._number(name), steps_of(path), worded(word))
                made = f"{quoted(FUNCTIONS)}.{quoted(self._number(name))}({made})"
        return made

    def _number(self, name: str) -> str:
        return f"path {[*self.functions, name].index(name)}"


def _constant(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return literal(value) if isinstance(value, str) else str(value)


def _shuffled(column: Column) -> str:
    return f"shuffled_{column.number}"


def _function(name: str, steps: Sequence[str | None], rule: Masked) -> str:
    """The definition of a function that gives a JSON with what is at the path changed; where nothing is, nothing is."""
    names = [f"n{number}" for number, step in enumerate(steps) if step is None]
    declared = "".join(f" DECLARE {one}, {one}_end INT DEFAULT 0;" for one in names)
    body = "\n".join(_walk("'$'", steps, 0, rule))
    return (
        f"CREATE FUNCTION {quoted(FUNCTIONS)}.{quoted(name)}(j LONGTEXT CHARACTER SET utf8mb4)"
        f" RETURNS LONGTEXT CHARACTER SET utf8mb4 DETERMINISTIC\nBEGIN{declared}"
        " DECLARE leaf, new LONGTEXT CHARACTER SET utf8mb4;\n"
        f" IF j IS NULL THEN RETURN j; END IF;\n{body}\nRETURN j;\nEND"
    )


def _walk(path: str, steps: Sequence[str | None], depth: int, rule: Masked) -> Iterator[str]:
    """Statements that change j below `path`, an expression."""
    if not steps:
        yield f"SET leaf = JSON_EXTRACT(j, {path});"
        if rule.do == "null":
            yield f"IF leaf IS NOT NULL THEN SET j = JSON_REPLACE(j, {path}, JSON_EXTRACT('[null]', '$[0]')); END IF;"
            return
        yield "IF leaf IS NOT NULL AND leaf NOT IN ('null', '\"\"') THEN"
        yield f"SET new = {digest('JSON_UNQUOTE(leaf)')};"
        yield f"SET new = {fake(rule.fake, 'new') if rule.fake else _hex('new', 0, 16)};"
        yield f"SET j = JSON_REPLACE(j, {path}, new); END IF;"
        return
    step, *rest = steps
    if step is None:
        count = f"n{depth}"
        yield f"IF JSON_TYPE(JSON_EXTRACT(j, {path})) = 'ARRAY' THEN"
        yield f"SET {count} = 0; SET {count}_end = JSON_LENGTH(j, {path});"
        yield f"WHILE {count} < {count}_end DO"
        yield from _walk(f"CONCAT({path}, '[', {count}, ']')", rest, depth + 1, rule)
        yield f"SET {count} = {count} + 1; END WHILE; END IF;"
        return
    key = '."' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'
    yield from _walk(f"CONCAT({path}, {literal(key)})", rest, depth + 1, rule)  # an array has no keys


def changed(rules: Mapping[str, Masked]) -> bool:
    return any(rule.do not in ("keep", "script") for rule in rules.values())


def fill(table: Table, rules: Mapping[str, Masked], row: Row, into: str) -> str:
    """A statement that puts the table's rows, as the previews get them, into the table `into` of the same columns."""
    kept = [column for column in table.columns.values() if not column.generated]
    made = ", ".join(row.masked(column, rules.get(column.name)) for column in kept)
    names = ", ".join(quoted(column.name) for column in kept)
    all_ = [f"t.{quoted(name)}" for name in table.columns]
    seeds = [f"{digest(value)} AS {quoted(name)}" for value, name in row.seeds.items()]
    moved = [column for column in kept if (rule := rules.get(column.name)) and rule.do == "shuffle"]
    joins, numbered = "", []
    if moved:
        whole = "CONCAT_WS(' ', " + ", ".join(f"HEX(t.{quoted(name)})" for name in table.columns) + ")"
        numbered = [f"ROW_NUMBER() OVER (ORDER BY {digest(whole)}) AS `cx row`"]
    for column in moved:
        order = digest(f"CONCAT({literal(column.name + ' ')}, {whole})")
        values = f"SELECT t.{quoted(column.name)} AS v, ROW_NUMBER() OVER (ORDER BY {order}) AS n"
        joins += f" JOIN ({values} FROM {quoted(table.name)} AS t) AS {_shuffled(column)}"
        joins += f" ON {_shuffled(column)}.n = t.`cx row`"
    inner = f"SELECT {', '.join([*all_, *seeds, *numbered])} FROM {quoted(table.name)} AS t"
    return f"INSERT INTO {quoted(into)} ({names}) SELECT {made} FROM ({inner}) AS t{joins}"
