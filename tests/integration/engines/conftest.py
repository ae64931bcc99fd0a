"""One host for these tests, with a source of each engine."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from engineworld import RAW, Case, Space, open_host
from live import Cx, free_pool, free_port, sweep
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from cx.core.names import Namespace
from cx.host import Host

PEOPLE = (
    f"CREATE TABLE people (id int PRIMARY KEY, email varchar(80)); INSERT INTO people VALUES (1,'{RAW}'), (2,'b@x');"
)
# A view that belongs to somebody whom no preview knows.
MARIADB = (
    f"{PEOPLE} CREATE VIEW names AS SELECT email FROM people;"
    " CREATE TRIGGER kept BEFORE UPDATE ON people FOR EACH ROW SET NEW.email = lower(NEW.email);"
)


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """URLs and files of what is cloned from."""
    folder = tmp_path_factory.mktemp("sources")
    mariadb = DockerContainer("mariadb:11").with_exposed_ports(3306)
    mariadb.with_tmpfs_mount("/var/lib/mysql")  # its first start waits for the disk some hundred times
    mariadb.with_env("MARIADB_ROOT_PASSWORD", "raw").with_env("MARIADB_DATABASE", "shop")
    mysql = DockerContainer("mysql:9").with_exposed_ports(3306).with_tmpfs_mount("/var/lib/mysql")
    mysql.with_env("MYSQL_ROOT_PASSWORD", "raw").with_env("MYSQL_DATABASE", "shop")
    postgres = PostgresContainer("postgres:17", username="postgres", password="raw", dbname="shop")
    redis, valkey = DockerContainer("redis:8"), DockerContainer("valkey/valkey:8")
    with mariadb, mysql, postgres, redis, valkey:
        until = time.monotonic() + 60
        for server, client in ((mariadb, "mariadb"), (mysql, "mysql")):
            while not _pipe(server, "SELECT 1", client, "-h127.0.0.1", "-praw", "shop", check=False):
                assert time.monotonic() < until
                time.sleep(0.2)
            _pipe(server, MARIADB, client, "-praw", "shop", "--delimiter=;")
        _pipe(postgres, PEOPLE, "psql", "-qU", "postgres", "shop")
        for server, name in ((redis, "redis"), (valkey, "valkey")):
            _pipe(server, "set greeting hello\nsave\n", f"{name}-cli")
            found = server.get_wrapped_container().id
            subprocess.run(["docker", "cp", f"{found}:/data/dump.rdb", str(folder / f"{name}.rdb")], check=True)
        (folder / "mask.sql").write_text("UPDATE people SET email = concat(id, '@masked');")
        yield {
            "mariadb": f"mysql://root:raw@127.0.0.1:{mariadb.get_exposed_port(3306)}/shop",
            "mysql": f"mysql://root:raw@127.0.0.1:{mysql.get_exposed_port(3306)}/shop",
            "postgres": f"postgresql://postgres:raw@127.0.0.1:{postgres.get_exposed_port(5432)}/shop",
            "redis": str(folder / "redis.rdb"),
            "valkey": str(folder / "valkey.rdb"),
            "mask": str(folder / "mask.sql"),
        }


def _pipe(container: DockerContainer, text: str, *argv: str, check: bool = True) -> bool:
    command = ["docker", "exec", "-i", container.get_wrapped_container().id, *argv]
    return subprocess.run(command, input=text, text=True, check=check, capture_output=True).returncode == 0


@pytest.fixture(scope="session")
def engines(tmp_path_factory: pytest.TempPathFactory, sources: dict[str, str]) -> Iterator[Cx]:
    """The host, up, with a golden of each source."""
    folder = tmp_path_factory.mktemp("engines")
    instance, port = f"t{secrets.token_hex(3)}", free_port()
    config = folder / "host.toml"
    config.write_text(
        f"""
instance = "{instance}"
state_dir = "{folder / "state"}"
[router]
http_port = {port}
admin_port = {free_port()}
[network]
pool = "{free_pool()}"
[postgres]
spares = 0
[limits]
start_timeout_s = 30
[databases.shared]
source = "{sources["postgres"]}"
sanitise = "{sources["mask"]}"
[databases.alone]
source = "{sources["postgres"]}"
sanitise = "{sources["mask"]}"
isolation = "server"
image = "postgres:17"
preload = ["pg_stat_statements"]
[databases.shop]
engine = "mariadb"
source = "{sources["mariadb"]}"
sanitise = "{sources["mask"]}"
[databases.mysql]
engine = "mysql"
source = "{sources["mysql"]}"
sanitise = "{sources["mask"]}"
[databases.valkey]
engine = "valkey"
file = "{sources["valkey"]}"
[databases.cache]
engine = "redis"
file = "{sources["redis"]}"
memory = "64m"
[databases.files]
strategy = "volume"
volume = "uploads"
image = "debian:trixie-slim"
fill = ["sh", "-c", "echo from the golden > /golden/a.txt"]
"""
    )
    cx = Cx(config, port, instance)
    try:
        cx("up")
        with ThreadPoolExecutor(2) as pool:  # two at once: each waits for its engine most of the time
            names = ("mysql", "shared", "alone", "shop", "cache", "valkey", "files")
            list(pool.map(lambda name: cx("db", "refresh", name), names))
        yield cx
    finally:
        sweep(instance)


@pytest.fixture(scope="session")
def host(engines: Cx) -> Iterator[Host]:
    host = open_host(engines)
    yield host
    host.close()


@pytest.fixture
def space(host: Host) -> Iterator[Callable[[Case], Space]]:
    """Makes namespaces; they go at the end, and nothing may be left of them."""
    made: list[Space] = []

    def make(case: Case) -> Space:
        made.append(Space(host, case, Namespace(f"preview-{secrets.randbelow(10**6)}")))
        return made[-1]

    yield make
    for one in made:
        one.down()
        assert one.observe() == ()
        assert host.workloads.observe(one.namespace).leftovers() == []
