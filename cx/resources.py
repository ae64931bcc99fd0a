"""Files that come with cx: `templates/` and `compose/`, beside the package in a checkout, inside it when installed."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, Template


def folder(name: str) -> Path:
    packed = Path(__file__).parent / "_data" / name
    return packed if packed.is_dir() else Path(__file__).parent.parent / name


@cache
def _environment(name: str) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    # What is rendered is YAML of cx's own making, from values that were validated: nothing to escape for HTML.
    return Environment(  # noqa: S701
        loader=FileSystemLoader(folder(name)),
        undefined=StrictUndefined,
        trim_blocks=False,
        keep_trailing_newline=True,
    )


def template(name: str, of: str = "templates") -> Template:
    """A template of cx's own. An undefined value in it is an error."""
    return _environment(of).get_template(name)
