"""A delivery is checked, stored and acknowledged, or nothing happens at all."""

from __future__ import annotations

import io
import json
import logging
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from listening import SECRET, Listener, comment, listening, pull_request, push

from cx import logs
from cx.core.errors import Retryable
from cx.forges.github.payloads import OLD_S, PULL_ACTIONS
from cx.pulls.commands import Verb
from cx.pulls.repositories import Followed
from cx.pulls.values import PullId
from cx.web.webhook import SIZE_MAX, signature, signed

PR_7 = PullId("acme/shop", 7)
ALL = PullId("acme/shop", 0)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    with listening(tmp_path_factory.mktemp("listener")) as listener:
        yield listener


@pytest.fixture
def listener(running: Listener) -> Listener:
    running.forget()
    return running


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.start(stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


# --- signatures
def test_the_example_of_github_s_documentation() -> None:
    """https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation"""
    want = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert signature(b"It's a Secret to Everybody", b"Hello, World!") == want
    assert signed([b"It's a Secret to Everybody"], b"Hello, World!", want)


@pytest.mark.parametrize(
    "given",
    [
        "-", "", "sha256=", "sha256=" + "0" * 64, "sha1=" + "0" * 40, "sha256=" + "é" * 64,
        signature(SECRET, b"another body"), signature(b"another secret that is long", b"{}"),
        signature(SECRET, b"{}").upper(), signature(SECRET, b"{}")[:-1], signature(SECRET, b"{}") + "0",
    ],
)  # fmt: skip
def test_a_wrong_signature_is_401_and_nothing_else(listener: Listener, given: str) -> None:
    for event in ("pull_request", "ping", "nosuch", "", "Bad Event!"):
        said = listener.send(event, b"{}", x_hub_signature_256=given.encode().decode("latin-1"))
        assert (said.status, said.json) == (401, {"error": "the signature is missing or wrong"})
    assert (
        listener.send("pull_request", pull_request(), x_hub_signature_256=given.encode().decode("latin-1")).status
        == 401
    )
    assert listener.stored() == []
    assert listener.woken == 0


def test_two_secrets_while_they_are_rotated(tmp_path: Path) -> None:
    old, new = b"the old secret, long", b"the new secret, long"
    with listening(tmp_path, (new, old)) as listener:
        assert listener.send("ping", {}, secret=old).status == 202
        assert listener.send("ping", {}, secret=new).status == 202
        assert listener.send("ping", {}, secret=SECRET).status == 401


def test_without_secrets_unsigned_deliveries_are_taken(tmp_path: Path) -> None:
    with listening(tmp_path, ()) as listener:
        assert listener.send("pull_request", pull_request(), x_hub_signature_256="-").status == 202
        assert listener.box.waiting() == [PR_7]


# --- what is asked for
@pytest.mark.parametrize("action", sorted(PULL_ACTIONS))
def test_a_pull_request_is_looked_at(listener: Listener, action: str) -> None:
    said = listener.send("pull_request", pull_request(action))
    assert (said.status, said.json) == (202, {"delivery": "d-1", "outcome": "stored"})
    assert listener.box.waiting() == [PR_7]
    assert listener.woken == 1
    ticket = listener.box.take(time.time())
    assert ticket
    assert ticket.delivery == "d-1"


def test_a_repeated_delivery_is_harmless_and_still_causes_a_look(listener: Listener) -> None:
    listener.send("pull_request", pull_request())
    ticket = listener.box.take(time.time())
    assert ticket
    listener.box.done(ticket)
    assert listener.send("pull_request", pull_request()).json["outcome"] == "repeated"
    assert listener.box.waiting() == [PR_7]
    assert listener.woken == 2


def test_a_comment_with_commands(listener: Listener) -> None:
    assert listener.send("issue_comment", comment("/cx reset-db\n/cx extend 3d\n/cx nosuch")).status == 202
    assert listener.box.waiting() == [PR_7]
    found = listener.box.unanswered(PR_7)
    assert [(one.verb, one.argument, one.login, one.comment_id, one.delivery) for one in found] == [
        (Verb.RESET_DB, "", "ann", 50, "d-1"),
        (Verb.EXTEND, "3d", "ann", 50, "d-1"),
        (Verb.UNKNOWN, "", "ann", 50, "d-1"),
    ]
    listener.send("issue_comment", comment("/cx reset-db"), delivery="d-2")
    assert listener.box.unanswered(PR_7) == found, "a comment speaks once, however it is delivered"


def test_a_push_to_the_default_branch_asks_for_a_comparison(listener: Listener) -> None:
    assert listener.send("push", push()).status == 202
    assert listener.box.waiting() == [ALL]


@pytest.mark.parametrize(
    ("event", "payload", "asked"),
    [
        ("installation", {"action": "created"}, [PullId("acme/docs", 0), ALL]),
        ("installation", {"action": "x", "repositories": [{"full_name": "ACME/shop"}, {"full_name": "a/b"}]}, [ALL]),
        ("installation_repositories", {"action": "added", "repositories_added": [{"full_name": "acme/shop"}],
                                       "repositories_removed": []}, [ALL]),
    ],
)  # fmt: skip
def test_an_installation_asks_for_comparisons(
    listener: Listener, event: str, payload: Any, asked: list[PullId]
) -> None:
    assert listener.send(event, payload).status == 202
    assert listener.box.waiting() == asked


@pytest.mark.parametrize(
    ("event", "payload", "asked"),
    [
        ("pull_request", pull_request(), PR_7),
        ("issue_comment", comment("/cx deploy"), PR_7),
        ("push", push(), ALL),
        ("installation", {"action": "created"}, ALL),
    ],
)
def test_deliveries_of_a_repository_that_has_another_name_by_now(
    listener: Listener, event: str, payload: Any, asked: PullId
) -> None:
    """By GitHub's number, which stays; under a name that nobody follows."""
    listener.followed = Followed(listener.followed.names)
    repository = {"id": 4711, "full_name": "Globex/Store", "default_branch": "main"}
    given = payload | ({"repositories": [repository]} if event == "installation" else {"repository": repository})
    assert listener.send(event, given).json["outcome"] == "ignored"
    listener.followed.known.learn("acme/shop", 4711, "globex/store")
    assert listener.send(event, given).json["outcome"] == "stored"
    assert listener.box.waiting() == [asked]


def test_a_ping_is_acknowledged(listener: Listener) -> None:
    said = listener.send("ping", {"zen": "Design for failure.", "hook_id": 1})
    assert (said.status, said.json["outcome"]) == (202, "stored")
    assert listener.box.waiting() == []
    assert listener.woken == 0


@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("star", {"action": "created"}),
        ("star", b"not even JSON"),
        ("pull_request_review", {}),
        ("pull_request", pull_request("assigned")),
        ("pull_request", pull_request() | {"repository": {"full_name": "acme/other"}}),
        ("issue_comment", comment("/cx deploy", action="edited")),
        ("issue_comment", comment("/cx deploy", action="deleted")),
        ("issue_comment", comment("nice")),
        ("issue_comment", comment("/cx deploy") | {"issue": {"number": 7}}),
        ("issue_comment", comment("/cx deploy") | {"repository": {"full_name": "acme/other"}}),
        ("push", push("refs/heads/feature")),
        ("push", push("refs/tags/main")),
        ("installation", {"action": "deleted", "repositories": [{"full_name": "a/b"}]}),
    ],
)
def test_what_is_ignored_is_acknowledged_with_a_line_in_the_log(
    listener: Listener, log: io.StringIO, event: str, payload: Any
) -> None:
    said = listener.send(event, payload, delivery="d-9")
    assert (said.status, said.json["outcome"]) == (202, "ignored")
    assert listener.stored() == []
    assert listener.woken == 0
    (line,) = [json.loads(one) for one in log.getvalue().splitlines() if "d-9" in one]
    assert (line["event"], line["github_event"], line["why"]) == ("delivery ignored", event, said.json["why"])


def test_a_command_in_an_old_comment_is_not_obeyed(listener: Listener) -> None:
    old = comment("/cx delete")
    old["comment"]["created_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - OLD_S - 60))
    assert listener.send("issue_comment", old).json["outcome"] == "ignored"
    assert listener.stored() == []


# --- what is refused
@pytest.mark.parametrize(
    ("event", "payload"),
    [
        ("pull_request", b""),
        ("pull_request", b"{"),
        ("pull_request", b"[]"),
        ("pull_request", b"\xff\xfe"),
        ("pull_request", b"[" * 100_000),
        ("pull_request", b'{"a":' * 100_000),
        ("pull_request", {}),
        ("pull_request", pull_request(number=0)),
        ("pull_request", pull_request(number=2**31)),
        ("pull_request", pull_request() | {"number": "7"}),
        ("pull_request", pull_request() | {"number": True}),
        ("pull_request", pull_request() | {"repository": {"full_name": "../../etc/passwd"}}),
        ("pull_request", pull_request() | {"repository": {"full_name": "acme/shop\n"}}),
        ("pull_request", pull_request() | {"repository": None}),
        ("issue_comment", comment("x") | {"comment": {"id": 1}}),
        ("issue_comment", comment("x") | {"issue": {"number": -1}}),
        ("push", {"ref": "refs/heads/main", "repository": {"full_name": "acme/shop"}}),
        ("installation", {"action": "created", "repositories": [{"full_name": 7}]}),
        ("ping", b"no"),
    ],
)
def test_malformed(listener: Listener, event: str, payload: Any) -> None:
    said = listener.send(event, payload)
    assert said.status == 400
    assert said.json["error"].startswith(f"not a payload of {event}: ")
    assert listener.stored() == []


@pytest.mark.parametrize(
    "headers",
    [
        {"content_type": "application/x-www-form-urlencoded"},
        {"content_type": "-"},
        {"content_type": "text/plain; application/json"},
        {"x_github_event": "-"},
        {"x_github_event": "Pull Request"},
        {"x_github_event": "a" * 65},
        {"x_github_delivery": "-"},
        {"x_github_delivery": "a b"},
        {"x_github_delivery": "../x"},
        {"x_github_delivery": "a" * 65},
    ],
)
def test_wrong_headers(listener: Listener, headers: dict[str, str]) -> None:
    assert listener.send("pull_request", pull_request(), **headers).status == 400
    assert listener.stored() == []


def test_a_content_type_may_name_its_charset(listener: Listener) -> None:
    assert listener.send("ping", {}, content_type="Application/JSON; charset=utf-8").status == 202


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/webhook", 405), ("PUT", "/webhook", 405), ("GET", "/", 404)]
)
def test_elsewhere(listener: Listener, method: str, path: str, status: int) -> None:
    assert listener.ask(method, path).status == status


# --- size
CLAIMED = b"X-Hub-Signature-256: sha256=%b\r\n" % (b"0" * 64)


def test_what_says_that_it_is_too_large_is_not_read(listener: Listener) -> None:
    with socket.create_connection(("127.0.0.1", listener.port), timeout=5) as wire:
        wire.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (SIZE_MAX + 1))
        assert wire.recv(100).startswith(b"HTTP/1.1 413 ")


def test_what_has_no_signature_is_not_read(listener: Listener) -> None:
    for claimed in (b"", b"X-Hub-Signature-256: sha256=abc\r\n"):
        with socket.create_connection(("127.0.0.1", listener.port), timeout=5) as wire:
            wire.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\n%bContent-Length: 100\r\n\r\n" % claimed)
            assert wire.recv(100).startswith(b"HTTP/1.1 401 ")


def test_what_does_not_say_is_read_up_to_the_limit(tmp_path: Path) -> None:
    with (
        listening(tmp_path, size_max=1000) as listener,
        socket.create_connection(("127.0.0.1", listener.port), timeout=5) as wire,
    ):
        wire.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\n%bTransfer-Encoding: chunked\r\n\r\n" % CLAIMED)
        wire.sendall(b"1f4\r\n" + b"x" * 500 + b"\r\n")
        wire.sendall(b"1f5\r\n" + b"x" * 501 + b"\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 413 ")
        assert listener.stored() == []


def test_a_body_that_does_not_come_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cx.web.webhook.READ_S", 0.05)
    with (
        listening(tmp_path) as listener,
        socket.create_connection(("127.0.0.1", listener.port), timeout=5) as wire,
    ):
        wire.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\n%bContent-Length: 10\r\n\r\nabc" % CLAIMED)
        assert wire.recv(100).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("first", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_headers_that_do_not_come_are_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bytes
) -> None:
    """Also when a little of them comes all the time, and behind a request that was answered."""
    monkeypatch.setattr("cx.web.serving.HEADERS_S", 0.2)
    with (
        listening(tmp_path) as listener,
        socket.create_connection(("127.0.0.1", listener.port), timeout=5) as wire,
    ):
        if first:
            wire.sendall(first)
            assert wire.recv(1000).startswith(b"HTTP/1.1 200 ")
        wire.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\n")
        wire.settimeout(0.05)
        until, ended = time.monotonic() + 5, False
        while not ended and time.monotonic() < until:
            try:
                wire.sendall(b"X: x\r\n")
                ended = wire.recv(100) == b""
            except TimeoutError:
                continue
            except OSError:
                ended = True
        assert ended


def test_bodies_that_are_held_are_counted_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cx.web.webhook.HELD_MAX", 5000)
    with listening(tmp_path) as listener:
        for _ in range(10):
            assert listener.send("ping", {"zen": "x" * 3000}).status == 202
            assert listener.send("ping", b"x" * 3000).status == 400
            assert listener.send("ping", b"x" * 3000, x_hub_signature_256="-").status == 401
            assert listener.send("ping", {"zen": "x" * 6000}).status == 503


def test_who_is_slow_makes_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cx.web.webhook.HELD_MAX", 10_000)
    head = b"POST /webhook HTTP/1.1\r\nHost: x\r\n%bContent-Length: 5000\r\n\r\n" % CLAIMED
    with listening(tmp_path) as listener, ExitStack() as stack:
        slow = []
        for _ in range(17):
            wire = stack.enter_context(socket.create_connection(("127.0.0.1", listener.port), timeout=5))
            wire.sendall(head + b"x" * 4900)
            slow.append(wire)
        assert slow[0].recv(100).startswith(b"HTTP/1.1 503 ")
        for _ in range(5):
            assert listener.send("ping", {"zen": "x" * 3000}).status == 202
        assert listener.send("ping", {"zen": "x" * 9000}).status == 202
        for wire in slow[1:]:  # none of them is waited for any more
            assert wire.recv(100).startswith(b"HTTP/1.1 503 ")
        assert listener.send("ping", {"zen": "x" * 9000}).status == 202  # and none is counted


# --- what cannot be stored is not acknowledged
def test_a_store_that_fails(tmp_path: Path, log: io.StringIO) -> None:
    class Full:
        def accept_all(self, deliveries: object) -> list[bool]:
            raise Retryable("cx.db is in use by another cx")

    with listening(tmp_path, inbox=Full()) as listener:
        assert listener.send("pull_request", pull_request()).status == 503
        assert listener.woken == 0
    assert "cx.db is in use" in log.getvalue()


# --- the rest of the app
def test_health_and_metrics(tmp_path: Path) -> None:
    with listening(tmp_path) as listener:
        _health_and_metrics(listener)


def _health_and_metrics(listener: Listener) -> None:
    assert listener.ask("GET", "/healthz").body == b"ok\n"
    assert listener.ask("GET", "/readyz").json == {"ready": True, "missing": []}
    listener.send("pull_request", pull_request())
    listener.send("pull_request", pull_request(), x_hub_signature_256="-")
    listener.send("made_up", {}, delivery="d-2")
    text = listener.ask("GET", "/metrics").body.decode()
    for line in (
        'cx_deliveries_total{event="pull_request",outcome="stored"} 1.0',
        'cx_deliveries_total{event="other",outcome="refused 401"} 1.0',
        'cx_deliveries_total{event="other",outcome="ignored"} 1.0',
        "cx_queue_waiting 1.0",
    ):
        assert line in text.splitlines()
    assert re.search(r"^cx_delivery_seconds_count [0-9.]+$", text, re.MULTILINE)
    assert "shop" not in text


def test_the_log_says_which_delivery_and_no_secret(listener: Listener, log: io.StringIO) -> None:
    listener.send("pull_request", pull_request(), delivery="d-77")
    listener.send("pull_request", pull_request(), delivery="d-78", x_hub_signature_256="-")
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert [(one["event"], one.get("delivery")) for one in lines] == [
        ("delivery stored", "d-77"),
        ("delivery refused", None),
    ]
    assert lines[0]["pulls"] == "acme/shop#7"
    assert SECRET.decode() not in log.getvalue()
