"""How a pass is told: to a terminal, to a pipe, to a program, and to the history."""

from __future__ import annotations

import json
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from cx.adapters.sqlite import StepTaken, Store
from cx.cli.output import printable
from cx.errors import CxError
from cx.model.state import Desired
from cx.reconcile import Reporter

if TYPE_CHECKING:
    from rich.console import RenderableType


class Plain:
    """A line for each step that has ended: for pipes and logs."""

    def __init__(self) -> None:
        self.namespace = ""

    def began(self, wish: Desired) -> None:
        self.namespace = wish.namespace.name
        doing = f"{doing_to(wish)} {wish.version}" if wish.present else "delete"
        print(f"{self.namespace}: {doing}", flush=True)

    def step_began(self, step: str) -> None:
        pass

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        print(f"{self.namespace}: {step}: {outcome} in {duration_s:.2f} s", flush=True)

    def line(self, step: str, text: str) -> None:
        if step == "wait":
            print(text, flush=True)

    def ended(self, outcome: str, error: CxError | None) -> None:
        pass


class Json:
    """One JSON object in a line for each event: for programs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def began(self, wish: Desired) -> None:
        self._say("began", namespace=wish.namespace.name, revision=wish.revision if wish.present else None)

    def step_began(self, step: str) -> None:
        self._say("step_began", step=step)

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        self._say("step_ended", step=step, duration_s=round(duration_s, 3), outcome=outcome)

    def line(self, step: str, text: str) -> None:
        self._say("line", step=step, text=text)

    def ended(self, outcome: str, error: CxError | None) -> None:
        self._say("ended", outcome=outcome)

    def _say(self, event: str, **facts: Any) -> None:
        with self._lock:
            print(json.dumps({"event": event, "at": round(time.time(), 3)} | facts), flush=True)


class Live:
    """On a terminal: what runs, for how long, and its last line; what has ended stays above."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live as Screen

        self._console = Console(stderr=False, highlight=False)
        self._running: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._screen = Screen(get_renderable=self._now, console=self._console, refresh_per_second=10, transient=True)

    def began(self, wish: Desired) -> None:
        doing = f"{doing_to(wish)} [bold]{wish.version}[/] as" if wish.present else "delete"
        self._console.print(f"{doing} [bold cyan]{wish.namespace}[/]")
        self._screen.start()

    def step_began(self, step: str) -> None:
        with self._lock:
            self._running[step] = (time.monotonic(), "")

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        from rich.markup import escape

        with self._lock:
            self._running.pop(step, None)
        sign = "[green]✓[/]" if outcome == "done" else "[red]✗[/]"
        self._console.print(f"  {sign} {escape(step):<44} [dim]{duration_s:6.2f} s[/]")

    def line(self, step: str, text: str) -> None:
        with self._lock:
            since, _ = self._running.get(step, (time.monotonic(), ""))
            self._running[step] = (since, printable(text))

    def ended(self, outcome: str, error: CxError | None) -> None:
        self._screen.stop()

    def _now(self) -> RenderableType:
        from rich.text import Text

        with self._lock:
            running = dict(self._running)
        now = time.monotonic()
        frame = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"[int(now * 10) % 10]
        lines = [f"  {frame} {step:<44} {now - since:6.1f} s  {text[:60]}" for step, (since, text) in running.items()]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")


class Recorded:
    """Tells another reporter, and keeps deployments and their steps in the store."""

    def __init__(self, store: Store, told: Reporter) -> None:
        self._store = store
        self._told = told
        self._deployment: int | None = None
        self._wish: Desired | None = None

    def began(self, wish: Desired) -> None:
        self._wish = wish
        self._told.began(wish)

    def step_began(self, step: str) -> None:
        if self._deployment is None and self._wish and self._wish.present and not self._wish.asleep:
            self._deployment = self._store.begin(self._wish, time.time())
        self._told.step_began(step)

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        if self._deployment is not None:
            self._store.step(StepTaken(self._deployment, step, started_at, duration_s, outcome))
        self._told.step_ended(step, started_at, duration_s, outcome)

    def line(self, step: str, text: str) -> None:
        self._told.line(step, text)

    def ended(self, outcome: str, error: CxError | None) -> None:
        if self._deployment is not None:
            message, log = (str(error), error.log) if error else ("", ())
            self._store.end(self._deployment, time.time(), outcome, message, log)
        self._told.ended(outcome, error)


def doing_to(wish: Desired) -> str:
    return "sleep" if wish.asleep else "deploy"


def reporter(store: Store, *, as_json: bool) -> Reporter:
    if as_json:
        return Recorded(store, Json())
    return Recorded(store, Live() if sys.stdout.isatty() else Plain())
