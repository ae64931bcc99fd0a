"""Where the engine is, as `docker` itself finds it; and what its programs are told, so that they find the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from authority import Authority
from docker.tls import TLSConfig

from cx.core.errors import Invalid
from cx.docker.address import LOCAL, VARIABLES, Address, address, for_docker
from cx.docker.compose import environment

TCP = "tcp://127.0.0.1:2376"


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {"HOME": str(tmp_path)}


def context(home: dict[str, str], name: str, host: str, *files: str, **more: Any) -> Path:
    """As `docker context create` writes it; gives the folder of its certificates."""
    identity = hashlib.sha256(name.encode()).hexdigest()
    contexts = Path(home["HOME"]) / ".docker" / "contexts"
    (contexts / "meta" / identity).mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False} | more}}
    (contexts / "meta" / identity / "meta.json").write_text(json.dumps(meta))
    folder = contexts / "tls" / identity / "docker"
    for file in files:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file).touch()
    return folder


def test_without_a_word_it_is_the_local_one(home: dict[str, str]) -> None:
    assert address(home) == Address(LOCAL)
    assert address(home).environment == {"DOCKER_HOST": LOCAL}
    assert address(home).tls() is False


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({}, Address(TCP, None, False)),
        ({"DOCKER_CERT_PATH": "/certs"}, Address(TCP, None, False)),
        ({"DOCKER_TLS_VERIFY": ""}, Address(TCP, None, False)),
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}, Address(TCP, Path("/certs"), True)),
        ({"DOCKER_TLS_VERIFY": "0", "DOCKER_CERT_PATH": "/certs"}, Address(TCP, Path("/certs"), True)),  # as `docker`
        ({"DOCKER_TLS": "1", "DOCKER_CERT_PATH": "/certs"}, Address(TCP, Path("/certs"), False)),
        ({"DOCKER_TLS_VERIFY": "1", "DOCKER_CONFIG": "/config"}, Address(TCP, Path("/config"), True)),
    ],
)
def test_docker_host_by_tls(home: dict[str, str], said: dict[str, str], expected: Address) -> None:
    found = address(home | {"DOCKER_HOST": TCP} | said)
    assert (found.host, found.certificates) == (expected.host, expected.certificates)
    assert found.verify is expected.verify or found.certificates is None
    assert address(home | found.environment) == found


@pytest.mark.parametrize("host", [LOCAL, "ssh://me@there"])
def test_a_socket_needs_no_tls(home: dict[str, str], host: str) -> None:
    said = {"DOCKER_HOST": host, "DOCKER_TLS_VERIFY": "1", "DOCKER_CERT_PATH": "/certs"}
    assert address(home | said).environment == {"DOCKER_HOST": host}


@pytest.mark.parametrize("by", ["variable", "configuration"])
@pytest.mark.parametrize(
    ("files", "more", "tls", "verify"),
    [
        ((), {}, False, True),
        (("ca.pem", "cert.pem", "key.pem"), {}, True, True),
        (("ca.pem",), {}, True, True),
        (("ca.pem", "cert.pem", "key.pem"), {"SkipTLSVerify": True}, True, False),
        ((), {"SkipTLSVerify": True}, True, False),
    ],
)
def test_a_context_by_tls(
    home: dict[str, str], by: str, files: tuple[str, ...], more: dict[str, Any], tls: bool, verify: bool
) -> None:
    folder = context(home, "there", TCP, *files, **more)
    if by == "variable":
        home |= {"DOCKER_CONTEXT": "there"}
    else:
        (Path(home["HOME"]) / ".docker" / "config.json").write_text('{"currentContext": "there"}')
    found = address(home)
    assert found == Address(TCP, folder if tls else None, verify)
    assert ("DOCKER_TLS_VERIFY" in found.environment) is (tls and verify)
    assert ("DOCKER_TLS" in found.environment) is (tls and not verify)


def test_docker_host_comes_before_a_context(home: dict[str, str]) -> None:
    context(home, "there", TCP, "ca.pem")
    assert address(home | {"DOCKER_HOST": LOCAL, "DOCKER_CONTEXT": "there"}).host == LOCAL


def test_a_context_that_is_not_there_is_not_taken_for_the_local_engine(
    home: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor for one that the current folder has, which is a project's."""
    context({"HOME": str(tmp_path / "project")}, "there", TCP)
    monkeypatch.chdir(tmp_path / "project" / ".docker")
    with pytest.raises(Invalid, match="Docker context: there: is not there; `docker context ls`"):
        address(home | {"DOCKER_CONTEXT": "there"})


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"Endpoints": {"docker": {}}}', '{"Endpoints": []}'])
def test_a_context_that_names_no_engine(home: dict[str, str], text: str) -> None:
    context(home, "there", TCP)
    (meta,) = Path(home["HOME"]).rglob("meta.json")
    meta.write_text(text)
    with pytest.raises(Invalid, match="Docker context: there: names no engine"):
        address(home | {"DOCKER_CONTEXT": "there"})


def test_certificates_for_docker_py(tmp_path: Path) -> None:
    files = Authority(tmp_path).certificates("client")
    with pytest.raises(Invalid, match=r"none/ca\.pem is not there"):
        Address(TCP, tmp_path / "none").tls()
    whole = Address(TCP, files).tls()
    assert isinstance(whole, TLSConfig)
    assert (whole.verify, whole.ca_cert) == (True, str(files / "ca.pem"))
    assert whole.cert == (str(files / "cert.pem"), str(files / "key.pem"))
    (files / "key.pem").unlink()
    alone = Address(TCP, files).tls()
    assert isinstance(alone, TLSConfig)
    assert alone.cert is None


def test_programs_are_told_where_it_is_and_nothing_else_of_it(
    home: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = context(home, "there", TCP, "ca.pem")
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", home["HOME"])
    monkeypatch.delenv("DOCKER_CONFIG", raising=False)
    monkeypatch.setenv("DOCKER_CONTEXT", "there")
    monkeypatch.setenv("SECRET", "x")
    told = {"DOCKER_HOST": TCP, "DOCKER_CERT_PATH": str(folder), "DOCKER_TLS_VERIFY": "1"}
    assert told.items() <= environment().items()
    assert not {"DOCKER_CONTEXT", "SECRET"} & set(environment())
    assert told.items() | {"SECRET": "x"}.items() <= for_docker().items()
    assert "DOCKER_CONTEXT" not in for_docker()
