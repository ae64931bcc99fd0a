"""How commands are added: one that takes `--remote` goes to the host that this, or CX_REMOTE, names.

Every other one acts on the host of this machine, and refuses where another one is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand, TyperOption

from cx.core.errors import Invalid
from cx.core.names import shown

Function = TypeVar("Function", bound=Callable[..., Any])
REMOTE, REMOTE_VARIABLE = "--remote", "CX_REMOTE"
RemoteOption = Annotated[
    str, typer.Option(REMOTE, envvar=REMOTE_VARIABLE, metavar="URL", help="A host's API; token: CX_REMOTE_TOKEN.")
]


class Command(TyperCommand):
    """Refuses a remote host, unless it declares the option itself."""

    def __init__(self, *parts: Any, **more: Any) -> None:
        super().__init__(*parts, **more)
        if not any(REMOTE in one.opts for one in self.params):
            self.params.append(
                TyperOption(
                    param_decls=[REMOTE],
                    envvar=REMOTE_VARIABLE,
                    default="",
                    callback=_refuse,
                    expose_value=False,
                    is_eager=True,
                    hidden=True,
                )
            )


class Commands(typer.Typer):
    """A group of commands of cx."""

    def __init__(self, **more: Any) -> None:
        super().__init__(no_args_is_help=True, rich_markup_mode=None, **more)

    def command(
        self, name: str | None = None, *, cls: type[TyperCommand] | None = None, **more: Any
    ) -> Callable[[Function], Function]:
        return super().command(name, cls=cls or Command, **more)


def _refuse(context: typer.Context, option: Any, url: str) -> None:
    if url and not context.resilient_parsing:
        raise Invalid(
            f"{REMOTE} ({REMOTE_VARIABLE})",
            shown(url),
            f"`{context.command_path}` acts on the host of this machine only",
            remedy=f"run it there; for this machine's host unset {REMOTE_VARIABLE}",
        )
