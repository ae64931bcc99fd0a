"""All that differs between MariaDB and MySQL: programs, options, and what the schema says in other words.

https://dev.mysql.com/doc/refman/8.4/en/server-option-variable-reference.html
"""

from __future__ import annotations

from dataclasses import dataclass

from cx.core import kinds as engines
from cx.core.kinds import EngineFacts
from cx.data.workbench.tools import WORK
from cx.data.workbench.values import GOLDEN

GOLDEN_SH = f"{WORK}/golden.sh"  # cx/data/kinds/mariadb/golden.sh
SOCKET = "/tmp/cx.sock"  # noqa: S108 - in a container of its own
NEW = "/dev/shm/new"  # noqa: S108 - in memory: making it waits for the disk some hundred times


@dataclass(frozen=True)
class Dialect:
    """`root` may do everything, on the socket only. With `careful` the client obeys SQL and nothing else.

    `statement_limit` is the option for the longest time of a statement, given its seconds times `limit_unit`.
    `checks` is a query for the constraints that make a column JSON.
    """

    facts: EngineFacts
    title: str
    server: str
    client: str
    dump: str
    admin: str
    root: str
    options: str
    careful: str
    dumping: str
    statement_limit: str
    limit_unit: int
    hasty: str = ""  # options of a server whose files nobody needs until they are whole, and synced as a whole
    reading: tuple[str, ...] = ()  # lines of an option file, for the source
    session: str = ""
    checks: str = ""

    @property
    def me(self) -> str:
        """Options of every program that talks to the server on the socket."""
        return f"--no-defaults --user={self.root} --socket={SOCKET} --default-character-set=utf8mb4"

    @property
    def serving(self) -> str:
        return (
            f"--no-defaults --skip-log-bin --skip-name-resolve --local-infile=OFF --event-scheduler=OFF {self.options}"
            f" --socket={SOCKET} --pid-file=/tmp/cx.pid --secure-file-priv=/tmp"
        )

    def golden(self, *words: str) -> tuple[list[str], dict[str, str]]:
        """The command that has `golden.sh` do what `words` say, in a container that has it, and its environment."""
        environment = {
            "CX_DIALECT": self.facts.name,
            "CX_CLIENT": self.client,
            "CX_ADMIN": self.admin,
            "CX_SERVER": self.server,
            "CX_DUMP": self.dump,
            "CX_ME": self.me,
            "CX_CAREFUL": self.careful,
            "CX_DUMPING": self.dumping,
            "CX_HASTY": f"{self.hasty} --innodb-flush-log-at-trx-commit=0",
            "CX_SERVING": self.serving,
            "CX_WORK": WORK,
            "CX_GOLDEN": GOLDEN,
            "CX_NEW": NEW,
            "CX_SOCKET": SOCKET,
        }
        return ["bash", GOLDEN_SH, *words], environment


MARIADB = Dialect(
    engines.MARIADB,
    title="MariaDB",
    server="mariadbd",
    client="mariadb",
    dump="mariadb-dump",
    admin="mariadb-admin",
    root="mysql",  # the system's user, who is asked for no password
    options="--innodb-log-file-size=16M",
    careful="--sandbox",
    dumping="",
    statement_limit="--max-statement-time",
    limit_unit=1,
    checks="SELECT JSON_OBJECT('is', 'check', 'table', TABLE_NAME, 'clause', CHECK_CLAUSE)"
    " FROM information_schema.CHECK_CONSTRAINTS WHERE CONSTRAINT_SCHEMA = DATABASE();",
)
MYSQL = Dialect(
    engines.MYSQL,
    title="MySQL",
    server="mysqld",
    client="mysql",
    dump="mysqldump",
    admin="mysqladmin",
    root="root",  # root@localhost, without a password: only who is in the server's container comes by the socket
    options="--mysqlx=OFF --performance-schema=OFF --loose-innodb-redo-log-capacity=32M",
    careful="--binary-mode --local-infile=0",  # newer clients are so by themselves
    dumping="--set-gtid-purged=OFF --skip-column-statistics",
    statement_limit="--max-execution-time",  # of SELECT alone
    limit_unit=1000,
    hasty="--innodb-flush-method=nosync",
    reading=("get-server-public-key",),  # where the source has no TLS
    session="SET SESSION information_schema_stats_expiry = 0;\n",
)
