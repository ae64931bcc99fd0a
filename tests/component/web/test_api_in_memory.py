"""The API over a host in memory: what holds for every host (api_suite.py), and what only this one shows."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from api_suite import ApiContract, cx, events, named, web

from cx.core.errors import BuildFailed, Invalid, Retryable
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.host.remote import Remote
from cx.testing import MemoryPreviews, TestApiServer
from cx.web.openapi import document
from cx.web.routes import api_routes
from cx.web.tokens import Tokens

__all__ = ["named", "web"]
ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def there() -> Iterator[TestApiServer]:
    with TestApiServer(MemoryPreviews(notes=("services.app.ports: nothing is published",))) as server:
        yield server


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    return folder


class TestInMemory(ApiContract):
    pass


def memory(there: TestApiServer) -> MemoryPreviews:
    assert isinstance(there.host, MemoryPreviews)
    return there.host


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BuildFailed("it does not build", remedy="mend it", log=["no such file"]), 1),
        (Retryable("the engine is away"), 75),
    ],
)
def test_a_failure_comes_with_its_lines_and_its_exit_code(
    there: TestApiServer, named: str, folder: Path, error: BuildFailed | Retryable, code: int
) -> None:
    memory(there).failing["build app"] = error
    done = cx(there, "deploy", folder, "--namespace", named, check=False)
    assert done.returncode == code
    assert done.stderr.splitlines()[-1] == f"cx: {error}"
    assert all(f"  | {line}" in done.stderr for line in error.log)
    memory(there).failing["build app"] = error
    done = cx(there, "deploy", folder, "--namespace", named, "--json", check=False)
    last = json.loads(done.stdout.splitlines()[-1])
    assert (last["event"], last["error"], last["exit_code"]) == ("error", error.what, code)


def test_a_failure_in_the_stream_is_its_last_event(
    there: TestApiServer, web: httpx.Client, named: str, folder: Path
) -> None:
    cx(there, "deploy", folder, "--namespace", named)
    memory(there).failing["wake"] = Retryable("the engine is away")
    web.post(f"/api/namespaces/{named}/sleep")
    last = events(web.post(f"/api/namespaces/{named}/wake"))[-1]
    assert (last["event"], last["exit_code"]) == ("error", 75)


def test_a_change_goes_on_when_nobody_listens(there: TestApiServer, named: str, folder: Path) -> None:
    cx(there, "deploy", folder, "--namespace", named)
    with (
        httpx.Client(base_url=there.url, headers=there.headers) as client,
        client.stream("POST", f"/api/namespaces/{named}/sleep") as answer,
    ):
        assert answer.status_code == 200
    until = time.monotonic() + 5
    while time.monotonic() < until:
        if memory(there).wishes[Namespace(named)].asleep:
            return
        time.sleep(0.01)
    raise AssertionError("it is awake")


def test_without_a_token_there_is_no_api() -> None:
    assert api_routes(MemoryPreviews(), [], upload_max=1) == []


def test_each_of_several_tokens_is_right() -> None:
    tokens = Tokens.of(["one-token-0123456789", "another-token-0123456789"])
    assert tokens.admit("Bearer one-token-0123456789")
    assert tokens.admit("bearer another-token-0123456789")
    assert not tokens.admit("Bearer ")
    assert not tokens.admit("Bearer one-token-012345678\udcff")


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("http://cx.example.com", "x" * 16),
        ("ftp://127.0.0.1", "x" * 16),
        ("https://user@cx.example.com", "x" * 16),
        ("https://cx.example.com", ""),
        ("https://cx.example.com", "two\nlines"),
    ],
)
def test_the_token_goes_nowhere_unsafe(url: str, token: str) -> None:
    with pytest.raises(Invalid), Remote.open(url, token):
        pass


def test_who_does_not_answer_may_answer_later() -> None:
    with TestApiServer() as server:
        pass
    assert cx(server, "list", check=False).returncode == 75


def test_the_committed_document_is_that_of_the_code() -> None:
    path, made = ROOT / "docs" / "openapi.json", json.dumps(document(), indent=2) + "\n"
    if os.environ.get("CX_UPDATE_GOLDEN"):
        path.write_text(made)
    assert path.read_text() == made, "CX_UPDATE_GOLDEN=1 pytest tests/component/web/test_api_in_memory.py updates it"


@pytest.mark.parametrize("origin", [Origin.folder("/srv/shop"), Origin.pulls_of("acme/shop")], ids=str)
def test_what_was_not_uploaded_is_not_an_uploaders(
    there: TestApiServer, web: httpx.Client, named: str, folder: Path, origin: Origin
) -> None:
    one = f"/api/namespaces/{named}"
    wish = Desired(Namespace(named), project="theirs", origin=origin, tree="b" * 40)
    memory(there).wishes[Namespace(named)] = wish
    bundle = {"content": b"bundle", "headers": {"Content-Type": "application/x-git-bundle"}}
    for answer in (
        web.put(f"{one}/source", **bundle), web.post(f"{one}/reset"), web.delete(one),
    ):  # fmt: skip
        assert (answer.status_code, answer.json()["exit_code"]) == (409, 1)
        assert answer.json()["what"] == f"{named} belongs to {origin.words}"
    assert memory(there).wishes[Namespace(named)] == wish
    assert events(web.post(f"{one}/sleep"))[-1]["event"] == "asleep"  # its data is kept
    for argv in (["deploy", folder, "-n", named], ["delete", "-n", named, "--force"]):
        said = cx(there, *argv, check=False)
        assert (said.returncode, said.stderr.partition(";")[0]) == (1, f"cx: {named} belongs to {origin.words}")
    assert memory(there).owner(Namespace(named)) == origin


def test_nothing_is_taken_over_from_afar(there: TestApiServer, named: str, folder: Path) -> None:
    said = cx(there, "deploy", folder, "-n", named, "--take-over", check=False)
    assert (said.returncode, said.stderr) == (
        2, "cx: --take-over: is for the host itself; run it there, without --remote\n",
    )  # fmt: skip
