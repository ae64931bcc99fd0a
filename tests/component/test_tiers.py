"""What keeps the tiers of tests apart."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PLAIN = "def test_it():\n    assert True\n"
PROCESS = "import subprocess\ndef test_it():\n    subprocess.run(['true'], check=True)\n"
SERVER = "import socket\ndef test_it():\n    socket.create_server(('127.0.0.1', 0)).close()\n"


@pytest.mark.parametrize(("text", "code"), [(PLAIN, 0), (PROCESS, 1), (SERVER, 1)])
def test_a_unit_test_starts_no_process_and_no_server(tmp_path: Path, text: str, code: int) -> None:
    shutil.copy(TESTS / "unit" / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stdout
    assert ("this one belongs in tests/component" in done.stdout) == bool(code)
