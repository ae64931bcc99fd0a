"""Every kind of secret that cx knows, in every command: none is in a command line, and none in the environment of what
was not meant to have it."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from canaries import Canary, Place, Watch, containers, nobody, planted, watching
from live import HERE, Cx, Project, free_pool, free_port, sweep
from testcontainers.community.postgres import PostgresContainer
from testcontainers.core.container import DockerContainer

from cx.core.names import Names, Namespace
from cx.data.shared.naming import role_password
from cx.docker.bake import Scope

ONE, TWO = "preview-one", "preview-two"
PEOPLE = (
    "CREATE TABLE people (id int PRIMARY KEY, email varchar(80)); INSERT INTO people VALUES (1, 'anna@example.com');"
)
RULES = 'mask.people.email = "fake email"'
POOLED, SERVED = ("app", "masked", "tool"), ("alone", "maria", "mysql", "cache")
COMPOSE = """services:
  app:
    build: { context: ., args: { TOKEN: "${TOKEN:-}" } }
    ports: ["8000"]
    environment: { TOKEN: "${TOKEN:-}" }
"""
DOCKERFILE = """FROM python:3.13-slim
ARG TOKEN
RUN : %s; test -n "$TOKEN"; sleep 1
COPY app.py /srv/app.py
EXPOSE 8000
CMD ["python", "/srv/app.py"]
"""


def stack(place: Place) -> bool:
    """Compose, which makes a file of it for the host's own database server."""
    return place.command.endswith("up --detach --remove-orphans --quiet-pull") and not place.inside


@dataclass
class Planted:
    """A host whose secrets are canaries. `variables` are what a user of it has in the environment."""

    cx: Cx
    folder: Path
    canaries: dict[str, Canary]
    variables: dict[str, str]

    @contextmanager
    def watched(self, folder: Path, **other: Canary) -> Iterator[Callable[..., str]]:
        """Gives the command line. Raises AssertionError at the end where a canary was seen, or nobody looked."""
        folder.mkdir(exist_ok=True)
        with watching(self.canaries | other, folder) as watch:

            def run(*argv: str | Path, stdin: str = "") -> str:
                return self.cx(*argv, stdin=stdin, **self.variables, **watch.environment).stdout

            yield run
        looked(watch)


def looked(watch: Watch) -> None:
    assert not watch.leaks(), "\n".join(map(str, watch.leaks()))
    assert watch.rounds > 10
    assert watch.heard > 3
    # They were there to be seen, where they may be.
    assert {one.where for one in watch.places if " -m cx " in f" {one.command} "} == {"environ"}


def piped(container: DockerContainer, text: str, *argv: str, check: bool = True) -> bool:
    command = ["docker", "exec", "-i", container.get_wrapped_container().id, *argv]
    return subprocess.run(command, input=text, text=True, check=check, capture_output=True).returncode == 0


@pytest.fixture(scope="module")
def passwords() -> dict[str, Canary]:
    """Of users of sources. The owner's own tool (`command`) has that of its source in its environment."""
    names = ("reader", "tool", "maria", "mysql")
    return {name: planted(f"the password of source {name}", containers if name == "tool" else nobody) for name in names}


@pytest.fixture(scope="module")
def sources(passwords: Mapping[str, Canary]) -> Iterator[dict[str, str]]:
    """URLs of a database of each engine, by the names of `passwords`."""
    postgres = PostgresContainer("postgres:18", username="postgres", password="raw", dbname="shop")
    servers = {"maria": DockerContainer("mariadb:11"), "mysql": DockerContainer("mysql:9")}
    for name, server in servers.items():
        prefix = "MARIADB" if name == "maria" else "MYSQL"
        server.with_env(f"{prefix}_ROOT_PASSWORD", "raw").with_env(f"{prefix}_DATABASE", "shop")
        server.with_exposed_ports(3306).with_tmpfs_mount("/var/lib/mysql")
    with postgres, servers["maria"], servers["mysql"]:
        for name in ("reader", "tool"):
            text = f"CREATE ROLE {name} LOGIN PASSWORD '{passwords[name].text}' IN ROLE pg_read_all_data;"
            piped(postgres, text, "psql", "-qU", "postgres", "shop")
        piped(postgres, PEOPLE, "psql", "-qU", "postgres", "shop")
        for name, server in servers.items():
            client = "mariadb" if name == "maria" else "mysql"
            end = time.monotonic() + 60
            while not piped(server, "SELECT 1", client, "-h127.0.0.1", "-praw", "shop", check=False):
                assert time.monotonic() < end
                time.sleep(0.2)
            text = f"CREATE USER {name}@'%' IDENTIFIED BY '{passwords[name].text}'; GRANT ALL ON *.* TO {name}@'%';"
            piped(server, PEOPLE + text, client, "-praw", "shop")
        ports = {name: server.get_exposed_port(3306) for name, server in servers.items()}
        ports |= dict.fromkeys(("reader", "tool"), postgres.get_exposed_port(5432))
        schemes = {"maria": "mysql", "mysql": "mysql"}
        yield {
            name: f"{schemes.get(name, 'postgresql')}://{name}:{word.text}@127.0.0.1:{ports[name]}/shop"
            for name, word in passwords.items()
        }


@pytest.fixture(scope="module")
def host(
    tmp_path_factory: pytest.TempPathFactory, passwords: Mapping[str, Canary], sources: Mapping[str, str]
) -> Iterator[Planted]:
    """Not up yet."""
    folder = tmp_path_factory.mktemp("planted")
    instance, port = f"t{secrets.token_hex(3)}", free_port()
    (folder / "mask.sql").write_text("UPDATE people SET email = concat(id, '@masked');")
    command = json.dumps(["sh", "-c", 'pg_dump --format=custom --file="$DUMP_FILE"; sleep 1'])
    config = folder / "host.toml"
    config.write_text(
        f"""
instance = "{instance}"
state_dir = "{folder / "state"}"
router = {{ http_port = {port}, admin_port = {free_port()} }}
network = {{ pool = "{free_pool()}" }}
postgres = {{ spares = 0 }}
[databases.app]
source = "env:READER_URL"
sanitise = "{folder / "mask.sql"}"
[databases.masked]
source = "env:READER_URL"
{RULES}
[databases.tool]
source = "env:TOOL_URL"
command = {command}
command_image = "postgres:18"
[databases.alone]
source = "env:READER_URL"
isolation = "server"
{RULES}
[databases.maria]
engine = "mariadb"
source = "env:MARIA_URL"
{RULES}
[databases.mysql]
engine = "mysql"
source = "env:MYSQL_URL"
sanitise = "{folder / "mask.sql"}"
[databases.cache]
engine = "redis"
"""
    )
    canaries = dict(passwords) | {"project": planted("a secret of the project's", containers)}
    kept = folder / "state" / "secrets"
    kept.mkdir(parents=True, mode=0o700)
    for name in ("postgres", "clones", "masking", "builds"):
        canaries[f"own {name}"] = planted(f"cx's own secret {name}", stack if name == "postgres" else nobody)
        (kept / name).write_text(canaries[f"own {name}"].text)
        (kept / name).chmod(0o600)
    names, key = Names(instance), canaries["own clones"].text.encode()
    for space in (Namespace(ONE), Namespace(TWO)):
        for name in POOLED:
            database = names.database(space, name)
            canaries[f"{space} {name}"] = Canary("the password of a clone's role", role_password(key, database))
            app = role_password(key, f"app of {database}")
            canaries[f"{space} {name} app"] = Canary("an app's password", app, containers)
        for name in SERVED:
            app = role_password(key, f"app of {space}/{name}")
            canaries[f"{space} {name} app"] = Canary("an app's password", app, containers)
    variables = {f"{name.upper()}_URL": url for name, url in sources.items()}
    variables["TOKEN"] = canaries["project"].text
    try:
        yield Planted(Cx(config, port, instance), folder, canaries, variables)
    finally:
        sweep(instance)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, host: Planted) -> Project:
    """With a clone of each database, and a secret that its build gets, too."""
    project = Project(tmp_path_factory.mktemp("planted-project") / "hello", HERE / "projects" / "hello")
    project.write("compose.yml", COMPOSE)
    project.write("Dockerfile", DOCKERFILE % secrets.token_hex(4))
    project.write("cx.toml", "".join(f'[databases.{one}]\ndatabase = "shop"\n' for one in (*POOLED, *SERVED)))
    scope = Scope.of(host.canaries["own builds"].text, str(project.folder))
    host.canaries |= {"mounts": Canary("whose cache mounts", scope.mounts), "contexts": Canary("", scope.contexts)}
    return project


def test_in_the_commands_of_a_host_and_its_data(host: Planted, project: Project, tmp_path: Path) -> None:
    own = host.canaries["own postgres"]
    # The image makes its first database with the password in the environment, before anything else is there.
    with host.watched(tmp_path / "first", **{"own postgres": Canary(own.kind, own.text, lambda _: True)}) as cx:
        cx("up")
    with host.watched(tmp_path) as cx:
        cx("up")
        cx("doctor")
        for name in (*POOLED, *SERVED):
            cx("db", "refresh", name)
        cx("db", "classify", "app")
        cx("db", "classify", "mysql")
        cx("db", "audit", "masked")
        cx("db", "audit", "maria")


def test_in_the_commands_of_a_namespace(host: Planted, project: Project, tmp_path: Path) -> None:
    """After the test above, which has filled the goldens."""
    with host.watched(tmp_path) as cx:
        for namespace in (ONE, TWO):
            cx("deploy", project.folder, "--namespace", namespace, "--set", "TOKEN")
        for name in ("app", *SERVED):  # one of those that are clones on the same server
            cx("db", "psql", ONE, name, stdin="dbsize\n" if name == "cache" else "SELECT 1;\n")
            cx("db", "snapshot", ONE, "kept", name)
            cx("db", "dump", ONE, name, "--file", tmp_path / f"{name}.dump")
            if name != "cache":
                cx("db", "diff", ONE, name)
            cx("db", "restore", ONE, "kept", name, "--force")
            cx("db", "branch", ONE, name, "--from", TWO, "--force")
            cx("db", "reset", ONE, name, "--force")
        cx("exec", ONE, "app", "--", "true")
        cx("logs", ONE)
        cx("show", ONE)
        cx("sleep", ONE)
        cx("wake", ONE)
        cx("db", "drop", ONE, "app", "--force")
        for namespace in (ONE, TWO):
            cx("delete", "--namespace", namespace, "--force")
        cx("prune", "--force")
