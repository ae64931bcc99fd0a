"""The fake GitHub of the tests in a process of its own, which says what is in a file: `fake.py FILE PORT-FILE`.

FILE holds the open pull requests, number -> commit; all others are closed.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "suites"))

from forge.fake import FakeGitHub  # noqa: E402
from starlette.requests import Request  # noqa: E402
from starlette.responses import Response  # noqa: E402

REPOSITORY = "bench/app"


class FromFile(FakeGitHub):
    def __init__(self, file: Path) -> None:
        super().__init__()
        self.file, self.read_at = file, 0
        self.repository(REPOSITORY)

    def _refused(self, request: Request) -> Response | None:
        """Called before every answer."""
        if (changed_at := self.file.stat().st_mtime_ns) != self.read_at:
            self.read_at = changed_at
            self._read(json.loads(self.file.read_text()))
        return super()._refused(request)

    def _read(self, said: dict[str, str]) -> None:
        pulls = self.repository(REPOSITORY).pulls
        for number, head in said.items():
            if int(number) in pulls:
                self.push(REPOSITORY, int(number), head)
                self.reopen(REPOSITORY, int(number))
            else:
                self.open(REPOSITORY, int(number), head)
        for number in pulls.keys() - {int(number) for number in said}:
            self.close(REPOSITORY, number)


def main() -> None:
    fake = FromFile(Path(sys.argv[1]))
    aside = Path(sys.argv[2] + ".new")
    aside.write_text(fake.start())
    aside.rename(sys.argv[2])
    signal.sigwait([signal.SIGTERM, signal.SIGINT])


if __name__ == "__main__":
    main()
