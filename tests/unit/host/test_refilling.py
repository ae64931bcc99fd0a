"""Nobody waits for a refill of spares: how it went is written down, logged, and told by `cx doctor`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cx.core.errors import Busy
from cx.core.history import Chore
from cx.data.errors import NoSpace
from cx.data.values import Terms
from cx.host.doctor import Check, Doctor
from cx.host.refilling import NAME, START_S, Refilling
from cx.store import Database
from cx.store.chores import Chores


class Spares:
    """`ends` gives, by source, what its refill raises."""

    def __init__(self) -> None:
        self.ends: dict[str, BaseException] = {}
        self.refilled: list[str] = []

    def sources(self) -> frozenset[str]:
        return frozenset({"a", "b"})

    def refill(self, source: str, terms: Terms) -> int:
        self.refilled.append(source)
        if source in self.ends:
            raise self.ends[source]
        return 1


def refilling_of(host: Any) -> Refilling:
    return Refilling(Chores(host.database), host.lock, host.is_locked, lambda: host.terms, lambda: host.spares)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Any]:
    host = SimpleNamespace(
        database=Database(tmp_path / "cx.db"), terms={"a": Terms(spares=1)}, spares=Spares(), locked=False
    )
    host.lock = lambda name, why, wait_s: nullcontext()
    host.is_locked = lambda name: host.locked
    yield host
    host.database.close()


def last(host: Any) -> tuple[str, str]:
    found = refilling_of(host).last()
    assert found
    return found.outcome, found.message


def test_a_refill_that_went_well(host: Any) -> None:
    assert refilling_of(host).last() is None
    assert refilling_of(host).run() == {"a": 1, "b": 1}
    assert last(host) == ("done", "")


def test_why_it_failed_stays_until_one_goes_well(host: Any) -> None:
    host.spares.ends = {"a": NoSpace("too few", remedy="more disk")}
    with pytest.raises(NoSpace):
        refilling_of(host).run()
    assert host.spares.refilled == ["a", "b"]
    assert last(host) == ("failed", "too few; more disk")
    host.spares.ends = {}
    refilling_of(host).run()
    assert last(host) == ("done", "")


def test_of_a_defect_only_type_and_place_are_kept(host: Any) -> None:
    host.spares.ends = {"a": ValueError("postgresql://user:secret@host")}
    with pytest.raises(ValueError, match="secret"):
        refilling_of(host).run()
    outcome, message = last(host)
    assert outcome == "failed"
    assert "ValueError" in message
    assert "cx.host.refilling, line" in message
    assert "secret" not in message


def test_who_leaves_it_to_another_writes_nothing(host: Any) -> None:
    def lock(name: str, why: str, wait_s: float) -> Any:
        raise Busy("somebody waits already")

    host.lock = lock
    assert refilling_of(host).run() == {}
    assert refilling_of(host).last() is None


def test_one_that_died_has_failed(host: Any) -> None:
    Chores(host.database).begin(NAME, 1000.0)
    refilling = refilling_of(host)
    outcomes = [(found.outcome, found.failed) for now in (1001.0, 1001.0 + START_S) if (found := refilling.last(now))]
    assert outcomes == [("running", False), ("died", True)]
    host.locked = True
    assert refilling.last(1001.0 + START_S) == Chore(NAME, 1000.0, None, "running")


def test_a_failure_is_logged_once(host: Any, caplog: pytest.LogCaptureFixture) -> None:
    host.terms = {}  # so that no process is started
    refilling = refilling_of(host)
    for end in ("failed", "failed", "done", "failed"):
        Chores(host.database).begin(NAME, 1000.0)
        Chores(host.database).end(NAME, 1001.0, end, "the disk is full")
        refilling.housekeep()
    assert [(one.message, one.facts["why"]) for one in caplog.records] == [  # type: ignore[attr-defined]
        ("spares not refilled", "the disk is full"),
        ("spares not refilled", "the disk is full"),
    ]


@pytest.mark.parametrize(
    ("newest", "rows"),
    [
        (None, []),
        (Chore(NAME, 0.0, 1.0, "done"), []),
        (
            Chore(NAME, 0.0, 1.0, "failed", "the disk is full"),
            [
                Check(
                    "spares",
                    "advice",
                    "the refill of 1970-01-01 00:00 UTC failed: the disk is full",
                    "`cx db spares` refills them",
                )
            ],
        ),
    ],
)
def test_the_doctor_tells_of_it(newest: Chore | None, rows: list[Check]) -> None:
    unused: Any = None
    doctor = Doctor(unused, unused, unused, unused, unused, lambda: newest)
    assert doctor._guarded(doctor._spares) == rows
