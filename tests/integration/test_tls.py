"""An engine that is reached by TLS alone: by cx itself, and by every program of Docker's that it starts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from authority import Authority
from live import Cx, Project
from relay import Relay, relay

NOWHERE = "unix:///nonexistent/docker.sock"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def engine(authority: Authority) -> Iterator[Relay]:
    with relay(("127.0.0.1", 0), tls=authority.server()) as made:
        yield made


def context(config: Path, name: str, host: str, files: Path | None = None) -> None:
    """As `docker context create` writes it."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    meta = config / "contexts" / "meta" / identity / "meta.json"
    meta.parent.mkdir(parents=True)
    meta.write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host}}}))
    if files:
        (meta.parents[2] / "tls" / identity).mkdir(parents=True)
        files.rename(meta.parents[2] / "tls" / identity / "docker")


@pytest.fixture(params=["variables", "context"])
def by(request: pytest.FixtureRequest, tmp_path: Path, authority: Authority, engine: Relay) -> dict[str, str]:
    """How a user says where it is. Whoever looks elsewhere finds nothing."""
    config = tmp_path / "docker"
    context(config, "nowhere", NOWHERE)
    (config / "config.json").write_text('{"currentContext": "nowhere"}')
    files = authority.certificates("client")
    told = {"DOCKER_CONFIG": str(config), "HOME": str(tmp_path)}
    if request.param == "variables":
        return told | {"DOCKER_HOST": engine.address, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(files)}
    context(config, "there", engine.address, files)
    return told | {"DOCKER_CONTEXT": "there"}


def test_a_life(cx: Cx, preview: Callable[[], str], guestbook: Project, engine: Relay, by: dict[str, str]) -> None:
    name = preview()
    guestbook.write("unique", name)  # so that it is built
    cx("deploy", guestbook.folder, "--namespace", name, **by)
    assert cx.get(name)
    assert "app" in cx("show", name, **by).stdout
    assert cx("exec", name, "app", "--", "echo", "inside", **by).stdout == "inside\n"
    assert cx("logs", name, "app", **by).returncode == 0
    assert cx("db", "psql", name, stdin="SELECT 6 * 7", **by).stdout.split()[2] == "42"
    rows = {row["name"]: row["state"] for row in json.loads(cx("doctor", "--json", check=False, **by).stdout)}
    assert (rows["engine"], rows["compose"], rows["buildx"]) == ("ok", "ok", "ok")
    cx("delete", "--namespace", name, "--force", **by)
    assert engine.refused == 0
    asked = " ".join(engine.heard)
    assert "/containers/create" in asked
    assert "/session" in asked or "/grpc" in asked  # BuildKit


def test_the_stack_comes_up_by_it(cx: Cx, by: dict[str, str]) -> None:
    assert "is up" in cx("up", **by).stdout


def test_an_engine_that_another_authority_has_signed_is_refused(cx: Cx, tmp_path: Path, engine: Relay) -> None:
    files = Authority(tmp_path / "another").certificates("client")
    told = {"DOCKER_HOST": engine.address, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": str(files)}
    said = cx("list", check=False, **told)
    assert said.returncode == 1
    (line,) = said.stderr.splitlines()
    assert "no TLS with the Docker Engine: " in line
    assert "DOCKER_CERT_PATH" in line
    assert not engine.heard


def test_nothing_is_said_in_plain_text(cx: Cx, engine: Relay) -> None:
    said = cx("list", check=False, DOCKER_HOST=engine.address)
    assert said.returncode == 75
    assert engine.refused > 0
    assert not engine.heard
