"""`POST /webhook`: a delivery is checked, stored, and acknowledged. Nothing is done about it here."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from cx import logs
from cx.core.errors import CxError
from cx.forges.github.payloads import EVENTS, Malformed, read
from cx.pulls.delivery import Delivery
from cx.pulls.repositories import Followed
from cx.web.metrics import Metrics

SIZE_MAX = 4 * 2**20  # bytes of one body
HELD_MAX = 64 * 2**20  # bytes of all bodies that are being read; above it the one that takes longest is given up
CROWDED = "too much at once"
UNSIGNED = "the signature is missing or wrong"
READ_S = 10.0  # for one body to arrive
BATCH_MAX = 200  # deliveries that are stored together
_EVENT = re.compile(r"[a-z][a-z_]{0,63}")
_DELIVERY = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
_SIGNATURE = re.compile(r"sha256=([0-9a-f]{64})")


class Inbox(Protocol):
    def accept_all(self, deliveries: Sequence[Delivery]) -> list[bool]: ...


class NotTaken(Exception):
    """The request is answered with `status`; `why` is for whoever set up the webhook."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def signature(secret: bytes, body: bytes) -> str:
    """The value of `X-Hub-Signature-256`. https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries"""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


def signed(secrets: Sequence[bytes], body: bytes, given: str) -> bool:
    """One of `secrets` has signed `body`. Takes as long for a wrong signature as for a right one."""
    match = _SIGNATURE.fullmatch(given)
    claimed = match[0] if match else "sha256=" + "0" * 64
    right = False
    for secret in secrets:
        right |= hmac.compare_digest(signature(secret, body), claimed)
    return right and match is not None


@dataclass
class Counter:
    """Where deliveries are handed in, each by its own request: those that wait meanwhile are stored together."""

    inbox: Inbox
    _waiting: list[tuple[Delivery, asyncio.Future[bool]]] = field(default_factory=list, init=False)
    _at_work: asyncio.Task[None] | None = field(default=None, init=False)

    async def accept(self, delivery: Delivery) -> bool:
        """It is on disk; whether it was new. Raises CxError when it could not be stored."""
        stored: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append((delivery, stored))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._store())
        return await stored

    async def _store(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH_MAX], self._waiting[BATCH_MAX:]
            try:
                new = await run_in_threadpool(self.inbox.accept_all, [one for one, _ in batch])
            except Exception as exc:  # noqa: BLE001 - whose request it is answers for it
                for _, stored in batch:
                    if not stored.done():
                        stored.set_exception(exc)
                continue
            for (_, stored), fresh in zip(batch, new, strict=True):
                if not stored.done():
                    stored.set_result(fresh)


@dataclass(eq=False)
class _Arriving:
    """A body on its way, which `until` ends."""

    until: asyncio.Timeout
    body: bytearray = field(default_factory=bytearray)
    given_up: bool = False


@dataclass
class Webhook:
    """`secrets` empty: unsigned deliveries are taken. `stored` is called after each that asks for something."""

    inbox: Inbox
    secrets: Sequence[bytes]
    repositories: Callable[[], Followed]
    metrics: Metrics
    stored: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.time
    size_max: int = SIZE_MAX
    _held: int = field(default=0, init=False)
    _arriving: list[_Arriving] = field(default_factory=list, init=False)  # that which began first comes first

    def __post_init__(self) -> None:
        self._counter = Counter(self.inbox)

    async def receive(self, request: Request) -> Response:
        began = time.monotonic()
        event = request.headers.get("x-github-event", "")
        label = event if event in EVENTS else "other"
        try:
            answer, outcome = await self._take(request)
        except NotTaken as exc:
            logs.warning("delivery refused", status=exc.status, why=exc.why, client=_client(request))
            self.metrics.delivered("other" if exc.status in (401, 413) else label, f"refused {exc.status}", began)
            return JSONResponse({"error": exc.why}, exc.status)
        except ClientDisconnect:
            self.metrics.delivered("other", "cut", began)
            return Response(status_code=400)
        self.metrics.delivered(label, outcome, began)
        return answer

    async def _take(self, request: Request) -> tuple[Response, str]:
        claimed = request.headers.get("x-hub-signature-256", "")
        body = await self._body(request, signed=_SIGNATURE.fullmatch(claimed) is not None or not self.secrets)
        try:
            if self.secrets and not signed(self.secrets, body, claimed):
                raise NotTaken(401, UNSIGNED)
            return await self._checked(request, body)
        finally:
            self._held -= len(body)

    async def _body(self, request: Request, *, signed: bool) -> bytes:
        """All of it, which counts as held. What says that it is too large, or has nothing like a signature, is not
        read."""
        said = request.headers.get("content-length", "0")
        if not said.isdecimal() or len(said) > 15:
            raise NotTaken(400, "Content-Length is no number")
        if int(said) > self.size_max:
            raise NotTaken(413, f"the body is larger than {self.size_max} bytes")
        if not signed:
            raise NotTaken(401, UNSIGNED)
        one = _Arriving(asyncio.timeout(READ_S))
        try:
            async with one.until:
                self._arriving.append(one)
                async for piece in request.stream():
                    self._held += len(piece)
                    one.body += piece
                    if len(one.body) > self.size_max:
                        raise NotTaken(413, f"the body is larger than {self.size_max} bytes")
                    self._make_room()
                    if one.given_up:
                        break
            if one.given_up:
                raise NotTaken(503, CROWDED)
        except BaseException as exc:
            self._held -= len(one.body)
            if isinstance(exc, TimeoutError):
                slow = NotTaken(408, f"the body did not arrive within {READ_S:.0f} s")
                raise NotTaken(503, CROWDED) if one.given_up else slow from exc
            raise
        finally:
            if one in self._arriving:
                self._arriving.remove(one)
        return bytes(one.body)

    def _make_room(self) -> None:
        """GitHub's deliveries are there in a moment: who holds much for long makes room for them."""
        while self._held > HELD_MAX and self._arriving:
            one = self._arriving.pop(0)
            self._held -= len(one.body)
            one.body.clear()
            one.given_up = True
            if not one.until.expired():
                one.until.reschedule(0)

    async def _checked(self, request: Request, body: bytes) -> tuple[Response, str]:
        """Of a body that is signed: what is wrong with it may be told."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "application/json":
            raise NotTaken(400, "the content type should be application/json: choose it in the webhook's settings")
        event, delivery = request.headers.get("x-github-event", ""), request.headers.get("x-github-delivery", "")
        if not _EVENT.fullmatch(event):
            raise NotTaken(400, "X-GitHub-Event is missing or wrong")
        if not _DELIVERY.fullmatch(delivery):
            raise NotTaken(400, "X-GitHub-Delivery is missing or wrong")
        with logs.about(delivery=delivery):
            return await self._stored(event, delivery, body)

    async def _stored(self, event: str, delivery: str, body: bytes) -> tuple[Response, str]:
        try:
            found = read(event, body, delivery, self.repositories(), self.clock())
        except Malformed as exc:
            raise NotTaken(400, f"not a payload of {event}: {str(exc)[:200]}") from exc
        if isinstance(found, str):
            logs.info("delivery ignored", github_event=event, why=found)
            return _acknowledged(delivery, "ignored", found), "ignored"
        try:
            new = await self._counter.accept(found)
        except CxError as exc:
            # Not acknowledged, so GitHub shows it as failed and it can be redelivered; the timer makes up for it too.
            logs.error("delivery not stored", github_event=event, why=exc)
            raise NotTaken(503, "the delivery could not be stored; try again") from exc
        outcome = "stored" if new else "repeated"
        logs.info(
            f"delivery {outcome}",
            github_event=event,
            action=found.action,
            pulls=", ".join(map(str, found.asks)),
            commands=len(found.commands),
        )
        if found.asks:
            self.stored()
        return _acknowledged(delivery, outcome), outcome


def _acknowledged(delivery: str, outcome: str, why: str = "") -> Response:
    return JSONResponse({"delivery": delivery, "outcome": outcome} | ({"why": why} if why else {}), 202)


def _client(request: Request) -> str:
    return request.client.host if request.client else ""
