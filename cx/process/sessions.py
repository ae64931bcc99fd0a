"""A session of processes, and its end: what cx started, and all that this started, whatever groups it made."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

END_S = 10.0


def end_session(session: int, *, but: int = 0) -> None:
    """No process of the session runs any more, other than `but`. The number of a session is not given anew while
    one of it is there, or its leader was not waited for: nobody else's process is met."""
    until = time.monotonic() + END_S
    while (there := [one for one in members(session) if one != but]) and time.monotonic() < until:
        for pid in there:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)


def members(session: int) -> list[int]:
    """Its processes that still run."""
    found = []
    for one in Path("/proc").iterdir():
        if not one.name.isdigit():
            continue
        with suppress(OSError, ValueError, IndexError):
            # proc(5): pid (name) state parent group session ...; the name may hold anything
            words = (one / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if int(words[3]) == session and words[0] not in "ZX":
                found.append(int(one.name))
    return found
