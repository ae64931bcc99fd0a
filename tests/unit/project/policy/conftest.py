from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cx.core.errors import Refused
from cx.project.policy import Admission, Caps, Grants, Look, admit


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A repository with a Dockerfile, a folder, and links in and out of it."""
    root = tmp_path / "checkout"
    (root / "app").mkdir(parents=True)
    (root / "Dockerfile").write_text("FROM scratch\nEXPOSE 80\n")
    (root / "app" / "Dockerfile").write_text("FROM scratch\n")
    (root / "app" / "settings.ini").write_text("x")
    (tmp_path / "secret").write_text("the host's")
    (root / "out").symlink_to(tmp_path)
    (root / "app" / "out-file").symlink_to("../../secret")
    (root / "in").symlink_to("app")
    (root / "loop").symlink_to("loop")
    (root / "sibling").symlink_to(tmp_path / "checkout-of-another")
    (tmp_path / "checkout-of-another").mkdir()
    return root


Admit = Callable[..., Admission]


@pytest.fixture
def admitted(checkout: Path) -> Admit:
    """Admits one service `web` with the keys given; `model` is laid over the whole."""

    def call(
        service: dict[str, Any] | None = None, allow: tuple[str, ...] = (), model: dict[str, Any] | None = None
    ) -> Admission:
        whole = {"services": {"web": {"image": "nginx:1"} | (service or {})}, **(model or {})}
        grants = Grants.of(allow)
        return admit(whole, Look(checkout, "cx", grants, grants.raised(Caps())), "compose.yml")

    return call


@pytest.fixture
def refused(admitted: Admit) -> Callable[..., tuple[str, ...]]:
    """The reasons for which it is refused."""

    def call(service: dict[str, Any] | None = None, **more: Any) -> tuple[str, ...]:
        with pytest.raises(Refused) as caught:
            admitted(service, **more)
        assert caught.value.where == "compose.yml" if hasattr(caught.value, "where") else True
        assert caught.value.exit_code == 1
        return caught.value.reasons

    return call
