"""Which template the comments of a repository are written by: the host owner's, the repository's own, or cx's.

The repository's is that of its default branch, never a pull request's: whoever opens one would write what cx says.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cx import logs
from cx.core.errors import Invalid, NotFound
from cx.forges.github.answers import Forbidden
from cx.forges.github.comment import Template
from cx.forges.github.connection import Connection
from cx.settings.github import GitHub

PATH = ".cx/comment.md.j2"
SIZE_MAX = 64 * 1024  # bytes
KEPT_S = 15.0


@dataclass
class Templates:
    """What a repository has is asked for at most every KEPT_S seconds, and only when there is something to tell."""

    connection: Connection
    settings: GitHub
    clock: Callable[[], float] = time.monotonic
    _kept: dict[str, tuple[float, Template | Invalid | None]] = field(default_factory=dict, init=False)

    def of(self, repository: str) -> Template | None:
        """None: cx's own. Raises Invalid for one that cannot be used, Retryable when GitHub does not answer."""
        rules = self.settings.rules.get(repository)
        if rules is None:
            return None
        if rules.comment_template:
            return _read(rules.comment_template)
        if not rules.own_comment:
            return None
        asked_at, found = self._kept.get(repository, (float("-inf"), None))
        if self.clock() - asked_at > KEPT_S:
            found = self._asked(repository)
            self._kept[repository] = self.clock(), found
        if isinstance(found, Invalid):
            raise Invalid(found.where, found.key, found.problem)  # each time one of its own, with its own traceback
        return found

    def _asked(self, repository: str) -> Template | Invalid | None:
        try:  # without a `ref` it is the default branch's
            answer = self.connection.get(repository, f"/contents/{PATH}")
        except NotFound:
            return None
        except Forbidden as exc:
            logs.warning("the repository's comment template cannot be read", repository=repository, why=exc)
            return None
        if not isinstance(answer, dict) or answer.get("type") != "file":
            return Invalid(PATH, "", "is not a file")
        if answer["size"] > SIZE_MAX or answer.get("encoding") != "base64":
            return Invalid(PATH, "", f"is larger than {SIZE_MAX // 1024} KiB")
        try:
            return Template(PATH, base64.b64decode(answer["content"]).decode())
        except ValueError:
            return Invalid(PATH, "", "is not text in UTF-8")


def _read(path: Path) -> Template:
    try:
        return Template(str(path), path.read_text())
    except (OSError, ValueError) as exc:
        raise Invalid(str(path), "", getattr(exc, "strerror", None) or "cannot be read") from exc
