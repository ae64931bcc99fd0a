"""Renders a project's own template, in a process of its own that has nothing to lose.

Run as a program, never imported by cx: JSON with `source`, `name`, `values` and `kind` comes in, JSON goes out. It
takes no environment, bounded processor time, memory and output. Once Jinja is loaded it can open nothing more: no
file, and no socket, such as the engine's.
"""

import importlib
import json
import resource
import sys

CPU_S = 2
MEMORY_BYTES = 512 * 1024 * 1024
OUTPUT_BYTES = 1024 * 1024
SYNTAX = {"compose": {"keep_trailing_newline": True}, "comment": {"trim_blocks": True, "lstrip_blocks": True}}
# What Jinja and its filters load only when it is first needed.
LOADED = (
    *("jinja2.sandbox", "jinja2.debug", "html", "pprint", "textwrap", "unicodedata", "urllib.parse"),
    *("encodings.ascii", "encodings.idna", "encodings.latin_1", "encodings.unicode_escape", "cx.markdown"),
    "cx.core.json_in_yaml",
)


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for module in LOADED:
        importlib.import_module(module)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    asked = json.load(sys.stdin)
    try:
        answer = {"text": render(asked["source"], asked["name"], asked["values"], asked["kind"])}
    except MemoryError:
        answer = {"problem": f"takes more than {MEMORY_BYTES // 1024**2} MiB of memory"}
    except RecursionError:
        answer = {"problem": "is nested too deeply"}
    except Exception as exc:  # noqa: BLE001 - whatever a template can raise is its own error, told by name
        answer = told(exc, asked["name"])
    sys.stdout.write(json.dumps(answer))


def render(source: str, name: str, values: dict, kind: str) -> str:  # type: ignore[type-arg]
    import jinja2.sandbox

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined, **SYNTAX[kind])
    environment.globals |= {"literal": literal} if kind == "compose" else words()
    for unneeded in ("lipsum", "cycler", "joiner"):
        del environment.globals[unneeded]
    code = environment.compile(source, name, name)
    template = jinja2.Template.from_code(environment, code, environment.make_globals(None))
    parts, size = [], 0
    for part in template.generate(values):
        size += len(part)
        if size > OUTPUT_BYTES:
            raise ValueError(f"makes more than {OUTPUT_BYTES // 1024} KiB")
        parts.append(part)
    return "".join(parts)


def words() -> dict:  # type: ignore[type-arg]
    from cx import markdown

    return {"code": markdown.code, "fenced": markdown.fenced, "text": markdown.text}


def literal(value: object) -> str:
    """`value` as JSON in which Compose finds no variable."""
    from cx.core.json_in_yaml import json_in_yaml

    return json_in_yaml(value).replace("$", "$$")


def told(exc: Exception, name: str) -> dict:  # type: ignore[type-arg]
    import jinja2

    line = getattr(exc, "lineno", None)
    trace = exc.__traceback__
    while trace and not isinstance(exc, jinja2.TemplateSyntaxError):
        if trace.tb_frame.f_code.co_filename == name:
            line = trace.tb_lineno
        trace = trace.tb_next
    return {"problem": str(getattr(exc, "message", None) or exc or type(exc).__name__)[:300], "line": line}


if __name__ == "__main__":
    main()
