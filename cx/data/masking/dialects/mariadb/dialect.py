"""All that differs between MariaDB and MySQL: programs, options, and what the schema says in other words.

https://dev.mysql.com/doc/refman/8.4/en/server-option-variable-reference.html
"""

from __future__ import annotations

from dataclasses import dataclass

from cx.core import kinds as engines
from cx.core.kinds import EngineFacts

SOCKET = "/tmp/cx.sock"  # noqa: S108 - in a container of its own
NEW = "/dev/shm/new"  # noqa: S108 - in memory: making it waits for the disk some hundred times


@dataclass(frozen=True)
class Dialect:
    """`root` may do everything, on the socket only. `install` makes NEW; `tidy`, in the golden's data directory, takes
    out what each server is to have of its own. `careful`: options with which the client obeys SQL and nothing else.

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
    install: str
    options: str
    careful: str
    dumping: str
    statement_limit: str
    limit_unit: int
    hasty: str = ""  # options of a server whose files nobody needs until they are whole, and synced as a whole
    tidy: str = ""
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


MARIADB = Dialect(
    engines.MARIADB,
    title="MariaDB",
    server="mariadbd",
    client="mariadb",
    dump="mariadb-dump",
    admin="mariadb-admin",
    root="mysql",  # the system's user, who is asked for no password
    install=f"mariadb-install-db --no-defaults --datadir={NEW} --skip-test-db --auth-root-authentication-method=socket"
    " --auth-root-socket-user=mysql --innodb-log-file-size=16M > /dev/null",
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
    install=f"mysqld --no-defaults --initialize-insecure --datadir={NEW} --skip-log-bin > /tmp/cx.log 2>&1"
    " || { grep ERROR /tmp/cx.log >&2; exit 1; }",
    options="--mysqlx=OFF --performance-schema=OFF --loose-innodb-redo-log-capacity=32M",
    careful="--binary-mode --local-infile=0",  # newer clients are so by themselves
    dumping="--set-gtid-purged=OFF --skip-column-statistics",
    statement_limit="--max-execution-time",  # of SELECT alone
    limit_unit=1000,
    hasty="--innodb-flush-method=nosync",
    tidy="rm -f auto.cnf *.pem",  # its name, and its keys for TLS
    reading=("get-server-public-key",),  # where the source has no TLS
    session="SET SESSION information_schema_stats_expiry = 0;\n",
)
