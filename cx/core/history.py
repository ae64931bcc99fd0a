"""History: the attempts at a namespace, and the steps that each took."""

from __future__ import annotations

from dataclasses import dataclass

FRESH = ("deploy", "reset")  # after these all that serves was made anew
SERVING = (*FRESH, "restore", "branch", "wake")  # what ends with something that serves


@dataclass(frozen=True)
class Deployment:
    """One attempt. `doing`: deploy, reset, restore, branch, wake, sleep or delete. `outcome`: running, ready, awake,
    asleep, failed, superseded, interrupted, died. Times are Unix seconds."""

    id: int
    namespace: str
    revision: str
    version: str
    started_at: float
    finished_at: float | None
    outcome: str
    message: str
    log: tuple[str, ...]
    doing: str = "deploy"


@dataclass(frozen=True)
class StepTaken:
    deployment: int
    step: str
    started_at: float
    duration_s: float
    outcome: str


@dataclass(frozen=True)
class Chore:
    """The newest run of work that nobody waits for, such as a refill of spares. `outcome`: running, done, failed, died.
    Times are Unix seconds."""

    name: str
    started_at: float
    finished_at: float | None
    outcome: str
    message: str = ""

    @property
    def failed(self) -> bool:
        return self.outcome in ("failed", "died")
