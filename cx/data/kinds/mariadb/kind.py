"""MariaDB and MySQL: goldens by their own dump tools, through a scratch server where there is something to sanitise.

https://mariadb.com/kb/en/mariadb-dump/ and https://mariadb.com/kb/en/server-system-variables/#init_file
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from cx.core.blueprint import DatabaseUse
from cx.core.errors import Invalid, Terminal
from cx.data.masking import foreign
from cx.data.masking.auditing import Audit
from cx.data.masking.dialects.mariadb.dialect import GOLDEN_SH, Dialect
from cx.data.masking.dialects.mariadb.leaks import scan
from cx.data.masking.dialects.mariadb.masking import Masking
from cx.data.masking.foreign import Foreign
from cx.data.masking.personal import Suspect
from cx.data.masking.searching import refuse
from cx.data.values import Masks
from cx.data.workbench.making import Making
from cx.data.workbench.tools import WORK, Ran, Tools
from cx.data.workbench.values import DATA, Compared, Serving, Spec, Volume

_PROGRAM = Path(__file__).with_name("golden.sh")
_DATA = "--single-transaction --quick --skip-lock-tables --max-allowed-packet=1G"
_SCHEMA = "--no-data --skip-lock-tables --skip-comments"
# $1: the database. One query makes the other: the names in it come from elsewhere.
_COUNTS = r"""
ask --raw "$1" <<'QUERY' | ask "$1"
SELECT CONCAT('SELECT ', QUOTE(TABLE_NAME), ', COUNT(*) FROM `', REPLACE(TABLE_NAME, '`', '``'), '`;')
FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE';
QUERY
"""
_NOISE = re.compile(r"^(?:/\*M?!\d+ SET .*|/\*M?!999999.*|SET .*|--.*|\s*)$| AUTO_INCREMENT=\d+")


@dataclass(frozen=True)
class MariaDB:
    """MariaDB, or MySQL, as `dialect` says."""

    dialect: Dialect
    user = "mysql"
    without_golden = False

    @property
    def masking(self) -> MariaDB:
        return self

    @property
    def client(self) -> tuple[str, ...]:
        return (self.dialect.client, *self.dialect.me.split())

    @property
    def alive(self) -> tuple[str, ...]:
        return (self.dialect.admin, *self.dialect.me.split(), "ping")

    @contextmanager
    def _read(self, making: Making) -> Iterator[tuple[Tools, str]]:
        """A container whose volume has the source's dump, and what the database is to be called."""
        spec = making.spec
        with making.tools(self.user, "host") as outside:
            outside.put(GOLDEN_SH, _PROGRAM.read_bytes())
            if spec.file:
                making.progress(f"{spec.name}: reading {spec.file}")
                _readable(spec)
                outside.put_path(WORK, "raw.sql", spec.file)
                making.must(self._golden(outside, "file"), f"read {spec.file}")
                database = spec.database or "app"
            elif spec.command:
                url = _url(spec)
                database = spec.database or url.path[1:]
                making.progress(f"{spec.name}: running {spec.command[0]} in {spec.command_image}")
                tool = _commanded(spec, url, self.dialect)
                foreign.run(making.volumes.engine.client, outside, making.labels(), tool, making.progress)
                ran = self._golden(outside, "file")
                making.must(ran, f"read what databases.{spec.name}.command wrote")
            else:
                url = _url(spec)
                database = spec.database or url.path[1:]
                making.progress(f"{spec.name}: dumping")
                outside.put(f"{WORK}/source.cnf", _options(url, self.dialect))
                making.must(self._golden(outside, "dump", unquote(url.path[1:])), "dump")
            making.checkpoint("refresh:dumped")
            yield outside, database

    def fill(self, making: Making) -> Mapping[str, str]:
        spec = making.spec
        more, digest = making.script()
        with (
            self._read(making) as (outside, database),
            making.tools(self.user, "none", volume_of=outside, golden=True) as inside,
        ):
            clean, notes = "raw.sql", ""
            if more or spec.masks:
                clean, notes = "clean.sql", self._sanitised(making, inside, database, more)
            making.progress(f"{spec.name}: filling the golden")
            making.must(self._golden(inside, "golden", clean, database), "load the dump")
            if spec.masks:
                making.progress(f"{spec.name}: looking for its canaries in the golden")
                refuse(scan(inside, f"{WORK}/{clean}"))
        by = _sanitised_by(spec, digest)
        return {"database": database, "sanitised_by": by, **({"notes": notes} if notes else {})}

    def classify(self, making: Making) -> tuple[Suspect, ...]:
        """The source's columns that look personal and have no rule; nothing is left of what was read."""
        with self._read(making) as (outside, database), making.tools(self.user, "none", volume_of=outside) as inside:
            self._scratch(making, inside, database)
            masks = making.spec.masks or Masks({}, {}, b"")
            return Masking(making, inside, database, masks, self.dialect).suspects()

    def audit(self, making: Making) -> Audit:
        """Whether values of the source's masked columns are in the golden of `making`. Raises Invalid: no rules."""
        spec = making.spec
        if spec.masks is None:
            raise Invalid("host configuration", f"databases.{spec.name}.mask", "is missing: nothing is masked")
        same = making.golden.sanitised_by == _sanitised_by(spec, making.script()[1])
        once = replace(spec.masks, key=secrets.token_bytes(32))
        with (
            self._read(making) as (outside, database),
            making.tools(self.user, "none", volume_of=outside, golden=True, read_only=True) as inside,
        ):
            self._scratch(making, inside, database)
            return Masking(making, inside, database, once, self.dialect).audit(making.golden, same_rules=same)

    def _golden(self, tools: Tools, *words: str) -> Ran:
        argv, environment = self.dialect.golden(*words)
        return tools.run(argv, environment=environment)

    def _scratch(self, making: Making, inside: Tools, database: str) -> None:
        making.must(self._golden(inside, "scratch", database), "load the dump")

    def _sanitised(self, making: Making, inside: Tools, database: str, more: bytes) -> str:
        """The clean dump is there, by the rules and then the script. Gives what to tell of it."""
        spec, notes = making.spec, []
        self._scratch(making, inside, database)
        if spec.masks:
            masking = Masking(making, inside, database, spec.masks, self.dialect)
            masking.run()
            notes = masking.notes
            making.checkpoint("refresh:masked")
        if more:
            making.progress(f"{spec.name}: running {spec.sanitise}")
            inside.put(f"{WORK}/sanitise.sql", more)
            ran = self._golden(inside, "script", database)
            making.must(ran, f"sanitise with {spec.sanitise}")
        making.must(self._golden(inside, "clean", database), "dump what is sanitised")
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
            limits += f" {self.dialect.statement_limit}={spec.statement_timeout_s * self.dialect.limit_unit}"
        options = f"{self.dialect.serving} --datadir={DATA} --port={use.port} --init-file=/cx/init.sql {limits}"
        return Serving(
            f"exec {self.dialect.server} {options}\n",
            self.alive,
            {"/cx/init.sql": ("\n".join(init) + "\n").encode()},
        )

    def dump(self, copy: Volume) -> tuple[str, ...]:
        return ("sh", "-c", f'{self._dumping} {_DATA} "$1"', "sh", copy.facts.get("database", ""))

    def compared(self, spec: Spec, copy: Volume) -> Compared:
        dialect, database = self.dialect, copy.facts.get("database", "")
        asking = f"{dialect.client} {dialect.me} {dialect.careful} --skip-column-names --batch"
        return Compared(
            f"exec {dialect.server} {dialect.serving} --skip-networking --datadir={DATA}\n",
            ("sh", "-c", f'{self._dumping} {_SCHEMA} "$1"', "sh", database),
            ("bash", "-o", "pipefail", "-c", f'ask() {{ {asking} "$@"; }}{_COUNTS}', "bash", database),
            _NOISE,
        )

    @property
    def _dumping(self) -> str:
        options = f"{self.dialect.me} {self.dialect.dumping} --no-tablespaces --routines --triggers --events --hex-blob"
        return f"exec {self.dialect.dump} {options}"


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


def _commanded(spec: Spec, url: SplitResult, dialect: Dialect) -> Foreign:
    password = unquote(url.password or "")
    environment = {
        "MYSQL_HOST": url.hostname or "",
        "MYSQL_TCP_PORT": str(url.port or 3306),
        "MYSQL_USER": unquote(url.username or ""),
        "MYSQL_PWD": password,
        "MYSQL_DATABASE": unquote(url.path[1:]),
    }
    hint = f"{dialect.dump} ... > $DUMP_FILE"
    return Foreign(
        spec.name, spec.command, spec.command_image, f"{WORK}/raw.sql", hint, spec.url or "", password, environment
    )


def _sanitised_by(spec: Spec, script: str) -> str:
    """A digest of all that had a say in it; "" where nothing had."""
    command = hashlib.sha256(repr(spec.command).encode()).hexdigest() if spec.command else ""
    said = [one for one in (spec.masks.digest if spec.masks else "", script, command) if one]
    return said[0] if len(said) == 1 else hashlib.sha256("".join(said).encode()).hexdigest() if said else ""


def _readable(spec: Spec) -> None:
    if spec.file is None or not spec.file.is_file():
        raise Invalid("host configuration", f"databases.{spec.name}.file", f"{spec.file}: is not there, or no file")


def _options(url: SplitResult, dialect: Dialect) -> bytes:
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
        *dialect.reading,
    ]
    return ("\n".join(lines) + "\n").encode()


def _quoted(text: str) -> str:
    doubled = text.replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"'{doubled}'"
