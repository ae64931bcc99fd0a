"""Goldens of the host's sources, whatever kind they are: what `cx db` does with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from cx.core.errors import Invalid
from cx.core.kinds import POSTGRES
from cx.host.projects import Projects

if TYPE_CHECKING:
    from cx.data.masking.auditing import Audit
    from cx.data.masking.personal import Suspect
    from cx.data.values import Golden
    from cx.data.values import Source as PostgresSource
    from cx.data.workbench.values import Volume

Say = Callable[[str], None]


@dataclass(frozen=True)
class Refreshed:
    """A golden that is ready. `sanitised`: cx's rules, a script or a command took out what previews must not see."""

    name: str
    size_bytes: int
    sanitised: bool


@dataclass(frozen=True)
class Goldens:
    host: Projects
    source: Callable[[str], PostgresSource]

    def shared(self) -> tuple[Golden, ...]:
        """Those on the previews' server, by source."""
        return self.host.goldens.list()

    def volumes(self) -> tuple[Volume, ...]:
        """Those that are volumes, by source."""
        return self.host.engine_goldens.list()

    def due(self, now: float | None = None) -> list[str]:
        """The sources without a golden, or with one that is older than refresh_every_h, where that is set."""
        made = {one.source: one.created_at.timestamp() for one in self.shared()}
        made |= {one.source: one.created_at.timestamp() for one in self.volumes() if one.created_at}
        now = time.time() if now is None else now
        return [
            name
            for name, given in sorted(self.host.settings.databases.items())
            if given.refresh_every_h and made.get(name, 0) + given.refresh_every_h * 3600 <= now
        ]

    def too_old(self, source: str, made_at: datetime | None) -> bool:
        """Whether databases.NAME.max_age_h is over."""
        given = self.host.settings.databases.get(source)
        allowed_s = given.max_age_h * 3600 if given else 0
        return made_at is not None and 0 < allowed_s < time.time() - made_at.timestamp()

    def refresh(self, name: str, say: Say) -> Refreshed:
        """The source `name` has a new golden; the old one served until then. Raises NotFound, and as refreshes do."""
        if spec := self.host.specs.get(name):
            made = self.host.engine_goldens.refresh(spec, progress=say)
            if note := made.facts.get("notes"):
                say(f"note: {note}")
            return Refreshed(made.name, made.size_bytes, bool(made.sanitised_by))
        golden = self.host.goldens.refresh(self.source(name), progress=say)
        for note in golden.notes:
            say(f"note: {note}")
        self.host.refilling.later()
        return Refreshed(golden.database, golden.size_bytes, bool(golden.sanitised_by))

    def classify(self, name: str, say: Say) -> tuple[Suspect, ...]:
        """The source's columns that look personal and have no rule. Nothing is changed."""
        spec = self.host.specs.get(name)
        if spec and spec.facts is not POSTGRES:
            return self.host.engine_goldens.classify(spec, progress=say)
        return self.host.goldens.classify(self.source(name), progress=say)

    def proposal(self, name: str, found: tuple[Suspect, ...]) -> list[str]:
        """Rules for what `classify` found, as lines of TOML."""
        from cx.data.masking.personal import proposal

        return proposal(name, found).splitlines()

    def audit(self, name: str, say: Say) -> Audit:
        """Whether a value of the masked columns is in the golden of `name`. Raises Invalid, GoldenMissing."""
        spec = self.host.specs.get(name)
        if spec and spec.facts is POSTGRES:
            raise Invalid(name, "", "has no golden on the previews' server: each refresh scans its own")
        if spec:
            return self.host.engine_goldens.audit(spec, progress=say)
        source = self.source(name)
        with self.host.spares.borrowed(name, self.host.terms[name]) as copy:
            return self.host.goldens.audit(source, copy, progress=say)
