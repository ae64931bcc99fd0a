"""What a value of the host's configuration must be. Each raises ValueError that says what it should be."""

from __future__ import annotations

import ipaddress
import re
import string
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta

from cx.core.names import shown
from cx.core.sizes import size_bytes
from cx.pulls.commands import lasting_s
from cx.schema import Secret

GRANTS = re.compile(
    r"env_file|extra_hosts|add_url|cap_add:[A-Z_]+|(?:bind|device):/[A-Za-z0-9._/ -]+|sysctl:[a-z0-9._-]+"
    r"|memory:[0-9A-Za-z.]+|cpus:[0-9]{1,6}(?:\.[0-9]{1,9})?|(?:pids|replicas):[1-9][0-9]{0,8}"
)
Image = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,254}$(?!\n)")]
_DNS_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"(?=.{{1,180}}$)(?:{_DNS_LABEL}\.)*{_DNS_LABEL}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def is_domain(text: str) -> None:
    if not _DOMAIN.fullmatch(text) or text.replace(".", "").isdigit():
        raise ValueError(f"is not a DNS name in lower case: {shown(text)}")


def is_hostname(text: str) -> None:
    if not text.endswith(".{domain}"):
        raise ValueError("should end with .{domain}")
    label = text.removesuffix(".{domain}")
    try:
        parsed = list(string.Formatter().parse(label))
    except ValueError as exc:
        raise ValueError("has a brace that is not closed") from exc
    fields = [field for _, field, _, _ in parsed if field is not None]
    odd = any(spec or conversion for _, _, spec, conversion in parsed)
    if unknown := sorted(set(fields) - {"namespace", "service"}):
        raise ValueError(f"may use {{namespace}} and {{service}} only, not {{{shown(unknown[0])}}}")
    if sorted(fields) != ["namespace", "service"] or odd:
        raise ValueError("should hold {namespace} and {service} once each")
    if "}{" in label:
        raise ValueError("should have a dash between {namespace} and {service}")
    plain = label.replace("{namespace}", "n").replace("{service}", "s")
    if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", plain) or "-" not in plain:
        raise ValueError("should be one DNS label before .{domain}: a-z, 0-9 and dashes around the fields")


def is_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError as exc:
        raise ValueError(f"is not an IP address: {shown(text)}") from exc


def is_pool(text: str) -> None:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as exc:
        raise ValueError(f"is not a network such as 10.213.0.0/16: {shown(text)}") from exc
    if network.version != 4 or not network.is_private:
        raise ValueError("should be a private IPv4 network")
    if network.prefixlen > 20:
        raise ValueError(f"is too small: /{network.prefixlen}, should be /20 or larger")


def is_email(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*", text):
        raise ValueError(f"is not an e-mail address: {shown(text)}")


def is_https_url(text: str) -> None:
    if not re.fullmatch(r"https://[A-Za-z0-9._~:/?#@!&()*+,;=%\[\]-]+", text):
        raise ValueError(f"should be an https:// URL, is {shown(text)}")


def is_memory(text: str) -> None:
    if _bytes(text, "512m or 2g") < 16 << 20:
        raise ValueError(f"should be at least 16m, is {shown(text)}")


def is_disk(text: str) -> None:
    if _bytes(text, "50g or 2t") < 1 << 30:
        raise ValueError(f"should be at least 1g, is {shown(text)}")


def is_log_size(text: str) -> None:
    _bytes(text, "10m")


def _bytes(text: str, example: str) -> int:
    try:
        return size_bytes(text)
    except ValueError as exc:
        raise ValueError(f"should be a size such as {example}, is {shown(text)}: {exc}") from exc


def is_host_path(text: str) -> None:
    if not re.fullmatch(r"(/[A-Za-z0-9._-]+)+", text) or "/../" in f"{text}/":
        raise ValueError(f"should be an absolute path of letters, digits, '.', '_' and '-', is {shown(text)}")


def is_pg_size(text: str) -> None:
    if not text.endswith(("kB", "MB", "GB")):  # PostgreSQL tells them apart by case
        raise ValueError(f"should be a size such as 256MB, is {shown(text)}")
    _bytes(text, "256MB")


def is_source(secret: Secret) -> None:
    if secret.variable:
        if not _VARIABLE.fullmatch(secret.variable):
            raise ValueError("env: should be followed by the name of an environment variable")
        return
    try:
        url = urlsplit(secret.reveal())
        schemes = ("postgresql", "postgres", "mysql", "mariadb")
        right = url.scheme in schemes and len(url.path) > 1 and (url.port or 1) > 0
    except ValueError:
        right = False
    if not right:
        raise ValueError("should be postgresql:// or mysql://user:password@host/database, or env:NAME (not shown here)")


def is_variable(text: str) -> None:
    if not _VARIABLE.fullmatch(text):
        raise ValueError(f"is not the name of an environment variable: {shown(text)}")


def is_extension(text: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", text):
        raise ValueError(f"is not the name of an extension: {shown(text)}")


def is_lifetime(text: str) -> None:
    lasting_s(text)


def is_project(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,99}", text):
        raise ValueError(f"is not the name of a project: {shown(text)}")


def is_grant(text: str) -> None:
    if not GRANTS.fullmatch(text) or ".." in text.split("/"):
        raise ValueError(f"is not something that can be allowed: {shown(text)}; see docs/host-configuration.md")
    if text.startswith("memory:"):
        is_memory(text.removeprefix("memory:"))


def is_listen_host(text: str) -> None:
    if text != "localhost":
        is_address(text)


def is_webhook_secret(secret: Secret) -> None:
    if secret.variable:
        if not _VARIABLE.fullmatch(secret.variable):
            raise ValueError("env: should be followed by the name of an environment variable")
    elif len(secret.reveal()) < 16:
        raise ValueError("should be 16 characters or more (not shown here); `openssl rand -hex 32` makes one")


def is_identifier(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_$-]{1,64}", text):
        raise ValueError(f"should be 1 to 64 letters, digits, '_', '$' and '-', is {shown(text)}")


def is_volume(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text):
        raise ValueError(f"is not the name of a volume: {shown(text)}")
