"""A host with a source of each engine, and namespaces on it that have a clone and little else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
from live import Cx

from cx import settings as host_settings
from cx.core.blueprint import Blueprint, DatabaseUse, Pooler
from cx.core.names import LABEL_INSTANCE, Namespace
from cx.core.state import Clone, Desired
from cx.data.copies import Copies
from cx.host import Host

RAW = "ada@example.com"
MASKED = "masked"


def no_checkout() -> Path:
    return Path("/")


def patiently(_what: str) -> None:
    """Nobody is told what a step waits for."""


@dataclass(frozen=True)
class Case:
    """One engine. `read` and `write` are shell commands of a client in the namespace's network, or in a container
    with the volume; `raw` says whether what `read` gives is sanitised on its way."""

    name: str
    use: DatabaseUse
    client: str
    read: str
    write: str
    first: str  # what `read` gives of a fresh clone
    second: str  # and after `write`
    dumped: bytes  # stands in a dump after `write`
    compared: bool = False  # whether copies of it have tables to compare
    service: Mapping[str, Any] | None = None


PSQL = 'psql -XAtq "$URL" -c'
MARIADB = 'MYSQL_PWD="$PASSWORD" mariadb -h "$HOST" -P "$PORT" -u "$USERNAME" --skip-ssl -N -B "$DATABASE" -e'
MYSQL = 'MYSQL_PWD="$PASSWORD" mysql -h "$HOST" -P "$PORT" -u "$USERNAME" -N -B "$DATABASE" -e'
PEOPLE = "SELECT count(*), min(email) FROM people"
JOINED = "SELECT concat(count(*), '|', min(email)) FROM people"
ADD = "INSERT INTO people VALUES (9, 'zoe@masked')"
CASES = [
    Case(
        "postgres-shared",
        DatabaseUse("shared", "db"),
        "postgres:18",
        f"{PSQL} '{PEOPLE}'",
        f'{PSQL} "{ADD}"',
        "2|1@masked",
        "3|1@masked",
        b"people",
        compared=True,
    ),
    Case(
        "postgres-server",
        DatabaseUse("alone", "pg", 5433, "shop", "postgres", "what the app's file says", "postgres", "server"),
        "postgres:18",
        f"{PSQL} '{PEOPLE}'",
        f'{PSQL} "{ADD}"',
        "2|1@masked",
        "3|1@masked",
        b"people",
        compared=True,
    ),
    Case(
        "mariadb",
        DatabaseUse("shop", "mysql", 3307, "shop", "root", 'it\'s $a \\ "password"', "mariadb", "server"),
        "mariadb:11",
        f'{MARIADB} "{JOINED}"',
        f'{MARIADB} "{ADD}"',
        "2|1@masked",
        "3|1@masked",
        b"zoe@masked",
        compared=True,
    ),
    Case(
        "mysql",
        DatabaseUse("mysql", "db", 3306, "shop", "shop", 'it\'s $a \\ "password"', "mysql", "server"),
        "mysql:9",
        f'{MYSQL} "{JOINED}"',
        f'{MYSQL} "{ADD}"',
        "2|1@masked",
        "3|1@masked",
        b"zoe@masked",
        compared=True,
    ),
    Case(
        "redis",
        DatabaseUse("cache", "redis", 6380, "app", "app", None, "redis", "server"),
        "redis:8",
        'redis-cli -u "$URL" get greeting; redis-cli -u "$URL" dbsize',
        'redis-cli -u "$URL" set more 1',
        "hello\n1",
        "hello\n2",
        b"hello",
    ),
    Case(
        "valkey",
        DatabaseUse("valkey", "redis", 6379, "app", "app", None, "redis", "server"),
        "valkey/valkey:8",
        'valkey-cli -u "$URL" get greeting; valkey-cli -u "$URL" dbsize',
        'valkey-cli -u "$URL" set more 1',
        "hello\n1",
        "hello\n2",
        b"hello",
    ),
    Case(
        "volume",
        DatabaseUse("files", "uploads", engine="volume", way="volume"),
        "debian:trixie-slim",
        "cat /data/a.txt; ls /data | wc -l",
        "echo more > /data/b.txt",
        "from the golden\n1",
        "from the golden\n2",
        b"./b.txt",
        service={
            "image": "debian:trixie-slim",
            "command": ["sh", "-c", "trap exit TERM; sleep 600 & wait"],
            "volumes": [{"type": "volume", "source": "uploads", "target": "/data"}],
        },
    ),
]
BY_NAME = {case.name: case for case in CASES}


@dataclass
class Space:
    """A namespace with one clone. `up` brings it to where the clone can be used, by the same steps as a pass."""

    host: Host
    case: Case
    namespace: Namespace
    poolers: list[Pooler] = field(default_factory=list)

    @property
    def copies(self) -> Copies:
        return self.host.copies(self.case.use.name)

    @property
    def wish(self) -> Desired:
        return Desired(self.namespace, project="t", tree="0" * 40)

    @property
    def blueprint(self) -> Blueprint:
        services = {"app": self.case.service} if self.case.service else {}
        volumes = ("uploads",) if self.case.service else ()
        return Blueprint(services, {}, (), databases=(self.case.use,), volumes=volumes, start_timeout_s=30)

    def clone(self) -> Clone:
        self.host.databases.clone(self.namespace, self.case.use.name)
        return self.observe()[0]

    def reset(self) -> Clone:
        self.host.databases.reset(self.namespace, self.case.use.name)
        return self.observe()[0]

    def observe(self) -> tuple[Clone, ...]:
        return self.host.databases.observe(self.namespace)

    def up(self) -> None:
        host = self.host
        self.poolers = [host.databases.pooler(self.namespace, self.case.use)]
        host.workloads.lay(self.wish, self.blueprint, no_checkout)
        if self.blueprint.lasting:
            host.workloads.pin(self.wish, self.blueprint, no_checkout, self.poolers, "", patiently)
        if self.case.use.way == "pooler":
            host.workloads.pool(self.wish, self.blueprint, self.poolers)
        if self.case.use.way != "server":
            host.workloads.create(self.wish, self.blueprint, self.poolers, "", patiently)
            host.workloads.start(self.wish, self.blueprint, no_checkout, patiently)

    def read(self) -> str:
        return self.run(self.case.read)

    def write(self) -> None:
        self.run(self.case.write)

    def run(self, command: str) -> str:
        """The command has run in a container of the client's, in the namespace's network, as the app would."""
        if self.case.service:
            (app,) = (one for one in self.host.workloads.observe(self.namespace).containers if one.service == "app")
            return run(["docker", "exec", app.id, "sh", "-c", command])
        env = self.poolers[0].env
        names = {"url": "URL", "host": "HOST", "port": "PORT", "user": "USERNAME", "password": "PASSWORD"}
        told = {variable: env[kind] for kind, variable in names.items()} | {"DATABASE": env["database"]}
        network = self.host.names.network(self.namespace, self.wish.revision)
        argv = ["docker", "run", "--rm", "--network", network, "--entrypoint", "sh"]
        argv += [word for key, value in told.items() for word in ("-e", f"{key}={value}")]
        return run([*argv, self.case.client, "-c", command])

    def down(self) -> None:
        """As a pass that deletes."""
        self.host.workloads.remove(self.namespace, "containers")
        for one in self.observe():
            self.host.databases.drop(self.namespace, one.source)
        for what in ("networks", "volumes"):
            self.host.workloads.remove(self.namespace, what)


def run(argv: Sequence[str]) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout.strip()


def dies(cx: Cx, point: str, call: str) -> None:
    """A process of its own makes `call` of a host, and is killed at the named point."""
    script = (
        "from pathlib import Path\n"
        "from cx import settings\n"
        "from cx.core.names import Namespace\n"
        "from cx.host.host import Host, fault_from_environment\n"
        f"host = Host(settings.load(Path({str(cx.config)!r}), {{}}), fault_from_environment())\n"
        f"host.{call}\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PATH": "/usr/bin:/bin", "CX_TEST_DIE_AT": point}, check=False, timeout=120
    )
    assert done.returncode == -9, done.returncode


def open_host(cx: Cx) -> Host:
    return Host(host_settings.load(cx.config, {}))


def volumes_of(cx: Cx, namespace: str = "") -> list[str]:
    """The names of every volume of this instance's clones and goldens, marks too; of one namespace, or of none."""
    client = docker.from_env()
    try:
        listed = client.volumes.list(filters={"label": f"{LABEL_INSTANCE}={cx.instance}"})
        names = [one.name for one in listed]
    finally:
        client.close()
    begin = f"{cx.instance}.{namespace}." if namespace else f"{cx.instance}_golden."
    return sorted(name for name in names if name.startswith(begin))
