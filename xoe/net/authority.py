"""A certificate authority of this computer's own, made once and kept in ``<data_dir>/tls``.

Key and certificate are one file, so that a crash leaves both or neither. What is there is never
replaced: phones trust exactly this authority, and one that is made anew would lock them out
without a word. It may vouch for private addresses and local names alone (RFC 5280, 4.2.1.10), so
that a phone which trusts it trusts nobody who steals it with its bank.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from core.durable import write_once, write_over
from core.errors import CertificateError

log = structlog.get_logger(__name__)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

FOLDER: Final = "tls"
AUTHORITY_FILE: Final = "authority.pem"
"""The authority's key and certificate; everything else in the folder can be made from it."""
CA_FILE: Final = "ca.crt"
AUTHORITY_DAYS: Final = 3650
SKEW: Final = timedelta(days=1)
"""How far behind the clocks of the phones may be."""
MAX_FILE_BYTES: Final = 64 * 1024
UNREADABLE: Final = (
    *(ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm),
    *(x509.InvalidVersion, x509.ExtensionNotFound, x509.DuplicateExtension),
)
"""What the library raises for bytes that are no key or certificate of ours."""

LOCAL_DOMAINS: Final = ("localhost", "local", "lan", "internal", "home.arpa")
LOCAL_NETWORKS: Final = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8"),
        *("100.64.0.0/10", "fc00::/7", "fe80::/10", "::1/128"),
    )
)
"""Private and link-local addresses, and those that overlay networks hand out (RFC 6598)."""


@dataclass(frozen=True)
class Authority:
    """The authority, read from its file."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the certificate as 32 pairs of hex digits with colons, as phones show it."""
        return self.certificate.fingerprint(hashes.SHA256()).hex(":").upper()

    @property
    def pem(self) -> bytes:
        """The certificate alone, which may be handed out."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def permits(self, name: str | Address) -> bool:
        """Whether the authority may vouch for ``name``: an address, or a host name."""
        try:
            limits = self.certificate.extensions.get_extension_for_class(x509.NameConstraints)
        except x509.ExtensionNotFound:
            return True
        permitted = limits.value.permitted_subtrees or []
        if isinstance(name, str):
            domains = [entry.value for entry in permitted if isinstance(entry, x509.DNSName)]
            return any(name == domain or name.endswith(f".{domain}") for domain in domains)
        networks = [entry.value for entry in permitted if isinstance(entry, x509.IPAddress)]
        return any(
            name in network
            for network in networks
            if isinstance(network, ipaddress.IPv4Network | ipaddress.IPv6Network)
        )


def folder_of(data_dir: Path) -> Path:
    """Return the folder of keys and certificates, mode 0700. Raises ``CertificateError``."""
    folder = data_dir / FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as exc:
        raise CertificateError(
            f"The certificates' folder {folder} cannot be written: {exc.strerror}."
        ) from exc
    return folder


def authority_of(
    data_dir: Path, *, hostname: str, addresses: Iterable[Address], now: datetime | None = None
) -> Authority:
    """Return the authority of a data folder, made at the first call.

    A new one may vouch, beside what is local anyway, for ``hostname`` and for ``addresses``. Raises
    ``CertificateError`` when its file is damaged or cannot be written, or when it has ended.
    """
    folder = folder_of(data_dir)
    now = now or datetime.now(UTC)
    path = folder / AUTHORITY_FILE
    if not path.exists():
        if (folder / CA_FILE).exists():
            raise CertificateError(
                f"{path} is gone, but {CA_FILE} beside it may be installed on phones. Put the file "
                f"back from a backup; or remove the folder {folder} to have a new authority made, "
                "which has to be installed on each phone again."
            )
        _make(path, hostname, tuple(addresses), now)
    authority = _read(path)
    _must_hold(authority, path, now)
    _show_certificate(folder / CA_FILE, authority)
    return authority


def pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as PEM, without a password: the file's mode protects it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _make(path: Path, hostname: str, addresses: tuple[Address, ...], now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    content = pem_of_key(key) + _certificate(key, hostname, addresses, now).public_bytes(
        serialization.Encoding.PEM
    )
    try:
        if write_once(path, content):
            log.info("certificates.authority_made", file=path.name)
    except OSError as exc:
        raise CertificateError(
            f"The certificate authority cannot be kept in {path.parent}: {exc.strerror}."
        ) from exc


def _certificate(
    key: ec.EllipticCurvePrivateKey, hostname: str, addresses: tuple[Address, ...], now: datetime
) -> x509.Certificate:
    public = key.public_key()
    identifier = x509.SubjectKeyIdentifier.from_public_key(public)
    # Two authorities of one computer, of two data folders, must be told apart on a phone.
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Xoe-NovAi"),
            x509.NameAttribute(
                NameOID.COMMON_NAME,
                f"Xoe-NovAi on {hostname[:32]} ({identifier.digest.hex()[:8]})",
            ),
        ]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(_constraints(hostname, addresses), critical=True)
        .sign(key, hashes.SHA256())
    )


def _constraints(hostname: str, addresses: tuple[Address, ...]) -> x509.NameConstraints:
    domains = dict.fromkeys([*LOCAL_DOMAINS, *([hostname] if hostname else [])])
    own = [
        ipaddress.ip_network(address)
        for address in dict.fromkeys(addresses)
        if not any(address in network for network in LOCAL_NETWORKS)
    ]
    return x509.NameConstraints(
        permitted_subtrees=[
            *(x509.DNSName(domain) for domain in domains),
            *(x509.IPAddress(network) for network in (*LOCAL_NETWORKS, *own)),
        ],
        excluded_subtrees=None,
    )


def _read(path: Path) -> Authority:
    try:
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
            log.warning("certificates.key_was_readable", file=path.name)
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES)
    except OSError as exc:
        raise CertificateError(
            f"The certificate authority in {path} cannot be read: {exc.strerror}."
        ) from exc
    try:
        key = serialization.load_pem_private_key(content, password=None)
        certificate = x509.load_pem_x509_certificate(content)
        limits = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        certificate.verify_directly_issued_by(certificate)
    except UNREADABLE as exc:
        raise _damaged(path) from exc
    matches = isinstance(key, ec.EllipticCurvePrivateKey) and (
        key.public_key() == certificate.public_key()
    )
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not matches or not limits.ca:
        raise _damaged(path)
    return Authority(key, certificate)


def _damaged(path: Path) -> CertificateError:
    return CertificateError(
        f"The certificate authority in {path} is damaged, and was left as it is: phones trust it. "
        f"Put the file back from a backup; or remove the folder {path.parent} to have a new one "
        "made, which has to be installed on each phone again."
    )


def _must_hold(authority: Authority, path: Path, now: datetime) -> None:
    begins = authority.certificate.not_valid_before_utc
    ends = authority.certificate.not_valid_after_utc
    if now < begins:
        raise CertificateError(
            f"This computer's clock says {now:%Y-%m-%d}, but its certificate authority was made "
            f"on {begins + SKEW:%Y-%m-%d}. Please set the clock."
        )
    if now + SKEW >= ends:
        raise CertificateError(
            f"The certificate authority in {path} has ended ({ends:%Y-%m-%d}; the clock says "
            f"{now:%Y-%m-%d}). If the clock is right, remove the folder {path.parent} to have a "
            "new one made, and install that on each phone."
        )


def _show_certificate(path: Path, authority: Authority) -> None:
    """Keep the certificate alone beside the key: it is what may be handed out."""
    content = authority.pem
    with contextlib.suppress(OSError):
        if path.read_bytes() == content:
            return
    try:
        write_over(path, content, mode=0o644)
    except OSError as exc:
        raise CertificateError(f"{path} cannot be written: {exc.strerror}.") from exc
