"""The same promises, kept by a real host: real engine, real deployments, each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from api_suite import ApiContract, named, web
from api_suite import cx as remotely
from live import HERE, Cx, Project

from cx import settings as host_settings
from cx.core.names import Namespace
from cx.host import Host
from cx.host.previews import ServedPreviews
from cx.testing import TestApiServer

__all__ = ["named", "web"]


@pytest.fixture(scope="module")
def there(cx: Cx) -> Iterator[TestApiServer]:
    text = cx.config.read_text()
    if "acme/shop" not in text:
        cx.config.write_text(text + '[github.repositories."acme/shop"]\n')
    host = Host(host_settings.load(cx.config, {}))
    served = ServedPreviews(host, environ={**os.environ, "CX_CONFIG": str(cx.config)})
    with TestApiServer(served) as server:
        yield server
    host.close()
    cx.config.write_text(text)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = Project(tmp_path_factory.mktemp("remote") / "hello", HERE / "projects" / "hello")
    project.write("compose.yml", 'services: {app: {build: ., ports: ["8000:8000"], environment: [GREETING]}}\n')
    project.commit()
    return project.folder


class TestReal(ApiContract):
    pass


def notes_in(told: str) -> list[str]:
    return [line for line in told.splitlines() if line.startswith("note: ")]


def test_what_is_deployed_from_afar_answers_and_goes(
    cx: Cx, there: TestApiServer, named: str, folder: Path, tmp_path: Path
) -> None:
    project = Project(tmp_path / "hello", folder)
    sha = project.commit()
    project.replace("app.py", '"one"', '"afar"')  # not committed
    told = remotely(there, "deploy", project.folder, "-n", named, "--set", "GREETING=hello").stdout
    assert cx.get(named).strip() == "afar hello"
    assert cx.observe(named).checkouts == ()
    here = cx("deploy", project.folder, "-n", f"{named}-here", "--set", "GREETING=hello").stdout
    assert notes_in(told) == notes_in(here) != []
    cx("delete", "-n", f"{named}-here", "--force")
    version = remotely(there, "show", named).stdout.splitlines()[0]
    assert f"{sha[:8]}+" in version
    assert f"from remote:{named}" in version
    project.write("Dockerfile", "FROM scratch\nEXPOSE 8000\nCOPY missing /\n")
    broken = remotely(there, "deploy", project.folder, "-n", named, check=False)
    assert broken.returncode == 1
    assert "missing" in broken.stderr
    assert cx.get(named).strip() == "afar hello"  # the old one serves
    remotely(there, "delete", "-n", named, "--force")
    assert cx.observe(named).leftovers() == []
    assert not there.host.there(Namespace(named))
