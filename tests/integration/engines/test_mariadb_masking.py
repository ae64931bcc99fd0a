"""Masked refreshes of MariaDB: what becomes of each value, that PostgreSQL makes the same of it, and that no raw one is
in the golden's files."""

from __future__ import annotations

import secrets
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import psycopg
import pytest
from engineworld import open_host, volumes_of
from live import Cx, free_pool, free_port, sweep

from cx.adapters.engines.mariadb import expressions as mariadb
from cx.adapters.engines.mariadb.catalog import literal as mariadb_literal
from cx.adapters.masking.catalog import Column
from cx.adapters.postgres.errors import LeakFound, Unmasked
from cx.adapters.postgres.masking import expressions as postgres
from cx.adapters.postgres.masking.columns import literal
from cx.adapters.postgres.masking.expressions import KEY_SETTING, Row
from cx.errors import CxError
from cx.model.names import LABEL_INSTANCE
from cx.settings.masking import FAKES, Masked
from cx.wiring import Host

# Every raw value has the mark `qzqzq` in it. A trigger would write raw values, and a column changes with each change.
PEOPLE = """
CREATE DATABASE people; USE people;
CREATE TABLE customer (
  id bigint AUTO_INCREMENT PRIMARY KEY, email varchar(80) UNIQUE NOT NULL, name text, phone varchar(30), born date,
  seen timestamp NOT NULL DEFAULT '2026-01-01' ON UPDATE current_timestamp, boss bigint REFERENCES customer (id),
  profile json, iban varchar(34), badge uuid, home tinytext, firm varchar(40) CHARACTER SET latin1, salary int UNIQUE,
  photo varbinary(20), number bigint UNSIGNED, notes longtext, upper_name text AS (upper(name)) STORED
) AUTO_INCREMENT = 9000;
INSERT INTO customer
  (id, email, name, phone, born, boss, profile, iban, badge, home, firm, salary, photo, number, notes)
SELECT seq, concat('qzqzq.Person', seq, '@corp.example'), concat('Qzqzqname', seq, ' Qzqzqlast'),
  concat('+49 30 qzqzq', seq),
  '1950-01-01' + INTERVAL seq DAY, IF(seq > 10, 1 + seq % 10, NULL),
  json_object('plan', 'free', 'vat', concat('qzqzqvat', seq), 'gone', 'qzqzqgone', 'contacts', json_array(
    json_object('mail', concat('qzqzq.deep', seq, '@example.org'), 'kind', 'home'), json_object('kind', 'none'))),
  concat('DE00qzqzq', seq), concat('00000000-0000-4000-8000-', lpad(seq, 12, '0')), concat('Qzqzqstreet ', seq),
  concat('Qzqzqfirm Stra\u00dfe ', seq), seq, concat('qzqzq', seq), seq, repeat('qzqzqnote ', 1 + seq % 50)
FROM seq_1_to_500;
INSERT INTO customer (id, email, name, born, notes) VALUES
  (501, 'qzqzq.\u00c4rger@corp.example', 'Qzqzq\\tTab\\nLine\\\\back', '0000-00-00', '');
CREATE TABLE login (mail varchar(90) PRIMARY KEY, password varchar(60), last_ip inet6,
  FOREIGN KEY (mail) REFERENCES customer (email));
INSERT INTO login SELECT email, concat('qzqzqhash', id), '::1' FROM customer;
CREATE TABLE purchase (id int PRIMARY KEY, customer bigint NOT NULL, FOREIGN KEY (customer) REFERENCES customer (id));
INSERT INTO purchase SELECT seq, 1 + seq % 500 FROM seq_1_to_2000;
CREATE TABLE line (purchase int, FOREIGN KEY (purchase) REFERENCES purchase (id));
INSERT INTO line SELECT id FROM purchase; INSERT INTO line VALUES (NULL);
CREATE TABLE audit_log (entry varchar(200));
INSERT INTO audit_log SELECT concat(email, ' did it') FROM customer;
CREATE TABLE old_import (id int PRIMARY KEY, raw_email text);
INSERT INTO old_import SELECT id, concat('qzqzq.old', id, '@corp.example') FROM customer;
CREATE TABLE of_import (id int, CONSTRAINT was FOREIGN KEY (id) REFERENCES old_import (id));
INSERT INTO of_import SELECT id FROM old_import;
CREATE VIEW directory AS SELECT name, email FROM customer;
CREATE TRIGGER kept AFTER UPDATE ON customer FOR EACH ROW INSERT INTO audit_log VALUES (OLD.email);
CREATE TRIGGER made AFTER INSERT ON customer FOR EACH ROW INSERT INTO audit_log VALUES (NEW.email);
"""
RULES = """
[databases.shop.mask.customer]
email = "fake email"
name = { fake = "name", by = "id" }
phone = "fake phone"
born = { shift_days = 30, by = "id" }
profile = { json = { "contacts[*].mail" = "fake email", "vat" = "hash", "gone" = "null", "plan" = "keep" } }
iban = "hash"
badge = "hash"
home = "fake address"
firm = "fake company"
salary = "shuffle"
photo = "hash"
number = "hash"
notes = { constant = "it's \\\\ nothing" }
[databases.shop.mask.login]
mail = "fake email"
password = "null"
last_ip = "keep"
[databases.shop.rows]
audit_log = "none"
old_import = "left out"
purchase = { where = "id <= 100 -- the first" }
"""
SCRIPT = "CREATE TABLE seen AS SELECT count(*) AS raw FROM customer WHERE email NOT LIKE '%@example.com'"
CLIENT = ["docker", "run", "--rm", "-i", "--network", "host", "mariadb:11", "mariadb"]


def sql(source: str, statements: str) -> None:
    url = urlsplit(source)
    argv = [*CLIENT, "-h127.0.0.1", f"-P{url.port}", "-uroot", "-praw", "--skip-ssl", "--default-character-set=utf8mb4"]
    subprocess.run(argv, input=statements, text=True, check=True, capture_output=True)


@pytest.fixture(scope="module")
def people(sources: dict[str, str]) -> str:
    """The source's URL."""
    sql(sources["mariadb"], "SET sql_mode = ''; " + PEOPLE)
    return sources["mariadb"].replace("/shop", "/people")


@pytest.fixture(scope="module")
def cx(tmp_path_factory: pytest.TempPathFactory, people: str) -> Iterator[Cx]:
    """A host whose golden has been refreshed once; nothing else of it is up."""
    folder = tmp_path_factory.mktemp("people")
    instance = f"t{secrets.token_hex(3)}"
    config = folder / "host.toml"
    config.write_text(
        f'instance = "{instance}"\nstate_dir = "{folder / "state"}"\n[router]\nhttp_port = {free_port()}\n'
        f'admin_port = {free_port()}\n[network]\npool = "{free_pool()}"\n'
        f'[databases.bare]\nengine = "mariadb"\nsource = "{people}"\n'
        f'[databases.shop]\nengine = "mariadb"\nsource = "{people}"\nsanitise = "more.sql"\n{RULES}'
    )
    (folder / "more.sql").write_text(SCRIPT)
    cx = Cx(config, 0, instance)
    try:
        yield cx
    finally:
        sweep(instance)


@pytest.fixture(scope="module")
def host(cx: Cx) -> Iterator[Host]:
    host = open_host(cx)
    yield host
    host.close()


class Golden:
    """A server on a copy of the golden. `events`: the engine's while the golden was made, with every command."""

    events = ""

    def __init__(self, volume: str) -> None:
        start = (
            "cp -a /golden/data /tmp/data; exec mariadbd --no-defaults --skip-networking --datadir=/tmp/data"
            " --socket=/tmp/s --pid-file=/tmp/p"
        )
        argv = ["docker", "run", "-d", "--rm", "--user", "mysql", "-v", f"{volume}:/golden:ro", "--entrypoint", "sh"]
        self.container = _out([*argv, "mariadb:11", "-c", start])
        self(
            "SELECT 1",
            wait="until mariadb-admin --no-defaults --socket=/tmp/s ping; do sleep 0.1; done >/dev/null 2>&1;",
        )

    def __call__(self, query: str, wait: str = "") -> list[list[str]]:
        client = 'mariadb --no-defaults --socket=/tmp/s --default-character-set=utf8mb4 -NBr people -e "$1"'
        said = _out(["docker", "exec", self.container, "sh", "-c", f"{wait} {client}", "sh", query])
        return [line.split("\t") for line in said.splitlines()]

    def pipe(self, script: str) -> list[list[str]]:
        client = ["mariadb", "--no-defaults", "--socket=/tmp/s", "--default-character-set=utf8mb4", "-NBr", "people"]
        said = _out(["docker", "exec", "-i", self.container, *client], script)
        return [line.split("\t") for line in said.splitlines()]

    def one(self, query: str) -> str:
        ((value,),) = self(query)
        return value


def _out(argv: Sequence[str], script: str = "") -> str:
    done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture(scope="module")
def golden(cx: Cx) -> Iterator[Golden]:
    argv = ["docker", "events", "--filter", f"label={LABEL_INSTANCE}={cx.instance}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as events:
        try:
            said = cx("db", "refresh", "shop")
        finally:
            events.terminate()
        told = events.communicate()[0]
    assert "left out: table old_import; left out: foreign key of_import was" in said.stdout
    assert "sees the data" not in said.stdout
    (volume,) = [one for one in volumes_of(cx) if not one.endswith(".mark")]
    made = Golden(volume)
    made.events = told
    yield made
    _out(["docker", "rm", "-f", made.container])


def test_each_rule_does_what_it_says(golden: Golden) -> None:
    names = "email, name, phone, born, iban, badge, home, firm, hex(photo), number, notes, upper_name, seen, profile"
    ((email, name, phone, born, iban, badge, home, firm, photo, number, notes, upper, seen, profile),) = golden(
        f"SELECT {names} FROM customer WHERE id = 7"
    )
    assert email.endswith("@example.com")
    assert phone.startswith("+999")
    assert born != "1950-01-08"
    assert "1949-12-09" <= born <= "1950-02-07"
    assert (len(iban), len(badge), len(photo)) == (32, 36, 32)
    assert badge != "00000000-0000-4000-8000-000000000007"
    assert number != "7"
    assert ", " in home
    assert firm
    assert notes == "it's \\ nothing"
    assert upper == name.upper()
    assert seen == "2026-01-01 00:00:00"
    assert '"plan": "free"' in profile
    assert '"gone": null' in profile
    assert '"kind": "home"' in profile
    assert '{"kind": "none"}' in profile
    assert profile.count("@example.com") == 1
    # NULL, nothing, and the date that is none stay what they are.
    assert golden("SELECT phone, born, profile, iban, photo FROM customer WHERE id = 501") == [
        ["NULL", "0000-00-00", "NULL", "NULL", "NULL"]
    ]


def test_one_person_is_one_fake_and_a_shuffle_keeps_the_values(golden: Golden) -> None:
    assert golden.one("SELECT count(*) FROM login JOIN customer ON mail = email") == "501"
    assert golden.one("SELECT count(DISTINCT email) FROM customer") == "501"
    assert (
        golden.one("SELECT concat(count(DISTINCT salary), ' ', sum(salary)) FROM customer") == f"500 {500 * 501 // 2}"
    )
    assert int(golden.one("SELECT sum(salary = id) FROM customer")) < 20
    assert golden.one("SELECT group_concat(DISTINCT password) IS NULL FROM login") == "1"
    assert golden.one("SELECT max(last_ip) FROM login") == "::1"


def test_rows_that_are_left_out_take_along_what_points_to_them(golden: Golden) -> None:
    assert golden.one("SELECT concat(count(*), ' ', max(id)) FROM purchase") == "100 100"
    assert golden.one("SELECT concat(count(*), ' ', count(purchase)) FROM line") == "101 100"
    tables = {name for (name,) in golden("SHOW TABLES")}
    assert tables == {"customer", "login", "purchase", "line", "audit_log", "of_import", "directory", "seen"}
    assert golden.one("SELECT count(*) FROM of_import") == "501"
    assert golden.one("SELECT count(*) FROM audit_log") == "0"
    # What there was beside rows is there: triggers, the view, keys, and the next number.
    assert golden.one("SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = 'people'") == "2"
    assert golden.one("SELECT count(*) FROM directory") == "501"
    keys = "information_schema.referential_constraints WHERE constraint_schema = 'people'"
    assert golden.one(f"SELECT count(*) FROM {keys}") == "4"
    next_ = "information_schema.tables WHERE table_schema = 'people' AND table_name = 'customer'"
    assert golden.one(f"SELECT auto_increment FROM {next_}") == "9000"


def test_a_script_gets_masked_rows(golden: Golden) -> None:
    assert golden.one("SELECT raw FROM seen") == "0"


def test_no_raw_value_is_in_the_goldens_files(golden: Golden) -> None:
    find = "grep -rail -e qzqzq /golden; [ $? = 1 ] && grep -rail -e '@example.com' /golden"
    assert "customer.ibd" in _out(["docker", "exec", golden.container, "sh", "-c", find])


def test_the_fakes_are_those_of_postgresql(golden: Golden, sources: dict[str, str], host: Host) -> None:
    """The same values under the same key, on both."""
    masks = host.specs["shop"].masks
    assert masks
    kinds = {"id": "int8", "email": "text", "iban": "varchar", "badge": "uuid", "photo": "bytea", "number": "int8"}
    columns = {name: Column(n, name, base, base, "S", False, False) for n, (name, base) in enumerate(kinds.items())}
    columns["born"] = Column(9, "born", "date", "date", "D", False, False)
    columns["name"] = Column(10, "name", "text", "text", "S", False, False)
    row = Row(columns)
    made = [row.masked(columns[name], masks.columns["customer"][name]) for name in ("email", *list(columns)[2:])]
    raw = (
        "SELECT g::bigint AS id, 'qzqzq.Person' || g || '@corp.example' AS email, 'DE00qzqzq' || g AS iban,"
        " ('00000000-0000-4000-8000-' || lpad(g::text, 12, '0'))::uuid AS badge,"
        " convert_to('qzqzq' || g, 'UTF8') AS photo,"
        " g::bigint AS number, '1950-01-01'::date + g::int AS born, 'x' AS name FROM generate_series(1, 500) AS g"
    )
    with psycopg.connect(sources["postgres"]) as connection:
        connection.execute("SELECT set_config(%s, %s, false)", [KEY_SETTING, masks.key_hex])
        query = f"SELECT {', '.join(made)} FROM ({raw}) AS t{row.lateral} ORDER BY id"
        expected = [
            [one.hex().upper() if isinstance(one, bytes) else str(one) for one in line]
            for line in connection.execute(query).fetchall()  # type: ignore[arg-type]
        ]
    found = golden(
        "SELECT email, iban, badge, hex(photo), number, born, name FROM customer WHERE id <= 500 ORDER BY id"
    )
    assert found == expected


def test_every_kind_of_fake_is_that_of_postgresql(golden: Golden, sources: dict[str, str], host: Host) -> None:
    masks = host.specs["shop"].masks
    assert masks
    people = ["ada@example.org", " Ada@Example.ORG  ", "Zo\u00eb \u00c4RGER", "\u5f20\u4f1f", "it's \\ odd", "x" * 500]
    mine, theirs = [], []
    for value in people:
        seed = mariadb.digest(f"CONVERT({mariadb_literal(value)} USING utf8mb4)")
        mine.append("SELECT " + ", ".join(mariadb.fake(kind, seed) for kind in FAKES))
        theirs.append("SELECT " + ", ".join(postgres.fake(kind, postgres.digest(literal(value))) for kind in FAKES))
    with psycopg.connect(sources["postgres"]) as connection:
        connection.execute("SELECT set_config(%s, %s, false)", [KEY_SETTING, masks.key_hex])
        expected = [list(connection.execute(one).fetchone() or ()) for one in theirs]  # type: ignore[arg-type]
    found = golden.pipe(f"SET {mariadb.KEY} = X'{masks.key_hex}';\n" + mariadb.vocabulary() + ";\n".join(mine))
    assert found == expected
    assert len({tuple(one) for one in found}) == len(people) - 1  # the first two are one person


# --- failing closed


def refused(host: Host, kind: type[CxError], **changes: object) -> str:
    """What a refresh says that ends with `kind`; the golden that was there is the only one still."""
    before = host.engine_goldens.list()
    with pytest.raises(kind) as caught:
        host.engine_goldens.refresh(replace(host.specs["shop"], **changes))  # type: ignore[arg-type]
    assert host.engine_goldens.list() == before
    assert host.engine_goldens.leftovers() == []
    return str(caught.value)


def test_a_column_that_looks_personal_and_has_no_rule_ends_the_refresh(golden: Golden, host: Host) -> None:
    masks = host.specs["shop"].masks
    assert masks
    columns = {"customer": {k: v for k, v in masks.columns["customer"].items() if k not in ("phone", "profile")}}
    said = refused(host, Unmasked, masks=replace(masks, columns={**masks.columns, **columns}, rows={}))
    assert "customer.phone (its name)" in said
    assert "customer.profile (what it holds looks like emails)" in said
    assert "audit_log.entry (what it holds looks like emails)" in said
    assert "old_import.raw_email" in said
    assert "qzqzq" not in said


def test_rules_are_proposed(cx: Cx) -> None:
    proposed = tomllib.loads(cx("db", "classify", "bare").stdout)["databases"]["bare"]["mask"]
    assert proposed["customer"]["email"] == "fake email"
    assert proposed["customer"]["born"] == "shift 30 days"
    assert proposed["login"] == {"mail": "fake email", "password": "null", "last_ip": "null"}
    assert proposed["audit_log"]["entry"] == "fake email"
    assert "line" not in proposed


def test_raw_values_elsewhere_are_found_and_the_golden_is_not_used(golden: Golden, host: Host) -> None:
    masks = host.specs["shop"].masks
    assert masks
    columns = {**masks.columns, "audit_log": {"entry": Masked(do="keep")}}
    rows = {table: rule for table, rule in masks.rows.items() if table != "audit_log"}
    said = refused(host, LeakFound, masks=replace(masks, columns=columns, rows=rows))
    assert "customer.email (" in said
    assert "audit_log.ibd" in said
    assert "qzqzq" not in said


def test_the_key_is_in_no_command_line(golden: Golden, host: Host) -> None:
    masks = host.specs["shop"].masks
    assert masks
    assert "make.sh ask" in golden.events
    assert masks.key_hex not in golden.events
    assert masks.key.decode() not in golden.events
