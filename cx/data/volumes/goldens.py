"""Goldens that are volumes: one complete one for each source, replaced as a whole by a refresh."""

from __future__ import annotations

from builtins import list as list_
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass

from cx.core.errors import CxError, Invalid
from cx.core.names import Names
from cx.data.errors import GoldenMissing
from cx.data.kinds.table import KindMasking, kind_of
from cx.data.masking.auditing import Audit
from cx.data.masking.personal import Suspect
from cx.data.workbench.making import WORKER, Making, RefreshesOn
from cx.data.workbench.values import GOLDEN_SERVER, Said, Spec, Volume, nobody
from cx.data.workbench.volumes import ANY_IMAGE, Volumes, check, mount

_FINISH = 'echo "bytes $(du -sk /to/data | cut -f1)"; touch /to/complete; sync'


@dataclass(frozen=True)
class EngineGoldens:
    """`lock` is held by the one refresh of a source that runs."""

    volumes: Volumes
    names: Names
    lock: Callable[[str], AbstractContextManager[None]]
    refresh_on: RefreshesOn
    checkpoint: Said = nobody

    def list(self) -> tuple[Volume, ...]:
        """The golden of each source, by the source's name."""
        newest = {one.source: one for one in self.volumes.look() if one.role == "golden" and one.complete}
        return tuple(newest[source] for source in sorted(newest))

    def all(self) -> list_[Volume]:
        """Every golden, half-made and replaced ones too."""
        return [one for one in self.volumes.look() if one.role == "golden"]

    def leftovers(self) -> list_[Volume]:
        """Half-made goldens, and replaced ones that were read when their successor came."""
        kept = {one.name for one in self.list()}
        return [one for one in self.all() if one.name not in kept]

    def refresh(self, spec: Spec, *, progress: Said = nobody) -> Volume:
        """Makes a new golden, and puts it in the place of the one that was there.

        Until its mark is there the old one serves; where anything fails it serves on, and nothing is left of the
        new one. What a killed refresh left is removed by the next. Raises FillFailed, NoSpace, Invalid, Busy.
        """
        kind = kind_of(spec.facts.name)
        with self.lock(spec.name):
            self._sweep(spec)
            try:
                self.volumes.pull(spec.image)
                golden = self.volumes.create("golden", spec.name, spec.way, spec.image)
                self.checkpoint("refresh:volume")
                own = f"chown {kind.user} /to/data; chmod 700 /to/data" if kind.user else "true"
                worker = self.names.labels(None, WORKER, database=spec.name)
                here = [mount(golden.name, "/to")]
                check(self.volumes.run(spec.image, f"mkdir /to/data; {own}", here, worker), "make the golden's folder")
                facts = dict(kind.fill(self._making(spec, golden, progress)))
                self.checkpoint("refresh:filled")
                ran = self.volumes.run(spec.image, _FINISH, here, worker)
                check(ran, "finish the golden")
                size = next((int(line.split()[1]) << 10 for line in ran.output if line.startswith("bytes ")), 0)
                self.checkpoint("refresh:finished")
                self.volumes.complete(golden, size_bytes=size, sanitised_by=facts.pop("sanitised_by", ""), facts=facts)
                self.checkpoint("refresh:marked")
            except BaseException:
                with suppress(CxError):  # what is left is the next refresh's to remove
                    self._sweep(spec)
                raise
            self._sweep(spec)
        return next(one for one in self.list() if one.source == spec.name)

    def classify(self, spec: Spec, *, progress: Said = nobody) -> tuple[Suspect, ...]:
        """The source's columns that look personal and have no rule. Nothing is changed. Raises Invalid, Busy."""
        kind = _with_rules(spec)
        with self._working(spec):
            return kind.classify(self._making(spec, Volume("", spec.name, "golden", spec.way), progress))

    def audit(self, spec: Spec, *, progress: Said = nobody) -> Audit:
        """Whether values of the source's masked columns are in its golden. Nothing is changed.

        Raises Invalid (no rules), GoldenMissing, Busy.
        """
        kind = _with_rules(spec)
        with self._working(spec):
            golden = next((one for one in self.list() if one.source == spec.name), None)
            if golden is None:
                raise GoldenMissing(spec.name)
            return kind.audit(self._making(spec, golden, progress))

    def _making(self, spec: Spec, golden: Volume, progress: Said) -> Making:
        return Making(self.volumes, spec, golden, self.refresh_on, progress, self.checkpoint)

    @contextmanager
    def _working(self, spec: Spec) -> Iterator[None]:
        """The source is not refreshed meanwhile, and nobody works for it afterwards."""
        with self.lock(spec.name):
            self.volumes.pull(spec.image)
            try:
                yield
            finally:
                self.volumes.remove_workers(spec.name, None, WORKER)

    def remove(self, golden: Volume) -> None:
        """The golden is gone, unless a clone is being made from it. Raises Busy where its source is refreshed."""
        with self.lock(golden.source):
            self.volumes.remove(golden, ANY_IMAGE, force=False)

    def _sweep(self, spec: Spec) -> None:
        """All that remains of the source is its newest complete golden, and what a clone is being made from."""
        for role in (WORKER, GOLDEN_SERVER):
            self.volumes.remove_workers(spec.name, None, role)
        kept = next((one.name for one in self.list() if one.source == spec.name), "")
        for one in self.volumes.look():
            if one.role == "golden" and one.source == spec.name and one.name != kept:
                self.volumes.remove(one, spec.image, force=False)


def _with_rules(spec: Spec) -> KindMasking:
    masking = kind_of(spec.facts.name).masking
    if masking is None:
        raise Invalid(spec.name, "", "is not PostgreSQL, MariaDB or MySQL, where alone there are rules")
    return masking
