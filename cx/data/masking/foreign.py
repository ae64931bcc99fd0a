"""Another tool in the place of the engine's own: a command in a container of its own image writes a sanitised dump.

It is the host's owner's choice, like a sanitise script, and gets the source's URL in its environment; what it writes
is restored like any other dump, by somebody with rights in the one database only.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from cx.data.errors import SanitiseFailed
from cx.data.values import Progress
from cx.data.workbench.tools import WORK, Tools
from cx.redaction import Redactor

if TYPE_CHECKING:
    from docker import DockerClient


@dataclass(frozen=True)
class Foreign:
    """What runs for a source: `path`, in the container's volume, is where the dump is to be; `hint` how one gets there.

    `environment` leads to the source, for those who do not take its `url`.
    """

    source: str
    argv: tuple[str, ...]
    image: str
    path: str
    hint: str
    url: str = field(repr=False)
    password: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)


def run(client: DockerClient, tools: Tools, labels: Mapping[str, str], foreign: Foreign, progress: Progress) -> None:
    """The dump is at its path. Raises SanitiseFailed."""
    environment = {"SOURCE_URL": foreign.url, "DUMP_FILE": foreign.path, "HOME": WORK, **foreign.environment}
    # Its environment goes in as a file, which the engine's record of what was run does not show.
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    tools.put(f"{WORK}/command.env", ("\n".join(lines) + "\n").encode())
    user = ":".join(map(str, tools.ids))
    hide = Redactor((), (foreign.password, quote(foreign.password, safe="")))
    with Tools(client, foreign.image, labels, network="host", volume_of=tools, user=user) as inside:
        script = f'. {WORK}/command.env; cd {WORK}; exec "$@"'
        argv = ["sh", "-c", script, "sh", *foreign.argv]
        ran = inside.run(argv, on_error_line=lambda line: progress(f"{foreign.source}: {hide(line)}"))
    key = f"databases.{foreign.source}.command"
    if not ran.ok:
        said = next((line for line in reversed(ran.errors) if line), "it says nothing")
        raise SanitiseFailed(
            f"{key} ended with status {ran.exit_code} ({hide(said)})",
            remedy="mend it; the golden that was there serves on",
        )
    if not tools.run(["test", "-e", foreign.path]).ok:
        raise SanitiseFailed(f"{key} wrote nothing to $DUMP_FILE", remedy=foreign.hint)
