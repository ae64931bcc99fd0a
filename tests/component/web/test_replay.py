"""A recorded payload is recognised and sent as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from listening import SECRET, Listener, comment, listening, pull_request, push

from cx.core.errors import Invalid, Retryable, Terminal
from cx.pulls.values import PullId
from cx.web.rehearsal import Rehearsal
from cx.web.replay import event_of, recorded, send


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with listening(tmp_path) as listener:
        yield listener


@pytest.mark.parametrize(
    ("payload", "event"),
    [
        (pull_request(), "pull_request"),
        (comment("/cx help"), "issue_comment"),
        (push() | {"before": "0", "after": "1", "commits": []}, "push"),
        ({"zen": "x", "hook_id": 1}, "ping"),
        ({"action": "created", "installation": {}, "sender": {}}, "installation"),
        ({"action": "added", "installation": {}, "sender": {}, "repositories_added": []}, "installation_repositories"),
        ({"action": "created", "starred_at": "x", "repository": {}, "sender": {}, "installation": {}}, ""),
    ],
)
def test_a_payload_shows_its_event(payload: dict[str, Any], event: str) -> None:
    assert event_of(payload) == event


def test_it_is_sent_as_it_was_recorded(tmp_path: Path, listener: Listener) -> None:
    file = tmp_path / "payload.json"
    file.write_text(json.dumps(pull_request(), indent=4) + "\n")
    url = f"http://127.0.0.1:{listener.port}"
    recording = recorded(file, delivery="d-5")
    assert recording.body == file.read_bytes()
    assert json.loads(send(recording, url, SECRET)) == {"delivery": "d-5", "outcome": "stored"}
    assert json.loads(send(recording, url + "/webhook", SECRET))["outcome"] == "repeated"
    with pytest.raises(Terminal, match="401"):
        send(recording, url, None)
    with pytest.raises(Terminal, match="404, it is no listener of cx"):
        send(recording, url + "/elsewhere", SECRET)
    assert recorded(file).delivery != recorded(file).delivery


@pytest.mark.parametrize("url", ["", "nosuch", "ftp://127.0.0.1", "http://127.0.0.1:x", "http://"])
def test_what_is_no_address(tmp_path: Path, url: str) -> None:
    (tmp_path / "p").write_text(json.dumps(pull_request()))
    with pytest.raises(Invalid, match="--url"):
        send(recorded(tmp_path / "p"), url, SECRET)


def test_where_nobody_listens(tmp_path: Path) -> None:
    (tmp_path / "p").write_text(json.dumps(pull_request()))
    with pytest.raises(Retryable, match="no listener answers"):
        send(recorded(tmp_path / "p"), "http://127.0.0.1:1", SECRET)


@pytest.mark.parametrize(
    ("text", "problem"),
    [("", "not JSON"), ("{", "not JSON"), ("[]", "not a payload"), ("{}", "which event"), ("[" * 9999, "not JSON")],
)
def test_what_is_no_recording(tmp_path: Path, text: str, problem: str) -> None:
    (tmp_path / "p").write_text(text)
    with pytest.raises(Invalid, match=problem):
        recorded(tmp_path / "p")
    with pytest.raises(Invalid, match="cannot be read"):
        recorded(tmp_path / "nosuch")


def test_a_rehearsal_plans_what_is_asked_for_once(listener: Listener) -> None:
    said: list[str] = []

    def plan(pull: PullId) -> str:
        if pull.number == 8:
            raise Retryable("GitHub does not answer")
        return f"{pull}: deploy"

    rehearsal = Rehearsal(listener.box, ["acme/shop"], plan, said.append)
    for number in (7, 8, 7):
        listener.box.ask(PullId("acme/shop", number))
    assert rehearsal.drain() == ["acme/shop#8: GitHub does not answer"]
    assert said == ["acme/shop#7: deploy"]
    assert listener.box.waiting() == []
