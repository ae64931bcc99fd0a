"""The certificate that the router shows where no other is for the hostname that was asked for.

Without one Traefik makes one anew, with an RSA key, whenever its configuration changes: a tenth of a second and more
of processor time for each route that is written, during which the new route is not there yet.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path

from cx.core.errors import Terminal
from cx.secret import kept

FOREVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)  # RFC 5280, 4.1.2.5: it has no end


@dataclass(frozen=True)
class Certificate:
    """A chain of certificates and the key of its first, both PEM."""

    chain: str
    key: str = field(repr=False)


def given(chain: Path, key: Path) -> Certificate:
    """Those of the host's owner. Raises Terminal."""
    try:
        return Certificate(chain.read_text(), key.read_text())
    except OSError as exc:
        raise Terminal(f"{exc.filename}: {exc.strerror}", remedy="see router.certificate and router.key") from exc


def own(path: Path) -> Certificate:
    """One that nobody trusts, made the first time and kept at `path`: the router is not to start anew for another.

    Raises Terminal when the file has been changed.
    """
    text = kept(path, _self_signed)
    key, begin, chain = text.partition("-----BEGIN CERTIFICATE-----")
    if not (key.startswith("-----BEGIN PRIVATE KEY-----") and chain.rstrip().endswith("-----END CERTIFICATE-----")):
        raise Terminal(f"{path} is no key with its certificate", remedy="remove it: cx makes another")
    return Certificate(begin + chain, key)


def _self_signed() -> str:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cx, no certificate for this name")])
    builder = x509.CertificateBuilder(issuer_name=name, subject_name=name, public_key=key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(datetime.datetime.now(datetime.UTC)).not_valid_after(FOREVER)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return (secret + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)).decode()
