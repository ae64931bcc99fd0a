"""Rules as the configuration has them, and what columns look like by their names."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from cx.core.errors import Invalid
from cx.data.masking.catalog import Column, Table
from cx.data.masking.dialects.postgres.expressions import fake, select
from cx.data.masking.personal import Suspect, fitting, named, proposal
from cx.data.masking.vocabulary import LENGTHS, words
from cx.settings import load
from cx.settings.masking import FAKES, Masked, steps_of, worded


def column(name: str, type_: str = "text", category: str = "S", *, not_null: bool = False, number: int = 1) -> Column:
    return Column(number, name, type_, type_, category, not_null, False)


def table(*columns: Column, name: str = "person", unique: tuple[tuple[str, ...], ...] = ()) -> Table:
    by_name = {one.name: one for one in columns}
    return Table(1, "public", name, "r", 10, 8192, (), False, by_name, (), unique)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("keep", Masked(do="keep")),
        ("hash", Masked(do="hash")),
        ("fake first name", Masked(fake="first name")),
        ("shift 30 days", Masked(shift_days=30)),
        ("shift 1 day", Masked(shift_days=1)),
    ],
)
def test_rules_in_words(text: str, rule: Masked) -> None:
    assert worded(text) == rule


@pytest.mark.parametrize("text", ["", "Keep", "fake", "fake dog", "shift 0 days", "shift days", "hash ", "constant x"])
def test_words_that_are_no_rule(text: str) -> None:
    with pytest.raises(ValueError, match="is no rule"):
        worded(text)


@pytest.mark.parametrize(
    ("path", "steps"),
    [
        ("mail", ("mail",)),
        ("a.b", ("a", "b")),
        ("$.a[*].b", ("a", None, "b")),
        ("[*]", (None,)),
        ("[*].x", (None, "x")),
        ("a[*][*]", ("a", None, None)),
    ],
)
def test_paths(path: str, steps: tuple[str | None, ...]) -> None:
    assert steps_of(path) == steps


@pytest.mark.parametrize("path", ["", ".", "a..b", "a[0]", "a[", "$", "a.[*].b."])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        steps_of(path)


WRONG = [
    ('mask.person]\nmail = "fake dog"', "databases.app.mask.person.mail", "is no rule"),
    ('mask.person]\nmail = { fake = "email", do = "null" }', "databases.app.mask.person.mail", "exactly one of"),
    ('mask.person]\nmail = { do = "null", by = "id" }', "databases.app.mask.person.mail.by", "goes with"),
    ('mask.person]\ndata = { json = { "a[0]" = "hash" } }', "databases.app.mask.person.data.json", "is no path"),
    ('mask.person]\ndata = { json = { a = "shuffle" } }', "databases.app.mask.person.data.json", "may be keep"),
    ('mask.person]\nmail = { fake = "email", colour = 1 }', "databases.app.mask.person.mail.colour", ""),
    ('mask."a.b.c"]\nmail = "hash"', "databases.app.mask", "is not the name of a table"),
    ('rows]\nlog = "some"', "databases.app.rows.log", ""),
    ("rows]\nlog = { newest = 0 }", "databases.app.rows.log.newest", ""),
    ('rows]\nlog = { keep = "none", newest = 3 }', "databases.app.rows.log.keep", "goes with neither"),
    ('rows]\nlog = { by = "at" }', "databases.app.rows.log.by", "goes with newest"),
]


@pytest.mark.parametrize(("text", "key", "problem"), WRONG)
def test_rules_that_are_wrong_are_told_with_their_key(tmp_path: Path, text: str, key: str, problem: str) -> None:
    file = tmp_path / "host.toml"
    file.write_text(f'[databases.app]\nsource = "postgresql://u:p@h/d"\n[databases.app.{text}\n')
    file.chmod(0o600)
    with pytest.raises(Invalid) as caught:
        load(file, {})
    assert caught.value.key.startswith(key)
    assert problem in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("large_objects = true\n[databases.app.rows]\nlog = 'none'", "databases.app.large_objects"),
        ("large_objects = true\n[databases.app.mask.log]\na = 'hash'", "databases.app.large_objects"),
        ("preload = ['x']", "databases.app.preload"),
    ],
)
def test_what_rules_of_mariadb_cannot_say(tmp_path: Path, text: str, key: str) -> None:
    file = tmp_path / "host.toml"
    file.write_text(f'[databases.app]\nengine = "mariadb"\nsource = "mysql://u:p@h/d"\n{text}\n')
    file.chmod(0o600)
    with pytest.raises(Invalid) as caught:
        load(file, {})
    assert caught.value.key == key
    assert "is for PostgreSQL" in str(caught.value)


@pytest.mark.parametrize("engine", ["mariadb", "mysql"])
@pytest.mark.parametrize(
    "text", ["[databases.app.rows]\nlog = { newest = 3 }", "command = ['x']\ncommand_image = 'y:1'"]
)
def test_mariadb_and_mysql_have_subsets_and_other_tools_too(tmp_path: Path, text: str, engine: str) -> None:
    file = tmp_path / "host.toml"
    file.write_text(f'[databases.app]\nengine = "{engine}"\nsource = "mysql://u:p@h/d"\n{text}\n')
    file.chmod(0o600)
    assert load(file, {}).databases["app"].facts.name == engine


@pytest.mark.parametrize(
    ("of", "name", "rule"),
    [
        ("person", "email", "fake email"),
        ("person", "ContactEMail", "fake email"),
        ("person", "password_hash", "null"),
        ("person", "api_key", "null"),
        ("person", "mobileNumber", "fake phone"),
        ("person", "first_name", "fake first name"),
        ("person", "lastName", "fake last name"),
        ("person", "zip_code", "fake postcode"),
        ("person", "iban", "hash"),
        ("customers", "name", "fake name"),
        ("country", "name", ""),
        ("person", "status", ""),
        ("person", "emphasis", ""),
    ],
)
def test_what_a_name_calls_for(of: str, name: str, rule: str) -> None:
    assert named(of, column(name)) == rule


def test_a_number_or_a_date_is_personal_by_fewer_names() -> None:
    assert named("person", column("email", "bool", "B")) == ""
    assert named("person", column("birth_date", "date", "D")) == "shift 30 days"
    assert named("person", column("email_sent_at", "timestamptz", "D")) == ""
    assert named("person", column("phone", "int8", "N")) == "fake phone"
    assert named("person", column("account_no_id", "int8", "N")) == ""


def test_what_is_proposed_fits_the_column() -> None:
    plain = column("mail")
    assert fitting(table(plain), plain, "fake email") == "fake email"
    unique = table(plain, unique=(("mail",),))
    assert fitting(unique, plain, "fake name") == "hash"
    assert fitting(unique, plain, "fake email") == "fake email"
    number = column("phone", "int8", "N")
    assert fitting(table(number), number, "fake phone") == "hash"
    when = column("born", "time", "D", not_null=True)
    assert fitting(table(when), when, "shift 30 days") == "keep"
    needed = column("token", not_null=True)
    assert fitting(table(needed), needed, "null") == "hash"


def test_a_proposal_is_configuration(tmp_path: Path) -> None:
    odd = column('E-Mail of "him"', number=2)
    found = [
        Suspect(table(column("mail")), column("mail"), "its name", "fake email"),
        Suspect(table(odd, name="the people"), odd, "its name", "hash"),
    ]
    text = proposal("app", found)
    assert tomllib.loads(text)["databases"]["app"]["mask"]["the people"] == {'E-Mail of "him"': "hash"}
    file = tmp_path / "host.toml"
    file.write_text(f'[databases.app]\nsource = "postgresql://u:p@h/d"\n{text}\n')
    file.chmod(0o600)
    assert set(load(file, {}).databases["app"].mask) == {"person", "the people"}


def test_fakes_are_as_short_as_they_are_said_to_be() -> None:
    longest = {kind: max(map(len, words(kind))) for kind in ("first", "last", "city", "street", "suffix")}
    assert set(LENGTHS) == set(FAKES)
    assert longest["first"] <= LENGTHS["first name"]
    assert longest["last"] <= LENGTHS["last name"]
    assert longest["first"] + 1 + longest["last"] <= LENGTHS["name"]
    assert longest["first"] + 1 + 16 + len("@example.com") <= LENGTHS["email"]
    assert 3 + 1 + longest["last"] + 1 + longest["street"] <= LENGTHS["street"]
    assert longest["city"] <= LENGTHS["city"]
    assert longest["last"] + 1 + longest["suffix"] <= LENGTHS["company"]
    for kind in FAKES:
        assert fake(kind, "s")


def test_a_statement_holds_no_key_and_every_name_is_quoted() -> None:
    odd = column('na"me; DROP TABLE x')
    text = select('public."t"', {odd.name: odd}, {odd.name: Masked(fake="name")}, ["t.ctid = ANY ('{}')"])
    assert '"na""me; DROP TABLE x"' in text
    assert "current_setting('cx.mask_key')" in text
    assert "WHERE (t.ctid = ANY ('{}'))" in text
