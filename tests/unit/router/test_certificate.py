"""The router's own certificate: one for the life of the host, and seen by nobody but the router."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cx.core.errors import Terminal
from cx.host import Host
from cx.router.certificate import given, own
from cx.secret import kept, token
from cx.settings import Settings, load


def host(tmp_path: Path, router: str = "") -> Host:
    file = tmp_path / "host.toml"
    file.write_text(f'state_dir = "{tmp_path}/state"\n[router]\n{router}')
    settings: Settings = load(file, {})
    return Host(settings)


def test_it_is_made_once_and_fits_its_key(tmp_path: Path) -> None:
    path = tmp_path / "secrets" / "router.pem"
    first = own(path)
    assert own(path) == first
    assert own(tmp_path / "another.pem").chain != first.chain
    (tmp_path / "chain.pem").write_text(first.chain)
    (tmp_path / "key.pem").write_text(first.key)
    ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(tmp_path / "chain.pem", tmp_path / "key.pem")
    assert path.stat().st_mode & 0o077 == 0
    assert first.key not in repr(first)
    assert given(tmp_path / "chain.pem", tmp_path / "key.pem") == first


@pytest.mark.parametrize("text", ["", "garbage", "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_was_changed_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "router.pem").write_text(text)
    with pytest.raises(Terminal, match="is no key with its certificate; remove it"):
        own(tmp_path / "router.pem")


def test_owners_files_that_are_gone_are_told(tmp_path: Path) -> None:
    with pytest.raises(Terminal, match="No such file or directory; see router"):
        given(tmp_path / "gone.pem", tmp_path / "key.pem")


def test_all_who_make_it_at_once_have_the_same(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: kept(tmp_path / "new" / "key", token), range(64)))
    assert found == {(tmp_path / "new" / "key").read_text()}
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["key"]


def test_what_cannot_be_kept_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(Terminal, match="File exists; it is cx's own"):
        kept(tmp_path / "folder" / "key", token)


def test_the_router_is_given_it_with_and_without_tls(tmp_path: Path) -> None:
    """Else Traefik makes an RSA key at each change of a route, and the route waits for it."""
    model = host(tmp_path).stack.model()
    kept = own(tmp_path / "state" / "secrets" / "router.pem")
    assert kept.chain.splitlines()[1] in model
    assert "defaultCertificate" in model
    assert kept.key.splitlines()[1] not in model


def test_the_owners_own_comes_first(tmp_path: Path) -> None:
    theirs = own(tmp_path / "elsewhere.pem")
    (tmp_path / "chain.pem").write_text(theirs.chain)
    (tmp_path / "key.pem").write_text(theirs.key)
    ours = host(tmp_path, 'tls = "files"\ncertificate = "chain.pem"\nkey = "key.pem"\n')
    assert theirs.chain.splitlines()[1] in ours.stack.model()
    assert not (tmp_path / "state" / "secrets" / "router.pem").exists()
