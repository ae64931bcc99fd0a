"""What the API promises, whatever host is behind it: asked over HTTP, and every answer held against the document.

A test file gives the fixture `there`: a running cx.testing.TestApiServer.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest

from cx.host.remote import Remote
from cx.testing import TestApiServer
from cx.web.openapi import document

DOCUMENT = document()


def schema_of(method: str, path: str, status: int) -> dict[str, Any]:
    """Raises AssertionError for an answer that the document does not know."""
    for template, operations in DOCUMENT["paths"].items():
        if re.fullmatch(re.sub(r"\{[a-z]+\}", "[^/]+", template), path):
            (content,) = operations[method.lower()]["responses"][str(status)]["content"].items()
            kind, answer = content
            return {**answer["schema"], "components": DOCUMENT["components"], "x-kind": kind}
    raise AssertionError(f"{method} {path} is not in the document")


def valid(answer: httpx.Response) -> httpx.Response:
    schema = schema_of(answer.request.method, answer.request.url.path, answer.status_code)
    answer.read()
    assert answer.headers["content-type"] == schema["x-kind"]
    if schema["x-kind"] == "application/x-ndjson":
        for line in answer.text.splitlines():
            jsonschema.validate(json.loads(line), schema)
    else:
        jsonschema.validate(answer.json(), schema)
    return answer


@pytest.fixture
def web(there: TestApiServer) -> Iterator[httpx.Client]:
    """Every answer that comes is as the document says."""
    with httpx.Client(
        base_url=there.url,
        headers=there.headers,
        timeout=120,
        event_hooks={"response": [lambda one: valid(one) and None]},
    ) as client:
        yield client


def events(answer: httpx.Response) -> list[dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def cx(there: TestApiServer, *argv: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "cx", *map(str, argv)],
        env={key: value for key, value in os.environ.items() if key != "CX_CONFIG"} | there.environ,
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, (argv, done.returncode, done.stdout, done.stderr)
    return done


@pytest.fixture
def named(there: TestApiServer) -> str:
    """The name of a namespace that nobody else uses."""
    return f"preview-{time.time_ns() % 10**9}"


class ApiContract:
    """`folder` is a project that can be deployed, with a note about its ports: a fixture of the test file."""

    def test_a_life(self, there: TestApiServer, web: httpx.Client, named: str, folder: Path) -> None:
        one = f"/api/namespaces/{named}"
        said = [json.loads(line) for line in cx(there, "deploy", folder, "-n", named, "--json").stdout.splitlines()]
        assert (said[0]["event"], said[0]["namespace"], said[-1]["event"]) == ("began", named, "ready")
        assert {"step_began", "step_ended", "ended"} <= {event["event"] for event in said}
        assert "services.app.ports" in " ".join(said[-1]["notes"])
        shown = web.get(one).json()
        assert (shown["state"], shown["urls"]) == ("ready", said[-1]["urls"])
        assert shown["services"]
        assert shown["deployments"][0]["outcome"] == "ready"
        rows = {row["namespace"]: row for row in web.get("/api/namespaces").json()["namespaces"]}
        assert rows[named]["state"] == "ready"
        assert rows[named]["url"] == said[-1]["urls"][0]
        assert "nothing changed" in cx(there, "deploy", folder, "-n", named).stdout

        assert events(web.post(f"{one}/sleep"))[-1]["event"] == "asleep"
        assert web.get(one).json()["state"] == "asleep"
        assert events(web.post(f"{one}/sleep"))[-1]["event"] == "unchanged"
        assert events(web.post(f"{one}/wake"))[-1]["event"] == "awake"
        shown = web.get(one).json()
        assert shown["state"] == "ready"
        assert [(told["doing"], told["outcome"]) for told in shown["deployments"]] == [
            ("wake", "awake"), ("sleep", "asleep"), ("deploy", "ready"),
        ]  # fmt: skip

        history = web.get(f"{one}/events").json()
        assert history["deployments"] == shown["deployments"]
        first = history["deployments"][-1]["id"]
        taken = [step["step"] for step in history["steps"] if step["deployment"] == first]
        assert taken[0] == "read the project"
        assert taken[-1] == "publish"

        now = time.time()
        at = web.post(f"{one}/extend", json={"time": "3d"}).json()["expires_at"]
        assert 2.9 * 86400 < at - now < 3.1 * 86400
        assert web.post(f"{one}/extend", json={"time": "1h"}).json()["expires_at"] == at
        assert web.get(one).json()["expires_at"] == at
        assert web.post(f"{one}/extend", json={"time": "never"}).json()["expires_at"] is None

        logs = events(web.get(f"{one}/logs"))
        assert logs[0]["event"] == "services"
        assert all(line["event"] == "log" for line in logs[1:])
        assert web.get(f"{one}/logs", params={"service": "nothing"}).status_code == 404

        assert events(web.delete(one))[-1]["event"] == "deleted"
        assert web.get(one).status_code == 404
        assert web.get(f"{one}/events").status_code == 404
        assert events(web.delete(one))[-1]["event"] == "deleted"  # what is gone is no error
        assert named not in web.get("/api/namespaces").text

    def test_the_command_line_says_the_same(
        self, there: TestApiServer, named: str, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("BROWSER", "true")  # a program that shows nothing
        told = cx(there, "deploy", folder, "--namespace", named).stdout
        assert re.search(rf"^note: services.app.ports.*\n{named}: ready in [0-9.]+ s\n  http://{named}-", told, re.M), (
            told
        )
        assert named in cx(there, "list").stdout
        assert json.loads(cx(there, "show", named, "--json").stdout)["state"] == "ready"
        assert cx(there, "logs", named).returncode == 0
        assert cx(there, "open", named).stdout.startswith(f"http://{named}-")
        assert re.search(r"^deploy [0-9]+  .*\n    read the project ", cx(there, "events", named).stdout, re.M)
        assert cx(there, "open", "preview-none", check=False).stderr == (
            "cx: preview-none does not exist; `cx list` shows what does\n"
        )
        assert f"{named}: asleep" in cx(there, "sleep", named).stdout
        woken = cx(there, "wake", named).stdout
        assert woken.startswith(f"{named}: wake ")
        assert f"{named}: awake" in woken
        assert "ends in 3 d" in cx(there, "extend", named, "3d").stdout
        assert cx(there, "delete", "-n", named, check=False).returncode == 1  # there is nobody to ask
        assert f"{named}: deleted" in cx(there, "delete", "-n", named, "--force").stdout
        gone = cx(there, "show", named, check=False)
        assert (gone.returncode, gone.stderr) == (1, f"cx: {named} does not exist; `cx list` shows what does\n")
        assert cx(there, "sleep", named, check=False).returncode == 1

    def test_without_the_token_there_is_nothing(self, there: TestApiServer, web: httpx.Client) -> None:
        for path, operations in DOCUMENT["paths"].items():
            for method in operations.keys() - {"parameters"}:
                for header in ("", "Bearer", "Bearer wrong", f"Basic {there.token}", f"Bearer {there.token}x"):
                    answer = web.request(
                        method, path.replace("{namespace}", "preview-1"), headers={"Authorization": header}
                    )
                    assert answer.status_code == 401
        wrong = TestApiServer.__new__(TestApiServer)
        wrong.environ = {**there.environ, "CX_REMOTE_TOKEN": "another-token-than-that"}
        assert cx(wrong, "list", check=False).returncode == 1

    @pytest.mark.parametrize(
        ("method", "path", "given", "status"),
        [
            ("GET", "/api/namespaces/No_Name", {}, 400),
            ("GET", "/api/namespaces/preview-none", {}, 404),
            ("POST", "/api/namespaces/preview-none/sleep", {}, 404),
            ("POST", "/api/namespaces/preview-none/wake", {}, 404),
            ("POST", "/api/namespaces/preview-none/reset", {}, 404),
            ("POST", "/api/namespaces/preview-none/extend", {"json": {"time": "3d"}}, 404),
            ("POST", "/api/namespaces/preview-none/extend", {"json": {"time": "3 days"}}, 400),
            ("POST", "/api/namespaces/preview-none/extend", {"json": {"time": "3d\n"}}, 400),
            ("POST", "/api/namespaces/preview-none/extend", {"json": {"time": "3d", "more": 1}}, 400),
            ("POST", "/api/namespaces/preview-none/extend", {"content": b"{", "headers": {"Content-Type": "application/json"}}, 400),  # noqa: E501
            ("POST", "/api/namespaces/preview-none/extend", {"data": {"time": "3d"}}, 400),
            ("POST", "/api/namespaces/preview-none/deploy", {"json": {"tree": "a" * 40}}, 404),
            ("POST", "/api/namespaces/preview-none/deploy", {"json": {"tree": "HEAD"}}, 400),
            ("POST", "/api/namespaces/preview-none/deploy", {"json": {"tree": "a" * 40, "values": {"A=B": "c"}}}, 400),
            ("POST", "/api/namespaces/preview-none/deploy", {"json": {"tree": "a" * 40, "values": {"A": "x" * 300_000}}}, 413),  # noqa: E501
            ("PUT", "/api/namespaces/preview-none/source", {"content": b"nothing", "headers": {"Content-Type": "application/x-git-bundle"}}, 400),  # noqa: E501
            ("PUT", "/api/namespaces/preview-none/source", {"content": b"nothing"}, 400),
            ("PUT", "/api/namespaces/preview-none/source", {"content": b"0" * (17 << 20), "headers": {"Content-Type": "application/x-git-bundle"}}, 413),  # noqa: E501
            ("GET", "/api/namespaces/preview-none/logs?tail=many", {}, 400),
            ("GET", "/api/namespaces/preview-none/logs?follow=perhaps", {}, 400),
            ("POST", "/api/pulls", {"json": {"repository": "nobody/knows", "number": 1}}, 404),
            ("POST", "/api/pulls", {"json": {"repository": "nobody", "number": 1}}, 400),
            ("POST", "/api/pulls", {"json": {"repository": "acme/shop", "number": 0}}, 400),
        ],
    )  # fmt: skip
    def test_refuses(self, web: httpx.Client, method: str, path: str, given: dict[str, Any], status: int) -> None:
        answer = web.request(method, path, **given)
        assert answer.status_code == status, answer.text
        assert answer.json()["what"]

    def test_a_pull_request_gets_a_place_in_the_queue(self, web: httpx.Client) -> None:
        answer = web.post("/api/pulls", json={"repository": "Acme/Shop", "number": 7})
        assert (answer.status_code, answer.json()["position"] >= 1) == (202, True)

    def test_the_document_is_served(self, web: httpx.Client) -> None:
        assert web.get("/api/openapi.json").json() == DOCUMENT

    def test_remote_is_what_the_protocol_says(self, there: TestApiServer) -> None:
        with Remote.open(there.url, there.token) as remote:
            assert remote.overview() == there.host.overview()
