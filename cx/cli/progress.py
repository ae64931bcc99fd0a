"""How a pass is told: to a terminal, to a pipe, to a program, and to the history."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from cx.cli.ending import failed
from cx.cli.output import printable
from cx.core.errors import CxError, Terminal
from cx.core.events import Telling, doing
from cx.core.names import Namespace
from cx.core.ports import Reporter
from cx.core.state import Desired
from cx.host.printing import Printed

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cx.host import Host


class Plain:
    """A line for each step that has ended: for pipes and logs. `what` is done, where the wish does not tell."""

    def __init__(self, what: str = "") -> None:
        self.namespace, self.what = "", what

    def began(self, wish: Desired) -> None:
        self.namespace = wish.namespace.name
        what = f"{self.what or doing(wish)} {wish.version}" if wish.present else "delete"
        print(f"{self.namespace}: {what}", flush=True)

    def step_began(self, step: str) -> None:
        pass

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        print(f"{self.namespace}: {step}: {outcome} in {duration_s:.2f} s", flush=True)

    def line(self, step: str, text: str) -> None:
        if step == "wait":
            print(text, flush=True)

    def ended(self, outcome: str, error: CxError | None) -> None:
        pass


class Live:
    """On a terminal: what runs, for how long, and its last line; what has ended stays above."""

    def __init__(self, what: str = "") -> None:
        from rich.console import Console
        from rich.live import Live as Screen

        self._what = what
        self._console = Console(stderr=False, highlight=False)
        self._running: dict[str, tuple[float, str]] = {}
        self._lock = threading.Lock()
        self._screen = Screen(get_renderable=self._now, console=self._console, refresh_per_second=10, transient=True)

    def began(self, wish: Desired) -> None:
        what = f"{self._what or doing(wish)} [bold]{wish.version}[/] as" if wish.present else "delete"
        self._console.print(f"{what} [bold cyan]{wish.namespace}[/]")
        self._screen.start()

    def step_began(self, step: str) -> None:
        with self._lock:
            self._running[step] = (time.monotonic(), "")

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        from rich.markup import escape

        with self._lock:
            self._running.pop(step, None)
        sign = "[green]✓[/]" if outcome == "done" else "[red]✗[/]"
        self._console.print(f"  {sign} {escape(self._column(step))} [dim]{duration_s:6.2f} s[/]")

    def line(self, step: str, text: str) -> None:
        if step == "wait":  # for somebody else: no step of its own
            self._console.print(f"  … {printable(text)}", style="dim", markup=False)
            return
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
        lines = [
            f"  {frame} {self._column(step)} {now - since:6.1f} s  {text[:60]}"
            for step, (since, text) in running.items()
        ]
        return Text("\n".join(lines), no_wrap=True, overflow="ellipsis")

    def _column(self, step: str) -> str:
        """As wide as the terminal lets it be beside sign and time, so that each step is a line of its own."""
        width = max(8, min(44, self._console.width - 14))
        return step.ljust(width) if len(step) <= width else f"{step[: width - 1]}…"


def teller(*, as_json: bool, what: str = "") -> Reporter:
    """Tells who sits before this terminal, pipe or program."""
    if as_json:
        return Telling(Printed())
    return Live(what) if sys.stdout.isatty() else Plain(what)


def reporter(host: Host, *, as_json: bool) -> Reporter:
    return host.record(teller(as_json=as_json))


@contextmanager
def interruptible(namespace: Namespace, report: Reporter, ended: Callable[[], None]) -> Iterator[None]:
    """Meanwhile an interrupt ends this process at once, with code 130, and one line. `ended` writes it down before.

    Threads of a pass would keep it until what they wait for has come: a build's end. Nothing is lost, as any step may
    be the last one. A second interrupt does not even wait for the line.
    """

    def leave() -> None:
        with suppress(CxError):  # no history is worth an interrupt that does not end
            ended()
        report.ended("interrupted", None)
        why = Terminal(f"{namespace}: interrupted", remedy="the same command goes on from there")
        why.exit_code = 130
        failed(why)

    def interrupted(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        threading.Thread(target=leave).start()  # what this thread holds, such as the screen, it lets go of

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
