"""Repositories as they are known: by GitHub's number, which stays when they are renamed or transferred."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cx.pulls.ports import Repositories


@dataclass
class Remembered:
    """cx.pulls.Repositories of one process, which forgets them. `pinned`: numbers that the host's owner wrote down."""

    pinned: Mapping[str, int] = field(default_factory=dict)
    _of: dict[str, tuple[int, str]] = field(default_factory=dict, init=False)

    def current(self, repository: str) -> str:
        return self._of.get(repository, (0, repository))[1]

    def number(self, repository: str) -> int | None:
        return self._of[repository][0] if repository in self._of else self.pinned.get(repository)

    def named(self, number: int) -> str | None:
        return next((name for name, (known, _) in self._of.items() if known == number), None)

    def learn(self, repository: str, number: int, current: str) -> None:
        self._of[repository] = number, current


@dataclass(frozen=True)
class Followed:
    """The repositories that this host follows, by `names` in lower case."""

    names: Collection[str]
    known: Repositories = field(default_factory=Remembered)

    def of(self, full_name: str, number: int | None) -> str | None:
        """The followed repository that a delivery is about: by its number, or by the name that it has now; None: none
        of them."""
        named = self.known.named(number) if number is not None else None
        if named in self.names:
            return named
        name = full_name.lower()
        return name if name in self.names else None
