"""What holds for every tier of tests: how many examples, and which worker runs what.

Hypothesis finds the same examples on each run, and few. `scripts/test` takes the profile `whole`. More examples, and
others: `pytest --hypothesis-profile=thorough`.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler.loadscope import LoadScopeScheduling

from examples import WHOLE

same: dict[str, object] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=6, derandomize=True, database=None, **same)
settings.register_profile("whole", max_examples=WHOLE, derandomize=True, database=None, **same)
settings.register_profile("thorough", max_examples=2000, **same)
settings.load_profile("quick")

# What takes longest is begun first, so that two workers end together; what is quick fills up the end.
HERE = Path(__file__).parent
LONGEST_FIRST = (
    "integration/engines",
    "integration/test_crashes",
    "integration/postgres",
    "integration",
    "contract",
    "component",
)


def place(item: pytest.Item) -> int:
    at = f"{item.path.relative_to(HERE).with_suffix('')}/"
    known = (number for number, room in enumerate(LONGEST_FIRST) if at.startswith(f"{room}/"))
    return next(known, len(LONGEST_FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=place)


class Together(LoadScopeScheduling):
    """A file stays with one worker. So does the room that needs a host of every engine; each kind of crash is alone."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        if file.startswith("tests/integration/engines/"):
            return "tests/integration/engines"
        return nodeid.partition("[")[0] if file.endswith("/test_crashes.py") else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Together | None:
    return Together(config, log) if config.getoption("dist") == "loadfile" else None
