"""The events of a change, as `--json` prints them and the API sends them: one object in a line."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import msgspec

from cx.core.errors import CxError, Invalid, NotFound, Retryable, Terminal
from cx.core.names import Namespace
from cx.core.ports import Reporter
from cx.core.previews import Ending, Told


class Event(msgspec.Struct, kw_only=True, tag_field="event"):
    """`at` is in Unix seconds."""

    at: float = 0.0


class Began(Event, tag="began"):
    """`doing`: deploy, sleep or delete; `revision` is null when it is to go."""

    namespace: str
    doing: str
    version: str = ""
    revision: str | None = None


class StepBegan(Event, tag="step_began"):
    step: str


class StepEnded(Event, tag="step_ended"):
    """`outcome`: done or failed."""

    step: str
    duration_s: float
    outcome: str


class Line(Event, tag="line"):
    """A line that a step printed."""

    step: str
    text: str


class Ended(Event, tag="ended"):
    """A pass is over; one of the following comes next, as the last event."""

    outcome: str


class _Done(Event):
    namespace: str = ""
    urls: list[str] = []
    duration_s: float = 0.0
    notes: list[str] = []


class Ready(_Done, tag="ready"):
    """What was wanted has answered at its URLs."""


class Awake(_Done, tag="awake"):
    """What slept has answered."""


class Asleep(_Done, tag="asleep"):
    """Nothing of it runs; all else is kept."""


class Unchanged(_Done, tag="unchanged"):
    """It was so before."""


class Deleted(_Done, tag="deleted"):
    """Nothing of it is left."""


class Failed(Event, tag="error"):
    """What happened, what to do about it, the last lines that matter. `exit_code`: 1 failed, 2 wrong use, 75 try
    again."""

    error: str
    remedy: str = ""
    log: list[str] = []
    exit_code: int = 1


Done = Ready | Awake | Asleep | Unchanged | Deleted
AnyEvent = Began | StepBegan | StepEnded | Line | Ended | Ready | Awake | Asleep | Unchanged | Deleted | Failed
DONE: Mapping[str, type[_Done]] = {
    "ready": Ready, "awake": Awake, "asleep": Asleep, "unchanged": Unchanged, "deleted": Deleted,
}  # fmt: skip


def failed(exc: CxError) -> Failed:
    log = [_text(line) for line in exc.log]
    return Failed(
        at=round(time.time(), 3), error=_text(exc.what), remedy=_text(exc.remedy), log=log, exit_code=exc.exit_code
    )


def _text(said: str) -> str:
    """What other programs said of names that are not UTF-8, as text that can be handed on."""
    return said.encode(errors="replace").decode()


def error_of(what: str, remedy: str, log: list[str], exit_code: int, *, missing: bool = False) -> CxError:
    """The error that somebody else told of."""
    kind: type[CxError] = Retryable if exit_code == Retryable.exit_code else NotFound if missing else Terminal
    error = kind(what, remedy=remedy, log=log)
    if exit_code == Invalid.exit_code:
        error.exit_code = Invalid.exit_code
    return error


class Retold:
    """Tells a reporter what somebody else tells of a change in events."""

    def __init__(self, report: Reporter) -> None:
        self._report = report

    def take(self, event: AnyEvent) -> Ending | None:
        """The ending, when this is the last event. Raises the CxError that it tells of."""
        match event:
            case Began():
                asleep, present = event.doing == "sleep", event.doing != "delete"
                self._report.began(
                    Told(
                        Namespace(event.namespace), present, asleep=asleep,
                        said_version=event.version, said_revision=event.revision or "",
                    )
                )  # fmt: skip
            case StepBegan():
                self._report.step_began(event.step)
            case StepEnded():
                self._report.step_ended(event.step, time.time() - event.duration_s, event.duration_s, event.outcome)
            case Line():
                self._report.line(event.step, event.text)
            case Ended():
                self._report.ended(event.outcome, None)
            case Failed():
                raise error_of(event.error, event.remedy, event.log, event.exit_code)
            case _Done():
                return Ending(event.__struct_config__.tag, tuple(event.urls), tuple(event.notes))  # type: ignore[arg-type]
        return None


class Telling:
    """A reporter that hands every event to `say`."""

    def __init__(self, say: Any) -> None:
        self._say = say

    def began(self, wish: Any) -> None:
        self._say(
            Began(
                at=_now(), namespace=wish.namespace.name, doing=doing(wish),
                version=wish.version if wish.present else "",
                revision=wish.revision if wish.present else None,
            )
        )  # fmt: skip

    def step_began(self, step: str) -> None:
        self._say(StepBegan(at=_now(), step=step))

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        self._say(StepEnded(at=_now(), step=step, duration_s=round(duration_s, 3), outcome=outcome))

    def line(self, step: str, text: str) -> None:
        self._say(Line(at=_now(), step=step, text=text))

    def ended(self, outcome: str, error: CxError | None) -> None:
        self._say(Ended(at=_now(), outcome=outcome))


def done(ending: Ending, namespace: Namespace, duration_s: float) -> _Done:
    return DONE[ending.outcome](
        at=_now(), namespace=namespace.name, urls=list(ending.urls), duration_s=round(duration_s, 3),
        notes=list(ending.notes),
    )  # fmt: skip


def doing(wish: Any) -> str:
    return "delete" if not wish.present else "sleep" if wish.asleep else "deploy"


def _now() -> float:
    return round(time.time(), 3)
