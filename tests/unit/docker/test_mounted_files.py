"""What services mount from the checkout, packed for the engine."""

from __future__ import annotations

import os
import tarfile
import tracemalloc

from cx.docker.files import archive


def test_a_large_checkout_is_packed_without_being_held(tmp_path):
    """Zeros are a small commit, and may be gigabytes in a checkout."""
    large = tmp_path / "zeros"
    large.touch()
    os.truncate(large, 200 << 20)
    tracemalloc.start()
    try:
        with archive(tmp_path, {"zeros": "zeros"}) as packed:
            assert os.fstat(packed.fileno()).st_size > 200 << 20
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_what_is_packed_is_roots_under_its_new_name(tmp_path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "app.ini").write_text("x")
    (tmp_path / "run").write_text("y")
    (tmp_path / "run").chmod(0o777)
    os.mkfifo(tmp_path / "conf" / "pipe")
    with archive(tmp_path, {"conf": "conf", "run": "/bin/run"}) as packed, tarfile.open(fileobj=packed) as tar:
        found = {one.name: (one.uid, one.mode) for one in tar}
    assert found == {"conf": (0, 0o755), "conf/app.ini": (0, 0o644), "bin/run": (0, 0o755)}
