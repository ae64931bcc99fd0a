"""A host as the tests use it: the command line, a look behind it, and repositories to deploy."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
from ports import free_port

from cx import settings as host_settings
from cx.core.names import LABEL_INSTANCE, Namespace
from cx.core.state import Observed
from cx.host import Host

HERE = Path(__file__).parents[1] / "integration"
EXAMPLES = HERE.parent.parent / "examples"


@dataclass
class Cx:
    """The command line on a host, as a user has it, and a look behind it."""

    config: Path
    port: int
    instance: str
    made: list[str] = field(default_factory=list)

    def __call__(
        self,
        *argv: str | Path,
        check: bool = True,
        stdin: str = "",
        cwd: Path | None = None,
        umask: int = -1,
        **environment: str,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "cx", *map(str, argv)],
            env={**os.environ, "CX_CONFIG": str(self.config), **environment},
            cwd=cwd,
            umask=umask,
            capture_output=True,
            text=True,
            input=stdin,
            timeout=300,
            check=False,
        )
        if check and done.returncode:
            raise AssertionError(f"cx {' '.join(map(str, argv))}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def json(self, *argv: str | Path) -> object:
        return json.loads(self(*argv, "--json").stdout)

    def get(self, namespace: str, path: str = "/", *, service: str = "app", method: str = "GET", body: str = "") -> str:
        """The answer of a preview, by HTTP through the router. Raises AssertionError unless its status is below 400."""
        status, text = self.ask(namespace, path, service=service, method=method, body=body)
        assert status < 400, (status, text)
        return text

    def ask(
        self,
        namespace: str,
        path: str = "/",
        *,
        service: str = "app",
        method: str = "GET",
        body: str = "",
        timeout_s: float = 10,
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        headers = {"Host": f"{namespace}-{service}.localhost", "Content-Type": "application/x-www-form-urlencoded"}
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def observe(self, namespace: str) -> Observed:
        host = Host(host_settings.load(self.config, {}))
        try:
            return host.observe(Namespace(namespace))
        finally:
            host.close()


def free_pool() -> str:
    """A /16 that no network of the engine has a part of; another run, or another worker of this one, may be at work."""
    client = docker.from_env()
    try:
        used = {
            config["Subnet"].split(".")[1]
            for one in client.networks.list()
            for config in (one.attrs["IPAM"]["Config"] or ())
            if config["Subnet"].startswith("10.")
        }
    finally:
        client.close()
    return f"10.{secrets.choice([one for one in range(100, 213) if str(one) not in used])}.0.0/16"


@contextmanager
def host(folder: Path, more: str = "") -> Iterator[Cx]:
    """A host in `folder` with its stack up, under an instance name of its own; `more` is in its configuration."""
    cx = Cx(folder / "host.toml", free_port(), f"t{secrets.token_hex(3)}")
    cx.config.write_text(
        f"""
instance = "{cx.instance}"
state_dir = "{folder / "state"}"
[router]
http_port = {cx.port}
admin_port = {free_port()}
[network]
pool = "{free_pool()}"
{more}"""
    )
    try:
        cx("up")
        yield cx
    finally:
        sweep(cx.instance)


def until(true: Callable[[], bool], timeout_s: float = 60) -> None:
    """Returns when it is true. Raises AssertionError when it does not become so."""
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "it does not become true"
        time.sleep(0.05)


@contextmanager
def host_on_xfs(folder: Path, size: str, production: str, more: str = "") -> Iterator[Cx]:
    """A host in `folder`, up, whose database server's volume is a file of `size` with XFS; with a golden of
    `production`, and `more` in its configuration. `cx down` leaves nothing of it. Needs root."""
    cx = Cx(folder / "host.toml", free_port(), f"t{secrets.token_hex(3)}")
    cx.config.write_text(
        f"""
instance = "{cx.instance}"
state_dir = "{folder / "state"}"
[router]
http_port = {cx.port}
admin_port = {free_port()}
[network]
pool = "{free_pool()}"
[postgres]
path = "{folder / "data"}"
volume_size = "{size}"
spares = 0
[databases.app]
source = "{production}"
sanitise = "{EXAMPLES / "mask.sql"}"
{more}"""
    )
    try:
        cx("up")
        cx("db", "refresh", "app")
        yield cx
        cx("down", "--volumes", "--force")
        assert list((folder / "data").iterdir()) == []
        listed = ["docker", "volume", "ls", "--quiet", "--filter", f"label={LABEL_INSTANCE}={cx.instance}"]
        assert subprocess.run(listed, check=True, capture_output=True, text=True).stdout == ""
        assert str(folder) not in Path("/proc/mounts").read_text()
    finally:
        sweep(cx.instance)
        subprocess.run(["umount", str(folder / "data" / "mounted")], check=False, capture_output=True)


def sweep(instance: str) -> None:
    """Nothing of the instance is left on the engine."""
    client = docker.from_env()
    label = {"label": f"{LABEL_INSTANCE}={instance}"}
    for one in client.containers.list(all=True, filters=label):
        one.remove(force=True, v=True)
    for one in client.networks.list(filters=label):
        one.remove()
    for one in client.volumes.list(filters=label):
        one.remove(force=True)
    for image in client.images.list(filters={"reference": f"{instance}/*/*"}):
        client.images.remove(image.id, force=True)
    client.close()


class Project:
    """A git repository with a project in it; `commit` gives the new commit's SHA."""

    def __init__(self, folder: Path, template: Path) -> None:
        self.folder = folder
        shutil.copytree(template, folder, dirs_exist_ok=True)
        self._git("init", "--quiet", "--initial-branch=main")
        self.commit()

    def write(self, path: str, text: str) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / path).write_text(text)

    def replace(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        assert old in text
        self.write(path, text.replace(old, new))

    def commit(self) -> str:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self._git("rev-parse", "HEAD").strip()

    def _git(self, *argv: str) -> str:
        identity = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", "-C", str(self.folder), *identity, *argv], capture_output=True, text=True, check=True
        )
        return done.stdout
