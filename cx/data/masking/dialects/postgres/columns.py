"""What a source's schema says, read in one query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cx.data.masking.catalog import Catalog, Column, Reference, Sequence, Table, quoted

# Objects of extensions are not the source's own. What differs between versions is read by to_jsonb.
QUERY = """
WITH mine AS (
  SELECT c.*, n.nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
  WHERE c.relkind IN ('r', 'p', 'm', 'S') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_class'::regclass
                    AND d.objid = c.oid AND d.deptype = 'e'))
SELECT jsonb_build_object(
  'tables', (SELECT jsonb_agg(jsonb_build_object(
      'oid', oid::bigint, 'schema', nspname, 'name', relname, 'kind', relkind, 'rows', reltuples,
      'bytes', CASE relkind WHEN 'r' THEN pg_table_size(oid) ELSE 0 END, 'populated', relispopulated,
      'parents', (SELECT jsonb_agg(inhparent::bigint ORDER BY inhseqno) FROM pg_inherits WHERE inhrelid = mine.oid),
      'partition', relispartition,
      'split_by', (SELECT jsonb_agg(k) FROM pg_partitioned_table AS p, unnest(p.partattrs::int[]) AS k
                   WHERE p.partrelid = mine.oid),
      'owned_by', (SELECT refobjid::bigint FROM pg_depend AS d WHERE relkind = 'S' AND d.objid = mine.oid
                   AND d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass
                   AND d.deptype IN ('a', 'i') LIMIT 1)
    ) ORDER BY nspname, relname) FROM mine),
  'columns', (SELECT jsonb_agg(jsonb_build_object(
      'table', attrelid::bigint, 'number', attnum, 'name', attname, 'type', format_type(atttypid, atttypmod),
      'type_oid', atttypid::bigint, 'modifier', atttypmod, 'not_null', attnotnull,
      'generated', coalesce(to_jsonb(a) ->> 'attgenerated', '') <> '') ORDER BY attrelid, attnum)
    FROM pg_attribute AS a JOIN mine ON mine.oid = attrelid AND mine.relkind IN ('r', 'p')
    WHERE attnum > 0 AND NOT attisdropped),
  'types', (SELECT jsonb_object_agg(oid::bigint, jsonb_build_object(
      'name', typname, 'kind', typtype, 'base', typbasetype::bigint, 'category', typcategory,
      'over', CASE WHEN typtype = 'd' THEN format_type(typbasetype, typtypmod) END,
      'element', CASE WHEN typcategory = 'A' THEN typelem::bigint ELSE 0 END)) FROM pg_type
    WHERE typtype IN ('b', 'd', 'e', 'r', 'm')),
  'keys', (SELECT jsonb_agg(jsonb_build_object(
      'table', indrelid::bigint, 'primary', indisprimary,
      'columns', (string_to_array(indkey::text, ' ')::int[])[1:indnkeyatts]))
    FROM pg_index JOIN mine ON mine.oid = indrelid AND mine.relkind IN ('r', 'p')
    WHERE indisunique AND indpred IS NULL AND indexprs IS NULL),
  'references', (SELECT jsonb_agg(jsonb_build_object(
      'name', conname, 'table', conrelid::bigint, 'columns', conkey, 'to', confrelid::bigint, 'to_columns', confkey,
      'enforced', coalesce((to_jsonb(pg_constraint) ->> 'conenforced')::boolean, true),
      'period', coalesce((to_jsonb(pg_constraint) ->> 'conperiod')::boolean, false))
      ORDER BY conrelid, conname)
    FROM pg_constraint JOIN mine ON mine.oid = conrelid
    WHERE contype = 'f' AND coalesce((to_jsonb(pg_constraint) ->> 'conparentid')::bigint, 0) = 0),
  'large_objects', (SELECT count(*) FROM pg_largeobject_metadata))
"""

# Casts to text that are the source's own code. Values of any type are made text, and rows, by those who read them.
CASTS = """
SELECT format('%s', format_type(castsource, NULL)) FROM pg_cast AS c JOIN pg_proc AS p ON p.oid = castfunc
WHERE casttarget = 'text'::regtype AND pronamespace <> 'pg_catalog'::regnamespace
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                  AND d.deptype = 'e') ORDER BY 1"""


def read(facts: Mapping[str, Any]) -> Catalog:
    """The catalog in QUERY's answer."""
    types = {int(oid): value for oid, value in (facts["types"] or {}).items()}
    columns: dict[int, dict[str, Column]] = {}
    numbers: dict[int, dict[int, str]] = {}
    for one in facts["columns"] or []:
        columns.setdefault(one["table"], {})[one["name"]] = _column(one, types)
        numbers.setdefault(one["table"], {})[one["number"]] = one["name"]
    keys: dict[int, list[tuple[bool, tuple[str, ...]]]] = {}
    for one in facts["keys"] or []:
        names = tuple(numbers[one["table"]].get(number, "") for number in one["columns"])
        keys.setdefault(one["table"], []).append((one["primary"], names))
    tables, sequences, views = {}, [], []
    for one in facts["tables"] or []:
        if one["kind"] == "S":
            sequences.append(Sequence(one["schema"], one["name"], one["owned_by"] or 0))
        elif one["kind"] == "m":
            views += [f"{quoted(one['schema'])}.{quoted(one['name'])}"] if one["populated"] else []
        else:
            mine = keys.get(one["oid"], [])
            tables[one["oid"]] = Table(
                one["oid"],
                one["schema"],
                one["name"],
                one["kind"],
                max(one["rows"], 0),
                one["bytes"] or 0,
                tuple(one["parents"] or ()),
                one["partition"],
                columns.get(one["oid"], {}),
                next((names for primary, names in mine if primary), ()),
                tuple(names for _, names in mine),
                tuple(numbers.get(one["oid"], {}).get(number, "") for number in one["split_by"] or ()),
            )
    references = tuple(
        Reference(
            one["name"],
            one["table"],
            tuple(numbers[one["table"]][number] for number in one["columns"]),
            one["to"],
            tuple(numbers[one["to"]][number] for number in one["to_columns"]),
            one["enforced"],
            one["period"],
        )
        for one in facts["references"] or []
        if one["table"] in tables and one["to"] in tables
    )
    return Catalog(tables, references, tuple(sequences), tuple(views), facts["large_objects"])


def _column(one: Mapping[str, Any], types: Mapping[int, Mapping[str, Any]]) -> Column:
    kind = _below(one["type_oid"], types)
    element = _below(kind["element"], types) if kind["element"] else None
    limited = kind["name"] in ("varchar", "bpchar") and one["modifier"] > 4
    return Column(
        one["number"],
        one["name"],
        _written(one["type_oid"], one["type"], types),
        kind["name"],
        kind["category"],
        one["not_null"],
        one["generated"],
        one["modifier"] - 4 if limited else 0,
        element["name"] if element else "",
    )


def _written(oid: int, text: str, types: Mapping[int, Mapping[str, Any]]) -> str:
    """The type as SQL, without domains: a cast to one runs its checks, which are the source's own code."""
    kind = types.get(oid, _OTHER)
    if kind["kind"] == "d":
        return _written(kind["base"], kind["over"], types)
    if kind["element"] and types.get(kind["element"], _OTHER)["kind"] == "d":
        return f"{_written(kind['element'], '', types)}[]"
    return text


_OTHER: Mapping[str, Any] = {"name": "", "kind": "", "base": 0, "category": "U", "element": 0}


def _below(oid: int, types: Mapping[int, Mapping[str, Any]]) -> Mapping[str, Any]:
    """The type below domains; composites, ranges and what else there is are all the same to us."""
    kind = types.get(oid, _OTHER)
    return _below(kind["base"], types) if kind["kind"] == "d" else kind


def literal(text: str) -> str:
    """`text` as a literal of SQL, whatever standard_conforming_strings says."""
    plain = text.replace("'", "''")
    return f" E'{plain.replace(chr(92), chr(92) * 2)}'" if "\\" in plain else f"'{plain}'"


def as_text(value: str) -> str:
    """`value` as a text that patterns can be held against: a collation of the column's own may forbid them."""
    return f'({value})::text COLLATE pg_catalog."default"'
