"""Docker's plugins as its command line would find them: cx runs their programs itself."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from cx.core.errors import Terminal

# https://github.com/docker/cli/blob/master/cli-plugins/manager/manager_unix.go
SYSTEM_FOLDERS = (
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
    "/Applications/Docker.app/Contents/Resources/cli-plugins",
)


def program(name: str, environ: Mapping[str, str] | None = None) -> str:
    """The path of the program of Docker's plugin `name` (compose, buildx). Raises Terminal where there is none."""
    environ = os.environ if environ is None else environ
    for folder in _folders(environ):
        path = folder / f"docker-{name}"
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    if alone := shutil.which(f"docker-{name}", path=environ.get("PATH")):
        return alone
    raise Terminal(f"docker {name} is not installed", remedy="see `cx doctor`")


def _folders(environ: Mapping[str, str]) -> Iterator[Path]:
    home = environ.get("HOME") or str(Path.home())
    own = Path(environ.get("DOCKER_CONFIG") or Path(home) / ".docker")
    with suppress(OSError, ValueError, AttributeError):  # no file, no JSON, no table: as if it named no folder
        extra = json.loads((own / "config.json").read_text()).get("cliPluginsExtraDirs")
        yield from (Path(one) for one in extra if isinstance(one, str)) if isinstance(extra, list) else ()
    yield own / "cli-plugins"
    yield from map(Path, SYSTEM_FOLDERS)
