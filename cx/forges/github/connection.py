"""One way of asking GitHub, over PyGithub with its own retries off.

Reads are tried again at once a few times; what writes is not: whoever wrote looks first what is there (a 502 may come
after the effect). When GitHub names a time, nobody of this process asks before it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from github import Auth, Github, GithubException, GithubIntegration
from github.GithubException import BadCredentialsException, UnknownObjectException
from github.Installation import Installation
from jwt import PyJWTError

from cx.core.errors import Invalid, NotFound, Retryable, Terminal
from cx.forges.github.refusals import Refusals
from cx.pulls.budget import Budget, Urgency
from cx.settings.github import GitHub

TIMEOUT_S = 30
READS = 3
PAUSES_S = (0.5, 2.0)
PAGES_MAX = 1000
LIMITED_S = 60.0  # when GitHub limits, and does not say for how long
LONGEST_S = 3600.0


class Unavailable(Retryable):
    """GitHub did not answer, or said that it cannot now. `retry_after_s` is None when it named no time. `spent`: no
    request is left, of any kind."""

    def __init__(self, what: str, retry_after_s: float | None = None, *, spent: bool = False) -> None:
        super().__init__(what, remedy="it is tried again")
        self.retry_after_s = retry_after_s
        self.spent = spent


class Forbidden(Terminal):
    """GitHub will not do it for who asks."""


class Refused(Forbidden):
    """GitHub does not know who asks."""


class NotInstalled(Forbidden):
    """The GitHub App may nothing there."""


class Locked(Forbidden):
    """Nobody may comment in this one conversation."""


@dataclass
class Connection:
    """`login(repository)` gives PyGithub's Auth for it. Threads may share a connection: each has its own sockets."""

    base_url: str
    login: Callable[[str], Auth.Auth]
    budget: Budget = field(default_factory=Budget)
    sleep: Callable[[float], None] = time.sleep
    _own: threading.local = field(default_factory=threading.local, init=False, repr=False)
    _not_before: float = field(default=0.0, init=False)
    refusals: Refusals = field(default_factory=Refusals, init=False)

    @classmethod
    def of(cls, settings: GitHub, environ: Mapping[str, str], budget: Budget | None = None) -> Connection:
        return cls(settings.base_url, _logins(settings, environ), budget or Budget())

    # --- asking
    def get(self, repository: str, path: str, **parameters: str | int) -> Any:
        """`path` is below the repository: `/pulls/3`. Raises NotFound, Forbidden, Unavailable."""
        return self._read(repository, self._url(repository, path), parameters)[1]

    def pages(self, repository: str, path: str, **parameters: str | int) -> list[Any]:
        """The items of every page, or an error."""
        return list(self._pages(repository, path, parameters))

    def write(
        self, urgency: Urgency, verb: str, repository: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Once. After Unavailable it is not known whether it was done; after Early it was not."""
        self._may_ask()
        with self.budget.write(urgency):
            return self._asked(repository, verb, self._url(repository, path), {}, body)[1]

    def get_root(self, repository: str, path: str) -> Any:
        """What is not below a repository: `/user`. With what logs in for `repository`."""
        return self._read(repository, path, {})[1]

    def about(self, repository: str) -> tuple[Mapping[str, str], Any]:
        """The repository, with the headers (names in lower case) of the answer."""
        return self._read(repository, self._url(repository, ""), {})

    def permissions(self, repository: str) -> Mapping[str, str] | None:
        """What the GitHub App was given there, such as `{"contents": "read"}`; None for a token."""
        if not isinstance(self.login, _Installations):
            return None
        with _translated(f"log in for {repository}"):
            return self.login.permissions(repository)

    def token(self, repository: str) -> str:
        """What the repository is fetched with."""
        with _translated(f"log in for {repository}"):
            return str(self.login(repository).token)

    # --- parts
    @staticmethod
    def _url(repository: str, path: str) -> str:
        return f"/repos/{repository}{path}"

    def _pages(self, repository: str, path: str, parameters: Mapping[str, str | int]) -> Iterator[Any]:
        url, asked = self._url(repository, path), dict(parameters) | {"per_page": 100}
        for number in range(1, PAGES_MAX + 1):
            headers, items = self._read(repository, url, asked | {"page": number})
            if not isinstance(items, list):
                raise Unavailable(f"GitHub's answer about {path} of {repository} is not a list")
            yield from items
            if 'rel="next"' not in headers.get("link", ""):
                return
        raise Unavailable(f"{path} of {repository} has more than {PAGES_MAX} pages")

    def _read(self, repository: str, url: str, parameters: Mapping[str, str | int]) -> tuple[Mapping[str, str], Any]:
        for pause in (*PAUSES_S[: READS - 1], None):
            try:
                return self._asked(repository, "GET", url, parameters, None)
            except Unavailable as exc:
                if pause is None or exc.retry_after_s is not None:
                    raise
                self.sleep(pause)
        raise AssertionError("unreachable")

    def _asked(
        self,
        repository: str,
        verb: str,
        url: str,
        parameters: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
    ) -> tuple[Mapping[str, str], Any]:
        self._may_ask()
        try:
            with _translated(f"{verb} {url}"):
                client = self._client(repository)
                headers, answer = client.requester.requestJsonAndCheck(
                    verb, url, parameters=dict(parameters) or None, input=body
                )
        except Refused as exc:
            self.refusals.login(self._who(repository), "GitHub refuses the token")
            if not isinstance(self.login, _Installations):
                raise
            self.login.forget(repository)
            raise Unavailable(f"GitHub takes the installation's token no more ({verb} {url})") from exc
        except NotInstalled:
            self.refusals.login(self._who(repository), "the GitHub App is not installed on a repository")
            raise
        except Locked:
            raise
        except Forbidden:
            self.refusals.request(repository, verb, url)
            raise
        except NotFound:
            if url == self._url(repository, ""):  # how GitHub refuses what is private
                self.refusals.request(repository, verb, url)
            raise
        except Unavailable as exc:
            if exc.retry_after_s is not None:
                self._wait(verb, exc.retry_after_s, everyone=exc.spent)
            raise
        self.refusals.success(self._who(repository), repository, verb, url)
        told = {str(key).lower(): str(value) for key, value in headers.items()}
        self._note(repository, told)
        return told, answer

    def _may_ask(self) -> None:
        wait_s = self._not_before - time.monotonic()
        if wait_s > 0:
            raise Unavailable("GitHub asked to be left alone for a while", wait_s)

    def _wait(self, verb: str, seconds: float, *, everyone: bool) -> None:
        """GitHub named a time. What limits writes does not limit reads, unless it says so when something is read."""
        if verb == "GET" or everyone:
            self._not_before = max(self._not_before, time.monotonic() + seconds)
        else:
            self.budget.pause(seconds)

    def _note(self, repository: str, headers: Mapping[str, str]) -> None:
        facts = [headers.get(f"x-ratelimit-{name}", "") for name in ("remaining", "limit", "reset")]
        if all(one.isdecimal() for one in facts):
            remaining, limit, reset_at = map(int, facts)
            self.budget.answered(self._who(repository), remaining, limit, reset_at)

    def _who(self, repository: str) -> str:
        """One token is for all repositories; an App logs in for each."""
        return repository if isinstance(self.login, _Installations) else ""

    def _client(self, repository: str) -> Github:
        """PyGithub's, for this thread and who asks there."""
        clients: dict[str, tuple[Auth.Auth, Github]] = self._own.__dict__.setdefault("clients", {})
        auth = self.login(repository)
        if repository not in clients or clients[repository][0] is not auth:
            clients[repository] = auth, _github(self.base_url, auth)
        return clients[repository][1]


def _github(base_url: str, auth: Auth.Auth) -> Github:
    return Github(
        auth=auth,
        base_url=base_url,
        timeout=TIMEOUT_S,
        user_agent="cx",
        retry=None,
        seconds_between_requests=0,
        seconds_between_writes=0,
    )


def _logins(settings: GitHub, environ: Mapping[str, str]) -> Callable[[str], Auth.Auth]:
    if settings.app_id is not None and settings.private_key is not None:
        return _Installations(settings.app_id, _key(settings.app_id, settings.private_key), settings.base_url)
    token = settings.token.reveal() if settings.token else environ.get("GITHUB_TOKEN", "")
    if not token:
        raise Invalid("github", "token", "is missing", remedy="set GITHUB_TOKEN, or github.app_id and private_key")
    auth = Auth.Token(token)
    return lambda repository: auth


class _Installations:
    """For each repository the App's installation; its tokens last an hour and are renewed by PyGithub."""

    def __init__(self, app_id: int, key: str, base_url: str) -> None:
        self.app_id, self.base_url = app_id, base_url
        self.app = Auth.AppAuth(app_id, key)
        self.known: dict[str, Auth.Auth] = {}
        self.turn = threading.Lock()

    def __call__(self, repository: str) -> Auth.Auth:
        with self.turn:
            auth = self.known.get(repository) or self._installed(repository)
            self.known.pop(repository, None)
            auth.token  # noqa: B018 - renewed here, where threads take turns
            self.known[repository] = auth
            return auth

    def permissions(self, repository: str) -> Mapping[str, str]:
        given = self._installation(repository).raw_data.get("permissions") or {}
        return {str(name): str(level) for name, level in given.items()}

    def forget(self, repository: str) -> None:
        """Perhaps it was installed anew."""
        with self.turn:
            self.known.pop(repository, None)

    def _installed(self, repository: str) -> Auth.Auth:
        installation = self._installation(repository)
        return self.app.get_installation_auth(installation.id, requester=installation.requester)

    def _installation(self, repository: str) -> Installation:
        owner, _, name = repository.partition("/")
        integration = GithubIntegration(
            auth=self.app, base_url=self.base_url, timeout=TIMEOUT_S, retry=None, seconds_between_requests=0,
            seconds_between_writes=0,
        )  # fmt: skip
        try:
            return integration.get_repo_installation(owner, name)
        except UnknownObjectException as exc:
            what = f"the GitHub App {self.app_id} is not installed on {repository}"
            raise NotInstalled(what, remedy="install it there; see docs/github.md") from exc


def _key(app_id: int, path: Path) -> str:
    try:
        key = path.read_text()
        Auth.AppAuth(app_id, key).create_jwt()
    except OSError as exc:
        raise Invalid("github", "private_key", f"{path}: {exc.strerror}") from exc
    except (ValueError, AssertionError, PyJWTError) as exc:
        raise Invalid("github", "private_key", f"{path} holds no private key (PEM)") from exc
    return key


class _translated:
    """Errors of PyGithub and of the network inside the block become ours; `doing` says what was tried."""

    def __init__(self, doing: str) -> None:
        self.doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, GithubException):
            raise _translation(self.doing, exc) from exc
        if isinstance(exc, requests.RequestException | ConnectionError | TimeoutError):
            raise Unavailable(f"GitHub does not answer ({self.doing}: {type(exc).__name__})") from exc


def _translation(doing: str, exc: GithubException) -> Retryable | Terminal:
    headers = {str(key).lower(): str(value) for key, value in (exc.headers or {}).items()}
    said = exc.data.get("message", "") if isinstance(exc.data, dict) else ""
    said = " ".join(str(said).split())[:200]
    after, spent = _retry_after(headers), headers.get("x-ratelimit-remaining") == "0"
    limited = after is not None or spent or "rate limit" in said.lower()
    if exc.status == 429 or (exc.status == 403 and limited):
        what = f"GitHub limits how often it is asked: {said}"
        return Unavailable(what, min(after or LIMITED_S, LONGEST_S), spent=spent)
    if exc.status >= 500 or exc.status == 0:
        return Unavailable(f"GitHub answers {exc.status} ({doing})", after)
    if isinstance(exc, BadCredentialsException) or exc.status == 401:
        return Refused(
            f"GitHub refuses the token: {said}", remedy="renew it: docs/github.md says what it has to be allowed"
        )
    if isinstance(exc, UnknownObjectException) or exc.status in (404, 410):
        return NotFound(f"GitHub knows nothing of it ({doing})", remedy="may the token see the repository?")
    if exc.status == 403:
        kind = Locked if "is locked" in said else Forbidden
        return kind(f"GitHub does not allow it ({doing}): {said}", remedy="docs/github.md lists the permissions")
    return Terminal(f"GitHub does not take it ({doing}): {exc.status} {said}")


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


def web_url(base_url: str) -> str:
    """Where people see what the API at `base_url` speaks of: a server of one's own has both on one host."""
    parts = urlsplit(base_url)
    host = parts.netloc if parts.path.strip("/") else parts.netloc.removeprefix("api.")  # also of *.ghe.com
    return f"{parts.scheme}://{host}"
