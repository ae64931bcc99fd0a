"""Redis and Valkey: a server for each namespace, empty or from an RDB file.

https://redis.io/docs/latest/operate/oss_and_stack/management/config/
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from cx.core.blueprint import DatabaseUse
from cx.core.errors import Invalid
from cx.core.sizes import size_bytes
from cx.data.workbench.making import Making
from cx.data.workbench.values import DATA, GOLDEN, Serving, Spec, Volume

# The client as the server's administrator: the password is read inside, and shows in no argv.
_CLIENT = r"""
set -- $(command -v redis-cli || command -v valkey-cli) -p "$(sed -n 's/^port //p' /cx/redis.conf)"
key=$(sed -n 's/^requirepass "\(.*\)"$/\1/p' /cx/redis.conf | sed 's/\\\(.\)/\1/g')
[ -z "$key" ] || export REDISCLI_AUTH="$key"
"""


class Redis:
    user = "999"  # in the official images of both, which have different names for it
    without_golden = True
    masking = None
    client: tuple[str, ...] = ("sh", "-c", f'{_CLIENT}exec "$@"')
    alive: tuple[str, ...] = ("sh", "-c", f'{_CLIENT}"$@" ping | grep -q PONG')

    def fill(self, making: Making) -> Mapping[str, str]:
        spec = making.spec
        if spec.file is None:
            return {}
        if not spec.file.is_file():
            raise Invalid("host configuration", f"databases.{spec.name}.file", f"{spec.file}: is not there, or no file")
        making.progress(f"{spec.name}: reading {spec.file}")
        with making.tools(self.user, "none", golden=True) as tools:
            tools.put_path(f"{GOLDEN}/data", "dump.rdb", spec.file)
            check = "$(command -v redis-check-rdb || command -v valkey-check-rdb)"
            ran = tools.run(["sh", "-c", f"{check} {GOLDEN}/data/dump.rdb 2>&1"])
            making.must(ran, f"read {spec.file}: it is no sound RDB file")
        needed, most = _used(ran.output), _most_memory(spec)
        if needed > most:
            raise Invalid(
                "host configuration",
                f"databases.{spec.name}.memory",
                f"is {spec.memory}, of which {most >> 20} MB are for data: {spec.file} was {needed >> 20} MB in memory",
            )
        return {}

    def serve(self, spec: Spec, use: DatabaseUse, password: str, copy: Volume) -> Serving:
        lines = [
            f"port {use.port}",
            "protected-mode no",
            f"dir {DATA}",
            "dbfilename dump.rdb",
            "save 60 1",
            f"maxmemory {_most_memory(spec)}",
            "maxmemory-policy noeviction",
            f"maxclients {10 * spec.connection_limit}",
        ]
        if password:
            escaped = password.replace("\\", "\\\\").replace('"', '\\"')
            lines.append(f'requirepass "{escaped}"')
        answer = f"$(command -v redis-cli || command -v valkey-cli) -p {use.port} ping"
        return Serving(
            "exec $(command -v redis-server || command -v valkey-server) /cx/redis.conf\n",
            ("sh", "-c", f"{answer} 2>&1 | grep -Eq 'PONG|NOAUTH'"),
            {"/cx/redis.conf": ("\n".join(lines) + "\n").encode()},
        )

    def dump(self, copy: Volume) -> tuple[str, ...]:
        """An RDB file, as the server's replicas get it; at once, instead of waiting for more of them."""
        at_once = '"$@" config set repl-diskless-sync-delay 0 > /dev/null'
        return ("sh", "-c", f'{_CLIENT}{at_once}\nexec "$@" --rdb -')

    def compared(self, spec: Spec, copy: Volume) -> None:
        return None


def _most_memory(spec: Spec) -> int:
    """Bytes that data may take: the rest of the limit is the server's own, and for saving."""
    return size_bytes(spec.memory) * 3 // 4


def _used(checked: str) -> int:
    """Bytes that the data took where they were saved, as the RDB file says; 0 where it does not."""
    found = re.search(r"used-mem = '(\d+)'", checked)
    return int(found[1]) if found else 0
