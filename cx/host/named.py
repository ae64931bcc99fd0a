"""What the host configuration names outside itself: variables, files, folders, keys. Each is looked at as it is now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cx.core.errors import Invalid
from cx.schema import Secret
from cx.settings import Settings
from cx.settings.rules import is_source, is_webhook_secret


@dataclass(frozen=True)
class Lacking:
    """What is not there, or not what it should be. `vital`: no pull request can be followed without it."""

    why: Invalid
    vital: bool = False


def lacking(settings: Settings, environ: Mapping[str, str]) -> list[Lacking]:
    """Everything that the configuration names and that cannot be used, with file and key. Nothing is changed or asked
    of anybody else."""
    where = str(settings.file or "the host configuration")
    return [*_variables(settings, where), *_login(settings, environ, where), *_files(settings, where)]


def demand(settings: Settings, environ: Mapping[str, str]) -> list[Lacking]:
    """What is lacking and not vital. Raises Invalid for what is; its `log` has all of that."""
    found = lacking(settings, environ)
    if vital := [one.why for one in found if one.vital]:
        vital[0].log = tuple(map(str, vital)) if len(vital) > 1 else ()
        raise vital[0]
    return found


# --- variables
def _variables(settings: Settings, where: str) -> Iterator[Lacking]:
    for key, secret in _secrets(settings, ""):
        vital = not key.startswith("databases.")
        try:
            secret.reveal()
        except Invalid as exc:
            yield Lacking(exc, vital)
            continue
        rule = is_webhook_secret if key.startswith(("listen.", "api.")) else is_source if not vital else None
        if secret.variable and rule:  # what stands in the file itself was looked at when it was read
            try:
                rule(Secret(secret.reveal()))
            except ValueError as exc:
                yield Lacking(Invalid(where, key, f"${secret.variable} {exc}"), vital)


def _secrets(value: Any, key: str) -> Iterator[tuple[str, Secret]]:
    if isinstance(value, Secret):
        yield key, value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield from _secrets(one, f"{key}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for number, one in enumerate(value):
            yield from _secrets(one, f"{key}[{number}]")
    elif hasattr(value, "__struct_fields__"):
        for name in value.__struct_fields__:
            yield from _secrets(getattr(value, name), f"{key}.{name}".lstrip("."))


def _login(settings: Settings, environ: Mapping[str, str], where: str) -> Iterator[Lacking]:
    from cx.forges.github.logins import key_of

    given = settings.github
    if not given.rules:
        return
    if given.private_key:
        try:
            key_of(given.private_key)
        except Invalid as exc:
            yield Lacking(Invalid(where, "github.private_key", exc.problem), vital=True)
    elif not given.token and not environ.get("GITHUB_TOKEN"):
        remedy = "set GITHUB_TOKEN, or github.app_id and private_key"
        yield Lacking(Invalid(where, "github.token", "is missing", remedy=remedy), vital=True)


# --- files
def _files(settings: Settings, where: str) -> Iterator[Lacking]:
    def named(key: str, path: Path | None, look: Callable[[Path], object]) -> Iterator[Lacking]:
        if path is None:
            return
        try:
            look(path)
        except OSError as exc:
            yield Lacking(Invalid(where, key, f"{path}: {(exc.strerror or 'cannot be read').lower()}"))
        except ValueError as exc:
            yield Lacking(Invalid(where, key, f"{path}: {exc}"))

    router = settings.router
    if settings.tls == "files":
        yield from named("router.certificate", router.certificate, _is_certificate)
        yield from named("router.key", router.key, lambda path: _is_key(path, router.certificate))
    yield from named("router.acme_ca", router.acme_ca, _is_certificate)
    for name, database in settings.databases.items():
        yield from named(f"databases.{name}.file", Path(database.file) if database.file else None, Path.stat)
        yield from named(f"databases.{name}.sanitise", database.sanitise, Path.read_text)
    for name, rules in settings.github.repositories.items():
        yield from named(f'github.repositories."{name}".comment_template', rules.comment_template, _is_template)
    for name, project in settings.projects.items():
        yield from named(f"projects.{name}.path", project.path, _is_folder)


def _is_folder(path: Path) -> None:
    if not path.stat() or not path.is_dir():
        raise ValueError("is not a folder")


def _is_template(path: Path) -> None:
    import jinja2
    from jinja2.sandbox import SandboxedEnvironment

    try:
        SandboxedEnvironment().parse(path.read_text())  # nothing of it runs here
    except jinja2.TemplateSyntaxError as exc:
        raise ValueError(f"line {exc.lineno}: {exc.message}") from exc


def _is_certificate(path: Path) -> None:
    from cryptography import x509

    x509.load_pem_x509_certificates(path.read_bytes())


def _is_key(path: Path, certificate: Path | None) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as form

    try:
        key = form.load_pem_private_key(path.read_bytes(), password=None)
    except TypeError as exc:
        raise ValueError("is encrypted") from exc
    try:
        chain = x509.load_pem_x509_certificates(certificate.read_bytes()) if certificate else []
    except (OSError, ValueError):
        return  # which its own key says
    public = (form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
    if chain and chain[0].public_key().public_bytes(*public) != key.public_key().public_bytes(*public):
        raise ValueError("is not the key of router.certificate")
