"""Raw values that a schema holds: a refresh names what holds them, and the golden that was there serves on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pgworld import HERE, Machine, World, put

from cx.data import errors
from cx.data.shared.spares import PostgresSpares
from cx.data.values import Masks, Source, Terms
from cx.settings.masking import Masked, masked

RULES: Mapping[str, Mapping[str, str | Masked]] = {
    "person": {
        "email": "fake email", "name": "fake name", "phone": "hash", "iban": "hash", "raw": "hash", "nick": "hash",
        "notes": Masked(constant="{}"),
    },
    "by_list": {"email": "fake email"},
}  # fmt: skip
EMAIL = {
    *("partition by_list_1", "view in_view", "table held", "constraint held in_exclusion", "index in_predicate"),
    *("statistics in_statistics", "policy held in_policy", "policy held in_role", "rule held in_rule"),
    *("trigger held in_when", "trigger held in_argument", "function in_body()", "function in_backslashes()"),
    *("function in_default(text)", "procedure in_procedure()", "aggregate in_aggregate(text)", "domain in_domain"),
    *("domain in_domain_default", "view in_composite", "view in_json", "view in_xml", "comment on COLUMN held.v"),
    *("schema ***", "table ***.t", "setting search_path"),
}
NAME = {
    *("materialized view in_materialised", "table held", "index in_expression", "function in_atomic()"),
    *("function in_remark()", "type in_label", "view in_array", "view in_xml", "comment on COLUMN held.v"),
    *("comment on TEXT SEARCH CONFIGURATION in_remark_of", "collation ***"),
}
OTHERS = {
    *("person.iban: partition by_range_1", "person.phone: table held", "person.raw: view in_bytes"),
    *("person.notes: view of_json", "person.email: table person"),
}


@pytest.fixture(scope="module")
def holding(production: Machine) -> Source:
    with production.connect() as connection:
        connection.execute("CREATE DATABASE holding")
    put(production, "/tmp/holding.sql", (HERE / "holding.sql").read_bytes())
    production.run("psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "holding", "-f", "/tmp/holding.sql")
    return Source("holding", url=production.url("holding"), masks=Masks(masked(RULES), {}, b"a key"))


def test_a_refresh_names_every_definition_that_holds_a_raw_value(world: World, holding: Source) -> None:
    with pytest.raises(errors.LeakFound) as caught:
        world.goldens.refresh(holding)
    found = set(caught.value.log)
    expected = {f"person.email: {one}" for one in EMAIL} | {f"person.name: {one}" for one in NAME} | OTHERS
    assert expected - found == set()
    assert {one for one in found - expected if not one.startswith("by_list.email")} == set()
    said = str(caught.value)
    assert "source holding: its schema holds raw values of" in said
    assert "person.email in " in said
    assert "canary = false" in said
    assert "\n" not in said
    assert "ada" not in (said + "".join(found)).lower().replace("armada", "")
    assert world.goldens.current("holding") is None


def test_a_column_whose_values_may_be_known_is_left_out(world: World, holding: Source) -> None:
    """Then the golden is made, and an audit by rules that hide the columns finds it out."""
    assert holding.masks
    rules = {
        table: {name: replace_canary(rule) for name, rule in columns.items()}
        for table, columns in holding.masks.columns.items()
    }
    world.goldens.refresh(replace(holding, masks=replace(holding.masks, columns=rules)))
    with PostgresSpares(world.server, world.names).borrowed("holding", Terms()) as copy:
        found = world.goldens.audit(holding, copy)
    assert not found.clean
    assert found.in_schema
    assert {f"person.email: {one}" for one in EMAIL} <= {
        f"{column}: {place}" for column, places in found.in_schema.found.items() for place in places
    }
    world.goldens.drop("holding")


def replace_canary(rule: Masked) -> Masked:
    return Masked(**{**{name: getattr(rule, name) for name in rule.__struct_fields__}, "canary": False})


def test_a_script_may_change_what_holds_them(
    world: World, holding: Source, production: Machine, tmp_path: Path
) -> None:
    """What comes out of the script is what is examined: its own definitions are, and those that it dropped are not."""
    with production.connect() as connection:
        connection.execute("CREATE DATABASE scripted")
    with production.connect("scripted") as connection:
        connection.execute(
            "CREATE TABLE person (id int, email text); INSERT INTO person VALUES (1, 'eve@corp.example')"
        )
        connection.execute("CREATE VIEW eve AS SELECT id FROM person WHERE email = 'eve@corp.example'")
    script = tmp_path / "script.sql"
    script.write_text("DROP VIEW eve;")
    masks = Masks(masked({"person": {"email": "fake email"}}), {}, b"a key")
    source = Source("scripted", url=production.url("scripted"), masks=masks, sanitise=script)
    try:
        world.goldens.refresh(source)
        script.write_text("COMMENT ON TABLE person IS 'of eve@corp.example';")
        with pytest.raises(errors.LeakFound) as caught:
            world.goldens.refresh(source)
        assert set(caught.value.log) == {"person.email: comment on TABLE person", "person.email: view eve"}
    finally:
        world.goldens.drop("scripted")
