"""Another tool in the place of pg_dump: a command in a container of its own image, which writes a sanitised dump.

It is the host's owner's choice, like a sanitise script, and gets the source's URL in its environment; what it writes
is restored like any other dump, as a role that is nobody's superuser.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote

from cx.adapters.postgres.errors import SanitiseFailed
from cx.adapters.postgres.source import connection_parts
from cx.adapters.postgres.tools import WORK, Tools
from cx.adapters.postgres.values import Progress, Source

if TYPE_CHECKING:
    from docker import DockerClient

DUMP = f"{WORK}/command.dump"
_VARIABLES = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD", "dbname": "PGDATABASE"}


def run(client: DockerClient, tools: Tools, labels: Mapping[str, str], source: Source, progress: Progress) -> str:
    """The path of the dump that it wrote, in the container's volume. Raises SanitiseFailed."""
    parts = connection_parts(source)
    environment = {"SOURCE_URL": source.url or "", "DUMP_FILE": DUMP, "HOME": WORK}
    environment |= {name: parts[key] for key, name in _VARIABLES.items() if key in parts}
    # Its environment goes in as a file, which the engine's record of what was run does not show.
    lines = [f"export {name}={shlex.quote(value)}" for name, value in environment.items()]
    tools.put(f"{WORK}/command.env", ("\n".join(lines) + "\n").encode())
    user = ":".join(map(str, tools.ids))
    with Tools(client, source.command_image, labels, network="host", volume_of=tools, user=user) as inside:
        script = f'. {WORK}/command.env; cd {WORK}; exec "$@"'
        argv = ["sh", "-c", script, "sh", *source.command]
        ran = inside.run(argv, on_error_line=lambda line: progress(f"{source.name}: {_scrubbed(line, parts)}"))
    key = f"databases.{source.name}.command"
    if not ran.ok:
        said = next((line for line in reversed(ran.errors) if line), "it says nothing")
        raise SanitiseFailed(
            f"{key} ended with status {ran.exit_code} ({_scrubbed(said, parts)})",
            remedy="mend it; the golden that was there serves on",
        )
    if not tools.run(["test", "-e", DUMP]).ok:
        raise SanitiseFailed(
            f"{key} wrote nothing to $DUMP_FILE", remedy="pg_dump --format=custom --file=$DUMP_FILE, or a folder"
        )
    return DUMP


def _scrubbed(line: str, parts: Mapping[str, str]) -> str:
    password = parts.get("password", "")
    for secret in {password, quote(password, safe="")} - {""}:
        line = line.replace(secret, "***")
    return line
