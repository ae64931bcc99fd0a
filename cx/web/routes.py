"""The API's routes: a host answers each endpoint of the contract for whoever has a token. docs/api.md tells more."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cx.core.errors import Busy, CxError, Invalid, NotFound, Owned, Refused, Retryable
from cx.core.events import Telling, done, failed
from cx.core.names import Namespace, shown
from cx.core.ports import Reporter
from cx.core.previews import Ending, Served, Wanted
from cx.pulls.commands import lasting_s
from cx.web.contract import (
    BUNDLE,
    ENDPOINTS,
    Asked,
    Deploy,
    Extend,
    Extended,
    Log,
    Namespaces,
    Problem,
    PullRequest,
    Reset,
    Services,
    Uploaded,
)
from cx.web.streaming import line, streamed
from cx.web.tokens import Tokens

BODY_MAX = 256 * 1024
T = TypeVar("T")


def status_of(exc: CxError) -> int:
    kinds: list[tuple[type[CxError], int]] = [
        (NotFound, 404), (TooLarge, 413), (Refused, 422), (Invalid, 400), (Busy, 409), (Owned, 409),
        (Retryable, 503),
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
        return [Route(one.path, self._guarded(getattr(self, one.handler)), methods=[one.method]) for one in ENDPOINTS]

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

    async def events(self, request: Request) -> Response:
        return _json(await run_in_threadpool(self.served.history, _namespace(request)), 200)

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
                if not say(line(Services(list(found.services)))):
                    return
                for one in lines:
                    if not say(line(Log(one.service, one.text))):
                        return
            finally:
                close = getattr(lines, "close", None)
                if close:
                    close()

        return await streamed(produce)

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
                say(line(event))

            try:
                ending = change(Telling(tell))
            except CxError as exc:
                if not told:
                    raise
                tell(failed(exc))
                return
            tell(done(ending, namespace, time.monotonic() - began))

        return await streamed(produce)


# --- parts
def _json(value: object, status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(
        msgspec.json.encode(value), status, headers={"Cache-Control": "no-store"} | (headers or {}),
        media_type="application/json",
    )  # fmt: skip


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
