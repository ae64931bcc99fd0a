"""A recorded payload, once more: signed, and sent to a listener."""

from __future__ import annotations

import http.client
import json
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cx.core.errors import Invalid, Retryable, Terminal
from cx.core.names import shown
from cx.forges.github.payloads import EVENTS
from cx.web.webhook import signature

SIZE_MAX = 25 * 2**20  # GitHub's own limit


@dataclass(frozen=True)
class Recording:
    """One delivery as it was recorded. `body` is sent as it is."""

    event: str
    body: bytes
    delivery: str


def recorded(path: Path, event: str = "", delivery: str = "") -> Recording:
    """The delivery in the file: a payload as GitHub shows it under "Recent deliveries".

    `event` "" is found out from the payload, `delivery` "" is a new id. Raises Invalid.
    """
    where = str(path)
    try:
        with path.open("rb") as file:
            body = file.read(SIZE_MAX + 1)
    except OSError as exc:
        raise Invalid(where, "", f"cannot be read: {(exc.strerror or 'error').lower()}") from exc
    if len(body) > SIZE_MAX:
        raise Invalid(where, "", "is larger than any delivery of GitHub's")
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise Invalid(where, "", f"is not JSON: {shown(str(exc), 100)}") from exc
    if not isinstance(payload, dict):
        raise Invalid(where, "", "is not a payload: it should be one JSON object")
    found = event or event_of(payload)
    if not found:
        raise Invalid(where, "", "does not show which event it is of", remedy=f"say --event, of {', '.join(EVENTS)}")
    return Recording(found, body, delivery or str(uuid.uuid4()))


def event_of(payload: dict[str, Any]) -> str:
    """The event that has a payload of this shape, of those that cx reads; "" when none has."""
    has = payload.keys()
    if {"pull_request", "number", "action"} <= has:
        return "pull_request"
    if {"issue", "comment", "action"} <= has:
        return "issue_comment"
    if {"ref", "before", "after", "commits"} <= has or {"ref", "pusher"} <= has:
        return "push"
    if {"zen", "hook_id"} <= has:
        return "ping"
    if "repositories_added" in has:
        return "installation_repositories"
    return "installation" if {"installation", "action", "sender"} <= has and "repository" not in has else ""


def send(recording: Recording, url: str, secret: bytes | None) -> str:
    """The listener at `url` has acknowledged it; its answer. Raises Invalid, Retryable (no answer), Terminal."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError as exc:
        raise Invalid("--url", "", f"has a port that is no number: {shown(url)}") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise Invalid("--url", "", f"should be the address of a listener, is {shown(url)}")
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "cx-replay",
        "X-GitHub-Event": recording.event,
        "X-GitHub-Delivery": recording.delivery,
    }
    if secret:
        headers["X-Hub-Signature-256"] = signature(secret, recording.body)
    connection = kind(parts.hostname, port, timeout=30)
    try:
        connection.request("POST", parts.path or "/webhook", recording.body, headers)
        answer = connection.getresponse()
        said = answer.read(10_000).decode(errors="replace")
    except (OSError, http.client.HTTPException) as exc:
        raise Retryable(f"no listener answers at {shown(url)}", remedy="start `cx git listen`, or say --url") from exc
    finally:
        connection.close()
    if answer.status == 202:
        return said
    try:
        why = str(json.loads(said)["error"])
    except (ValueError, KeyError, TypeError):
        why = "it is no listener of cx"
    error = Retryable if answer.status in (408, 503) else Terminal
    raise error(f"the listener did not take it: {answer.status}, {shown(why, 200)}")
