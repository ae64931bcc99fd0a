"""A domain with certificates from an ACME server: a real one (Pebble), that looks at the router's own port."""

from __future__ import annotations

import json
import secrets
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from live import HERE, Cx, Project, free_pool, free_port, sweep

DOMAIN = "previews.example.test"


@dataclass
class Acme:
    """`directory` is its URL, `ca` the certificate to trust it by; `roots` what it signs with."""

    directory: str
    ca: Path
    management: int

    def root(self) -> str:
        context = ssl.create_default_context(cafile=self.ca)
        with (
            socket.create_connection(("127.0.0.1", self.management)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as tls,
        ):
            tls.sendall(b"GET /roots/0 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            return tls.makefile("rb").read().decode().split("\r\n\r\n", 1)[1]


@pytest.fixture
def http_port() -> int:
    return free_port()


@pytest.fixture
def acme(tmp_path: Path, http_port: int) -> Iterator[Acme]:
    port, management, dns = free_port(), free_port(), free_port()
    folder = tmp_path / "pebble"
    folder.mkdir()
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         "-subj", "/CN=pebble", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    (folder / "config.json").write_text(
        json.dumps(
            {
                "pebble": {
                    "listenAddress": f"127.0.0.1:{port}",
                    "managementListenAddress": f"127.0.0.1:{management}",
                    "certificate": "/pebble/cert.pem",
                    "privateKey": "/pebble/key.pem",
                    "httpPort": http_port,
                    "tlsPort": free_port(),
                }
            }
        )
    )
    image = subprocess.run(
        ["docker", "build", "--quiet", HERE / "images" / "pebble"], check=True, capture_output=True, text=True
    ).stdout.strip()
    script = (
        f"pebble-challtestsrv -dns01 127.0.0.1:{dns} -defaultIPv6 '' -http01 '' -https01 '' -tlsalpn01 '' -doh ''"
        f" -management 127.0.0.1:{free_port()} & exec pebble -config /pebble/config.json -dnsserver 127.0.0.1:{dns}"
    )
    started = subprocess.run(
        ["docker", "run", "--detach", "--network", "host", "--env", "PEBBLE_VA_NOSLEEP=1",
         "--volume", f"{folder}:/pebble:ro", image, "sh", "-c", script],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    try:
        yield Acme(f"https://127.0.0.1:{port}/dir", folder / "cert.pem", management)
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", started], capture_output=True, check=False)


@pytest.fixture
def cx(tmp_path: Path, acme: Acme, http_port: int) -> Iterator[tuple[Cx, int]]:
    instance, port = f"a{secrets.token_hex(3)}", free_port()
    config = tmp_path / "host.toml"
    config.write_text(
        f'instance = "{instance}"\nstate_dir = "{tmp_path}/state"\ndomain = "{DOMAIN}"\n'
        f"[router]\nhttp_port = {http_port}\nhttps_port = {port}\nadmin_port = {free_port()}\n"
        f'tls = "acme"\nacme_email = "ops@example.com"\nacme_server = "{acme.directory}"\nacme_ca = "{acme.ca}"\n'
        f'[network]\npool = "{free_pool()}"\n'
    )
    cx = Cx(config, http_port, instance)
    try:
        cx("up")
        yield cx, port
    finally:
        sweep(instance)


def test_a_preview_gets_a_certificate_of_its_own(
    cx: tuple[Cx, int], acme: Acme, hello: Project, tmp_path: Path
) -> None:
    line, port = cx
    host = f"preview-1-app.{DOMAIN}"
    assert f"https://{host}:{port}" in line("deploy", hello.folder, "--namespace", "preview-1").stdout
    shown = ssl.get_server_certificate(("127.0.0.1", port))  # for no name: that of the host, which outlives changes
    assert shown in (tmp_path / "state" / "secrets" / "router.pem").read_text()
    context = ssl.create_default_context(cadata=acme.root())
    deadline = time.monotonic() + 60
    while True:  # until its own certificate is there the router shows one that nobody trusts
        try:
            with (
                socket.create_connection(("127.0.0.1", port)) as plain,
                context.wrap_socket(plain, server_hostname=host) as tls,
            ):
                tls.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
                answer = tls.makefile("rb").read()
            break
        except ssl.SSLCertVerificationError:
            assert time.monotonic() < deadline, subprocess.run(
                ["docker", "logs", "--tail", "20", f"{line.instance}-router"], capture_output=True, text=True
            )
            time.sleep(0.3)
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.strip().endswith(b"one")
