"""The fake GitHub, alone and behind a proxy that holds every request and answer to GitHub's own description."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from forge.fake import TOKEN, FakeGitHub, fake_github


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with fake_github() as fake:
        fake.tokens = {TOKEN}
        yield fake
