"""A domain with a certificate: previews answer by HTTPS, and HTTP leads there."""

from __future__ import annotations

import http.client
import secrets
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from live import Cx, Project, free_pool, free_port, sweep

DOMAIN = "previews.example.test"


@pytest.fixture
def https(tmp_path: Path) -> Iterator[tuple[Cx, int]]:
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", f"/CN=*.{DOMAIN}", "-addext", f"subjectAltName=DNS:*.{DOMAIN}",
         "-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    instance, port = f"s{secrets.token_hex(3)}", free_port()
    config = tmp_path / "host.toml"
    http_port = free_port()
    config.write_text(
        f'instance = "{instance}"\nstate_dir = "{tmp_path}/state"\ndomain = "{DOMAIN}"\n'
        f"[router]\nhttp_port = {http_port}\nhttps_port = {port}\nadmin_port = {free_port()}\n"
        'tls = "files"\ncertificate = "cert.pem"\nkey = "key.pem"\n'
        f'[network]\npool = "{free_pool()}"\n'
    )
    cx = Cx(config, http_port, instance)
    try:
        cx("up")
        yield cx, port
    finally:
        sweep(instance)


def test_previews_answer_by_https_with_the_certificate(https: tuple[Cx, int], hello: Project, tmp_path: Path) -> None:
    cx, port = https
    done = cx("deploy", hello.folder, "--namespace", "preview-1")
    host = f"preview-1-app.{DOMAIN}"
    assert f"https://{host}:{port}" in done.stdout
    context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = tls.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.strip().endswith(b"one")

    connection = http.client.HTTPConnection("127.0.0.1", cx.port)
    connection.request("GET", "/x", headers={"Host": host})
    moved = connection.getresponse()
    assert moved.status in (301, 308)
    assert moved.headers["Location"] == f"https://{host}:{port}/x"
    connection.close()
    key = (tmp_path / "key.pem").read_text().splitlines()[1]
    inspected = subprocess.run(
        ["docker", "inspect", f"{cx.instance}-router"], capture_output=True, text=True, check=True
    ).stdout
    assert key not in inspected


def test_down_asks_and_keeps_the_data_unless_told(https: tuple[Cx, int], hello: Project) -> None:
    cx, _ = https
    cx("deploy", hello.folder, "--namespace", "preview-1")

    def volumes() -> list[str]:
        listed = ["docker", "volume", "ls", "--quiet", "--filter", f"label=dev.cx.instance={cx.instance}"]
        return subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split()

    assert "--force" in cx("down", check=False).stderr
    before = volumes()
    assert len(before) == 3
    cx("down", "--force")
    assert cx("doctor", check=False).returncode == 1
    assert volumes() == before
    cx("up")
    cx("up")
    assert "nothing changed" in cx("deploy", hello.folder, "--namespace", "preview-1").stdout
    cx("delete", "--namespace", "preview-1", "--force")
    cx("down", "--force", "--volumes")
    assert volumes() == []
