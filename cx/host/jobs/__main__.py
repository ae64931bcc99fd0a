"""`python -m cx.host.jobs`: one deployment or deletion for the listener, in a process of its own.

One line of JSON on standard input is the order (cx.pulls.Order); standard output gets an event in each line, as
`cx deploy --json` prints them. Standard input stays open as long as somebody wants this: its end ends the job.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from contextlib import nullcontext
from typing import Any, NoReturn

from cx.core.errors import CxError, Defect, Invalid
from cx.host.reader import Reader, reading
from cx.process.beginning import begin

READS = ("deploy", "reset")


def main() -> NoReturn:
    """Exit codes as those of `cx`."""
    begin()
    order = json.loads(sys.stdin.buffer.readline())
    code = 0
    try:
        with reading() if order["action"] in READS else nullcontext() as reader:
            threading.Thread(target=_end_with_parent, daemon=True).start()
            outcome = _run(order, reader)
        _say(event=outcome.outcome, notes=list(outcome.notes))
    except CxError as exc:
        code = _failed(exc)
    except Exception as exc:  # noqa: BLE001 - the listener tells of it, and logs the traceback
        code = _failed(Defect.of(exc), traceback=traceback.format_exc())
    sys.stdout.flush()
    os._exit(code)


def _failed(exc: CxError, **more: str) -> int:
    _say(event="error", error=exc.what, remedy=exc.remedy, log=list(exc.log), exit_code=exc.exit_code, **more)
    return exc.exit_code


def _run(order: dict[str, Any], reader: Reader | None) -> Any:
    from cx.core.events import Telling
    from cx.core.names import Namespace
    from cx.core.origin import NOBODY, Origin
    from cx.core.source import Source
    from cx.host import open_host
    from cx.host.printing import Printed
    from cx.host.recording import Recorded

    namespace, origin = Namespace(order["namespace"]), Origin.parse(order["origin"])
    by = None if origin == NOBODY else origin
    with open_host(reader) as host:
        report = Recorded(host.store, Telling(Printed()))
        if order["action"] == "delete":
            host.store.want_absent(namespace, time.time(), by)
            return host.settle(namespace, report, "delete", by=by)
        if order["action"] in ("sleep", "wake"):
            host.want_asleep(namespace, order["action"] == "sleep", by)
            return host.settle(namespace, report, order["action"], by=by)
        if order["action"] == "settle":
            return host.settle(namespace, report, "a pass", by=by)
        if order["action"] not in READS:
            raise Invalid("job", "action", "should be deploy, reset, sleep, wake, settle or delete")
        host.make_ready()
        source = Source(order["project"], origin, order["commit"], order["tree"], dirty=order["dirty"])
        host.want(
            namespace,
            source,
            environment=order["environment"],
            values=order["values"],
            reset_data=order["action"] == "reset",
        )
        return host.settle(namespace, report, f"deploy {source.commit[:8]}", by=by)


def _end_with_parent() -> None:
    """Whoever started this holds the other end of standard input, and lets go of it only by dying or by killing us."""
    from cx.process.sessions import end_session

    while os.read(0, 4096):
        pass
    end_session(os.getsid(0), but=os.getpid())
    os.kill(os.getpid(), signal.SIGKILL)


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
