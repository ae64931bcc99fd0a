"""Everything that cx raises on purpose.

    CxError
    ├── Retryable         the world may be better in a minute (exit 75)
    │   └── Busy          somebody else holds the namespace
    └── Terminal          trying again changes nothing (exit 1)
        ├── Defect        an exception that no adapter translated
        ├── Invalid       a value from outside is wrong: names where and which key (exit 2)
        ├── Refused       the policy does not allow what a project asks for
        ├── Owned         another origin owns the namespace
        ├── BuildFailed, ReleaseFailed, StartFailed, ProbeFailed
        │                 a deployment's own fault; carries the last lines of its log
        └── NotFound      what was named does not exist

Adapters translate foreign errors into these, with facts; the edges turn them into one line.
"""

from __future__ import annotations

from collections.abc import Sequence


class CxError(Exception):
    """What happened (`what`), and what to do about it (`remedy`, may be empty).

    `log` holds the last lines that matter, oldest first.
    """

    exit_code = 1

    def __init__(self, what: str, *, remedy: str = "", log: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.log = tuple(log)

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}" if self.remedy else self.what


class Retryable(CxError):
    exit_code = 75


class Busy(Retryable):
    pass


class Terminal(CxError):
    pass


class Invalid(Terminal):
    """A value from outside is wrong. `where` names the file (or flag, variable), `key` the place in it."""

    exit_code = 2

    def __init__(self, where: str, key: str, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"{where}: {key}: {problem}" if key else f"{where}: {problem}", remedy=remedy)
        self.where = where
        self.key = key
        self.problem = problem


class Refused(Terminal):
    """The policy refuses what a project asks for; `reasons` has one line for each finding."""

    def __init__(self, where: str, reasons: Sequence[str]) -> None:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        super().__init__(
            f"{where}: {reasons[0]}{more}",
            remedy="change it, or leave the service out (replicas = 0 in cx.toml): docs/guide.md says how",
            log=reasons,
        )
        self.reasons = tuple(reasons)


class Owned(Terminal):
    """Another origin owns the namespace: whoever asked gets nothing of it, and changes nothing."""


class BuildFailed(Terminal):
    pass


class ReleaseFailed(Terminal):
    pass


class StartFailed(Terminal):
    pass


class ProbeFailed(Terminal):
    pass


class NotFound(Terminal):
    pass


class Defect(Terminal):
    """A defect of cx or of a library: an exception that no adapter translated, by its type and by its place in cx.

    The exception's own text may hold a secret, and stays in the structured log.
    """

    @classmethod
    def or_own(cls, exc: BaseException) -> CxError:
        """`exc`, where cx raised it on purpose."""
        return exc if isinstance(exc, CxError) else cls.of(exc)

    @classmethod
    def of(cls, exc: BaseException) -> Defect:
        name, place, trace = f"{type(exc).__module__}.{type(exc).__qualname__}", "", exc.__traceback__
        while trace:
            module = str(trace.tb_frame.f_globals.get("__name__", ""))
            if module.partition(".")[0] == "cx":
                place = f" in {module}, line {trace.tb_lineno}"
            trace = trace.tb_next
        what = f"a defect of cx ended it ({type(exc).__name__})"
        return cls(what, remedy="report it; the log of cx has the rest", log=[name + place])
