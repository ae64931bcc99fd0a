"""Where the engine is and how it is reached, for cx itself and for Docker's programs that it starts: they agree.

As `docker` itself finds it. docker-py's own reading of contexts looks in the current folder where the user has no
configuration, which is a project's, and leaves TLS out where a context has no client's certificate.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cx.core.errors import Invalid
from cx.core.names import shown

if TYPE_CHECKING:
    from docker.tls import TLSConfig

LOCAL = "unix:///var/run/docker.sock"
# All by which Docker's programs find an engine.
VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH")
_BY_TLS = ("tcp://", "https://", "http://")  # sockets and SSH need none


@dataclass(frozen=True)
class Address:
    """`certificates`: by TLS, with the files of this folder (`ca.pem`, `cert.pem`, `key.pem`; the last two may be
    missing). `verify`: the engine's own certificate is checked."""

    host: str = LOCAL
    certificates: Path | None = None
    verify: bool = True

    @property
    def environment(self) -> dict[str, str]:
        """What a program of Docker's is told."""
        told = {"DOCKER_HOST": self.host}
        if self.certificates:
            told["DOCKER_CERT_PATH"] = str(self.certificates)
            told["DOCKER_TLS_VERIFY" if self.verify else "DOCKER_TLS"] = "1"
        return told

    def tls(self) -> TLSConfig | bool:
        """For docker-py; False without TLS. Raises Invalid where a file is missing."""
        if self.certificates is None:
            return False
        from docker.tls import TLSConfig

        authority = self.certificates / "ca.pem"
        own = [self.certificates / name for name in ("cert.pem", "key.pem")]
        if self.verify and not authority.is_file():
            raise Invalid("TLS to the Docker Engine", "", f"{authority} is not there", remedy="see DOCKER_CERT_PATH")
        shows = (str(own[0]), str(own[1])) if all(one.is_file() for one in own) else None
        return TLSConfig(client_cert=shows, ca_cert=str(authority), verify=self.verify)


def address(environ: Mapping[str, str] | None = None) -> Address:
    """DOCKER_HOST's, else the current Docker context's, else the local socket. Raises Invalid."""
    environ = os.environ if environ is None else environ
    folder = Path(environ.get("DOCKER_CONFIG") or Path(environ.get("HOME") or Path.home()) / ".docker")
    if host := environ.get("DOCKER_HOST"):
        verify = bool(environ.get("DOCKER_TLS_VERIFY"))
        secured = verify or bool(environ.get("DOCKER_TLS"))
        return _at(host, Path(environ.get("DOCKER_CERT_PATH") or folder) if secured else None, verify)
    name = environ.get("DOCKER_CONTEXT") or _current_context(folder)
    return Address() if name == "default" else _of_context(folder, name)


def for_docker(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """`environ`, in which any program of Docker's finds the same engine as cx."""
    environ = os.environ if environ is None else environ
    return {key: one for key, one in environ.items() if key not in VARIABLES} | address(environ).environment


def _at(host: str, certificates: Path | None, verify: bool) -> Address:
    return Address(host, certificates if host.startswith(_BY_TLS) else None, verify)


def _current_context(folder: Path) -> str:
    try:
        return str(json.loads((folder / "config.json").read_text()).get("currentContext") or "default")
    except (OSError, ValueError, AttributeError):
        return "default"


def _of_context(folder: Path, name: str) -> Address:
    """https://github.com/docker/cli/tree/master/cli/context/store"""
    identity = hashlib.sha256(name.encode()).hexdigest()
    try:
        endpoint: Any = json.loads((folder / "contexts" / "meta" / identity / "meta.json").read_text())
        endpoint = endpoint["Endpoints"]["docker"]
        host, unverified = str(endpoint["Host"]), bool(endpoint.get("SkipTLSVerify"))
    except FileNotFoundError as exc:
        remedy = "`docker context ls` lists them (DOCKER_CONTEXT, `docker context use`)"
        raise Invalid("Docker context", shown(name), "is not there", remedy=remedy) from exc
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        remedy = f"see `docker context inspect {shown(name)}`"
        raise Invalid("Docker context", shown(name), "names no engine", remedy=remedy) from exc
    files = folder / "contexts" / "tls" / identity / "docker"
    return _at(host, files if files.is_dir() or unverified else None, not unverified)
