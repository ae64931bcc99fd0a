"""Deployments and deletions, each in a process of its own, without a token, killed with all that it started."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from queue import Empty, SimpleQueue
from typing import IO, Any

from cx import logs
from cx.core.errors import Retryable
from cx.core.names import Namespace
from cx.core.state import Do
from cx.process.sessions import end_session
from cx.pulls import Ended, Order

POLL_S = 0.1
OUTCOMES = ("ready", "awake", "asleep", "unchanged", "deleted")


@dataclass(frozen=True)
class Jobs:
    """`environment` is all that the process gets of ours. `cut_off` is told of a namespace whose job was cancelled, and
    has ended by then."""

    environment: Mapping[str, str]
    cut_off: Callable[[Namespace], None] = lambda namespace: None

    def run(self, order: Order, cancelled: Callable[[], bool], told: Callable[[Mapping[str, Any]], None]) -> Ended:
        """The job's end. As long as it runs, `cancelled` is asked; once it says so, the job and all that it started are
        ended before this returns. What it was about to do is left half-done: the next pass converges."""
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cx.host.jobs"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=dict(self.environment),
                start_new_session=True,
            )
            try:
                ended = self._followed(process, order, cancelled, told)
            finally:
                if process.returncode is None:
                    end_session(process.pid)
                for pipe in (process.stdin, process.stdout):
                    if pipe:
                        pipe.close()
                process.wait()
            if ended is None:
                errors.seek(0)
                last = errors.read()[-2000:].decode(errors="replace").splitlines()[-5:]
                logs.warning("job died", status=process.returncode, last=" | ".join(last))
                return Ended("retry", message=f"{order.namespace}: the job ended with status {process.returncode}")
            if ended.outcome == "cancelled":
                self.cut_off(order.namespace)
            return ended

    def _followed(
        self,
        process: subprocess.Popen[bytes],
        order: Order,
        cancelled: Callable[[], bool],
        told: Callable[[Mapping[str, Any]], None],
    ) -> Ended | None:
        assert process.stdin  # noqa: S101 - both are pipes
        assert process.stdout  # noqa: S101
        texts = {"namespace": order.namespace.name, "origin": str(order.origin)}
        given = asdict(order) | texts | {"values": dict(order.values)}
        try:
            process.stdin.write(json.dumps(given).encode() + b"\n")
            process.stdin.flush()  # and open it stays: its end tells the job that we are gone
        except BrokenPipeError:
            return None
        events: SimpleQueue[Mapping[str, Any] | None] = SimpleQueue()
        threading.Thread(target=_read, args=(process.stdout, events), daemon=True).start()
        heard = _Heard()
        while True:
            try:
                event = events.get(timeout=POLL_S)
            except Empty:
                if cancelled():
                    return Ended("cancelled")
                continue
            if event is None:
                break
            heard.take(event)
            if event.get("event") == "step_ended":
                facts = {name: event.get(name) for name in ("step", "duration_s", "outcome")}
                logs.info("step", namespace=order.namespace, **facts)
            elif event.get("event") == "line" and event.get("step") == "wait":
                logs.info("waits", namespace=order.namespace, why=event.get("text"))
            told(event)
            if event.get("event") != "line" and cancelled():
                return Ended("cancelled")
        return heard.ended(order, _waited(process))


class _Heard:
    def __init__(self) -> None:
        self.last: Mapping[str, Any] = {}
        self.failed = ""
        self.release_s: float | None = None

    def take(self, event: Mapping[str, Any]) -> None:
        if event.get("event") == "step_ended" and event.get("outcome") == "failed" and not self.failed:
            self.failed = str(event.get("step"))
        if event.get("event") == "step_ended" and event.get("step") == Do.RELEASE:
            self.release_s = (self.release_s or 0.0) + float(event.get("duration_s") or 0.0)
        if event.get("event") in (*OUTCOMES, "error"):
            self.last = event
        if trace := event.get("traceback"):
            logs.warning("job met a defect", why=event.get("error"), traceback=trace)

    def ended(self, order: Order, status: int) -> Ended | None:
        outcome = self.last.get("event")
        if outcome in OUTCOMES:
            return Ended(str(outcome))
        if outcome == "error":
            return Ended(
                "retry" if status == Retryable.exit_code else "failed",
                self.failed,
                str(self.last.get("error", "")),
                str(self.last.get("remedy", "")),
                tuple(map(str, self.last.get("log", ()))),
                self.release_s,
            )
        return None


def _waited(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        return -1


def _read(stdout: IO[bytes], events: SimpleQueue[Mapping[str, Any] | None]) -> None:
    """Every event; lines of builds only while nobody is behind with reading."""
    try:
        for line in stdout:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict) and (event.get("event") != "line" or events.qsize() < 1000):
                events.put(event)
    except (OSError, ValueError):
        pass  # closed under us: it was cancelled
    finally:
        events.put(None)
