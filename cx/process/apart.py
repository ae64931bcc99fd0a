"""A copy of this process that works beside it and answers one question after the other.

It is made by fork, so it need load nothing again: early, while there is one thread and nothing is open that two must
not share. What it is about to do when it is told to end, it takes back.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

from cx.core.errors import Retryable

_LENGTH = struct.Struct("!Q")
GRACE_S = 2.0


class Apart:
    """There, `begin` gives what answers the questions of `ask`. Raises RuntimeError where other threads run."""

    def __init__(self, begin: Callable[[], Callable[[bytes], bytes]]) -> None:
        if threading.active_count() > 1:
            raise RuntimeError("another thread could hold a lock, which the copy would wait for")
        self._socket, theirs = socket.socketpair()
        self._at_work = False
        self._pid = os.fork()
        if self._pid == 0:
            self._socket.close()
            _serve(theirs, begin)
        theirs.close()

    def ask(self, question: bytes) -> bytes:
        """The answer. Raises Retryable when the other process has ended without one."""
        answer, self._at_work = None, True
        with suppress(OSError):
            _send(self._socket, question)
            answer = _receive(self._socket)
        self._at_work = False
        if answer is None:
            raise Retryable("the process that reads projects has ended", remedy="try again; is memory short?")
        return answer

    def close(self) -> None:
        """It is gone: at once, when it has no question to answer, else within GRACE_S. Safe to repeat."""
        self._socket.close()
        pid, self._pid = self._pid, 0
        if not pid:
            return
        if self._at_work:
            _end(pid, within_s=GRACE_S)
        os.kill(pid, signal.SIGKILL)  # it has not been waited for: the number is its own
        os.waitpid(pid, 0)


def _serve(asker: socket.socket, begin: Callable[[], Callable[[bytes], bytes]]) -> NoReturn:
    """Ends with whoever asks, however he ends, or when he says so: an interrupt of the terminal's is for him."""
    code = 0
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: sys.exit())
        threading.Thread(target=_end_with, args=(asker,), daemon=True).start()
        answer = begin()
        while (question := _receive(asker)) is not None:
            said = answer(question)
            with suppress(OSError):  # nobody is there any more
                _send(asker, said)
    except SystemExit:
        pass
    except BaseException:  # noqa: BLE001 - a copy must not go on with what the process it was made of was doing
        traceback.print_exc()
        code = 1
    finally:
        os._exit(code)


def _end(pid: int, *, within_s: float) -> None:
    """The process is told to end, and does so within that time or not at all."""
    process = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        select.select([process], [], [], within_s)
    finally:
        os.close(process)


def _end_with(asker: socket.socket) -> None:
    """The other end of the socket is closed when its process ends, even by SIGKILL: what is at work is ended then."""
    poll = select.poll()
    poll.register(asker, select.POLLHUP)
    poll.poll()
    os.kill(os.getpid(), signal.SIGTERM)


def _send(to: socket.socket, text: bytes) -> None:
    to.sendall(_LENGTH.pack(len(text)) + text)


def _receive(of: socket.socket) -> bytes | None:
    """None when the other end is closed."""
    with suppress(OSError), of.makefile("rb") as stream:
        head = stream.read(_LENGTH.size)
        if len(head) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            text = stream.read(length)
            return text if len(text) == length else None
    return None
