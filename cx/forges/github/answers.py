"""One request to GitHub and its answer, and what an answer means that is none: errors as ours.

https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api
"""

from __future__ import annotations

import os
import ssl
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import certifi
import httpx

from cx.core.errors import NotFound, Retryable, Terminal
from cx.pulls import ForgeFailed

TIMEOUT_S = 30
LIMITED_S = 60.0  # when GitHub limits, and does not say for how long
LONGEST_S = 3600.0
HEADERS = {"Accept": "application/vnd.github+json", "X-GitHub-Api-Version": "2022-11-28", "User-Agent": "cx"}


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


@dataclass
class Transport:
    """Threads may share it. Redirections are not followed, and are no answer."""

    base_url: str
    _client: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        verify = _trusted() if self.base_url.startswith("https:") else False  # it takes 50 ms
        self._client = httpx.Client(headers=HEADERS, timeout=TIMEOUT_S, follow_redirects=False, verify=verify)
        weakref.finalize(self, self._client.close)

    def send(
        self,
        verb: str,
        path: str,
        authorization: str,
        parameters: Mapping[str, str | int] | None = None,
        body: Mapping[str, Any] | None = None,
    ) -> Answer:
        """Once, with no second try. `path` is below `base_url`. Raises ForgeFailed."""
        doing, headers = f"{verb} {path}", {"Authorization": authorization}
        url = f"{self.base_url.rstrip('/')}{path}"
        try:
            answer = self._client.request(verb, url, params=dict(parameters or {}) or None, json=body, headers=headers)
            document = answer.json() if answer.content else None
        except httpx.HTTPError as exc:
            raise Unavailable(f"GitHub does not answer ({doing}: {type(exc).__name__})") from exc
        except ValueError as exc:
            document = {}
            if answer.is_success:
                raise Unavailable(f"GitHub's answer is no JSON ({doing})") from exc
        if not answer.is_success:
            raise _translation(doing, answer, document)
        return Answer(answer.headers, document)

    def path_of(self, location: str) -> str | None:
        """The path below `base_url` of an address that GitHub named; None: it is not there."""
        base = self.base_url.rstrip("/") + "/"
        return f"/{location.removeprefix(base)}" if location.startswith(base) else None


def _trusted() -> ssl.SSLContext:
    """The machine's authorities, as git has them, those of certifi, and those that the owner names for Python."""
    context = ssl.create_default_context(cafile=os.environ.get("REQUESTS_CA_BUNDLE") or None)
    context.load_default_certs()
    context.load_verify_locations(certifi.where())
    return context


def _translation(doing: str, answer: httpx.Response, document: Any) -> ForgeFailed:
    headers, status = answer.headers, answer.status_code
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
    if status < 400:
        return Elsewhere(doing, status, headers.get("location", ""))
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
