"""Reads projects in a process beside this one, which meanwhile loads what it asks the engine with.

What a project holds (git objects, YAML, templates) is taken apart there; what comes back is data of known types.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from cx.process.apart import Apart

if TYPE_CHECKING:
    from cx.core.blueprint import Blueprint
    from cx.core.source import Source
    from cx.core.state import Desired

T = TypeVar("T")
OF_FOLDER, OF_WISH = b"f", b"w"  # what a question is about: its first letter
DONE, FAILED = b"+", b"-"  # how an answer begins


@contextmanager
def reading() -> Iterator[Reader | None]:
    """A reader, for a process that has just begun; None where other threads run already, and one reads oneself."""
    if threading.active_count() > 1:
        yield None
        return
    with closing(Reader()) as reader:
        yield reader


class Reader:
    """Answers as a Host of this process's configuration would."""

    def __init__(self) -> None:
        self._apart = Apart(_begin)

    def read_source(self, path: Path, ref: str = "") -> Source:
        from cx.core.source import Source

        return self._ask(OF_FOLDER, (str(path), ref), Source)

    def read_blueprint(self, wish: Desired) -> Blueprint:
        from cx.core.blueprint import Blueprint

        return self._ask(OF_WISH, wish, Blueprint)

    def close(self) -> None:
        self._apart.close()

    def _ask(self, about: bytes, question: object, of: type[T]) -> T:
        import msgspec

        from cx.core.events import Failed, error_of

        answer = self._apart.ask(about + msgspec.json.encode(question))
        if answer[:1] == DONE:
            return msgspec.json.decode(answer[1:], type=of)
        told = msgspec.json.decode(answer[1:], type=Failed)
        raise error_of(told.error, told.remedy, told.log, told.exit_code)


def _begin() -> Callable[[bytes], bytes]:
    """Loads what reading takes, and gives what answers."""
    import traceback
    from functools import cache
    from threading import Thread

    import msgspec

    from cx.core.errors import CxError, Retryable, Terminal
    from cx.core.events import failed
    from cx.core.state import Desired
    from cx.host import Host, load_settings

    @cache
    def host() -> Host:
        return Host(load_settings())

    def load() -> None:
        import cx.project  # noqa: F401

    def answer(question: bytes) -> bytes:
        about, told = question[:1], question[1:]
        try:
            if about == OF_FOLDER:
                path, ref = msgspec.json.decode(told, type=tuple[str, str])
                return DONE + msgspec.json.encode(host().read_source(Path(path), ref))
            return DONE + msgspec.json.encode(host().read_blueprint(msgspec.json.decode(told, type=Desired)))
        except CxError as exc:
            return FAILED + msgspec.json.encode(failed(exc))
        except OSError as exc:  # a folder of cx's that cannot be written, a full disk
            what = f"the project could not be read: {exc}"
            return FAILED + msgspec.json.encode(failed(Terminal(what, remedy="see to it, and deploy again")))
        except Exception as exc:  # noqa: BLE001 - a defect of ours, which is told as whoever asked would meet it
            traceback.print_exc()
            what = f"the project could not be read: {type(exc).__name__}: {exc}"
            return FAILED + msgspec.json.encode(failed(Retryable(what, remedy="this is a defect of cx: report it")))

    Thread(target=load, daemon=True).start()  # it goes on while git is at work
    return answer
