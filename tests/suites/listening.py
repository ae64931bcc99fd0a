"""Deliveries as GitHub sends them, signed, and a listener on a real port to send them to."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cx.pulls.repositories import Followed
from cx.store import Database
from cx.store.deliveries import Deliveries
from cx.web.app import make_app
from cx.web.metrics import Depth, Metrics
from cx.web.serving import Server, bound, config
from cx.web.webhook import Webhook, signature

SECRET = b"0123456789abcdef of the test"
REPOSITORY = {"id": 1, "full_name": "Acme/Shop", "default_branch": "main"}


def pull_request(action: str = "opened", number: int = 7, **more: Any) -> dict[str, Any]:
    return {"action": action, "number": number, "pull_request": {"id": 1}, "repository": REPOSITORY, **more}


def comment(body: str, number: int = 7, *, action: str = "created", identity: int = 50, **more: Any) -> dict[str, Any]:
    return {
        "action": action,
        "issue": {"number": number, "pull_request": {"url": "https://api.github.com/repos/acme/shop/pulls/7"}},
        "comment": {
            "id": identity,
            "body": body,
            "user": {"login": "ann"},
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        },
        "repository": REPOSITORY,
        **more,
    }


def push(ref: str = "refs/heads/main") -> dict[str, Any]:
    return {"ref": ref, "repository": REPOSITORY}


@dataclass
class Answer:
    status: int
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Listener:
    """A webhook on a port of loopback, and what it has stored."""

    port: int
    box: Deliveries
    followed: Followed = field(default_factory=lambda: Followed({"acme/shop", "acme/docs"}))
    woken: int = 0

    def send(
        self, event: str, payload: object, delivery: str = "d-1", secret: bytes = SECRET, **headers: str
    ) -> Answer:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        given = {
            "content-type": "application/json",
            "x-github-event": event,
            "x-github-delivery": delivery,
            "x-hub-signature-256": signature(secret, body),
        }
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", "/webhook", body, given)

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body or None, {k: v for k, v in (headers or {}).items() if v != "-"})
            answer = connection.getresponse()
            return Answer(answer.status, answer.read())
        finally:
            connection.close()

    def stored(self) -> list[tuple[object, ...]]:
        """Every row that a delivery can make or change."""
        return [
            row
            for table in ("deliveries", "queue", "commands")
            for row in self.box.database.run(f"SELECT * FROM {table} ORDER BY 1, 2")
        ]

    def forget(self) -> None:
        """As if nothing had come."""
        for table in ("deliveries", "queue", "commands"):
            self.box.database.run(f"DELETE FROM {table}")
        self.woken = 0


@contextmanager
def listening(folder: Path, secrets: tuple[bytes, ...] = (SECRET,), **more: Any) -> Iterator[Listener]:
    box = Deliveries(Database(folder / "cx.db"))
    metrics = Metrics(lambda: Depth(len(box.waiting()), 0, len(box.running())))
    socket = bound("127.0.0.1", 0)
    listener = Listener(socket.getsockname()[1], box)

    def woken() -> None:
        listener.woken += 1

    webhook = Webhook(more.pop("inbox", box), secrets, lambda: listener.followed, metrics, woken, **more)
    server = Server(config(make_app(webhook, metrics, lambda: [])))
    server.catches = ()
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    try:
        yield listener
    finally:
        server.should_exit = True
        thread.join(10)
        box.database.close()
