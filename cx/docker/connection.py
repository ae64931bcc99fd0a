"""The connection to the Docker Engine. Everything goes through its API (law 10)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import docker
import requests
import urllib3
from docker.errors import APIError, DockerException, ImageNotFound
from docker.errors import NotFound as EngineNotFound

from cx.core.errors import Retryable, Terminal
from cx.core.names import shown
from cx.docker.address import Address, address

MINIMUM_API = (1, 45)  # Docker Engine 26: volume subpaths
# What the engine says of a container that it is removing.
GOING = ("dead or marked for removal", "removal of container")


class EngineUnavailable(Retryable):
    pass


class EngineRefused(Terminal):
    """The engine answered, and said no."""


class Gone(Retryable):
    """A container, network or volume that was asked about is not there any more."""


class NoSpace(Terminal):
    pass


class Engine:
    """A lazily opened connection; `client` is docker-py's, `api` its low-level half."""

    def __init__(self, at: Address | None = None) -> None:
        self.at = at or address()

    @property
    def host(self) -> str:
        return self.at.host

    @cached_property
    def client(self) -> docker.DockerClient:
        with translated(f"the Docker Engine at {self.host}"):
            client = docker.DockerClient(
                base_url=self.host,
                version="1.45",
                timeout=60,
                tls=self.at.tls(),
                use_ssh_client=self.host.startswith("ssh"),
            )
        client.api.trust_env = False  # proxies and .netrc are not for the engine, and are looked up for each request
        return client

    @property
    def api(self) -> Any:
        return self.client.api

    def close(self) -> None:
        if "client" in self.__dict__:
            self.client.close()


@contextmanager
def translated(doing: str) -> Iterator[None]:
    """docker-py's and requests' errors as ours; `doing` says what was asked for."""
    try:
        yield
    except ImageNotFound as exc:
        raise EngineRefused(f"{doing}: {_said(exc)}") from exc
    except EngineNotFound as exc:
        raise Gone(f"{doing}: {_said(exc)}", remedy="try again") from exc
    except APIError as exc:
        if any(words in _said(exc) for words in GOING):
            raise Gone(f"{doing}: {_said(exc)}", remedy="try again") from exc
        if "no space left on device" in _said(exc):
            raise NoSpace(
                f"{doing}: the disk is full", remedy="free some space: `cx prune`, `docker system df`"
            ) from exc
        if exc.response is not None and exc.response.status_code >= 500:
            raise Retryable(f"{doing}: the engine failed: {_said(exc)}") from exc
        raise EngineRefused(f"{doing}: {_said(exc)}") from exc
    except requests.exceptions.SSLError as exc:
        raise EngineRefused(
            f"{doing}: no TLS with the Docker Engine: {shown(str(exc), 200)}",
            remedy="see the certificates that DOCKER_CERT_PATH or the Docker context names",
        ) from exc
    except (requests.RequestException, urllib3.exceptions.HTTPError) as exc:
        raise EngineUnavailable(
            f"{doing}: the Docker Engine does not answer", remedy="start it, then see `cx doctor`"
        ) from exc
    except DockerException as exc:
        raise EngineUnavailable(
            f"{doing}: no connection to the Docker Engine", remedy="start it, then see `cx doctor`"
        ) from exc


def _said(exc: APIError) -> str:
    return str(exc.explanation or exc).strip().splitlines()[0][:300]
