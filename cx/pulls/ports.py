"""What following needs of the world; the adapters fill it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from cx.core.errors import CxError, Retryable
from cx.core.names import Namespace
from cx.core.origin import NOBODY, Origin
from cx.pulls.budget import Urgency
from cx.pulls.commands import Command
from cx.pulls.delivery import Delivery
from cx.pulls.statuses import Status
from cx.pulls.values import DatabaseShown, Pull, PullId, Report, ServiceShown


@dataclass(frozen=True)
class Credentials:
    """For fetching a repository by HTTPS. Goes to git by askpass, nowhere else."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(...)"


@dataclass(frozen=True)
class Comment:
    """What `login` wrote below the issue or pull request `number`, and has not changed since. `said_at`: Unix seconds,
    by GitHub's clock."""

    id: int
    number: int
    login: str
    body: str
    said_at: float


class ForgeFailed(CxError):
    """The forge itself does not answer, or refuses: nobody can be told of it there."""


class Repositories(Protocol):
    """The followed repositories, by the names of the host configuration (in lower case), as GitHub knows them: by a
    number that stays when they are renamed or transferred. Kept on disk."""

    def current(self, repository: str) -> str:
        """The name that it has now; its own as long as no other is known."""

    def number(self, repository: str) -> int | None:
        """None: nobody has asked yet."""

    def named(self, number: int) -> str | None:
        """The followed repository of that number."""

    def learn(self, repository: str, number: int, current: str) -> None:
        """What was known under a name that is not followed any more, and has this number, is of `repository` now.

        Raises Terminal when two followed names are one repository."""


class Forge(Protocol):
    """What is read of GitHub. All raise Retryable when it does not answer, Terminal when it refuses."""

    def pull(self, pull: PullId) -> Pull | None:
        """None when there is no such pull request (any more)."""

    def open_pulls(self, repository: str) -> Sequence[Pull]:
        """All of them, of every page, or an error: an incomplete list means nothing."""

    def comments(self, repository: str, since: float) -> Sequence[Comment]:
        """All that were written since then (Unix seconds), of every page, or an error; without those that were edited:
        an edit is not seen by those who are told of new ones."""

    def changed_paths(self, pull: PullId) -> Sequence[str]: ...

    def may_write(self, repository: str, login: str) -> bool:
        """Asked of the API: what a payload says of its author is not proof."""

    def fetch_url(self, repository: str) -> str: ...

    def credentials(self, repository: str) -> Credentials | None: ...

    def refused(self) -> Sequence[str]:
        """What was not allowed when it was last asked, in words that name no repository. Asks nothing."""


@dataclass(frozen=True)
class Gauge:
    """A number for monitoring, as it is now. `label` is the name of a label and its value; it names no repository,
    person or preview."""

    name: str
    text: str
    value: float
    label: tuple[str, str] | None = None


class Announcer(Protocol):
    """What is written to GitHub. Level-triggered: `announce` makes GitHub show the report, however often it is
    called, and writes nothing when it shows it already. Raises Retryable (with `retry_after_s`, if GitHub said)
    or Terminal; a preview never fails by it. Early: the budget of writes has no room, and the rest is written by the
    next call."""

    def announce(self, report: Report, urgency: Urgency = Urgency.FINAL) -> None: ...

    def status(self, pull: PullId, sha: str, status: Status, urgency: Urgency) -> None:
        """The commit shows this status. `pull` is one that has the commit."""

    def wait_s(self, urgency: Urgency) -> float:
        """In how many seconds something so urgent may be written; 0: now. Asks nobody."""

    def gauges(self) -> Sequence[Gauge]:
        """What is left of the budget."""

    def react(self, repository: str, comment: int, reaction: str) -> None:
        """`reaction` as GitHub names it: eyes, rocket, confused, +1, -1."""


# --- what asks for a look


@dataclass(frozen=True)
class Ticket:
    """A pull request's turn. `generation` counts how often it was asked for; `delivery` asked last ("": no delivery
    did). `tries`: how often in a row it has failed since somebody asked. `pull.number` 0 stands for the whole
    repository: compare it with GitHub."""

    pull: PullId
    generation: int
    delivery: str = ""
    tries: int = 0


class Queue(Protocol):
    """Pull requests to look at: one place for each, kept on disk, in the order in which they were asked for.

    Number 0 of a repository asks for a comparison of all of it. One process works the queue at a time (the one that
    holds the lock `following`); any may ask.
    """

    def ask(self, pull: PullId, delivery: str = "", not_before: float = 0) -> None:
        """It has a place in the queue. One that waits keeps its place; one that is being looked at comes again after.
        `not_before` is in Unix seconds; of two that are asked for, the earlier holds."""

    def take(self, now: float) -> Ticket | None:
        """The first that is due and that nobody looks at; it is being looked at from now on."""

    def done(self, ticket: Ticket) -> None:
        """It leaves the queue, unless somebody has asked again since it was taken."""

    def again(self, ticket: Ticket, not_before: float, tries: int = 0, trouble: str = "") -> None:
        """It waits again, at its old place, until `not_before` or until somebody asks. `tries` comes back with its next
        ticket, unless somebody asks; `trouble` is told until that look has ended."""

    def tried(self, pull: PullId) -> bool:
        """It has failed, and waits to be tried again."""

    def troubled(self) -> Mapping[PullId, str]:
        """Those whose last look failed, by no fault of the forge's, and why."""

    def asked_since(self, ticket: Ticket) -> bool:
        """Somebody has asked for it since it was taken: what is being done may be of no use any more."""

    def generation(self, pull: PullId) -> int:
        """Grows with every asking; 0 when it has no place in the queue."""

    def position(self, pull: PullId) -> int:
        """From 1 among those that wait and are due; 0 when it does not wait."""

    def waiting(self) -> list[PullId]:
        """All that wait, first those that are due."""

    def recover(self) -> int:
        """What a dead process was looking at waits again; how many. Only for who holds the lock `following`."""


class Inbox(Queue, Protocol):
    """The queue with the deliveries that fill it: stored before they are acknowledged."""

    def accept(self, delivery: Delivery) -> bool:
        """As `accept_all`, of one."""

    def accept_all(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """Each is stored with what it asks for; False for one that was there already."""

    def running(self) -> list[PullId]:
        """All that are being looked at."""

    def probe(self) -> None:
        """The disk takes a durable write, as a delivery is written. Raises Retryable, Terminal."""


class Commands(Protocol):
    """What people have told cx in comments, kept until it was answered."""

    def unanswered(self, pull: PullId) -> list[Command]:
        """Oldest first."""

    def heard_until(self, repository: str) -> float | None:
        """Until when its comments were listed for commands, in Unix seconds; None: they never were."""

    def overheard(self, repository: str, commands: Sequence[Command], until: float) -> int:
        """Kept, those that are not there yet; how many. What was said before `until` need not be listed again.

        One that was said before another that is answered already was overtaken by it, and is not kept.
        """

    def answered(self, command: Command, outcome: str) -> None:
        """It is not asked for again. `outcome` is a word for the history: done, refused, failed."""


# --- what cx remembers of a pull request


@dataclass(frozen=True)
class Failure:
    """Why the deployment of `head` failed, secrets masked. `basis` stands for everything that it was made of: while
    that is the same, trying again changes nothing. `release_s`: so long its release command ran, if it came so far."""

    head: str
    basis: str
    step: str
    message: str
    remedy: str = ""
    log: tuple[str, ...] = ()
    release_s: float | None = None


@dataclass(frozen=True)
class Known:
    """What cx knows of a pull request that cannot be observed. The row is there before its namespace is, and goes
    after it.

    `approved` is the one commit of a fork that may be built; `held` the one that people were told waits for it.
    `deleted`: somebody said `/cx delete`; `expired`: the commit whose preview has lived long enough. `taken`: another
    origin owned its namespace. `unsaid`: GitHub may not show yet what is so. `head` is the newest commit that was
    judged; `notes` answer the commands that were said about it.
    """

    pull: PullId
    namespace: Namespace
    head: str = ""
    approved: str = ""
    held: str = ""
    deleted: bool = False
    expired: str = ""
    removed: bool = False
    taken: bool = False
    unsaid: bool = False
    failure: Failure | None = None
    notes: tuple[str, ...] = ()


class Pulls(Protocol):
    """Rows of Known, on disk."""

    def known(self, pull: PullId) -> Known | None: ...

    def keep(self, known: Known) -> None: ...

    def settle(self, handed: Known, after: Known | None) -> bool:
        """`after` takes the place of `handed` (None: the row goes), unless the row has changed since; whether it has
        not."""

    def all_known(self, repository: str) -> Sequence[Known]: ...


# --- what happens on the host


@dataclass(frozen=True)
class Order:
    """What a namespace is to be. `origin` tells a fork's from the repository's own (see `origin_of`); `tree` is ""
    until the commit was fetched. `action`: deploy, reset (deploy with fresh data), sleep,
    wake, delete, or settle (as it is wanted already)."""

    namespace: Namespace
    action: str
    project: str = ""
    origin: Origin = NOBODY
    commit: str = ""
    tree: str = ""
    environment: str = "preview"
    values: Mapping[str, str] = field(default_factory=dict)
    dirty: bool = False


@dataclass(frozen=True)
class Standing:
    """What there is of a namespace. `ready`: what was ordered is what answers (or sleeps), and nothing else is there;
    `serving` is the commit that answers ("": none). `basis` as in Failure.
    `release_s`: how long the release command ran for what answers."""

    ready: bool
    basis: str
    asleep: bool = False
    serving: str = ""
    services: tuple[ServiceShown, ...] = ()
    databases: tuple[DatabaseShown, ...] = ()
    took_s: float | None = None
    release_s: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a job ended: ready, awake, asleep, unchanged, deleted, failed, cancelled, or retry: the world may be better
    in a minute. `release_s`: so long the release command ran; None: it did not come so far."""

    outcome: str
    step: str = ""
    message: str = ""
    remedy: str = ""
    log: tuple[str, ...] = ()
    release_s: float | None = None


class Previews(Protocol):
    """The host, as far as it is asked in this process. `origin` is the pull request's: of what another origin owns it
    is told nothing, and changes nothing."""

    def standing(self, order: Order) -> Standing: ...

    def taken(self, namespace: Namespace, origin: Origin, *, to_remove: bool = False) -> bool:
        """Another origin owns the namespace: it may not be deployed to, or not be removed."""

    def want_absent(self, namespace: Namespace, origin: Origin) -> None:
        """Written down before anything is removed. Raises Owned."""

    def unwell(self, repository: str) -> set[Namespace]:
        """Those of the repository that are wanted, and are not what they should be."""

    def over(self, namespace: Namespace, commit: str, origin: Origin) -> bool:
        """It is wanted at this very commit, and has lived as long as it should."""

    def extend(self, namespace: Namespace, lasting_s: float, origin: Origin) -> str:
        """It lives so long from now, or longer if it did already; until when, for people. Raises NotFound."""

    def values(self, repository: str) -> Mapping[str, str]:
        """The variables that the host's owner gives to the repository's own previews."""

    def log(self, namespace: Namespace, service: str, origin: Origin) -> Sequence[str]:
        """The last lines that the service printed. Raises NotFound."""


class Jobs(Protocol):
    """Deployments and deletions, each in a process of its own that is killed when `cancelled` says so."""

    def run(self, order: Order, cancelled: Callable[[], bool], told: Callable[[Mapping[str, Any]], None]) -> Ended: ...


class Moved(Retryable):
    """The pull request has another head by now."""


class Cancelled(Retryable):
    """What was being done is of no use any more."""


class Fetcher(Protocol):
    def fetch(self, pull: Pull, cancelled: Callable[[], bool], *, insist: bool = False) -> tuple[str, str]:
        """The pull request's head is in cx's mirror: the mirror's name, and the commit's tree.

        Exactly this commit. Raises Moved when the remote shows another one as the head, unless `insist`; Cancelled;
        Retryable when the remote does not have the commit, or does not answer; Terminal: too big.
        """

    def forget(self, pull: PullId) -> None:
        """Nothing of the pull request is kept in the mirror."""

    def refused(self) -> Sequence[str]:
        """As of a Forge."""

    def tidy(self, cancelled: Callable[[], bool]) -> None:
        """Mirrors are small again, where it is time; bounded, in nobody's way, and ended when `cancelled` says so."""


def origin_of(pull: Pull) -> Origin:
    """What is granted to a repository is not granted to its forks."""
    return Origin.pulls_of(pull.id.repository, fork=pull.fork)
