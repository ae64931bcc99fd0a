"""The JSON API: namespaces for whoever has a token. Answers are JSON; what takes time answers with events, one JSON
object in a line, as it goes. docs/api.md; docs/openapi.json is made from the structs here (cx/web/openapi.py)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as StillWaiting
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route

from cx import logs
from cx.core.errors import Busy, CxError, Invalid, NotFound, Refused, Retryable, Terminal
from cx.core.events import Telling, done, failed
from cx.core.names import Namespace, shown
from cx.core.previews import Ending, Row, Served, Wanted
from cx.core.reconcile import Reporter
from cx.pulls.commands import lasting_s

BODY_MAX = 256 * 1024
EVENTS = "application/x-ndjson"
BUNDLE = "application/x-git-bundle"
T = TypeVar("T")
Sha = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")]


# --- what is sent and answered
class Problem(msgspec.Struct, kw_only=True):
    """What happened, what to do about it, and the exit code that `cx` ends with."""

    what: str
    remedy: str = ""
    log: list[str] = []
    exit_code: int = 1


class Namespaces(msgspec.Struct):
    namespaces: list[Row]


class Uploaded(msgspec.Struct):
    """The git tree that was in the bundle."""

    tree: Sha


class Deploy(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`tree` as the upload gave it; `commit` ("" when none) and `dirty` are for people to read."""

    tree: Sha
    commit: Annotated[str, Meta(pattern=r"^([0-9a-f]{40})?$(?!\n)")] = ""
    dirty: bool = False
    environment: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$(?!\n)")] = "preview"
    values: dict[Variable, Annotated[str, Meta(pattern=r"^[^\x00]*$")]] = {}
    reset_data: bool = False


class Reset(msgspec.Struct, forbid_unknown_fields=True):
    """`database` where there are several: it is only checked that the namespace has it."""

    database: str = ""


class Extend(msgspec.Struct, forbid_unknown_fields=True):
    """`12h`, `3d`, `2w`, or `never`."""

    time: Annotated[str, Meta(pattern=r"^(never|[1-9][0-9]{0,3}[hdw])$(?!\n)")]


class Extended(msgspec.Struct):
    """Unix seconds; null: it has no end."""

    namespace: str
    expires_at: float | None


class PullRequest(msgspec.Struct, forbid_unknown_fields=True):
    repository: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$(?!\n)")]
    number: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Asked(msgspec.Struct):
    """Its place among those that wait, from 1; 0 when it is being looked at."""

    position: int


class Services(msgspec.Struct, tag_field="event", tag="services"):
    """The first line of logs: which services the lines are of, one for each container."""

    services: list[str]


class Log(msgspec.Struct, tag_field="event", tag="log"):
    service: str
    text: str


@dataclass(frozen=True)
class Tokens:
    """Bearer tokens, compared in constant time by their digests: neither length nor place of a difference shows."""

    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, tokens: Sequence[str]) -> Tokens:
        return cls(tuple(hashlib.sha256(one.encode()).digest() for one in tokens))

    def admit(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        right = [hmac.compare_digest(given, one) for one in self.digests]  # all of them, always
        return scheme.lower() == "bearer" and any(right)


def status_of(exc: CxError) -> int:
    kinds: list[tuple[type[CxError], int]] = [
        (NotFound, 404), (TooLarge, 413), (Refused, 422), (Invalid, 400), (Busy, 409), (Retryable, 503),
    ]  # fmt: skip
    return next((status for kind, status in kinds if isinstance(exc, kind)), 500)


class TooLarge(Invalid):
    pass


def api_routes(served: Served, tokens: Sequence[str], *, upload_max: int) -> list[BaseRoute]:
    """None without a token: then there is no API."""
    if not tokens:
        return []
    return _Api(served, Tokens.of(tokens), upload_max).routes()


@dataclass(frozen=True)
class _Api:
    served: Served
    tokens: Tokens
    upload_max: int

    def routes(self) -> list[BaseRoute]:
        one = "/api/namespaces/{namespace}"
        table: list[tuple[str, str, Callable[[Request], Any]]] = [
            ("GET", "/api/openapi.json", self.openapi),
            ("GET", "/api/namespaces", self.list),
            ("GET", one, self.show),
            ("DELETE", one, self.delete),
            ("PUT", f"{one}/source", self.upload),
            ("POST", f"{one}/deploy", self.deploy),
            ("POST", f"{one}/reset", self.reset),
            ("POST", f"{one}/sleep", self.sleep),
            ("POST", f"{one}/wake", self.wake),
            ("POST", f"{one}/extend", self.extend),
            ("GET", f"{one}/logs", self.logs),
            ("POST", "/api/pulls", self.pulls),
        ]
        return [Route(path, self._guarded(answer), methods=[method]) for method, path, answer in table]

    def _guarded(self, answer: Callable[[Request], Any]) -> Callable[[Request], Any]:
        async def guarded(request: Request) -> Response:
            if not self.tokens.admit(request.headers.get("authorization", "")):
                problem = Problem(what="no token, or a wrong one", remedy="send `Authorization: Bearer TOKEN`")
                return _json(problem, 401, {"WWW-Authenticate": "Bearer"})
            try:
                response: Response = await answer(request)
            except CxError as exc:
                headers = {"Retry-After": "10"} if isinstance(exc, Retryable) else {}
                problem = Problem(what=exc.what, remedy=exc.remedy, log=list(exc.log), exit_code=exc.exit_code)
                return _json(problem, status_of(exc), headers)
            except ClientDisconnect:
                return Response(status_code=400)
            return response

        return guarded

    # --- looking
    async def openapi(self, request: Request) -> Response:
        from cx.web.openapi import document

        return _json(document(), 200)

    async def list(self, request: Request) -> Response:
        return _json(Namespaces(await run_in_threadpool(self.served.overview)), 200)

    async def show(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self.served.detail, _namespace(request)), 200)

    async def logs(self, request: Request) -> Response:
        namespace, query = _namespace(request), request.query_params
        follow, tail = query.get("follow", "false"), query.get("tail", "100")
        if follow not in ("true", "false"):
            raise Invalid("follow", shown(follow), "should be true or false")
        if not re.fullmatch("[0-9]{1,6}", tail) or int(tail) > 100_000:
            raise Invalid("tail", shown(tail), "should be 0 to 100000")
        service = query.get("service", "")

        def produce(say: Callable[[bytes], bool]) -> None:
            found = self.served.logs(namespace, service, follow=follow == "true", tail=int(tail))
            lines = iter(found.lines)
            try:
                if not say(_line(Services(list(found.services)))):
                    return
                for one in lines:
                    if not say(_line(Log(one.service, one.text))):
                        return
            finally:
                close = getattr(lines, "close", None)
                if close:
                    close()

        return await _streamed(produce)

    # --- changing
    async def upload(self, request: Request) -> Response:
        namespace = _namespace(request)
        _is(request, BUNDLE)
        with tempfile.TemporaryDirectory(prefix="cx-upload-") as folder:
            bundle = Path(folder) / "bundle"
            size = 0
            with bundle.open("wb") as file:
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self.upload_max:
                        raise TooLarge("the upload", "", f"is larger than {self.upload_max >> 20} MiB",
                                       remedy="ignore what git should not hold, or set api.upload_max_mb")  # fmt: skip
                    await run_in_threadpool(file.write, chunk)
            return _json(Uploaded(await run_in_threadpool(self.served.receive, bundle, namespace)), 200)

    async def deploy(self, request: Request) -> Response:
        namespace, given = _namespace(request), await _body(request, Deploy)
        source = await run_in_threadpool(self.served.uploaded, namespace, given.tree, given.commit, given.dirty)
        wanted = Wanted(given.environment, given.values, given.reset_data)
        return await self._change(namespace, lambda report: self.served.deploy(namespace, source, wanted, report))

    async def delete(self, request: Request) -> Response:
        namespace = _namespace(request)

        def change(report: Reporter) -> Ending:
            return self.served.delete(namespace, report) if self.served.there(namespace) else Ending("deleted")

        return await self._change(namespace, change)

    async def reset(self, request: Request) -> Response:
        namespace, given = _namespace(request), await _body(request, Reset, Reset())
        return await self._change(namespace, lambda report: self.served.reset(namespace, given.database, report))

    async def sleep(self, request: Request) -> Response:
        namespace = _namespace(request)
        return await self._change(namespace, lambda report: self.served.sleep(namespace, report))

    async def wake(self, request: Request) -> Response:
        namespace = _namespace(request)
        return await self._change(namespace, lambda report: self.served.wake(namespace, report))

    async def extend(self, request: Request) -> Response:
        namespace, given = _namespace(request), await _body(request, Extend)
        try:
            lasting = None if given.time == "never" else lasting_s(given.time)
        except ValueError as exc:
            raise Invalid("time", given.time, str(exc)) from exc
        at = await run_in_threadpool(self.served.extend, namespace, lasting)
        return _json(Extended(namespace.name, at), 200)

    async def pulls(self, request: Request) -> Response:
        given = await _body(request, PullRequest)
        return _json(Asked(await run_in_threadpool(self.served.ask, given.repository, given.number)), 202)

    async def _change(self, namespace: Namespace, change: Callable[[Reporter], Ending]) -> Response:
        """Goes on to its end, whether or not somebody listens."""

        def produce(say: Callable[[bytes], bool]) -> None:
            began, told = time.monotonic(), False

            def tell(event: object) -> None:
                nonlocal told
                told = True
                say(_line(event))

            try:
                ending = change(Telling(tell))
            except CxError as exc:
                if not told:
                    raise
                tell(failed(exc))
                return
            tell(done(ending, namespace, time.monotonic() - began))

        return await _streamed(produce)


# --- parts
def _json(value: object, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(value), status, headers={"Cache-Control": "no-store"} | (headers or {}),
        media_type="application/json",
    )  # fmt: skip


def _line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _namespace(request: Request) -> Namespace:
    return Namespace(request.path_params["namespace"])


def _is(request: Request, wanted: str) -> None:
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != wanted:
        raise Invalid("Content-Type", shown(given), f"should be {wanted}")


async def _body(request: Request, kind: type[T], empty: T | None = None) -> T:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise TooLarge("the request", "", f"is larger than {BODY_MAX >> 10} KiB")
    if not body and empty is not None:
        return empty
    _is(request, "application/json")
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.DecodeError as exc:
        raise Invalid("the request", "", str(exc)) from exc


class _Pipe:
    """From a thread to a response. What is said when nobody listens any more is dropped."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue(1000)
        self.gone = threading.Event()

    def say(self, item: bytes | BaseException | None) -> bool:
        if self.gone.is_set():
            return False
        try:
            placed = asyncio.run_coroutine_threadsafe(self._queue.put(item), self._loop)
        except RuntimeError:  # the loop is closed
            self.gone.set()
            return False
        while True:
            try:
                placed.result(0.5)
                return True
            except StillWaiting:
                if self.gone.is_set():
                    placed.cancel()
                    return False
            except CancelledError:
                return False

    async def next(self) -> bytes | BaseException | None:
        return await self._queue.get()


async def _streamed(produce: Callable[[Callable[[bytes], bool]], None]) -> Response:
    """What `produce` says, as it says it. What it raises before it has said anything is raised here."""
    pipe = _Pipe()

    def run() -> None:
        try:
            produce(pipe.say)
        except CxError as exc:
            pipe.say(exc)
        except Exception as exc:  # noqa: BLE001 - a thread's end: told, and answered with 500
            logs.error("the API failed")
            pipe.say(Terminal(f"cx failed: {type(exc).__name__}", remedy="its log says more"))
        finally:
            pipe.say(None)

    threading.Thread(target=run, name="api", daemon=True).start()
    first = await pipe.next()
    if isinstance(first, BaseException):
        raise first

    async def lines() -> AsyncIterator[bytes]:
        try:
            item: bytes | BaseException | None = first
            while item is not None:
                if isinstance(item, CxError):
                    yield _line(failed(item))
                elif isinstance(item, bytes):
                    yield item
                item = await pipe.next()
        finally:
            pipe.gone.set()

    return StreamingResponse(lines(), media_type=EVENTS, headers={"Cache-Control": "no-store"})


def tokens_of(secrets: Iterable[Any]) -> list[str]:
    """Raises Invalid for one that is too short to be safe."""
    found = [one.reveal() for one in secrets]
    if any(len(one) < 16 for one in found):
        raise Invalid("api.tokens", "", "should be 16 characters or more each (not shown here)",
                      remedy="`openssl rand -hex 32` makes one")  # fmt: skip
    return found
