"""MariaDB: goldens by its own dump tools, through a scratch server where there is something to sanitise.

https://mariadb.com/kb/en/mariadb-dump/ and https://mariadb.com/kb/en/server-system-variables/#init_file
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import SplitResult, unquote, urlsplit

from cx.adapters.engines.making import Making
from cx.adapters.engines.mariadb.leaks import scan
from cx.adapters.engines.mariadb.masking import Masking
from cx.adapters.engines.values import DATA, GOLDEN, Compared, Serving, Spec, Volume
from cx.adapters.masking.personal import Suspect
from cx.adapters.masking.searching import refuse
from cx.adapters.postgres.tools import WORK, Tools
from cx.adapters.postgres.values import Masks
from cx.errors import Invalid, Terminal
from cx.model.blueprint import DatabaseUse

_SOCKET = "/tmp/cx.sock"  # noqa: S108 - in a container of its own
_COMMON = (
    "--skip-log-bin --skip-name-resolve --innodb-log-file-size=16M --local-infile=OFF --event-scheduler=OFF"
    f" --socket={_SOCKET} --pid-file=/tmp/cx.pid --secure-file-priv=/tmp"
)

# The loader has rights in the one database only, whatever a dump holds; who logs in as the system's own user has all.
_RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE TEMPORARY TABLES, LOCK TABLES,"
    " CREATE VIEW, SHOW VIEW, CREATE ROUTINE, ALTER ROUTINE, EXECUTE, TRIGGER"
)

# $1: what to do; the rest: its arguments. One server at a time, on the socket, without a network.
_MAKE = rf"""
set -euo pipefail
me=(--no-defaults --socket={_SOCKET} --default-character-set=utf8mb4)

begin() {{ # FOLDER DATABASE
  # In memory: it waits for the disk some hundred times.
  [ -d /dev/shm/new ] || mariadb-install-db --no-defaults --datadir=/dev/shm/new --skip-test-db \
    --auth-root-authentication-method=socket --auth-root-socket-user=mysql --innodb-log-file-size=16M > /dev/null
  mkdir -p "$1"
  cp -a /dev/shm/new/. "$1/"
  mariadbd --no-defaults {_COMMON} --skip-networking --datadir="$1" ${{3:-}} > /tmp/cx.log 2>&1 < /dev/null & server=$!
  until mariadb-admin "${{me[@]}}" ping > /dev/null 2>&1; do
    kill -0 $server 2> /dev/null || {{ grep ERROR /tmp/cx.log >&2 || tail -n 5 /tmp/cx.log >&2; exit 1; }}
    sleep 0.05
  done
  mariadb "${{me[@]}}" -e "CREATE DATABASE \`$2\` CHARACTER SET utf8mb4; CREATE USER cx_loader@localhost;
    GRANT {_RIGHTS} ON \`$2\`.* TO cx_loader@localhost"
}}

end() {{
  mariadb-admin "${{me[@]}}" shutdown
  while [ -e /tmp/cx.pid ]; do sleep 0.05; done
}}

# What others own becomes the loader's; which database it goes to is not for the dump to say.
load() {{ # FILE DATABASE
  LC_ALL=C sed -E -e '/^(INSERT INTO|\()/!s/DEFINER=(`[^`]*`|[A-Za-z0-9_]+)@(`[^`]*`|[A-Za-z0-9_.%]+)//g' \
    -e '/^(CREATE DATABASE|USE )/d' "$1" |
    mariadb "${{me[@]}}" --user=cx_loader --sandbox --max-allowed-packet=1G "$2"
}}

dump() {{ # FILE DATABASE [OPTIONS]
  local file=$1 database=$2
  shift 2
  mariadb-dump "$@" --single-transaction --quick --skip-lock-tables --no-tablespaces --routines --triggers --hex-blob \
    --default-character-set=utf8mb4 --max-allowed-packet=1G "$database" > "$file"
  whole "$file"
}}

whole() {{
  tail -c 200 "$1" | grep -q '^-- Dump completed' && return
  echo "ERROR: the dump is cut: its last line is missing" >&2
  exit 1
}}

case $1 in
  dump) dump {WORK}/raw.sql "$2" --defaults-extra-file={WORK}/source.cnf ;;
  file) whole {WORK}/raw.sql ;;
  scratch)
    begin {WORK}/scratch "$2" "--innodb-flush-log-at-trx-commit=0 --innodb-doublewrite=OFF"
    load {WORK}/raw.sql "$2"
    rm {WORK}/raw.sql
    ;;
  ask) # DATABASE USER [FILE]: what is there prints; into the file, with what is special in values escaped
    ask=(mariadb "${{me[@]}}" --user="$3" --sandbox --skip-column-names --batch)
    if [ $# = 4 ]; then exec > "$4"; else ask+=(--raw); fi
    cat {WORK}/key.sql {WORK}/ask.sql | "${{ask[@]}}" "$2"
    ;;
  triggers)
    mariadb-dump "${{me[@]}}" --no-data --no-create-info --skip-routines --triggers "$2" > {WORK}/triggers.sql
    whole {WORK}/triggers.sql
    ;;
  triggers-back) load {WORK}/triggers.sql "$2" ;;
  script) mariadb "${{me[@]}}" --user=cx_loader --sandbox "$2" < {WORK}/sanitise.sql ;;
  clean)
    dump {WORK}/clean.sql "$2" "${{me[@]}}"
    kill -KILL "$(cat /tmp/cx.pid)" # nothing of it is kept
    rm -rf {WORK}/scratch {_SOCKET} /tmp/cx.pid
    ;;
  golden)
    begin {GOLDEN}/data "$3" "--innodb-flush-log-at-trx-commit=0"
    load {WORK}/"$2" "$3"
    mariadb "${{me[@]}}" -e "ALTER USER cx_loader@localhost ACCOUNT LOCK"
    mariadb-check "${{me[@]}}" --analyze --silent "$3"
    end
    ;;
esac
"""

_ME = f"--no-defaults --socket={_SOCKET} --default-character-set=utf8mb4"
_DUMP = f"exec mariadb-dump {_ME} --no-tablespaces --routines --triggers --events --hex-blob"
_DATA = "--single-transaction --quick --skip-lock-tables --max-allowed-packet=1G"
_SCHEMA = "--no-data --skip-lock-tables --skip-comments"
# $1: the database. One query makes the other: the names in it come from elsewhere.
_COUNTS = rf"""
ask() {{ mariadb {_ME} --sandbox --skip-column-names --batch "$@"; }}
ask --raw "$1" <<'QUERY' | ask "$1"
SELECT CONCAT('SELECT ', QUOTE(TABLE_NAME), ', COUNT(*) FROM `', REPLACE(TABLE_NAME, '`', '``'), '`;')
FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE';
QUERY
"""
_NOISE = re.compile(r"^(?:/\*M?!\d+ SET .*|/\*M?!999999.*|SET .*|--.*|\s*)$| AUTO_INCREMENT=\d+")


class MariaDB:
    user = "mysql"
    without_golden = False
    client: tuple[str, ...] = ("mariadb", "--no-defaults", f"--socket={_SOCKET}")
    alive: tuple[str, ...] = ("mariadb-admin", "--no-defaults", f"--socket={_SOCKET}", "ping")

    @contextmanager
    def _read(self, making: Making) -> Iterator[tuple[Tools, str]]:
        """A container whose volume has the source's dump, and what the database is to be called."""
        spec = making.spec
        with making.tools(self.user, "host") as outside:
            outside.put(f"{WORK}/make.sh", _MAKE.encode())
            if spec.file:
                making.progress(f"{spec.name}: reading {spec.file}")
                _readable(spec)
                outside.put_path(WORK, "raw.sql", spec.file)
                making.must(outside.run(["bash", f"{WORK}/make.sh", "file"]), f"read {spec.file}")
                database = spec.database or "app"
            else:
                url = _url(spec)
                database = spec.database or url.path[1:]
                making.progress(f"{spec.name}: dumping")
                outside.put(f"{WORK}/source.cnf", _options(url))
                making.must(outside.run(["bash", f"{WORK}/make.sh", "dump", unquote(url.path[1:])]), "dump")
            making.checkpoint("refresh:dumped")
            yield outside, database

    def fill(self, making: Making) -> Mapping[str, str]:
        spec = making.spec
        script, digest = making.script()
        with (
            self._read(making) as (outside, database),
            making.tools(self.user, "none", volume_of=outside, golden=True) as inside,
        ):
            clean, notes = "raw.sql", ""
            if script or spec.masks:
                clean, notes = "clean.sql", self._sanitised(making, inside, database, script)
            making.progress(f"{spec.name}: filling the golden")
            making.must(inside.run(["bash", f"{WORK}/make.sh", "golden", clean, database]), "load the dump")
            if spec.masks:
                making.progress(f"{spec.name}: looking for its canaries in the golden")
                refuse(scan(inside, f"{WORK}/{clean}"))
        said = [one for one in (spec.masks.digest if spec.masks else "", digest) if one]
        digest = said[0] if len(said) == 1 else hashlib.sha256("".join(said).encode()).hexdigest() if said else ""
        return {"database": database, "sanitised_by": digest, **({"notes": notes} if notes else {})}

    def classify(self, making: Making) -> tuple[Suspect, ...]:
        """The source's columns that look personal and have no rule; nothing is left of what was read."""
        with self._read(making) as (outside, database), making.tools(self.user, "none", volume_of=outside) as inside:
            self._scratch(making, inside, database)
            masks = making.spec.masks or Masks({}, {}, b"")
            return Masking(making, inside, database, masks).suspects()

    def _scratch(self, making: Making, inside: Tools, database: str) -> None:
        making.must(inside.run(["bash", f"{WORK}/make.sh", "scratch", database]), "load the dump")

    def _sanitised(self, making: Making, inside: Tools, database: str, script: bytes) -> str:
        """The clean dump is there, by the rules and then the script. Gives what to tell of it."""
        spec, notes = making.spec, []
        self._scratch(making, inside, database)
        if spec.masks:
            masking = Masking(making, inside, database, spec.masks)
            masking.run()
            notes = masking.notes
            making.checkpoint("refresh:masked")
        if script:
            making.progress(f"{spec.name}: running {spec.sanitise}")
            inside.put(f"{WORK}/sanitise.sql", script)
            ran = inside.run(["bash", f"{WORK}/make.sh", "script", database])
            making.must(ran, f"sanitise with {spec.sanitise}")
        making.must(inside.run(["bash", f"{WORK}/make.sh", "clean", database]), "dump what is sanitised")
        making.checkpoint("refresh:sanitised")
        return "; ".join(notes)

    def serve(self, spec: Spec, use: DatabaseUse, password: str, copy: Volume) -> Serving:
        database = copy.facts.get("database", "")
        if use.database != database:
            raise Terminal(
                f"database {use.name}: the project expects it to be called {use.database}, its golden has {database}",
                remedy=f'set databases.{use.name}.database = "{use.database}", then cx db refresh {use.name}',
            )
        user = f"{_quoted(use.user)}@'%'"
        whole = "*.*" if use.user == "root" else f"`{database}`.*"
        init = [
            f"CREATE USER IF NOT EXISTS {user} IDENTIFIED BY {_quoted(password)};",
            f"ALTER USER {user} IDENTIFIED BY {_quoted(password)} WITH MAX_USER_CONNECTIONS {spec.connection_limit};",
            f"GRANT ALL ON {whole} TO {user};",
        ]
        limits = f"--max-connections={spec.connection_limit + 5} --innodb-buffer-pool-size=64M"
        if spec.statement_timeout_s:
            limits += f" --max-statement-time={spec.statement_timeout_s}"
        options = f"{_COMMON} --datadir={DATA} --port={use.port} --init-file=/cx/init.sql {limits}"
        return Serving(
            f"exec mariadbd --no-defaults {options}\n",
            self.alive,
            {"/cx/init.sql": ("\n".join(init) + "\n").encode()},
        )

    def dump(self, copy: Volume) -> tuple[str, ...]:
        return ("sh", "-c", f'{_DUMP} {_DATA} "$1"', "sh", copy.facts.get("database", ""))

    def compared(self, spec: Spec, copy: Volume) -> Compared:
        database = copy.facts.get("database", "")
        return Compared(
            f"exec mariadbd --no-defaults {_COMMON} --skip-networking --datadir={DATA}\n",
            ("sh", "-c", f'{_DUMP} {_SCHEMA} "$1"', "sh", database),
            ("bash", "-o", "pipefail", "-c", _COUNTS, "bash", database),
            _NOISE,
        )


def _url(spec: Spec) -> SplitResult:
    url = urlsplit(spec.url or "")
    if (
        url.scheme not in spec.facts.live_source
        or not url.hostname
        or not re.fullmatch(r"/[^/`'\"\\\s-][^/`'\"\\\s]*", url.path)
    ):
        key = f"databases.{spec.name}.source"
        raise Invalid("host configuration", key, "should be mysql://user:password@host/database (not shown here)")
    return url


def _readable(spec: Spec) -> None:
    if spec.file is None or not spec.file.is_file():
        raise Invalid("host configuration", f"databases.{spec.name}.file", f"{spec.file}: is not there, or no file")


def _options(url: SplitResult) -> bytes:
    """https://mariadb.com/kb/en/configuring-mariadb-with-option-files/#option-file-syntax"""

    def value(text: str | None) -> str:
        plain = unquote(text or "").replace("\\", "\\\\").replace('"', '\\"')
        if not plain.isprintable():
            raise Invalid("host configuration", "databases", "a source's user or password has characters of control")
        return f'"{plain}"'

    lines = [
        "[client]",
        f"host={value(url.hostname)}",
        f"port={url.port or 3306}",
        f"user={value(url.username)}",
        f"password={value(url.password)}",
        "loose-connect-timeout=10",
        "loose-skip-ssl-verify-server-cert",  # as libpq's sslmode=prefer: encrypted where the source can
    ]
    return ("\n".join(lines) + "\n").encode()


def _quoted(text: str) -> str:
    doubled = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"'{doubled}'"
