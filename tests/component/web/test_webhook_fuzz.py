"""Whatever comes: never a 500, and no change of state without a valid signature."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from listening import SECRET, Listener, comment, listening, pull_request, push

from cx.forges.github.payloads import EVENTS, Malformed, read
from cx.pulls.repositories import Followed
from cx.web.webhook import signature
from examples import examples

fuzz = examples(150, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def listener(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Listener]:
    with listening(tmp_path_factory.mktemp("listener")) as listener:
        yield listener


# --- what may come
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
events = st.sampled_from([*EVENTS, "star", "check_run"])
good = st.sampled_from(
    [pull_request(), comment("/cx delete"), comment("/cx deploy\n/cx approve"), push(), {"action": "created"}]
)
header = st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=80)


@st.composite
def nearly_good(draw: st.DrawFn) -> bytes:
    """A good payload with one place of it changed or gone."""
    payload: Any = json.loads(json.dumps(draw(good)))
    inner = payload
    while True:
        key = draw(st.sampled_from(sorted(inner)))
        if isinstance(inner[key], dict) and inner[key] and draw(st.booleans()):
            inner = inner[key]
            continue
        if draw(st.booleans()):
            del inner[key]
        else:
            inner[key] = draw(values)
        return json.dumps(payload).encode()


bodies = st.binary(max_size=300) | values.map(lambda one: json.dumps(one).encode()) | nearly_good()


# --- by HTTP
@fuzz
@given(event=events, body=bodies)
def test_signed_and_of_any_content(listener: Listener, event: str, body: bytes) -> None:
    assert listener.send(event, body).status in (202, 400)


@fuzz
@given(event=events | header, body=bodies, claimed=header, delivery=header, kind=header)
def test_unsigned_and_of_any_content(
    listener: Listener, event: str, body: bytes, claimed: str, delivery: str, kind: str
) -> None:
    listener.forget()
    headers = {"x_hub_signature_256": claimed, "x_github_delivery": delivery, "content_type": kind}
    assert listener.send(event, body, **headers).status in (400, 401)
    assert listener.stored() == []


@fuzz
@given(payload=good, at=st.integers(0, 10**6), flip=st.integers(1, 255))
def test_one_byte_is_changed_on_the_way(listener: Listener, payload: Any, at: int, flip: int) -> None:
    listener.forget()
    body = bytearray(json.dumps(payload).encode())
    claimed = signature(SECRET, bytes(body))
    body[at % len(body)] ^= flip
    assert listener.send("pull_request", bytes(body), x_hub_signature_256=claimed).status == 401
    assert listener.stored() == []


@fuzz
@given(event=header, delivery=header, kind=header)
def test_signed_with_any_headers(listener: Listener, event: str, delivery: str, kind: str) -> None:
    said = listener.send(event, pull_request(), delivery, content_type=kind)
    assert said.status in (202, 400)


@fuzz
@given(
    lines=st.lists(st.binary(max_size=60), max_size=6),
    method=st.sampled_from([b"POST", b"GET", b"PUT", b"\x00", b"PRI"]),
    path=st.sampled_from([b"/webhook", b"/webhook?a=b", b"//webhook", b"*", b"/%00", b"/metrics", b"/readyz"]),
    body=st.binary(max_size=100),
)
def test_any_bytes_on_the_wire(listener: Listener, lines: list[bytes], method: bytes, path: bytes, body: bytes) -> None:
    listener.forget()
    sent = b" ".join((method, path, b"HTTP/1.1\r\n")) + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body
    with socket.create_connection(("127.0.0.1", listener.port), timeout=10) as wire:
        wire.sendall(sent)
        wire.shutdown(socket.SHUT_WR)
        answer = wire.recv(100)
    assert not answer.startswith(b"HTTP/1.1 5"), answer
    assert listener.stored() == []


def test_it_still_works_after_all_that(listener: Listener) -> None:
    listener.forget()
    assert listener.send("pull_request", pull_request(), "d-last").status == 202
    assert len(listener.box.waiting()) == 1


# --- the reader alone, a lot of it
@examples(500)
@given(event=st.sampled_from(sorted(EVENTS)), body=bodies)
def test_a_payload_is_read_or_malformed(event: str, body: bytes) -> None:
    try:
        found = read(event, body, "d-1", Followed({"acme/shop"}), 0.0)
    except Malformed:
        return
    for pull in () if isinstance(found, str) else found.asks:
        assert pull.repository == "acme/shop"
        assert 0 <= pull.number < 2**31


def test_the_fuzz_gets_past_the_checks() -> None:
    """Good payloads are good: what is changed of them is near to being taken."""
    taken = [read(event, json.dumps(one).encode(), "d-1", Followed({"acme/shop"}), 0.0) for event, one in (
        ("pull_request", pull_request()), ("issue_comment", comment("/cx delete")), ("push", push()),
    )]  # fmt: skip
    assert not [one for one in taken if isinstance(one, str)]


def test_no_file_is_left_by_it(listener: Listener) -> None:
    folder = Path(listener.box.database.path).parent
    assert {one.name.partition("-")[0] for one in folder.iterdir()} == {"cx.db"}
