"""Answers that take time: what a thread says goes to the client line by line, as it says it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as StillWaiting

import msgspec
from starlette.responses import Response, StreamingResponse

from cx import logs
from cx.core.errors import CxError, Terminal
from cx.core.events import failed
from cx.web.contract import EVENTS


def line(value: object) -> bytes:
    return msgspec.json.encode(value) + b"\n"


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


async def streamed(produce: Callable[[Callable[[bytes], bool]], None]) -> Response:
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
                    yield line(failed(item))
                elif isinstance(item, bytes):
                    yield item
                item = await pipe.next()
        finally:
            pipe.gone.set()

    return StreamingResponse(lines(), media_type=EVENTS, headers={"Cache-Control": "no-store"})
