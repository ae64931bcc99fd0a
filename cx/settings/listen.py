"""`[listen]`: where the listener of `cx git listen` answers, and what it takes."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cx.schema import Rule, Secret
from cx.settings.rules import is_listen_host, is_webhook_secret


class Listen(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The listener for GitHub's webhooks. Options of its command win over these keys."""

    host: Annotated[
        str,
        Meta(description="Address to listen on. Keep it on loopback behind a proxy that does TLS."),
        Rule(is_listen_host),
    ] = "127.0.0.1"
    port: Annotated[int, Meta(ge=1, le=65535, description="Port to listen on.")] = 3333
    secrets: Annotated[
        list[Annotated[Secret, Rule(is_webhook_secret)]],
        Meta(
            description="Secrets of the webhook, 16 characters or more each: a delivery signed with any of them is "
            "taken. To change one, list both, change it at GitHub, then remove the old one. `env:NAME`: the variable "
            "NAME of cx's environment holds it."
        ),
    ] = []
    size_max_kb: Annotated[
        int, Meta(ge=64, le=25_600, description="Largest delivery, in KiB. What is larger is refused unread.")
    ] = 4096
