"""What an audit of a golden found: counts, never values."""

from __future__ import annotations

from dataclasses import dataclass

from cx.data.masking.literals import Literals
from cx.data.masking.searching import Leak

CANARIES = 2000  # of each column


@dataclass(frozen=True)
class Compared:
    """One column: how many values of the source count, and how many of them the golden's column holds."""

    column: str
    values: int
    found: int


@dataclass(frozen=True)
class Audit:
    """`canaries` were looked for in files, statistics and logs (`in_files`) and in all rows (`in_rows`); values of the
    source in the golden's definitions (`in_schema`)."""

    golden: str
    same_rules: bool
    canaries: int
    in_files: Leak | None
    in_rows: Leak | None
    compared: tuple[Compared, ...]
    in_schema: Literals | None = None

    @property
    def clean(self) -> bool:
        return not (self.in_files or self.in_rows or self.in_schema or any(one.found for one in self.compared))
