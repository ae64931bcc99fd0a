"""A session goes to the server that is meant, whatever the shell has set for other programs."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cx.core.errors import Retryable
from cx.data.session import session
from cx.data.values import Server


@pytest.fixture
def elsewhere() -> Iterator[socket.socket]:
    """Where nobody should connect to."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield listener


def test_variables_of_the_shell_name_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: socket.socket
) -> None:
    port = elsewhere.getsockname()[1]
    (tmp_path / "services").write_text(f"[theirs]\nhostaddr=127.0.0.1\nport={port}\n")
    for name, value in {
        "PGHOSTADDR": "127.0.0.1", "PGPORT": str(port), "PGSERVICE": "theirs", "PGOPTIONS": "-c search_path=theirs",
        "PGSERVICEFILE": str(tmp_path / "services"), "PGREQUIREAUTH": "none", "PGTARGETSESSIONATTRS": "standby",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    server = Server("127.0.0.2", port, "the password")
    with pytest.raises(Retryable, match=r"127\.0\.0\.2.*Connection refused"), session(server):
        pass
    with pytest.raises(BlockingIOError):
        elsewhere.accept()
