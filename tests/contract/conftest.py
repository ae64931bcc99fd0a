"""The fake GitHub, alone and behind a proxy that holds every request and answer to GitHub's own description."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

from forge.fake import TOKEN, FakeGitHub, fake_github


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with fake_github() as fake:
        fake.tokens = {TOKEN}
        yield fake
