"""What a typed document is made of beside its types: rules, secrets, problems, and values of the environment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cx.core.errors import Invalid


@dataclass(frozen=True)
class Rule:
    """A check that a type cannot say. `check` raises ValueError with what is wrong."""

    check: Callable[[Any], object]


class Wrong(ValueError):
    """Raised by a struct's `__post_init__`: what is at `key` (below the struct) does not go with the rest."""

    def __init__(self, key: str, problem: str, remedy: str = "") -> None:
        super().__init__(problem)
        self.key = key
        self.remedy = remedy


class Secret:
    """A value that is never printed. `env:NAME` stands for what the environment holds when it is needed."""

    __slots__ = ("_environ", "_text", "_where")

    def __init__(self, text: str, environ: Mapping[str, str] | None = None, where: str = "") -> None:
        self._text = text
        self._environ = environ or {}
        self._where = where

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    def __hash__(self) -> int:
        return hash(self._text)

    @property
    def variable(self) -> str:
        """The name of the environment variable that holds it, or ""."""
        return self._text.removeprefix("env:") if self._text.startswith("env:") else ""

    def reveal(self) -> str:
        """The value. Raises Invalid when the variable that it names is not set."""
        if not self.variable:
            return self._text
        value = self._environ.get(self.variable, "")
        if not value:
            raise Invalid(self._where or "environment", self.variable, "is not set", remedy="export it, and run again")
        return value


@dataclass(frozen=True)
class FromEnvironment:
    """A value that came from the environment variable `variable`, as text."""

    variable: str
    text: str


@dataclass(frozen=True)
class Problem:
    key: str
    text: str
    remedy: str = ""
    where: str = ""
