"""Masked refreshes of MariaDB and MySQL: what becomes of each value, that PostgreSQL makes the same of it, and that no
raw one is in the golden's files. What is the same code for both is tried with MariaDB alone."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest
from engineworld import open_host, volumes_of
from live import Cx, free_pool, free_port, sweep

from cx.core.errors import CxError
from cx.core.names import LABEL_INSTANCE
from cx.data.errors import LeakFound, SanitiseFailed, Unmasked
from cx.data.masking.catalog import Column
from cx.data.masking.dialects.mariadb import expressions as mariadb
from cx.data.masking.dialects.mariadb.catalog import literal as mariadb_literal
from cx.data.masking.dialects.postgres import expressions as postgres
from cx.data.masking.dialects.postgres.columns import literal
from cx.data.masking.dialects.postgres.expressions import KEY_SETTING, Row
from cx.data.workbench.values import FillFailed
from cx.host import Host
from cx.settings.masking import FAKES, Masked, Rows

# MySQL has neither sequences nor these types.
IN_MYSQL = [
    (r"FROM seq_1_to_(\d+)", r"FROM (SELECT seq FROM numbers.seq WHERE seq <= \1) AS s"),
    (r" inet6", " varchar(45)"),
    (r" uuid", " char(36)"),
]
NUMBERS = """
CREATE DATABASE numbers; USE numbers; CREATE TABLE seq (seq int PRIMARY KEY); SET cte_max_recursion_depth = 5000;
INSERT INTO seq WITH RECURSIVE n AS (SELECT 1 AS seq UNION ALL SELECT seq + 1 FROM n WHERE seq < 2000)
  SELECT seq FROM n;
"""
# Every raw value has the mark `qzqzq` in it. A trigger would write raw values, and a column changes with each change.
PEOPLE = """
CREATE DATABASE people; USE people;
CREATE TABLE customer (
  id bigint AUTO_INCREMENT PRIMARY KEY, email varchar(80) UNIQUE NOT NULL, name text, phone varchar(30), born date,
  seen timestamp NOT NULL DEFAULT '2026-01-01' ON UPDATE current_timestamp, boss bigint REFERENCES customer (id),
  profile json, iban varchar(34), badge uuid, home tinytext, firm varchar(40) CHARACTER SET latin1, salary int UNIQUE,
  photo varbinary(20), number bigint UNSIGNED, notes longtext, upper_name text AS (upper(name)) STORED, team varchar(40)
) AUTO_INCREMENT = 9000;
INSERT INTO customer
  (id, email, name, phone, born, boss, profile, iban, badge, home, firm, salary, photo, number, notes, team)
SELECT seq, concat('qzqzq.Person', seq, '@corp.example'), concat('Qzqzqname', seq, ' Qzqzqlast'),
  concat('+49 30 qzqzq', seq),
  '1950-01-01' + INTERVAL seq DAY, IF(seq > 10, 1 + seq % 10, NULL),
  json_object('plan', 'free', 'vat', concat('qzqzqvat', seq), 'gone', 'qzqzqgone', 'contacts', json_array(
    json_object('mail', concat('qzqzq.deep', seq, '@example.org'), 'kind', 'home'), json_object('kind', 'none'))),
  concat('DE00qzqzq', seq), concat('00000000-0000-4000-8000-', lpad(seq, 12, '0')), concat('Qzqzqstreet ', seq),
  concat('Qzqzqfirm Stra\u00dfe ', seq), seq, concat('qzqzq', seq), seq, repeat('qzqzqnote ', 1 + seq % 50),
  concat('Section ', seq)
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
team = "keep"
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
IMAGES = {"mariadb": "mariadb:11", "mysql": "mysql:9"}
of_mariadb = pytest.mark.parametrize("engine", ["mariadb"], indirect=True)


def sql(engine: str, source: str, statements: str) -> None:
    url = urlsplit(source)
    argv = [
        "docker",
        "run",
        "--rm",
        "-i",
        "--network",
        "host",
        IMAGES[engine],
        engine,
        "--default-character-set=utf8mb4",
    ]
    argv += ["-h127.0.0.1", f"-P{url.port}", "-uroot", "-praw", *(["--skip-ssl"] if engine == "mariadb" else [])]
    _out(argv, statements)


@pytest.fixture(scope="module", params=["mariadb", "mysql"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def people(sources: dict[str, str], engine: str) -> str:
    """The source's URL."""
    script = PEOPLE
    if engine == "mysql":
        for pattern, instead in IN_MYSQL:
            script = re.sub(pattern, instead, script)
        script = NUMBERS + script
    sql(engine, sources[engine], "SET sql_mode = ''; " + script)
    return sources[engine].replace("/shop", "/people")


@pytest.fixture(scope="module")
def cx(tmp_path_factory: pytest.TempPathFactory, people: str, engine: str) -> Iterator[Cx]:
    """A host whose golden has been refreshed once; nothing else of it is up."""
    folder = tmp_path_factory.mktemp("people")
    instance = f"t{secrets.token_hex(3)}"
    config = folder / "host.toml"
    config.write_text(
        f'instance = "{instance}"\nstate_dir = "{folder / "state"}"\n[router]\nhttp_port = {free_port()}\n'
        f'admin_port = {free_port()}\n[network]\npool = "{free_pool()}"\n'
        f'[databases.bare]\nengine = "{engine}"\nsource = "{people}"\n'
        f'[databases.shop]\nengine = "{engine}"\nsource = "{people}"\nsanitise = "more.sql"\n{RULES}'
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

    def __init__(self, volume: str, engine: str) -> None:
        server = {"mariadb": "mariadbd", "mysql": "mysqld --mysqlx=OFF --secure-file-priv=/tmp"}[engine].split()
        start = (
            f"cp -a /golden/data /tmp/data; exec {server[0]} --no-defaults {' '.join(server[1:])} --skip-networking"
            " --datadir=/tmp/data --socket=/tmp/s --pid-file=/tmp/p"
        )
        argv = ["docker", "run", "-d", "--rm", "--user", "mysql", "-v", f"{volume}:/golden:ro", "--entrypoint", "sh"]
        self.container = _out([*argv, IMAGES[engine], "-c", start])
        self.engine = engine
        self.client = [engine, "--no-defaults", "--socket=/tmp/s", "--default-character-set=utf8mb4", "-NBr"]
        self.client += ["--user=root"] if engine == "mysql" else []
        ping = f"{engine}{'-' if engine == 'mariadb' else ''}admin --no-defaults --socket=/tmp/s ping"
        self("SELECT 1", wait=f"until {ping}; do sleep 0.1; done >/dev/null 2>&1;")

    def __call__(self, query: str, wait: str = "") -> list[list[str]]:
        client = f'{" ".join(self.client)} people -e "$1"'
        said = _out(["docker", "exec", self.container, "sh", "-c", f"{wait} {client}", "sh", query])
        return [line.split("\t") for line in said.splitlines()]

    def pipe(self, script: str) -> list[list[str]]:
        said = _out(["docker", "exec", "-i", self.container, *self.client, "people"], script)
        return [line.split("\t") for line in said.splitlines()]

    def one(self, query: str) -> str:
        ((value,),) = self(query)
        return value


def _out(argv: Sequence[str], script: str = "") -> str:
    done = subprocess.run(argv, input=script, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


@pytest.fixture(scope="module")
def golden(cx: Cx, engine: str) -> Iterator[Golden]:
    argv = ["docker", "events", "--filter", f"label={LABEL_INSTANCE}={cx.instance}"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as events:
        try:
            said = cx("db", "refresh", "shop")
        finally:
            events.terminate()
        told = events.communicate()[0]
    assert "left out: table old_import; left out: foreign key of_import was" in said.stdout
    assert "sees the data" not in said.stdout
    (volume,) = [one for one in volumes_of(cx) if ".shop." in one and not one.endswith(".mark")]
    made = Golden(volume, engine)
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
    assert (len(iban), len(badge), len(photo)) == (32, 36 if golden.engine == "mariadb" else 32, 32)
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
        query = f"SELECT {', '.join(made)} FROM {row.seeded(f'FROM ({raw}) AS t')} ORDER BY id"
        expected = [
            [one.hex().upper() if isinstance(one, bytes) else str(one) for one in line]
            for line in connection.execute(query).fetchall()  # type: ignore[arg-type]
        ]
    found = golden(
        "SELECT email, iban, badge, hex(photo), number, born, name FROM customer WHERE id <= 500 ORDER BY id"
    )
    if golden.engine == "mysql":  # which has no uuid
        expected = [[*line[:2], found[n][2], *line[3:]] for n, line in enumerate(expected)]
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


# --- subsets, audits, and another tool


def test_a_subset_keeps_foreign_keys_whole(golden: Golden, cx: Cx, host: Host) -> None:
    """The newest of a table, all that they point to, all that points to them; and no time stamp is touched."""
    spec = host.specs["shop"]
    assert spec.masks
    rows = {"customer": Rows(newest=20, by="salary", where="id <= 499"), "audit_log": Rows(keep="none")}
    rows |= {"purchase": Rows(where="id <= 1500 -- the first"), "old_import": Rows(keep="left out")}
    host.engine_goldens.refresh(replace(spec, name="few", sanitise=None, masks=replace(spec.masks, rows=rows)))
    (few,) = (one for one in volumes_of(cx) if ".few." in one and not one.endswith(".mark"))
    made = Golden(few, golden.engine)
    try:
        # 480 to 499, and their bosses, who are of the first ten, with theirs, who have none
        assert made.one("SELECT count(*) FROM customer WHERE id >= 480") == "20"
        assert made.one("SELECT count(*) FROM customer WHERE id < 480 AND id > 10") == "0"
        assert made.one("SELECT count(*) FROM customer WHERE id <= 10") == "10"
        assert made.one("SELECT count(*) FROM customer WHERE seen <> '2026-01-01'") == "0"
        assert made.one("SELECT count(*) FROM login") == "30"
        orphans = "NOT EXISTS (SELECT 1 FROM customer AS c WHERE c.id = p.customer)"
        assert made.one(f"SELECT count(*) FROM purchase AS p WHERE {orphans}") == "0"
        assert made.one("SELECT concat(count(*), ' ', max(id) <= 1500) FROM purchase") == "90 1"
        assert made.one("SELECT concat(count(*), ' ', count(purchase)) FROM line") == "90 90"
        columns = "information_schema.columns WHERE table_schema = 'people' AND column_name LIKE 'cx %'"
        assert made.one(f"SELECT count(*) FROM {columns}") == "0"
        assert made.one("SELECT count(*) FROM of_import") == "501"
    finally:
        _out(["docker", "rm", "-f", made.container])


@of_mariadb
def test_an_audit_finds_nothing_in_a_sound_golden(golden: Golden, cx: Cx) -> None:
    said = cx("db", "audit", "shop", "--json").stdout
    assert "qzqzq" not in said
    shown = json.loads(said)
    assert (shown["clean"], shown["same_rules"]) == (True, True)
    assert {"column": "customer.email", "values": 501, "found": 0} in shown["compared"]


def test_an_audit_compares_every_value(golden: Golden, host: Host) -> None:
    """The golden as it is, beside rules that hide one column more; and a file that nobody knows of."""
    spec = host.specs["shop"]
    assert spec.masks
    columns = {**spec.masks.columns, "customer": {**spec.masks.columns["customer"], "team": Masked(do="hash")}}
    volume = next(one.name for one in host.engine_goldens.list() if one.source == "shop")
    stray = ["docker", "run", "--rm", "-v", f"{volume}:/golden", "debian:trixie-slim", "sh", "-c"]
    _out([*stray, "echo 'x qzqzq.Person77@corp.example x' > /golden/data/undo_009; chmod a+r /golden/data/undo_009"])
    try:
        found = host.engine_goldens.audit(replace(spec, masks=replace(spec.masks, columns=columns)))
    finally:
        _out([*stray, "rm /golden/data/undo_009"])
    assert (found.clean, found.same_rules) == (False, False)
    assert found.canaries > 2000
    compared = {one.column: (one.values, one.found) for one in found.compared}
    assert compared["customer.team"] == (500, 500)
    assert compared["customer.email"] == compared["login.mail"] == (501, 0)
    assert not any(column.startswith("old_import") for column in compared)  # which is looked for, but is not there
    assert found.in_files
    assert "undo_009" in found.in_files.where
    assert {"customer.team", "customer.email"} <= set(found.in_files.columns)
    assert found.in_rows
    assert set(found.in_rows.columns) == {"customer.team"}


def test_a_dump_is_loaded_as_sql_and_nothing_else(host: Host, engine: str, tmp_path: Path) -> None:
    """What a dump says of the server's log is left out; what it would have the client do fails."""
    dump = tmp_path / "dump.sql"
    text = """
SET @MYSQLDUMP_TEMP_LOG_BIN = @@SESSION.SQL_LOG_BIN;
SET @@SESSION.SQL_LOG_BIN= 0;
SET @@GLOBAL.GTID_PURGED=/*!80000 '+'*/ '11111111-1111-1111-1111-111111111111:1-5,
22222222-2222-2222-2222-222222222222:1-7';
CREATE TABLE t (a int);
"""
    spec = replace(host.specs["bare"], name="dumped", url=None, file=dump)
    dump.write_text(f"{text}-- Dump completed\n")
    made = host.engine_goldens.refresh(spec)
    find = ["docker", "run", "--rm", "-v", f"{made.name}:/g:ro", "debian:trixie-slim", "find", "/g/data"]
    assert "t.ibd" in _out([*find, "-name", "*.ibd"])
    assert _out([*find, "-name", "*.pem", "-o", "-name", "auto.cnf"]) == ""  # each server makes its own
    dump.write_text(f"{text}\\T /tmp/written\n-- Dump completed\n")
    with pytest.raises(FillFailed, match="load the dump"):
        host.engine_goldens.refresh(spec)


@of_mariadb
def test_another_tool_makes_the_dump(golden: Golden, host: Host, sources: dict[str, str]) -> None:
    dump = 'mariadb-dump --skip-ssl -h"$MYSQL_HOST" -u"$MYSQL_USER" "$MYSQL_DATABASE" | sed s/ada@/zoe@/ > "$DUMP_FILE"'
    spec = host.specs["bare"]
    tool = replace(spec, name="tool", url=sources["mariadb"], command=("sh", "-c", dump), command_image="mariadb:11")
    said: list[str] = []
    made = host.engine_goldens.refresh(tool, progress=said.append)
    assert made.sanitised_by
    find = ["docker", "run", "--rm", "-v", f"{made.name}:/g:ro", "debian:trixie-slim", "grep", "-rlF"]
    assert "people.ibd" in _out([*find, "zoe@example.com", "/g/data/shop"])
    for broken, why in (("echo $MYSQL_PWD is wrong >&2; exit 3", "status 3 (*** is wrong)"), ("true", "wrote nothing")):
        with pytest.raises(SanitiseFailed) as caught:
            host.engine_goldens.refresh(replace(tool, command=("sh", "-c", broken)), progress=said.append)
        assert why in str(caught.value)
    with pytest.raises(FillFailed, match="the dump is cut"):
        host.engine_goldens.refresh(replace(tool, command=("sh", "-c", 'echo "SELECT 1;" > "$DUMP_FILE"')))
    assert [one.name for one in host.engine_goldens.list() if one.source == "tool"] == [made.name]


# --- failing closed


def refused(host: Host, kind: type[CxError], **changes: object) -> str:
    """What a refresh says that ends with `kind`; the golden that was there is the only one still."""
    before = host.engine_goldens.list()
    with pytest.raises(kind) as caught:
        host.engine_goldens.refresh(replace(host.specs["shop"], **changes))  # type: ignore[arg-type]
    assert host.engine_goldens.list() == before
    assert host.engine_goldens.leftovers() == []
    return str(caught.value)


@of_mariadb
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


def test_rules_are_proposed(cx: Cx, engine: str) -> None:
    proposed = tomllib.loads(cx("db", "classify", "bare").stdout)["databases"]["bare"]["mask"]
    assert proposed["customer"]["email"] == "fake email"
    assert proposed["customer"]["born"] == "shift 30 days"
    assert proposed["login"] == {
        "mail": "fake email",
        "password": "null",
        "last_ip": "null" if engine == "mariadb" else "hash",
    }
    assert proposed["audit_log"]["entry"] == "fake email"
    assert "line" not in proposed


@of_mariadb
def test_raw_values_elsewhere_are_found_and_the_golden_is_not_used(golden: Golden, host: Host) -> None:
    masks = host.specs["shop"].masks
    assert masks
    columns = {**masks.columns, "audit_log": {"entry": Masked(do="keep")}}
    rows = {table: rule for table, rule in masks.rows.items() if table != "audit_log"}
    said = refused(host, LeakFound, masks=replace(masks, columns=columns, rows=rows))
    assert "customer.email (" in said
    assert "audit_log.ibd" in said
    assert "qzqzq" not in said


@of_mariadb
def test_the_key_is_in_no_command_line(golden: Golden, host: Host) -> None:
    masks = host.specs["shop"].masks
    assert masks
    assert "golden.sh ask" in golden.events
    assert masks.key_hex not in golden.events
    assert masks.key.decode() not in golden.events
