"""A pull request as GitHub has it, what it may have, and what is told of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, order=True)
class PullId:
    """`repository` is `owner/name`, in lower case: GitHub does not tell cases apart."""

    repository: str
    number: int

    def __str__(self) -> str:
        return f"{self.repository}#{self.number}"


@dataclass(frozen=True)
class Pull:
    """One reading of a pull request. `repository_id` and `head_repository_id` (None: deleted, or not ours to
    see) are GitHub's numbers; `head` is the commit, 40 hex digits; `base` the branch that it would go to."""

    id: PullId
    repository_id: int
    head_repository_id: int | None
    head: str
    base: str
    open: bool
    draft: bool = False
    labels: frozenset[str] = frozenset()
    default_branch: str = "main"

    @property
    def fork(self) -> bool:
        """Comes from another repository, or from one that cannot be known: by id, names can be taken over."""
        return self.head_repository_id != self.repository_id


class Phase(StrEnum):
    """What a person reads of a preview."""

    HELD = "waiting for approval"
    QUEUED = "queued"
    BUILDING = "building"
    CLONING = "cloning"
    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
    SLEEPING = "sleeping"
    REMOVED = "removed"
    TAKEN = "name taken"
    """Another origin owns the namespace: the pull request has no preview."""


@dataclass(frozen=True)
class ServiceShown:
    """`url` is "" for a service that no browser opens."""

    name: str
    url: str
    state: str = ""


@dataclass(frozen=True)
class DatabaseShown:
    """`golden_at` is when its golden was made, ISO 8601 in UTC; "" when that is not known."""

    name: str
    golden_at: str = ""


@dataclass(frozen=True)
class Report:
    """What a pull request should show now, whole: whoever announces it finds out what of it is new.

    `head` is the commit that it is about; `serving` the one that answers meanwhile ("" when none does).
    `position` counts from 1 in the queue. `took_s` is the time of the deployment, `release_s` that of its release
    command (None where none ran), in seconds. `step`, `message`, `remedy` and `log` are of a failure; secrets are
    masked in them already. `again`: the host failed, not the project, and cx tries again. `notes` answer commands.
    """

    pull: PullId
    namespace: str
    head: str
    phase: Phase
    position: int = 0
    serving: str = ""
    services: tuple[ServiceShown, ...] = ()
    databases: tuple[DatabaseShown, ...] = ()
    took_s: float | None = None
    release_s: float | None = None
    step: str = ""
    message: str = ""
    remedy: str = ""
    log: tuple[str, ...] = ()
    again: bool = False
    notes: tuple[str, ...] = ()
