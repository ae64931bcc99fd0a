"""Whatever keeps its state in files: a volume of the project's, filled by a command or from the host's files.

It is the project's own services that run on the copies.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

from cx.adapters.engines.making import Making
from cx.adapters.engines.values import GOLDEN, FillFailed, Spec, Volume
from cx.adapters.engines.volumes import mount
from cx.errors import Invalid
from cx.model.blueprint import DatabaseUse


class Plain:
    user = ""
    without_golden = False
    client: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()

    def fill(self, making: Making) -> Mapping[str, str]:
        spec, volumes = making.spec, making.volumes
        labels = making.labels()
        if spec.file:
            making.progress(f"{spec.name}: reading {spec.file}")
            files = _packed(spec, spec.file)
            ran = volumes.run(spec.image, "true", [mount(making.golden.name, GOLDEN)], labels, files=files)
        else:
            making.progress(f"{spec.name}: running its command")
            # As the image would have the folder: who owns it, and its mode.
            like = f"if [ -d {spec.target} ]; then chown --reference={spec.target} {GOLDEN}/data; fi"
            volumes.run(spec.image, like, [mount(making.golden.name, GOLDEN)], labels)
            ran = volumes.run(
                spec.image,
                "",
                [mount(making.golden.name, spec.target, subpath="data")],
                labels,
                entrypoint=spec.fill,
                network="bridge",
                user=None,
            )
        if ran.exit_code:
            last = next((line for line in reversed(ran.output) if line.strip()), "it said nothing")
            raise FillFailed(
                f"{spec.name}: filling it ended with status {ran.exit_code}: {last[:300]}",
                remedy="mend it; the golden that was there serves on",
                log=ran.output[-20:],
            )
        return {}

    def serve(self, spec: Spec, use: DatabaseUse, password: str, copy: Volume) -> None:
        return None

    def dump(self, copy: Volume) -> tuple[str, ...]:
        return ()

    def compared(self, spec: Spec, copy: Volume) -> None:
        return None


def _packed(spec: Spec, path: Path) -> bytes:
    """A file, or what is in a folder, as a tar below the golden's `data`; owners and modes as they are."""
    if not path.exists():
        raise Invalid("host configuration", f"databases.{spec.name}.file", f"{path}: is not there")
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for one in [path] if path.is_file() else sorted(path.iterdir()):
            tar.add(one, arcname=f"{GOLDEN}/data/{one.name}".lstrip("/"))
    return buffer.getvalue()
