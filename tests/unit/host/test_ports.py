"""Which ports the kernel gives away."""

from __future__ import annotations

from pathlib import Path

from cx.host.ports import handed_out


def kernel(folder: Path, ports: str, reserved: str) -> frozenset[int]:
    (folder / "ip_local_port_range").write_text(ports)
    (folder / "ip_local_reserved_ports").write_text(reserved)
    return handed_out(folder)


def test_a_port_of_the_range_is_handed_out_unless_it_is_reserved(tmp_path: Path) -> None:
    assert kernel(tmp_path, "32768\t60999\n", "\n") == frozenset(range(32768, 61000))
    assert kernel(tmp_path, "32768\t32772\n", "32770\n") == {32768, 32769, 32771, 32772}
    assert kernel(tmp_path, "32768\t32772\n", "8080,32768-32770,32772\n") == {32771}


def test_where_the_kernel_does_not_say_none_is(tmp_path: Path) -> None:
    assert handed_out(tmp_path / "away") == frozenset()
