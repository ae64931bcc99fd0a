"""One way of asking GitHub: who asks, limits obeyed, every page or an error, and repositories by their number.

Reads are tried again at once a few times; what writes is not: whoever wrote looks first what is there (a 502 may come
after the effect). When GitHub names a time, nobody of this process asks before it.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from cx.core.errors import NotFound
from cx.forges.github.answers import (
    Answer,
    AppRefused,
    Elsewhere,
    Forbidden,
    Locked,
    NotInstalled,
    Refused,
    Stranger,
    Transport,
    Unavailable,
)
from cx.forges.github.logins import Installations, Login, login_of
from cx.forges.github.refusals import Refusals
from cx.pulls import Repositories
from cx.pulls.budget import Budget, Urgency
from cx.pulls.repositories import Remembered
from cx.settings.github import GitHub

READS = 3
PAUSES_S = (0.5, 2.0)
PAGES_MAX = 1000
_REPOSITORY = re.compile(r"(/repositories/[0-9]+|/repos/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+)(?:[/?].*)?", re.DOTALL)


@dataclass
class Connection:
    """Threads may share a connection. `repositories` knows them by the names of the host configuration, which are those
    of all methods here."""

    transport: Transport
    login: Login
    budget: Budget = field(default_factory=Budget)
    repositories: Repositories = field(default_factory=Remembered)
    sleep: Callable[[float], None] = time.sleep
    _not_before: float = field(default=0.0, init=False)
    _identity: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)
    refusals: Refusals = field(default_factory=Refusals, init=False)

    @classmethod
    def of(
        cls,
        settings: GitHub,
        environ: Mapping[str, str],
        budget: Budget | None = None,
        repositories: Repositories | None = None,
    ) -> Connection:
        pinned = {name: rules.id for name, rules in settings.rules.items() if rules.id}
        transport, known = Transport(settings.base_url), repositories or Remembered(pinned)
        return cls(transport, login_of(settings, environ, transport, known.current), budget or Budget(), known)

    # --- asking
    def get(self, repository: str, path: str, **parameters: str | int) -> Any:
        """`path` is below the repository: `/pulls/3`. Raises NotFound, Forbidden, Unavailable."""
        return self._read(repository, path, parameters).document

    def pages(self, repository: str, path: str, **parameters: str | int) -> list[Any]:
        """The items of every page, or an error."""
        return list(self._pages(repository, path, parameters))

    def write(
        self, urgency: Urgency, verb: str, repository: str, path: str, body: Mapping[str, Any] | None = None
    ) -> Any:
        """Once. After Unavailable it is not known whether it was done; after Early it was not."""
        self._may_ask()
        with self.budget.write(urgency):
            return self._asked(repository, verb, path, {}, body).document

    def me(self, repository: str) -> Any:
        """Who asks about the repository, as GitHub knows them."""
        return self._read(repository, "/user", {}, below=False).document

    def about(self, repository: str) -> Answer:
        """The repository, which is the one that it was. Raises Stranger."""
        answer = self._read(repository, "", {})
        if not self._is(repository, answer.document):
            answer = self._read(repository, "", {})
        return answer

    def is_same(self, repository: str, number: int) -> bool:
        """What GitHub said is of the repository that is followed, by its `number`; else it is looked for, and is to be
        asked about once more. Raises Stranger."""
        if self.repositories.number(repository) in (None, number):
            return True
        self.about(repository)
        return self.repositories.number(repository) == number

    def permissions(self, repository: str) -> Mapping[str, str] | None:
        """What the GitHub App was given there, such as `{"contents": "read"}`; None for a token."""
        return self.login.permissions(repository) if isinstance(self.login, Installations) else None

    def token(self, repository: str) -> str:
        """What the repository is fetched with."""
        return self.login.token(repository)

    # --- parts
    def _pages(self, repository: str, path: str, parameters: Mapping[str, str | int]) -> Iterator[Any]:
        asked = dict(parameters) | {"per_page": 100}
        for number in range(1, PAGES_MAX + 1):
            answer = self._read(repository, path, asked | {"page": number})
            if not isinstance(answer.document, list):
                raise Unavailable(f"GitHub's answer about {path} of {repository} is not a list")
            yield from answer.document
            if 'rel="next"' not in answer.headers.get("link", ""):
                return
        raise Unavailable(f"{path} of {repository} has more than {PAGES_MAX} pages")

    def _read(self, repository: str, path: str, parameters: Mapping[str, str | int], *, below: bool = True) -> Answer:
        for pause in (*PAUSES_S[: READS - 1], None):
            try:
                return self._asked(repository, "GET", path, parameters, None, below=below)
            except Unavailable as exc:
                if pause is None or exc.retry_after_s is not None:
                    raise
                self.sleep(pause)
        raise AssertionError("unreachable")

    def _asked(
        self,
        repository: str,
        verb: str,
        path: str,
        parameters: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
        *,
        below: bool = True,
    ) -> Answer:
        """A redirection had no effect: what it leads to is asked instead, once, and by its name."""
        url = self._url(repository, path) if below else path
        try:
            return self._sent(repository, verb, url, parameters, body)
        except Elsewhere as exc:
            if not below:
                raise
            self._follow(repository, exc)
            return self._sent(repository, verb, self._url(repository, path), parameters, body)

    def _url(self, repository: str, path: str) -> str:
        return f"/repos/{self.repositories.current(repository)}{path}"

    def _sent(
        self,
        repository: str,
        verb: str,
        url: str,
        parameters: Mapping[str, str | int],
        body: Mapping[str, Any] | None,
    ) -> Answer:
        self._may_ask()
        who = "" if self.login.shared else repository
        try:
            authorization = f"Bearer {self.login.token(repository)}"
            answer = self.transport.send(verb, url, authorization, parameters, body)
        except AppRefused:
            self.refusals.login(who, "GitHub does not know the App by its number and key")
            raise
        except Refused as exc:
            self.refusals.login(who, "GitHub refuses the token")
            if self.login.shared:
                raise
            self.login.forget(repository)
            raise Unavailable(f"GitHub takes the installation's token no more ({verb} {url})") from exc
        except NotInstalled:
            self.refusals.login(who, "the GitHub App is not installed on a repository")
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
        self.refusals.success(who, repository, verb, url)
        self._note(who, answer.headers)
        return answer

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

    def _note(self, who: str, headers: Mapping[str, str]) -> None:
        facts = [headers.get(f"x-ratelimit-{name}", "") for name in ("remaining", "limit", "reset")]
        if all(one.isdecimal() for one in facts):
            remaining, limit, reset_at = map(int, facts)
            self.budget.answered(who, remaining, limit, reset_at)

    # --- which repository it is
    def _follow(self, repository: str, moved: Elsewhere) -> None:
        """It is known by the name that it has now. Raises Elsewhere, Stranger."""
        self.refusals.identity(repository, "GitHub leads to another address for a repository")
        path = self.transport.path_of(moved.location)
        found = _REPOSITORY.fullmatch(path) if path else None
        if found is None:
            raise moved
        before = self.repositories.current(repository)
        try:
            document = self._sent(repository, "GET", found[1], {}, None).document
        except NotFound as exc:  # of the repository: nothing is known of what was asked for
            raise moved from exc
        if not self._is(repository, document) or self.repositories.current(repository) == before:
            raise moved

    def _is(self, repository: str, document: Any) -> bool:
        """Its name and number are noted. False: it is another one of this name, and the one that is followed has
        another name by now. Raises Stranger when there is no such one any more."""
        number, name = _identity_of(document)
        with self._identity:
            known = self.repositories.number(repository)
            if known in (None, number):
                self.repositories.learn(repository, number, name)
                self.refusals.familiar(repository)
                return True
            try:
                document = self._sent(repository, "GET", f"/repositories/{known}", {}, None).document
            except NotFound as exc:
                self.refusals.identity(repository, "a repository is another one than the one that was followed")
                raise Stranger(
                    f"{repository} is another repository (number {number}) than the one that was followed ({known})",
                    remedy=f'if it is meant, set github.repositories."{repository}".id = {number}',
                ) from exc
            number, name = _identity_of(document)
            self.repositories.learn(repository, number, name)
            self.refusals.familiar(repository)
        return False


def _identity_of(document: Any) -> tuple[int, str]:
    try:
        return int(document["id"]), str(document["full_name"]).lower()
    except (KeyError, TypeError, ValueError) as exc:
        raise Unavailable("GitHub's answer is not what it documents: it has no id and no full_name") from exc


def web_url(base_url: str) -> str:
    """Where people see what the API at `base_url` speaks of: a server of one's own has both on one host."""
    parts = urlsplit(base_url)
    host = parts.netloc if parts.path.strip("/") else parts.netloc.removeprefix("api.")  # also of *.ghe.com
    return f"{parts.scheme}://{host}"
