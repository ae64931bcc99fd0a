"""One request to GitHub and its answer, and what an answer means that is none: errors as ours.

https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from github import Github
from github.Requester import HTTPRequestsConnectionClass, HTTPSRequestsConnectionClass, Requester

from cx.core.errors import NotFound, Retryable, Terminal
from cx.pulls import ForgeFailed

TIMEOUT_S = 30
LIMITED_S = 60.0  # when GitHub limits, and does not say for how long
LONGEST_S = 3600.0
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28"}
_Sockets = HTTPRequestsConnectionClass | HTTPSRequestsConnectionClass


class Unavailable(ForgeFailed, Retryable):
    """GitHub did not answer, or said that it cannot now. `retry_after_s` is None when it named no time. `spent`: no
    request is left, of any kind."""

    def __init__(self, what: str, retry_after_s: float | None = None, *, spent: bool = False) -> None:
        super().__init__(what, remedy="it is tried again")
        self.retry_after_s = retry_after_s
        self.spent = spent


class Elsewhere(Unavailable):
    """GitHub names another address, `location`: a repository was renamed or transferred."""

    def __init__(self, doing: str, status: int, location: str) -> None:
        super().__init__(f"GitHub answers {status}, and leads elsewhere ({doing})")
        self.location = location


class Declined(ForgeFailed, Terminal):
    """GitHub does not take what was sent."""


class Unknown(ForgeFailed, NotFound):
    """GitHub knows nothing of it, or does not show it."""


class Forbidden(ForgeFailed, Terminal):
    """GitHub will not do it for who asks."""


class Refused(Forbidden):
    """GitHub does not know who asks."""


class AppRefused(Refused):
    """GitHub does not know the App, or not by this key."""


class NotInstalled(Forbidden):
    """The GitHub App may nothing there."""


class Locked(Forbidden):
    """Nobody may comment in this one conversation."""


class Stranger(Forbidden):
    """The repository of this name is not the one that was followed."""


@dataclass(frozen=True)
class Answer:
    """Names of `headers` are in lower case; `document` is None where there is none."""

    headers: Mapping[str, str]
    document: Any


class _Led(Exception):
    """A redirection, before PyGithub follows it without its query (301), or takes it for a success (307)."""

    def __init__(self, status: int, location: str) -> None:
        super().__init__(status, location)
        self.status = status
        self.location = location


@dataclass
class Transport:
    """PyGithub, with its own retries and pauses off. Threads may share it: each has its own sockets.

    Redirections are not followed, and are no answer.
    """

    base_url: str
    _requester: Requester = field(init=False, repr=False)
    _own: threading.local = field(default_factory=threading.local, init=False, repr=False)
    _all: list[_Sockets] = field(default_factory=list, init=False, repr=False)  # of all threads

    def __post_init__(self) -> None:
        self._requester = Github(
            base_url=self.base_url.rstrip("/"),
            timeout=TIMEOUT_S,
            user_agent="cx",
            retry=None,
            seconds_between_requests=0,
            seconds_between_writes=0,
        ).requester
        weakref.finalize(self, _close, self._all)

    def send(
        self,
        verb: str,
        path: str,
        authorization: str,
        parameters: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Once, with no second try. `path` is below `base_url`. Raises ForgeFailed."""
        doing, headers = f"{verb} {path}", HEADERS | {"Authorization": authorization}
        try:
            status, named, text = self._requester.requestJson(
                verb, path, dict(parameters or {}) or None, headers, body, self._sockets()
            )
        except _Led as exc:
            raise Elsewhere(doing, exc.status, exc.location) from exc
        except (requests.RequestException, ConnectionError, TimeoutError) as exc:
            raise Unavailable(f"GitHub does not answer ({doing}: {type(exc).__name__})") from exc
        good = 200 <= status < 300
        try:
            document = json.loads(text) if text else None
        except ValueError as exc:
            document = {}
            if good:
                raise Unavailable(f"GitHub's answer is no JSON ({doing})") from exc
        names = {str(key).lower(): str(value) for key, value in named.items()}
        if not good:
            raise _translation(doing, status, names, document)
        return Answer(names, document)

    def _sockets(self) -> _Sockets:
        made: _Sockets | None = getattr(self._own, "sockets", None)
        if made is None:
            parts = urlsplit(self.base_url)
            kind = HTTPSRequestsConnectionClass if parts.scheme == "https" else HTTPRequestsConnectionClass
            made = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
            made.session.hooks["response"].append(_stay)
            self._own.sockets = made
            self._all.append(made)
        return made

    def path_of(self, location: str) -> str | None:
        """The path below `base_url` of an address that GitHub named; None: it is not there."""
        base = self.base_url.rstrip("/") + "/"
        return f"/{location.removeprefix(base)}" if location.startswith(base) else None


def _close(sockets: list[_Sockets]) -> None:
    for one in sockets:
        one.close()


def _stay(answer: requests.Response, *_: Any, **__: Any) -> None:
    if 300 <= answer.status_code < 400:
        answer.close()
        raise _Led(answer.status_code, answer.headers.get("location", ""))


def _translation(doing: str, status: int, headers: Mapping[str, str], document: Any) -> ForgeFailed:
    message = document.get("message", "") if isinstance(document, dict) else ""
    message = " ".join(str(message).split())[:200]
    after, spent = _retry_after(headers), headers.get("x-ratelimit-remaining") == "0"
    limited = after is not None or spent or "rate limit" in message.lower()
    if status == 429 or (status == 403 and limited):
        what = f"GitHub limits how often it is asked: {message}"
        return Unavailable(what, min(after or LIMITED_S, LONGEST_S), spent=spent)
    if status >= 500:
        return Unavailable(f"GitHub answers {status} ({doing})", after)
    if status == 401:
        return Refused(
            f"GitHub refuses the token: {message}", remedy="renew it: docs/github.md says what it has to be allowed"
        )
    if status in (404, 410):
        return Unknown(f"GitHub knows nothing of it ({doing})", remedy="may the token see the repository?")
    if status == 403:
        kind = Locked if "is locked" in message else Forbidden
        return kind(f"GitHub does not allow it ({doing}): {message}", remedy="docs/github.md lists the permissions")
    return Declined(f"GitHub does not take it ({doing}): {status} {message}")


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds, of `Retry-After` or, when nothing is left, of `X-RateLimit-Reset`."""
    if text := headers.get("retry-after"):
        if text.strip().isdigit():
            return float(text)
        try:
            return max(1.0, parsedate_to_datetime(text).timestamp() - time.time())
        except ValueError:
            return LIMITED_S
    if headers.get("x-ratelimit-remaining") == "0" and headers.get("x-ratelimit-reset", "").isdigit():
        return max(1.0, float(headers["x-ratelimit-reset"]) - time.time())
    return None
