"""`[api]`: who may use this host from elsewhere."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from cx.schema import Rule, Secret
from cx.settings.rules import is_webhook_secret


class Api(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON API of the listener: see docs/api.md. Without a token there is none."""

    tokens: Annotated[
        list[Annotated[Secret, Rule(is_webhook_secret)]],
        Meta(
            description="Bearer tokens, 16 characters or more each. Who has one may deploy anything on this host. "
            "`env:NAME`: the variable NAME of cx's environment holds it."
        ),
    ] = []
    upload_max_mb: Annotated[
        int, Meta(ge=1, le=2048, description="Largest folder that is deployed by the API, packed, in MiB.")
    ] = 100
    at_once: Annotated[int, Meta(ge=1, le=64, description="Namespaces that the API changes at once; others wait.")] = 2
