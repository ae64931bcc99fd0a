"""What people do with the data of a clone, whatever it is: a database of the previews' server, or a volume.

One port, and its adapter for the previews' server; that for volumes is `engines.copies`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from cx.data.errors import GoldenMissing
from cx.docker import output

if TYPE_CHECKING:
    from cx.core.names import Names, Namespace
    from cx.data.shared.clones import PostgresClones
    from cx.data.shared.comparing import Comparing, Difference
    from cx.data.shared.spares import PostgresSpares
    from cx.data.values import ObservedClone, Terms
    from cx.docker.connection import Engine


class Copies(Protocol):
    """The caller of what changes data holds the locks of the namespaces."""

    def snapshot(self, namespace: Namespace, source: str, name: str) -> None: ...
    def restore(self, namespace: Namespace, source: str, name: str) -> None: ...
    def forget(self, namespace: Namespace, source: str, name: str) -> None: ...
    def branch(self, namespace: Namespace, source: str, of: Namespace) -> None: ...
    def compare(self, namespace: Namespace, source: str) -> Difference: ...
    def dump(self, namespace: Namespace, source: str, write: output.Write) -> None: ...


@dataclass(frozen=True)
class SharedCopies:
    """Of clones on the previews' server, which runs in `container`."""

    clones: PostgresClones
    spares: PostgresSpares
    comparing: Comparing
    engine: Engine
    names: Names
    terms: Terms

    def snapshot(self, namespace: Namespace, source: str, name: str) -> None:
        self.clones.snapshot(namespace, source, name)

    def restore(self, namespace: Namespace, source: str, name: str) -> None:
        self.clones.restore(namespace, source, name, self.terms)

    def forget(self, namespace: Namespace, source: str, name: str) -> None:
        self.clones.forget(namespace, source, name)

    def branch(self, namespace: Namespace, source: str, of: Namespace) -> None:
        self.clones.branch(namespace, source, of, self.terms)

    def compare(self, namespace: Namespace, source: str) -> Difference:
        clone = self._clone(namespace, source)
        with self.spares.borrowed(source, self.terms) as golden:
            return self.comparing.compare(golden, self.clones.connection(clone))

    def dump(self, namespace: Namespace, source: str, write: output.Write) -> None:
        """As of pg_dump --format=custom."""
        from cx.data.shared.dumping import dumper

        clone = self._clone(namespace, source).database
        with dumper(self.comparing.server, self.names, clone) as role:
            argv = ["pg_dump", "--format=custom", "--no-owner", "--no-acl", "--username", role, "--dbname", clone]
            output.run(self.engine, self.comparing.container, argv, write, doing=f"dump {source} of {namespace}")

    def _clone(self, namespace: Namespace, source: str) -> ObservedClone:
        found = next((one for one in self.clones.observe(namespace) if one.source == source), None)
        if found is None:
            raise GoldenMissing(source, f"{namespace} has no database {source}", "`cx db list` shows what there is")
        return found
