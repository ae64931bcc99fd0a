"""A host of the benchmark's own: an instance of cx with its stack, data and projects, gone at the end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from figures import plain_model, steps_of, with_poolers

from cx import settings as host_settings
from cx.core.names import LABEL_INSTANCE, Namespace
from cx.host import Host
from cx.host.ports import handed_out, taken

INSTANCE = "bench"
POOL = "10.218.0.0/16"
LABEL = "dev.cx.bench"  # on what the baselines make
PLAIN = "cx-bench-plain"  # the baseline's Compose project
CX = [str(Path(sys.executable).parent / "cx")]
PROJECT = Path(__file__).parent / "project"
# Seldom asked once it is well: 150 of them, each 30 s, would be half of this machine's load.
TOML = """[services.app]
build = "."
port = 8000

[services.app.healthcheck]
test = ["CMD", "python", "-S", "-c", "import socket; socket.create_connection(('127.0.0.1', 8000)).close()"]
interval = "5m"
start_period = "30s"
start_interval = "200ms"

[databases.{database}]
"""
SCALES = {
    "8mb": 0,
    "100mb": 6,
    "1gb": 67,
    "4gb": 270,
    "8gb": 540,
}  # pgbench's: 15 MB each, above 8 MB of an empty database


@dataclass(frozen=True)
class Ran:
    """A process that has ended well: how long it took in seconds of wall clock, and what it printed."""

    took_s: float
    started_at: float
    ended_at: float
    out: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines() if line.startswith("{")]

    @property
    def steps(self) -> dict[str, float]:
        return steps_of(self.events, self.started_at, self.ended_at)


class Failed(Exception):
    pass


@dataclass
class Bench:
    """`sources` are the goldens that are wanted, as in SCALES."""

    folder: Path
    sources: Sequence[str]
    port: int
    say: Callable[[str], None]
    instance: str = INSTANCE
    pool: str = POOL
    postgres: str = ""  # more lines of the host configuration's [postgres]
    sizes: Sequence[str] = ()  # goldens of the group `data`
    places: Sequence[str] = ()  # where it runs; everywhere where there are none

    # --- from nothing to a host, and back
    def up(self) -> None:
        self.sweep()
        self.say("start a host of its own")
        self._configure({})
        self.cx("up")
        for name in self.sources:
            self.say(f"make a golden of {name}")
            self._psql(f"CREATE DATABASE source_{name}")
            if SCALES[name]:
                # Filled by the server itself: the fastest way to rows that compress as little as real ones do.
                self._server("pgbench", "-q", "-i", "-I", "dtGvp", "-s", str(SCALES[name]), f"source_{name}")
            self._configure({name: self._url(f"source_{name}")})
            self.cx("db", "refresh", source_of(name))
            self._psql(f"DROP DATABASE source_{name}")
        self._configure(dict.fromkeys(self.sources, "postgresql://nobody@127.0.0.1:1/gone"))

    def filled(self, database: str, script: str) -> float:
        """A database of its own on the server, made by `script`; its size in MB."""
        self._psql(f"CREATE DATABASE {database}")
        for one in (script, "VACUUM (FREEZE, ANALYZE)"):  # so that reading it writes nothing
            self._server("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", database, "-c", one)
        size = self._server("psql", "-AtX", "-d", database, "-c", "SELECT pg_database_size(current_database())")
        return int(size.out) / 1e6

    def ruled(self, database: str, rules: str) -> None:
        """The one source is `database`, with `rules` as more lines of the host configuration."""
        self._configure({database: self._url(database)})
        self.config.write_text(self.config.read_text() + rules)

    def _url(self, database: str) -> str:
        with self.host() as host:
            server = host.server
        return f"postgresql://{server.user}:{server.password}@{server.host}:{server.port}/{database}"

    def _configure(self, sources: dict[str, str]) -> None:
        """Nothing of the host's owner's holds here but what this file says."""
        admin = free_port()
        lines = [
            f'instance = "{self.instance}"',
            f'state_dir = "{self.folder / "state"}"',
            f"[router]\nhttp_port = {self.port}\nadmin_port = {self._admin(admin)}",
            f'[network]\npool = "{self.pool}"',
            f"[postgres]\n{self.postgres}",
            *(f'[databases.{source_of(name)}]\nsource = "{url}"' for name, url in sources.items()),
        ]
        self.config.touch(mode=0o600)
        self.config.write_text("\n".join(lines) + "\n")

    def _admin(self, fresh: int) -> int:
        kept = self.folder / "admin-port"
        if not kept.exists():
            kept.write_text(str(fresh))
        return int(kept.read_text())

    @property
    def config(self) -> Path:
        return self.folder / "host.toml"

    def sweep(self) -> None:
        """Nothing of the benchmark is left on the engine, of this run or of one that was killed. Safe to repeat."""
        client = docker.from_env(timeout=120)
        api = client.api
        labels = [f"{LABEL_INSTANCE}={self.instance}", LABEL]

        def each(gone: Callable[[str], Any], things: Iterable[str]) -> None:
            def one(thing: str) -> None:
                with contextlib.suppress(NotFound):
                    gone(thing)

            with ThreadPoolExecutor(max_workers=6) as pool:
                list(pool.map(one, things))

        try:
            for _ in range(3):  # what was just being made when an interrupt came shows up a moment later
                for label in labels:
                    mine = {"label": label}
                    found = [one["Id"] for one in api.containers(all=True, filters=mine)]
                    each(lambda one: api.remove_container(one, force=True, v=True), found)
                    each(api.remove_network, [one["Id"] for one in api.networks(filters=mine)])
                    volumes = [one["Name"] for one in api.volumes(filters=mine)["Volumes"] or ()]
                    each(lambda one: api.remove_volume(one, force=True), volumes)
            images = api.images(filters={"reference": f"{self.instance}/*/*"})
            each(lambda one: api.remove_image(one, force=True), [one["Id"] for one in images])
        except APIError as exc:
            self.say(f"could not clean up: {exc.explanation}")
        finally:
            client.close()
        for one in ("state", "projects"):
            shutil.rmtree(self.folder / one, ignore_errors=True)

    @contextlib.contextmanager
    def host(self) -> Any:
        """cx's own object graph, in this process."""
        host = Host(host_settings.load(self.config, {}))
        try:
            yield host
        finally:
            host.close()

    # --- processes
    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("CX_")}
        return kept | {"CX_CONFIG": str(self.config), "PYTHONDONTWRITEBYTECODE": ""}

    def run(self, argv: Sequence[str], stdin: str = "") -> Ran:
        """Raises Failed, with the last lines, when the process does not end well."""
        started_at, began = time.time(), time.monotonic()
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, env=self.environment, timeout=900, check=False
        )
        took_s, ended_at = time.monotonic() - began, time.time()
        if done.returncode:
            last = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
            raise Failed(f"{' '.join(argv)[:200]} ended with status {done.returncode}\n{last}")
        return Ran(took_s, started_at, ended_at, done.stdout)

    def cx(self, *argv: str) -> Ran:
        return self.run([*CX, *argv])

    def peak_kb(self, *argv: str) -> float:
        """The most memory that `cx argv` itself had, without the programs that it runs."""
        with subprocess.Popen([*CX, *argv], env=self.environment, stdout=subprocess.DEVNULL) as process:
            peak = [0]

            def watch() -> None:
                with contextlib.suppress(OSError, IndexError):
                    while process.poll() is None:
                        status = Path(f"/proc/{process.pid}/status").read_text()
                        peak[0] = max(peak[0], int(status.partition("VmHWM:")[2].split()[0]))
                        time.sleep(0.002)

            thread = threading.Thread(target=watch)
            thread.start()
            process.wait()
            thread.join()
        if process.returncode:
            raise Failed(f"cx {' '.join(argv)} ended with status {process.returncode}")
        return float(peak[0])

    # --- projects and previews
    def project(self, database: str) -> str:
        """The folder of a project that wants a clone of `database`."""
        folder = self.folder / "projects" / f"with-{database}"
        if not folder.exists():
            shutil.copytree(PROJECT, folder)
            (folder / "cx.toml").write_text(TOML.format(database=source_of(database)))
            identity = ["-c", "user.name=cx", "-c", "user.email=cx@example.com", "-c", "commit.gpgsign=false"]
            for git in (["init", "-q"], ["add", "."], [*identity, "commit", "-q", "-m", "An app"]):
                self.run(["git", "-C", str(folder), *(identity if git[0] == "init" else ()), *git])
        return str(folder)

    def deploy(self, namespace: str, database: str) -> Ran:
        """`cx deploy` as a whole, and then the first answer through the router to somebody else than cx."""
        ran = self.cx("deploy", self.project(database), "--namespace", namespace, "--json")
        began = time.monotonic()
        if self.get(namespace) != 200:
            raise Failed(f"{namespace} does not answer")
        return replace(ran, took_s=ran.took_s + time.monotonic() - began)

    def delete(self, namespace: str) -> Ran:
        return self.cx("delete", "--namespace", namespace, "--force", "--json")

    def get(self, namespace: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": f"{namespace}-app.localhost"})
            return connection.getresponse().status
        finally:
            connection.close()

    def plain(self, namespace: str, *, pooler: bool = False) -> str:
        """The Compose model of what `namespace` runs, without its database and its route, as JSON; with `pooler` also
        the container that the app reaches its database through."""
        with self.host() as host:
            wish = host.existing(Namespace(namespace))
            with host.sources.checkout(wish.namespace, wish.project, wish.tree) as checkout:
                blueprint = host._read(wish, lambda: checkout)
            alone = replace(blueprint, databases=(), database_env={}, release=None)
            modeller = host.workloads._model(wish, blueprint if pooler else alone)
            uses = blueprint.databases if pooler else ()
            poolers = [host.databases.pooler(wish.namespace, use) for use in uses]
            subnet = host.workloads._subnet(wish)
            model = modeller.revision_model(subnet, poolers, "")
            beside = modeller.poolers(subnet, poolers)
        return json.dumps(plain_model(with_poolers(model, beside), LABEL))

    def compose(self, model: str, *argv: str) -> Ran:
        return self.run(["docker", "compose", "--project-name", PLAIN, "--file", "-", *argv], model)

    # --- the database server
    def _server(self, *argv: str) -> Ran:
        return self.run(["docker", "exec", "--env", "PGUSER=cx", f"{self.instance}-postgres", *argv])

    def shell(self, script: str) -> Ran:
        return self._server("sh", "-ec", script)

    def _psql(self, statement: str) -> Ran:
        return self._server("psql", "-qX", "-v", "ON_ERROR_STOP=1", "-d", "postgres", "-c", statement)


def source_of(name: str) -> str:
    """The name of a database in the host configuration, which begins with a letter."""
    return f"of_{name}"


def free_port() -> int:
    """Nobody listens on it, and the kernel gives it to no connection before the program listens."""
    fixed = sorted(set(range(10_000, 65_536)) - handed_out())
    while taken("0.0.0.0", port := secrets.choice(fixed)):
        pass
    return port
