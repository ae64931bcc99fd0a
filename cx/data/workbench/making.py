"""What an engine has to work with while it fills a golden."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cx.core.errors import Invalid
from cx.data.values import Golden, Server, Source
from cx.data.workbench.tools import Ran, Tools
from cx.data.workbench.values import GOLDEN, FillFailed, Said, Spec, Volume, nobody
from cx.data.workbench.volumes import Volumes, mount

WORKER = "refresh"


class RefreshesOn(Protocol):
    """Makes a golden of `source` on `server`, which runs `image`; as a refresh on the previews' server does."""

    def __call__(self, server: Server, source: Source, *, image: str, progress: Said, checkpoint: Said) -> Golden: ...


@dataclass(frozen=True)
class Making:
    """One refresh. The golden is mounted at GOLDEN; its data go to `data` below it, which the engine's user owns."""

    volumes: Volumes
    spec: Spec
    golden: Volume
    refresh_on: RefreshesOn
    progress: Said = nobody
    checkpoint: Said = nobody

    def labels(self, role: str = WORKER) -> dict[str, str]:
        return self.volumes.names.labels(None, role, database=self.spec.name)

    def tools(
        self, user: str, network: str, *, volume_of: Tools | None = None, golden: bool = False, read_only: bool = False
    ) -> Tools:
        """A container of the server's image that ends with this process."""
        here = mount(self.golden.name, GOLDEN, read_only=read_only)
        mounts: Sequence[Mapping[str, object]] = [here] if golden else ()
        return Tools(
            self.volumes.engine.client,
            self.spec.image,
            self.labels(),
            network=network,
            volume_of=volume_of,
            user=user,
            mounts=mounts,
        )

    def script(self) -> tuple[bytes, str]:
        """The sanitise script and its SHA-256; two empty ones where none is set. Raises Invalid."""
        path = self.spec.sanitise
        if path is None:
            return b"", ""
        try:
            content = path.read_bytes()
        except OSError as exc:
            key = f"databases.{self.spec.name}.sanitise"
            raise Invalid("host configuration", key, f"{path}: {exc.strerror}") from exc
        if not content.strip():
            raise Invalid("host configuration", f"databases.{self.spec.name}.sanitise", f"{path}: is empty")
        return content, hashlib.sha256(content).hexdigest()

    def must(self, ran: Ran, doing: str) -> Ran:
        """Raises FillFailed with the line that says why."""
        if ran.ok:
            return ran
        lines = [line for line in (*ran.output.splitlines(), *ran.errors) if line.strip()]
        why = next((line for line in lines if "ERROR" in line.upper()), lines[-1] if lines else "it said nothing")
        remedy = "mend it; the golden that was there serves on"
        if any("No space left" in line or "Errcode: 28" in line or "is full" in line for line in lines):
            why, remedy = "the disk is full", "free some space: `cx prune`, `docker system df`"
        raise FillFailed(f"{self.spec.name}: {doing}: {why[:300]}", remedy=remedy, log=lines[-20:])
