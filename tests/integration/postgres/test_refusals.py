"""Bad input: one clear error of the right kind, no secret in it, and nothing changed."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pgworld import IMAGE, KEY, ONE, UNICODE_NAME, Machine, World, until
from test_crash import running
from test_fidelity import checksums

from cx.core.errors import CxError, Invalid, Retryable, Terminal
from cx.core.names import Names, Namespace
from cx.data import errors
from cx.data.masking.dialects.postgres import reading
from cx.data.refresh import source as source_module
from cx.data.session import prepare
from cx.data.shared.clones import PostgresClones
from cx.data.shared.comparing import Comparing
from cx.data.shared.goldens import PostgresGoldens
from cx.data.shared.spares import PostgresSpares
from cx.data.values import Clone, Masks, Server, Source, Terms
from cx.settings.masking import Masked, Rows

SECRET = "wr0ng:pass'word"


def refused(world: World, source: Source, kind: type[CxError], *words: str) -> CxError:
    """Refreshing fails as said, in one line, and leaves everything as it was."""
    before = (world.goldens.list(), world.databases(), world.roles())
    with pytest.raises(kind) as caught:
        world.goldens.refresh(source)
    said = str(caught.value)
    for word in words:
        assert word in said
    assert "\n" not in said
    assert SECRET not in said
    assert (world.goldens.list(), world.databases(), world.roles()) == before
    until(lambda: world.engine_leftovers() == [])
    return caught.value


def test_a_clone_without_a_golden(fresh: World) -> None:
    with pytest.raises(errors.GoldenMissing, match="cx db refresh nothing"):
        fresh.clones.clone(ONE, "nothing")
    assert fresh.clones.observe_all() == ()


@pytest.mark.parametrize(
    ("host", "port", "password", "kind"),
    [("127.0.0.1", 1, "x", errors.ServerUnavailable), ("here", 5432, SECRET, errors.ServerRefused)],
    ids=["dead", "wrong password"],
)
def test_the_previews_server(
    fresh: World, shop: Source, host: str, port: int, password: str, kind: type[CxError]
) -> None:
    server = Server(fresh.server.host if host == "here" else host, port, password)
    clones = PostgresClones(server, fresh.names, KEY)
    goldens = PostgresGoldens(server, fresh.names, fresh.client, IMAGE)
    calls: list[Callable[[], Any]] = [
        clones.observe_all,
        lambda: clones.clone(ONE, "shop"),
        lambda: clones.drop(ONE, "shop"),
        lambda: goldens.refresh(shop),
        lambda: prepare(server),
    ]
    for call in calls:
        with pytest.raises(kind) as caught:
            call()
        assert SECRET not in str(caught.value)
    assert issubclass(kind, Retryable) == (host != "here")


URLS = {
    "nobody listens": ("postgresql://u:{secret}@127.0.0.1:1/db", errors.SourceUnavailable, ("shop", "refused")),
    "no such host": ("postgresql://u:{secret}@nowhere.invalid/db", errors.SourceUnavailable, ("shop",)),
    "wrong password": ("postgresql://cx:{secret}@{host}/shop", errors.SourceRefused, ("authentication failed",)),
    "a short password": (
        "postgresql://cx:ion@{host}/shop",
        errors.SourceRefused,
        ("connection to server", "authentication failed", "check databases.shop.source"),
    ),
    "no password": ("postgresql://cx@{host}/shop", errors.SourceRefused, ("no password",)),
    "no such database": ("{url}x", errors.SourceRefused, ('database "shopx" does not exist',)),
    "not a URL": ("production {secret}", Invalid, ("databases.shop.source",)),
    "another engine": ("mysql://u:{secret}@h/db", Invalid, ("databases.shop.source",)),
    "no host": ("postgresql:///db", Invalid, ("names no host",)),
    "a service": ("postgresql://{host}/shop?service=x", Invalid, ("does not take service",)),
    "a file of keys that is not there": ("{url}?sslrootcert=/nowhere", Invalid, ("sslrootcert",)),
    "two lines": ("postgresql://u:p@{host}/a%0Ab", Invalid, ("dbname must be printable",)),
}


@pytest.mark.parametrize("case", URLS)
def test_a_source_by_url(fresh: World, production: Machine, case: str) -> None:
    url, kind, words = URLS[case]
    secret = SECRET.replace(":", "%3A").replace("'", "%27")
    filled = url.format(secret=secret, host=production.host, url=production.url("shop"))
    error = refused(fresh, Source("shop", url=filled), kind, *words)
    assert secret not in str(error)


def test_a_source_whose_user_lacks_rights(fresh: World, production: Machine) -> None:
    with production.connect("shop") as connection:
        connection.execute("DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN PASSWORD 'r'")
        source = Source("shop", url=production.url("shop", user="reader", password="r"))
        refused(fresh, source, errors.SourceRefused, "may not read", "public.customer", "pg_read_all_data")
        connection.execute("GRANT SELECT ON customer TO reader")
        connection.execute("ALTER TABLE customer ENABLE ROW LEVEL SECURITY")
        refused(fresh, source, errors.SourceRefused, "row security hides", "BYPASSRLS")
        connection.execute("ALTER TABLE customer DISABLE ROW LEVEL SECURITY")
    fresh.goldens.refresh(source)


def test_large_objects_need_a_right_of_their_own(fresh: World, production: Machine, tmp_path: Path) -> None:
    """pg_read_all_data does not reach them. With rules they stay behind, unless somebody wants them."""
    with production.connect() as connection:
        connection.execute("CREATE DATABASE pictures")
        connection.execute("DROP ROLE IF EXISTS looking; CREATE ROLE looking LOGIN PASSWORD 'looking'")
        connection.execute("GRANT pg_read_all_data TO looking")
    source = Source("pictures", url=production.url("pictures", user="looking", password="looking"))
    with production.connect("pictures") as connection:
        connection.execute(
            "CREATE TABLE picture (id oid); SELECT lo_from_bytea(n, 'x') FROM generate_series(1, 3) AS n"
        )
        words = ("may not read 3 large objects", "GRANT SELECT ON LARGE OBJECT of each", "(databases.pictures.mask)")
        refused(fresh, source, errors.SourceRefused, *words)
        ruled = replace(source, masks=Masks({}, {}, KEY))
        assert "left out: 3 large objects" in fresh.goldens.refresh(ruled).notes
        wanted = replace(source, masks=Masks({}, {}, KEY, large_objects=True))
        refused(fresh, wanted, errors.SourceRefused, "3 large objects", "or databases.pictures.large_objects = false")
        connection.execute("GRANT SELECT ON LARGE OBJECT 1, 2 TO PUBLIC")
        refused(fresh, wanted, errors.SourceRefused, "may not read 1 large objects")
        connection.execute("GRANT SELECT ON LARGE OBJECT 3 TO looking")
        fresh.goldens.refresh(wanted)
        fresh.goldens.refresh(source)
    fresh.goldens.drop("pictures")


def test_what_no_right_mends_is_told_apart(fresh: World, production: Machine) -> None:
    """Of a function that may not be called, which one; of a condition that is wrong, where it stands."""
    with production.connect("shop") as connection:
        connection.execute("DROP ROLE IF EXISTS caller; CREATE ROLE caller LOGIN PASSWORD 'c'")
        connection.execute("GRANT pg_read_all_data TO caller")
        connection.execute("CREATE FUNCTION chosen(integer) RETURNS boolean LANGUAGE sql RETURN true")
        connection.execute("REVOKE ALL ON FUNCTION chosen FROM PUBLIC")
        source = Source("shop", url=production.url("shop", user="caller", password="c"))

        def of(where: str) -> Source:
            columns = {"customer": {"email": Masked(fake="email")}}
            return replace(source, masks=Masks(columns, {"customer": Rows(where=where)}, KEY))

        try:
            said = refused(fresh, of("public.chosen(id)"), errors.SourceRefused).remedy
            assert said == "GRANT EXECUTE ON FUNCTION chosen TO that user"
            said = refused(fresh, of("id / (id - id) > 0"), errors.SourceRefused, "division by zero").remedy
            assert "no right of that user is missing: look at databases.shop.mask and rows" in said
        finally:
            connection.execute("DROP FUNCTION chosen")


def test_a_source_is_only_read(fresh: World, production: Machine, shop: Source) -> None:
    production.container.reload()
    fresh.goldens.refresh(shop)
    log = production.container.logs().decode()
    assert "pg_dump" in log or "COPY public.customer" in log
    with production.connect("shop") as connection:
        assert connection.execute("SELECT count(*) FROM pg_class WHERE relname ~ '^cx'").fetchone() == (0,)


def test_a_source_newer_than_the_server(
    fresh: World, shop: Source, start: Callable[..., Machine], names: Names
) -> None:
    old = start("postgres:17")
    server = Server(old.host, 5432, fresh.server.password)
    goldens = PostgresGoldens(server, names, fresh.client, "postgres:17")
    with pytest.raises(errors.SourceRefused, match=r"newer than the previews' server \(17\)"):
        goldens.refresh(shop)
    assert goldens.list() == ()


RULES = Masks({"customer": {"email": Masked(fake="email")}}, {}, KEY)


@pytest.mark.parametrize("masks", [None, RULES], ids=["dumped", "masked"])
def test_a_table_of_the_source_that_stays_locked(
    fresh: World, production: Machine, shop: Source, masks: Masks | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a migration there, say. It is waited for, for a minute; for this test a second."""
    dumped = tuple(one.replace("60s", "1s") for one in source_module.DUMPED)
    monkeypatch.setattr(source_module, "DUMPED", dumped)
    monkeypatch.setattr(reading, "_QUIET", reading._QUIET.replace("'60s'", "'1s'"))
    with production.connect("shop") as holder:
        holder.execute("BEGIN; LOCK TABLE customer")
        refused(fresh, replace(shop, masks=masks), errors.SourceUnavailable, "shop", "stays locked")


@pytest.mark.parametrize("masks", [None, RULES], ids=["dumped", "masked"])
def test_a_source_that_dies(fresh: World, start: Callable[..., Machine], shop: Source, masks: Masks | None) -> None:
    """In the middle of being read: cx waits for a lock there, and it is killed."""
    dying = start()
    with dying.connect() as connection:
        connection.execute("CREATE TABLE customer (id int PRIMARY KEY, email text)")

    def kill() -> None:
        until(lambda: running(dying, "LOCK TABLE"))
        dying.container.kill()

    with suppress(psycopg.OperationalError), dying.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE customer")
        killing = threading.Thread(target=kill)
        killing.start()
        refused(fresh, replace(shop, url=dying.url("postgres"), masks=masks), errors.SourceUnavailable, "shop")
        killing.join()
    assert not killing.is_alive()
    dying.container.remove(v=True)


@pytest.mark.parametrize("source", [Source("shop"), Source("shop", url="x", file=Path("y"))], ids=["none", "both"])
def test_either_a_url_or_a_file(fresh: World, source: Source) -> None:
    refused(fresh, source, Invalid, "either source or file")


def test_an_extension_that_is_not_allowed(fresh: World, production: Machine) -> None:
    source = Source("shop", url=production.url(UNICODE_NAME))
    refused(fresh, source, errors.SourceRefused, "extension amcheck", "not allowed")


# --- sanitise scripts

SCRIPTS = {
    "a syntax error": ("SELECT 1;\n\nUPDTE customer SET email = '';\n", errors.SanitiseFailed, ":3: ", "UPDTE"),
    "a program": ("COPY customer TO PROGRAM 'cat';", errors.SanitiseFailed, ":1: ", "permission denied"),
    "an empty file": (" \n", Invalid, "databases.shop.sanitise", "is empty"),
}


@pytest.mark.parametrize("case", SCRIPTS)
def test_a_script_that_fails(fresh: World, shop: Source, tmp_path: Path, case: str) -> None:
    content, kind, *words = SCRIPTS[case]
    script = tmp_path / "mask.sql"
    script.write_text(content)
    refused(fresh, Source("shop", url=shop.url, sanitise=script), kind, "mask.sql", *words)


def test_a_script_that_is_not_there(fresh: World, shop: Source) -> None:
    source = Source("shop", url=shop.url, sanitise=Path("/nowhere/mask.sql"))
    refused(fresh, source, Invalid, "/nowhere/mask.sql", "No such file")


# --- dump files


@pytest.fixture(scope="module")
def dumps(production: Machine, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same database as each kind of file, made by pg_dump with all its owners, rights and extras."""
    folder = tmp_path_factory.mktemp("dumps")
    made = {}
    for kind, option in {"custom": "-Fc", "tar": "-Ft", "plain": "-Fp"}.items():
        production.run("pg_dump", option, "-d", UNICODE_NAME, "-f", f"/tmp/{kind}")
        stream, _ = production.container.get_archive(f"/tmp/{kind}")
        made[kind] = unpacked(b"".join(stream), folder)
    production.run("rm", "-rf", "/tmp/folder")
    production.run("pg_dump", "-Fd", "-j2", "-d", UNICODE_NAME, "-f", "/tmp/folder")
    stream, _ = production.container.get_archive("/tmp/folder")
    unpacked(b"".join(stream), folder)
    made["folder"] = folder / "folder"
    made["gzip"] = folder / "plain.sql.gz"
    made["gzip"].write_bytes(gzip.compress(made["plain"].read_bytes()))
    return made


def unpacked(content: bytes, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        tar.extractall(folder, filter="data")
        return folder / tar.getnames()[0]


@pytest.mark.parametrize("kind", ["custom", "tar", "plain", "folder", "gzip"])
def test_each_kind_of_dump_restores(fresh: World, production: Machine, dumps: dict[str, Path], kind: str) -> None:
    source = Source("files", file=dumps[kind], extensions=("amcheck",))
    golden = fresh.goldens.refresh(source)
    assert any("event trigger" in note for note in golden.notes)
    clone = fresh.clones.clone(ONE, "files")
    with production.connect(UNICODE_NAME) as theirs, fresh.machine.connect(clone.database) as ours:
        ours.execute("SET timezone = 'Asia/Tokyo'; SET search_path = sales, public, \"Förderung\"")
        assert checksums(ours) == checksums(theirs)
    with fresh.as_preview(clone) as app:
        app.execute("ALTER TABLE public.person ADD COLUMN more text")
    fresh.clones.drop_all(ONE)
    fresh.goldens.drop("files")


def cut(path: Path) -> bytes:
    content = path.read_bytes()
    return content[: len(content) * 2 // 3]


BROKEN: dict[str, tuple[Callable[[dict[str, Path]], bytes], type[CxError], str]] = {
    "empty": (lambda _: b"", errors.DumpUnusable, "is empty"),
    "bytes": (lambda _: bytes(range(256)) * 9, errors.DumpUnusable, "is no dump"),
    "a cut archive": (lambda made: cut(made["custom"]), errors.DumpUnusable, "cannot be restored"),
    "a cut tar": (lambda made: cut(made["tar"]), errors.DumpUnusable, "end"),
    "a cut script": (lambda made: cut(made["plain"]), errors.DumpUnusable, "its end is missing"),
    "a cut gzip": (lambda made: cut(made["gzip"]), errors.DumpUnusable, "cannot be read"),
    "a packed archive": (lambda made: gzip.compress(made["custom"].read_bytes()), errors.DumpUnusable, "gunzip"),
    "a head only": (lambda _: b"PGDMP\x01\x10\x00", errors.DumpUnusable, "cannot be restored"),
    "prose": (lambda _: b"Dear customers,\n", errors.RestoreFailed, "syntax error"),
    "a cluster": (
        lambda _: b"--\n-- PostgreSQL database cluster dump\n--\nCREATE ROLE x;\n",
        errors.DumpUnusable,
        "whole cluster",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_dump(fresh: World, dumps: dict[str, Path], tmp_path: Path, case: str) -> None:
    make, kind, words = BROKEN[case]
    path = tmp_path / "broken.dump"
    path.write_bytes(make(dumps))
    refused(fresh, Source("shop", file=path, extensions=("amcheck",)), kind, "broken.dump", words)


@pytest.mark.parametrize("what", ["nothing", "folder"])
def test_a_dump_that_is_not_there(fresh: World, tmp_path: Path, what: str) -> None:
    path = tmp_path / "missing.dump"
    if what == "folder":
        path.mkdir()
    words = {"nothing": "No such file", "folder": "toc.dat"}[what]
    refused(fresh, Source("shop", file=path), errors.DumpUnusable, "missing.dump", words)


HOSTILE = {
    "a shell": r"\! touch /tmp/owned",
    "a program of psql": r"\copy pg_class to program 'touch /tmp/owned'",
    "an end to the restrictions": "\\unrestrict x\n\\! touch /tmp/owned",
    "a program of the server": "COPY (SELECT 1) TO PROGRAM 'touch /tmp/owned';",
    "the superuser": "ALTER ROLE CURRENT_USER SUPERUSER;",
    "a forged mark": "DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE %I IS ''{}''', current_database()); END $$;",
    "open doors": "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I IS_TEMPLATE true', current_database()); END $$;",
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_dump(fresh: World, tmp_path: Path, case: str) -> None:
    path = tmp_path / "hostile.sql"
    path.write_text(f"CREATE TABLE t ();\n{HOSTILE[case]}\n")
    refused(fresh, Source("shop", file=path), errors.RestoreFailed, "hostile.sql")
    assert fresh.machine.run("bash", "-c", "ls /tmp/owned 2>/dev/null; true") == ""


def test_code_of_a_dump_never_runs_as_the_superuser(fresh: World, tmp_path: Path) -> None:
    """An index's expression runs again at each VACUUM and ANALYZE: as whom, it writes down."""
    path = tmp_path / "indexed.sql"
    path.write_text(
        "CREATE TABLE ran (who text);\nCREATE TABLE t (id int);\n"
        "CREATE FUNCTION f(int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS\n"
        "$$ BEGIN IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN\n"
        "RAISE EXCEPTION 'ran as superuser'; END IF; RETURN $1; END $$;\n"
        "INSERT INTO t SELECT generate_series(1, 100);\nCREATE INDEX ON t (f(id));\n"
        "CREATE FUNCTION pg_catalog_look() RETURNS int LANGUAGE sql AS 'SELECT 1';\n"
    )
    fresh.goldens.refresh(Source("indexed", file=path))
    with fresh.as_preview(fresh.clones.clone(ONE, "indexed")) as app:
        assert app.execute("SELECT count(*) FROM t WHERE f(id) > 50").fetchone() == (50,)
    fresh.clones.drop_all(ONE)
    fresh.goldens.drop("indexed")


CLIMBS = """
CREATE TABLE t (id int, shown text[]);
INSERT INTO t SELECT g, array['a longer value ' || g] FROM generate_series(1, 10) AS g;
CREATE FUNCTION climb() RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  EXECUTE 'SET ROLE cx';
  EXECUTE $x$ COPY (SELECT 1) TO PROGRAM 'touch /tmp/climbed' $x$;
  RETURN true;
EXCEPTION WHEN insufficient_privilege THEN RETURN true; END $$;
CREATE POLICY p ON t USING (climb());
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
ALTER TABLE t FORCE ROW LEVEL SECURITY;
"""


def test_code_of_a_dump_does_not_climb_to_the_superuser_when_a_golden_is_read(fresh: World, tmp_path: Path) -> None:
    """Who is the superuser and has taken a lesser role is given back all rights by the first function that asks."""
    path = tmp_path / "climbs.sql"
    path.write_text(CLIMBS)
    rules = {"t": {"id": Masked(do="keep"), "shown": Masked(do="hash")}}
    source = Source("climbs", file=path, masks=Masks(rules, {}, KEY))
    before = fresh.roles()
    fresh.goldens.refresh(source)
    clone = fresh.clones.clone(ONE, "climbs")
    spares = PostgresSpares(fresh.server, fresh.names)
    comparing = Comparing(fresh.client, fresh.machine.container.id, fresh.server)
    with spares.borrowed("climbs", Terms()) as golden:
        found = comparing.compare(golden, fresh.clones.connection(clone))
        assert fresh.goldens.audit(source, golden).clean
    assert fresh.machine.run("bash", "-c", "ls /tmp/climbed 2>/dev/null; true") == ""
    assert found.rows == ()
    fresh.clones.drop_all(ONE)
    fresh.goldens.drop("climbs")
    assert fresh.roles() == before


ITS_OWN_CODE = """
CREATE FUNCTION climb(anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN
  IF current_setting('transaction_read_only') = 'on' THEN
    EXECUTE $x$ COPY (SELECT 1) TO PROGRAM 'touch /tmp/climbed' $x$;
  END IF;
  RETURN true;
END $$;
CREATE DOMAIN mail AS varchar(80) CHECK (climb(VALUE));
CREATE DOMAIN mails AS mail[];
CREATE TABLE t (id int, one mail, few mail[], all_of mails, at date);
INSERT INTO t SELECT g, 'x' || g || '@acme.io', ARRAY['y' || g || '@acme.io'], ARRAY['z' || g || '@acme.io'], now()
  FROM generate_series(1, 50) AS g;
"""
CAST = """
CREATE TYPE mood AS ENUM ('calm');
CREATE FUNCTION words(mood) RETURNS text LANGUAGE sql AS $$ SELECT climb(1)::text $$;
CREATE CAST (mood AS text) WITH FUNCTION words(mood);
"""


def test_code_of_a_source_does_not_run_while_its_rows_are_masked(fresh: World, production: Machine) -> None:
    """Whoever made the tables would else become there whom cx reads them as."""
    with production.connect() as superuser:
        superuser.execute("CREATE DATABASE climbs")
    email = {name: Masked(fake="email") for name in ("one", "few", "all_of")}
    rules = {"t": {"id": Masked(do="keep"), "at": Masked(shift_days=3), **email}}
    source = Source("climbs", url=production.url("climbs"), masks=Masks(rules, {}, KEY))
    try:
        with production.connect("climbs") as superuser:
            superuser.execute(ITS_OWN_CODE)
        fresh.goldens.refresh(source)
        with fresh.as_preview(fresh.clones.clone(ONE, "climbs")) as app:
            row = app.execute("SELECT one, few[1], all_of[1], pg_typeof(one)::text FROM t WHERE id = 1").fetchone()
        assert row
        assert all(str(one).endswith("@example.com") for one in row[:3])
        assert row[3] == "mail"
        with production.connect("climbs") as superuser:
            superuser.execute(CAST)
        refused(fresh, source, errors.SourceRefused, "casts public.mood to text by a function of its own")
    finally:
        fresh.clones.drop_all(ONE)
        fresh.goldens.drop("climbs")
        with production.connect() as superuser:
            superuser.execute("DROP DATABASE climbs WITH (FORCE)")
    assert production.run("bash", "-c", "ls /tmp/climbed 2>/dev/null; true") == ""


# --- space, secrets


def test_no_space_left(start: Callable[..., Machine], fresh: World, shop: Source) -> None:
    """A server on a disk of 320 MB: clones until it is full; then an error, and a server that lives."""
    small = start(
        IMAGE,
        *("-c", "max_wal_size=32MB", "-c", "min_wal_size=32MB"),
        tmpfs={"/var/lib/postgresql": "size=320m"},
    )
    names = Names(fresh.names.instance)
    server = Server(small.host, 5432, fresh.server.password)
    clones = PostgresClones(server, names, KEY)
    goldens = PostgresGoldens(server, names, fresh.client, IMAGE)
    golden = goldens.refresh(shop)
    clones.clone(ONE, "shop")
    clones.snapshot(ONE, "shop", "early")
    made: list[Clone] = []

    def fill() -> None:
        while len(made) < 40:
            made.append(clones.clone(Namespace(f"preview-{len(made) + 10}"), "shop"))

    with pytest.raises(errors.NoSpace, match="no space left") as caught:
        fill()
    assert isinstance(caught.value, Terminal)
    assert len(made) > 2
    small.run("psql", "-d", "postgres", "-qc", "CHECKPOINT")  # which gives WAL back
    with pytest.raises(errors.NoSpace):
        fill()
    assert small.is_ready()
    again: dict[str, Callable[[], object]] = {
        "reset": lambda: clones.reset(made[0].namespace, "shop"),
        "restore": lambda: clones.restore(ONE, "shop", "early"),
        "snapshot": lambda: clones.snapshot(made[0].namespace, "shop", "full"),
        "branch": lambda: clones.branch(made[0].namespace, "shop", made[1].namespace),
        "spares": lambda: PostgresSpares(server, names).refill("shop", Terms(spares=1)),
    }
    for attempt in again.values():
        with pytest.raises(errors.NoSpace):
            attempt()
    seen = clones.observe_all()
    assert [clone.complete for clone in seen].count(True) == len(made) + 1
    assert [kept.name for kept in clones.snapshots()] == ["early"]
    assert PostgresSpares(server, names).sources() == frozenset()
    for clone in seen:
        clones.drop(clone.namespace, clone.source)
    assert clones.observe_all() == ()
    clones.clone(ONE, "shop")
    assert clones.clone(ONE, "shop").golden == golden.database
    assert goldens.leftovers() == ()


def test_a_refresh_that_would_fill_the_disk(start: Callable[..., Machine], fresh: World, production: Machine) -> None:
    """A source of 320 MB, and a disk of 320 MB: it ends before WAL fills it. The old golden serves, clones live."""
    small = start(
        IMAGE,
        *("-c", "max_wal_size=32MB", "-c", "min_wal_size=32MB"),
        tmpfs={"/var/lib/postgresql": "size=320m"},
    )
    names = Names(fresh.names.instance)
    server = Server(small.host, 5432, fresh.server.password)
    clones = PostgresClones(server, names, KEY)
    goldens = PostgresGoldens(server, names, fresh.client, IMAGE)
    with production.connect() as connection:
        connection.execute("CREATE DATABASE wide")
    with production.connect("wide") as connection:
        connection.execute(
            "CREATE TABLE t (c text); ALTER TABLE t ALTER c SET STORAGE EXTERNAL; INSERT INTO t VALUES ('')"
        )
        wide = Source("wide", url=production.url("wide"))
        golden = goldens.refresh(wide)
        clone = clones.clone(ONE, "wide")
        connection.execute("INSERT INTO t SELECT repeat(md5(g::text), 500) FROM generate_series(1, 20000) g")
    with pytest.raises(errors.NoSpace, match="no space left for a golden of wide"):
        goldens.refresh(wide)
    assert small.is_ready()
    assert goldens.list() == (golden,)
    assert goldens.leftovers() == ()
    until(lambda: fresh.engine_leftovers() == [])
    to = clones.connection(clone)
    with small.connect(to.database, user=to.user, password=to.password) as app:
        assert app.execute("SELECT count(*) FROM t").fetchone() == (1,)
        app.execute("INSERT INTO t SELECT 'more' FROM generate_series(1, 10000)")
    with production.connect() as connection:
        connection.execute("DROP DATABASE wide")


def test_no_secret_is_seen_while_a_refresh_runs(fresh: World, production: Machine) -> None:
    with production.connect("shop") as holder:
        holder.execute("DROP ROLE IF EXISTS dumper; CREATE ROLE dumper LOGIN SUPERUSER PASSWORD 's3cr3t-of-source'")
        source = Source("shop", url=production.url("shop", user="dumper", password="s3cr3t-of-source"))
        lines: list[str] = []
        holder.execute("BEGIN; LOCK TABLE customer")
        refreshing = threading.Thread(target=fresh.goldens.refresh, args=[source], kwargs={"progress": lines.append})
        refreshing.start()
        try:
            with production.connect() as watcher:
                query = "SELECT 1 FROM pg_stat_activity WHERE usename = 'dumper' AND query LIKE 'LOCK TABLE%'"
                until(lambda: watcher.execute(query).fetchone())
            mine = {"label": [f"dev.cx.instance={fresh.names.instance}", "dev.cx.role=refresh"]}
            (container,) = fresh.client.containers.list(filters=mine)
            seen = repr(container.attrs) + container.logs().decode() + repr(container.top())
            processes = 0
            for process in Path("/proc").iterdir():
                if process.name.isdigit() and int(process.name) != os.getpid():
                    for file in ("cmdline", "environ"):
                        try:
                            seen += (process / file).read_bytes().decode(errors="replace")
                            processes += 1
                        except OSError:
                            continue
        finally:
            holder.execute("ROLLBACK")
            refreshing.join()
    assert processes > 10
    assert "pg_dump" in seen
    assert "s3cr3t-of-source" not in seen
    assert "s3cr3t-of-source" not in "".join(lines)
    assert "s3cr3t-of-source" not in repr(source)
    log = fresh.machine.container.logs().decode()
    assert "SCRAM-SHA-256$" not in log
    assert lines[-1].startswith("shop: golden ready")
