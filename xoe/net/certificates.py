"""Certificates for this server's own names, so that a browser gives it the microphone.

``for_names`` returns the files for a list of names, made or renewed where that is due. Names that
the authority (``xoe.net.authority``) may vouch for are signed by it; for others, such as a
tunnel's far end, the certificate vouches for itself alone.
"""

from __future__ import annotations

import ipaddress
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.durable import write_over
from core.errors import CertificateError
from xoe.net.addresses import hostname, machine_addresses
from xoe.net.authority import (
    CA_FILE,
    MAX_FILE_BYTES,
    SKEW,
    UNREADABLE,
    Address,
    Authority,
    authority_of,
    folder_of,
    pem_of_key,
)

log = structlog.get_logger(__name__)

LEAF_DAYS: Final = 397
"""Apple's systems refuse more than 398 (825 from authorities that were installed by hand)."""
RENEW_BEFORE: Final = timedelta(days=30)
MAX_NAMES: Final = 64

_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_PURPOSE: Final = re.compile(r"[a-z]{1,16}")


@dataclass(frozen=True)
class CertificatePaths:
    """Where a certificate is."""

    cert: Path
    """PEM; the same file as ``key``, mode 0600, so that a crash cannot part the two."""
    key: Path
    ca: Path
    """What a client has to trust: the authority's certificate, or the certificate itself."""


def for_names(
    data_dir: Path,
    names: Sequence[str],
    *,
    purpose: str = "share",
    now: datetime | None = None,
) -> CertificatePaths:
    """Return a certificate for ``names``, host names and IP addresses.

    One is kept for each ``purpose`` (lower-case letters), and made anew when it ends within 30
    days, is for other names, or is damaged. Takes files and a few milliseconds: not for the event
    loop. Raises ``CertificateError`` for a name that is none and for a damaged authority.
    """
    if not _PURPOSE.fullmatch(purpose):
        raise ValueError(f"not a purpose: {purpose!r}")
    wanted = tuple(dict.fromkeys(_parsed(name) for name in names))
    if not 0 < len(wanted) <= MAX_NAMES:
        raise CertificateError(f"A certificate is for 1 to {MAX_NAMES} names, not {len(wanted)}.")
    now = now or datetime.now(UTC)
    folder = folder_of(data_dir)
    authority = own_authority(data_dir, now=now)
    issuer = authority if all(map(authority.permits, wanted)) else None
    path = folder / f"{purpose}.pem"
    ca = folder / (CA_FILE if issuer else f"{purpose}.crt")
    try:
        if not _still_good(path, wanted, issuer, now):
            key, leaf = _issue(wanted, issuer, now)
            pem = leaf.public_bytes(serialization.Encoding.PEM)
            if issuer is None:
                write_over(ca, pem, mode=0o644)
            write_over(path, pem_of_key(key) + pem)
            log.info("certificates.issued", purpose=purpose, names=len(wanted))
        elif issuer is None and not ca.exists():
            leaf = x509.load_pem_x509_certificate(path.read_bytes())
            write_over(ca, leaf.public_bytes(serialization.Encoding.PEM), mode=0o644)
    except OSError as exc:
        raise CertificateError(
            f"The certificate cannot be kept in {folder}: {exc.strerror}."
        ) from exc
    return CertificatePaths(cert=path, key=path, ca=ca)


def own_authority(data_dir: Path, *, now: datetime | None = None) -> Authority:
    """Return this computer's authority, made at the first call. Raises ``CertificateError``."""
    return authority_of(data_dir, hostname=hostname(), addresses=machine_addresses(), now=now)


def lan_names(authority: Authority) -> tuple[str, ...]:
    """Return the names and addresses of this computer that ``authority`` may vouch for.

    Addresses come first, those that others can reach before this computer's own.
    """
    own = hostname()
    named = ["localhost", *([own, f"{own}.local"] if own else [])]
    loopback: list[Address] = [ipaddress.IPv4Address("127.0.0.1"), ipaddress.IPv6Address("::1")]
    found: list[str | Address] = [*machine_addresses(), *named, *loopback]
    return tuple(str(name) for name in found if authority.permits(name))[:MAX_NAMES]


def ssl_context(paths: CertificatePaths) -> ssl.SSLContext:
    """Return a server's context, TLS 1.2 or newer, HTTP/1.1. Raises ``CertificateError``."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load(context, paths)
    return context


def load(context: ssl.SSLContext, paths: CertificatePaths) -> None:
    """Have ``context`` show the certificate as it is now, to who connects from now on."""
    try:
        context.load_cert_chain(paths.cert, paths.key)
    except (OSError, ssl.SSLError) as exc:
        raise CertificateError(f"The certificate {paths.cert} cannot be used.") from exc


def _parsed(name: str) -> str | Address:
    text = name.strip().strip("[]").rstrip(".").lower()
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        pass
    if not 0 < len(text) <= 253 or not all(_LABEL.fullmatch(part) for part in text.split(".")):
        raise CertificateError(f"{name[:80]!r} is neither a host name nor an IP address.")
    return text


def _issue(
    names: Sequence[str | Address], issuer: Authority | None, now: datetime
) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    # Not one of the names: old verifiers hold a common name against the authority's limits.
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Xoe-NovAi server")])
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    ends = now + timedelta(days=LEAF_DAYS) - SKEW
    if issuer is not None:
        ends = min(ends, issuer.certificate.not_valid_after_utc)
    signer = issuer.key if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(ends)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
    )
    return key, builder.sign(signer, hashes.SHA256())


def _general(name: str | Address) -> x509.GeneralName:
    return x509.DNSName(name) if isinstance(name, str) else x509.IPAddress(name)


def _still_good(
    path: Path, names: Sequence[str | Address], issuer: Authority | None, now: datetime
) -> bool:
    """Whether the file holds a certificate for exactly ``names`` that lasts a while yet."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except FileNotFoundError:
        return False
    try:
        key = serialization.load_pem_private_key(content, password=None)
        leaf = x509.load_pem_x509_certificate(content)
        listed = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        leaf.verify_directly_issued_by(issuer.certificate if issuer else leaf)
        same_key = key.public_key() == leaf.public_key()
    except UNREADABLE:  # made again at no loss, unlike the authority
        log.warning("certificates.damaged", file=path.name)
        return False
    ends = leaf.not_valid_after_utc
    if issuer is not None and ends >= issuer.certificate.not_valid_after_utc:
        lasts = now < ends  # a new one would not last longer
    else:
        lasts = now + RENEW_BEFORE < ends
    return (
        same_key
        and set(listed) == set(map(_general, names))
        and leaf.not_valid_before_utc <= now
        and lasts
    )
