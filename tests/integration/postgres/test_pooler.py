"""What an unchanged app sees of its pooler: a real PgBouncer in front of a real clone."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Iterator
from typing import Any

import docker
import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pgworld import ONE, World, until

from cx.core.blueprint import DatabaseUse
from cx.core.errors import Invalid
from cx.core.names import Names
from cx.data.shared.pooler import pooler_files
from cx.data.values import Connection

PORT = 6543
AWKWARD = "p'a\"s s;#%=\\€ {x}:@/数"
Pooler = Callable[[str, str], psycopg.Connection[Any]]


def archived(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for path, content in files.items():
            info = tarfile.TarInfo(path.lstrip("/"))
            info.size, info.mode, info.uid = len(content), 0o400, 65532
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(scope="module")
def container(client: docker.DockerClient, names: Names) -> Iterator[Any]:
    """A pooler's container, that `served` starts with files of its own each time."""
    made = client.containers.create("cx/pgbouncer:1", labels=names.labels(None, "test"))
    yield made
    made.remove(force=True)


def served(container: Any, use: DatabaseUse, connection: Connection, **more: Any) -> str:
    """The address of a pooler with these files."""
    container.put_archive("/", archived(dict(pooler_files(use, connection, **more))))
    container.restart(timeout=1)
    container.reload()
    return str(container.attrs["NetworkSettings"]["IPAddress"])


def connect(host: str, use: DatabaseUse, **more: Any) -> psycopg.Connection[Any]:
    options = {"user": use.user, "password": use.password, "dbname": use.database, "port": use.port, **more}
    return psycopg.connect(host=host, autocommit=True, **options)


def ready(host: str, use: DatabaseUse) -> bool:
    try:
        connect(host, use).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def pooled(fresh: World, container: Any) -> tuple[str, DatabaseUse]:
    clone = fresh.clones.clone(ONE, "shop")
    use = DatabaseUse("shop", "db", PORT, database="My App", user="postgres", password=AWKWARD)
    host = served(container, use, fresh.clones.connection(clone), pool_size=3)
    until(lambda: ready(host, use))
    return host, use


def test_an_app_that_thinks_it_is_postgres(fresh: World, pooled: tuple[str, DatabaseUse]) -> None:
    host, use = pooled
    with connect(host, use) as app:
        row = app.execute("SELECT current_user, session_user, current_database(), count(*) FROM customer").fetchone()
        clone = fresh.names.database(ONE, "shop")
        assert row == (fresh.names.golden_owner("shop"), clone, clone, 2000)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            app.execute("CREATE ROLE x")


@pytest.mark.parametrize("database", ["postgres", "anything else", "数据"])
def test_any_database_name_is_the_clone(pooled: tuple[str, DatabaseUse], database: str) -> None:
    host, use = pooled
    with connect(host, use, dbname=database) as app:
        assert app.execute("SELECT count(*) FROM customer").fetchone() == (2000,)


@pytest.mark.parametrize(
    "wrong",
    [{"password": "guess"}, {"password": ""}, {"user": "admin"}, {"dbname": "pgbouncer"}],
    ids=["password", "no password", "user", "the pooler's console"],
)
def test_refused(pooled: tuple[str, DatabaseUse], wrong: dict[str, str]) -> None:
    host, use = pooled
    with pytest.raises(psycopg.OperationalError):
        connect(host, use, **wrong)


def test_the_next_client_finds_a_clean_session_that_owns_everything(pooled: tuple[str, DatabaseUse]) -> None:
    """One server connection serves one client after another; a reset must not lose the role."""
    host, use = pooled
    seen = set()
    for turn in range(4):
        with connect(host, use) as app:
            who = app.execute("SELECT current_user, current_setting('search_path'), pg_backend_pid()").fetchone()
            assert who
            seen.add(who)
            app.execute(f"CREATE TABLE public.made_{turn} ()")
            if turn:
                app.execute(f"DROP TABLE public.made_{turn - 1}")
            app.execute("SET search_path = nowhere; SET ROLE NONE; CREATE TEMP TABLE t (); SELECT pg_advisory_lock(1)")
            app.execute("PREPARE p AS SELECT 1")
    assert len(seen) == 1


def test_startup_parameters_of_drivers_are_taken(pooled: tuple[str, DatabaseUse]) -> None:
    host, use = pooled
    with connect(host, use, options="-c extra_float_digits=3 -c statement_timeout=1000", application_name="x") as app:
        assert app.execute("SELECT 1").fetchone() == (1,)


def test_an_app_recovers_from_a_reset(fresh: World, pooled: tuple[str, DatabaseUse]) -> None:
    host, use = pooled
    with connect(host, use) as app:
        app.execute("DELETE FROM customer")
        fresh.clones.reset(ONE, "shop")
        with pytest.raises(psycopg.OperationalError):
            app.execute("SELECT 1")
    until(lambda: ready(host, use), timeout_s=1)
    with connect(host, use) as app:
        assert app.execute("SELECT count(*) FROM customer").fetchone() == (2000,)


def test_in_transaction_mode_many_sessions_share_one_connection(fresh: World, container: Any) -> None:
    use = DatabaseUse("shop", "db", PORT, user="postgres", password="x")
    connection = fresh.clones.connection(fresh.clones.clone(ONE, "shop"))
    host = served(container, use, connection, pool_size=1, mode="transaction")
    until(lambda: ready(host, use))
    apps = [connect(host, use) for _ in range(5)]
    backends = {app.execute("SELECT pg_backend_pid() WHERE %s", [True], prepare=True).fetchone() for app in apps * 2}
    for app in apps:
        app.close()
    assert len(backends) == 1


def test_a_password_of_ours_where_the_app_expects_none(fresh: World, container: Any) -> None:
    use = DatabaseUse("shop", "db", PORT)
    connection = fresh.clones.connection(fresh.clones.clone(ONE, "shop"))
    host = served(container, use, connection, password="made up")
    until(lambda: ready(host, DatabaseUse("shop", "db", PORT, password="made up")))


printable = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=40)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(user=printable, password=printable)
def test_any_credentials_survive_the_files(
    world: World, shop_golden: str, container: Any, user: str, password: str
) -> None:
    """What the app logs in with is what it gets in with: nothing in it is PgBouncer's syntax."""
    connection = world.clones.connection(world.clones.clone(ONE, "shop"))
    use = DatabaseUse("shop", "db", PORT, user=user, password=password)
    host = served(container, use, connection)
    until(lambda: ready(host, use), timeout_s=5)


@pytest.mark.parametrize(
    ("user", "password"),
    [("", "x"), ("u", ""), ("u\n", "x"), ("u", 'x"\n"admin" "y'), ("u", "x\0"), ("u" * 200, "x"), ("u", "x" * 1000)],
)
def test_what_pgbouncer_cannot_hold_is_refused(user: str, password: str) -> None:
    with pytest.raises(Invalid, match="database shop"):
        pooler_files(DatabaseUse("shop", "db", user=user, password=password), Connection("h", 5432, "d", "u", "p"))
