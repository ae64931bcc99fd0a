"""Who asks GitHub: a token for all repositories, or an App with a token for each installation, renewed each hour."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Protocol, TypeVar

import jwt
import msgspec
from msgspec import Meta, Struct

from cx.core.errors import Invalid
from cx.forges.github.answers import (
    Answer,
    AppRefused,
    Elsewhere,
    NotInstalled,
    Refused,
    Transport,
    Unavailable,
    Unknown,
)
from cx.settings.github import GitHub

_T = TypeVar("_T")
RENEWED_S = 60  # before the end of a token
JWT_S = (-60, 540)  # from and until when it holds, seen from now: clocks differ, and ten minutes are the most


class Login(Protocol):
    """`shared`: one token is for all repositories."""

    @property
    def shared(self) -> bool: ...

    def token(self, repository: str) -> str:
        """What the repository is asked about with. Raises ForgeFailed."""

    def forget(self, repository: str) -> None:
        """The token was refused: where another may be had, it is asked for next time."""


@dataclass(frozen=True)
class Token:
    text: str = field(repr=False)
    shared: bool = True

    def token(self, repository: str) -> str:
        return self.text

    def forget(self, repository: str) -> None:
        """There is no other."""


class _Installation(Struct, frozen=True):
    id: Annotated[int, Meta(ge=1)]
    permissions: dict[str, str] = {}


class _Given(Struct, frozen=True):
    token: str
    expires_at: datetime


@dataclass
class Installations:
    """The App's tokens, by repository. `name` gives how GitHub calls a repository now."""

    transport: Transport
    app_id: int
    key: str = field(repr=False)
    name: Callable[[str], str] = lambda repository: repository
    clock: Callable[[], float] = time.time
    shared: bool = False
    _tokens: dict[str, tuple[str, float]] = field(default_factory=dict, init=False, repr=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def token(self, repository: str) -> str:
        with self._turn:
            text, until = self._tokens.get(repository, ("", 0.0))
            if self.clock() > until - RENEWED_S:
                installation = self._installation(repository)
                path = f"/app/installations/{installation.id}/access_tokens"
                given = _read(self.transport.send("POST", path, self._authorization()), _Given)
                text, until = given.token, given.expires_at.timestamp()
                self._tokens[repository] = text, until
            return text

    def forget(self, repository: str) -> None:
        """Perhaps it was installed anew."""
        with self._turn:
            self._tokens.pop(repository, None)

    def permissions(self, repository: str) -> Mapping[str, str]:
        """Such as `{"contents": "read"}`."""
        return self._installation(repository).permissions

    def _installation(self, repository: str) -> _Installation:
        path = f"/repos/{self.name(repository)}/installation"
        try:
            return _read(self._asked(path), _Installation)
        except Unknown as exc:
            what = f"the GitHub App {self.app_id} is not installed on {repository}"
            raise NotInstalled(what, remedy="install it there; see docs/github.md") from exc
        except Refused as exc:
            what = f"GitHub does not know the App {self.app_id} with this key"
            raise AppRefused(
                what, remedy="compare github.app_id and github.private_key with the App's settings"
            ) from exc

    def _asked(self, path: str) -> Answer:
        """Nobody knows yet by which token a renamed repository's name could be asked for."""
        try:
            return self.transport.send("GET", path, self._authorization())
        except Elsewhere as exc:
            other = self.transport.path_of(exc.location)
            if other is None or other == path:
                raise
            return self.transport.send("GET", other, self._authorization())

    def _authorization(self) -> str:
        now = int(self.clock())
        claims = {"iat": now + JWT_S[0], "exp": now + JWT_S[1], "iss": str(self.app_id)}
        return f"Bearer {jwt.encode(claims, self.key, algorithm='RS256')}"


def login_of(settings: GitHub, environ: Mapping[str, str], transport: Transport, name: Callable[[str], str]) -> Login:
    """Raises Invalid when there is nothing to log in with."""
    if settings.app_id is not None and settings.private_key is not None:
        return Installations(transport, settings.app_id, key_of(settings.private_key), name)
    token = settings.token.reveal() if settings.token else environ.get("GITHUB_TOKEN", "")
    if not token:
        raise Invalid("github", "token", "is missing", remedy="set GITHUB_TOKEN, or github.app_id and private_key")
    return Token(token)


def key_of(path: Path) -> str:
    """The private key of an App. Raises Invalid."""
    try:
        key = path.read_text()
        jwt.encode({}, key, algorithm="RS256")
    except OSError as exc:
        raise Invalid("github", "private_key", f"{path}: {exc.strerror}") from exc
    except (ValueError, TypeError, jwt.PyJWTError) as exc:
        raise Invalid("github", "private_key", f"{path} holds no private key (PEM)") from exc
    return key


def _read(answer: Answer, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(answer.document, kind)
    except msgspec.ValidationError as exc:
        raise Unavailable(f"GitHub's answer is not what it documents: {exc}") from exc
