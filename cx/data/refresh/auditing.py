"""`cx db audit`: whether any value of the masked columns is in a golden, by canaries and by digests of all values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cx.data.errors import ServerRefused
from cx.data.masking.auditing import CANARIES, Audit, Compared
from cx.data.masking.checking import Plan
from cx.data.masking.dialects.postgres import leaks
from cx.data.masking.dialects.postgres.expressions import KEY_SETTING
from cx.data.masking.dialects.postgres.leaks import Place, Watched
from cx.data.masking.dialects.postgres.reading import Reading
from cx.data.masking.literals import Definition
from cx.data.masking.searching import in_both, search_output
from cx.data.refresh import definitions
from cx.data.refresh.source import first_error
from cx.data.values import Connection, Golden
from cx.data.workbench.tools import WORK, Tools

if TYPE_CHECKING:
    from cx.data.session import Session

_SOURCE, _GOLDEN = f"{WORK}/digests.source", f"{WORK}/digests.golden"


@dataclass(frozen=True)
class Auditing:
    """A golden beside its source; `copy` is a database with the golden's content, as a role that only reads it."""

    tools: Tools
    reading: Reading
    plan: Plan
    copy: Connection
    key_hex: str

    def run(self, connection: Session, inside: Session, golden: Golden, *, same_rules: bool) -> Audit:
        environment = self._service()
        count = leaks.release(self.reading, self.plan, CANARIES)
        in_files = leaks.scan(self.tools, connection, inside, Place(golden.database, *golden.wal))
        dump = ["pg_dump", "-d", "service=golden", "-w", "--data-only", "--no-sync"]
        in_rows = search_output(self.tools, dump, environment, "the golden's rows")
        in_schema = definitions.held(self.reading, self.plan, self._definitions(environment, golden))
        compared = tuple(self._compared(environment))
        return Audit(golden.database, same_rules, count, in_files, in_rows, compared, in_schema)

    def _definitions(self, environment: Mapping[str, str], golden: Golden) -> Sequence[Definition]:
        argv = ["pg_dump", "-d", "service=golden", "-w", "--schema-only", "--no-owner", "--no-privileges"]
        ran = self.tools.run(argv, environment=environment)
        if not ran.ok:
            raise ServerRefused(f"the golden's definitions cannot be read ({first_error(ran.errors)})")
        return (*definitions.of_text(ran.output), *definitions.of_settings(dict(golden.settings)))

    def _service(self) -> Mapping[str, str]:
        """The copy, as a role that is nobody's superuser: what is in it came from elsewhere, and may run."""
        copy = self.copy
        service = {
            "host": copy.host,
            "port": str(copy.port),
            "user": copy.user,
            "dbname": copy.database,
            "sslmode": "disable",
            "options": f"-c {KEY_SETTING}={self.key_hex} -c default_transaction_read_only=on",
        }
        lines = ["[golden]", *(f"{key}={value}" for key, value in service.items())]
        self.tools.put(f"{WORK}/golden.conf", ("\n".join(lines) + "\n").encode())
        self.tools.put(f"{WORK}/golden.pass", f"*:*:*:*:{copy.password}\n".encode())
        encoding = self.reading.origin.encoding
        return {
            "PGSERVICEFILE": f"{WORK}/golden.conf",
            "PGPASSFILE": f"{WORK}/golden.pass",
            "PGCLIENTENCODING": encoding,
        }

    def _compared(self, environment: Mapping[str, str]) -> Iterator[Compared]:
        gone = {one.oid for one in self.plan.left_out}
        for one in leaks.watched(self.plan):
            if one.table.oid in gone:
                continue
            self.reading.lines([leaks.digests(one)], to=_SOURCE)
            self._golden(one, environment)
            found, values = in_both(self.tools, _SOURCE, _GOLDEN)
            yield Compared(one.said, values, found)

    def _golden(self, one: Watched, environment: Mapping[str, str]) -> None:
        path = f"{WORK}/digests.sql"
        self.tools.put(path, f"SET search_path = pg_catalog;\n{leaks.digests(one)};\n".encode())
        psql = f"psql -XAtqw -v ON_ERROR_STOP=1 -d service=golden -f {path} > {_GOLDEN}"
        ran = self.tools.run(["bash", "-c", psql], environment=environment)
        if not ran.ok:
            raise ServerRefused(
                f"the golden's {one.said} cannot be read ({first_error(ran.errors)})",
                remedy="its schema is not the source's any more: refresh it",
            )
