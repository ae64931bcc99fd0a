"""What every program of cx begins with."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from cx.process.beginning import begin


@pytest.fixture(autouse=True)
def mask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("/usr/bin:/bin", "/usr/bin:/bin"),
        (":/usr/bin::.:bin:./bin:../bin:/bin:", "/usr/bin:/bin"),
        ("node_modules/.bin:/bin", "/bin"),
    ],
)
def test_no_program_comes_from_where_somebody_stands(monkeypatch: pytest.MonkeyPatch, given: str, kept: str) -> None:
    monkeypatch.setenv("PATH", given)
    begin()
    assert os.environ["PATH"] == kept


def test_what_it_makes_is_its_users_alone() -> None:
    begin()
    assert os.umask(0) == 0o077
