"""The local authority and its certificates: what they promise to phones and to their owner."""

from __future__ import annotations

import ipaddress
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from core import durable
from core.errors import CertificateError
from xoe.net import certificates
from xoe.net.addresses import machine_addresses
from xoe.net.authority import AUTHORITY_FILE, CA_FILE, LOCAL_DOMAINS
from xoe.net.certificates import CertificatePaths, for_names, lan_names, own_authority, ssl_context

NAMES = ("localhost", "127.0.0.1", "::1", "printer.local")
DAY = timedelta(days=1)


def leaf_of(paths: CertificatePaths) -> x509.Certificate:
    return x509.load_pem_x509_certificate(paths.cert.read_bytes())


def handshake(
    paths: CertificatePaths, name: str, *, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> str | None:
    """Connect to a real TLS server as ``name`` with nothing but the CA trusted."""
    server = ssl_context(paths)
    client = ssl.create_default_context(cafile=str(paths.ca))
    client.minimum_version = ssl.TLSVersion.TLSv1
    client.maximum_version = maximum
    near, far = socket.socketpair()
    far.settimeout(10)

    def serve() -> None:
        try:
            server.wrap_socket(far, server_side=True).unwrap()
        except OSError:
            far.close()

    thread = threading.Thread(target=serve)
    thread.start()
    near.settimeout(10)
    try:
        with client.wrap_socket(near, server_hostname=name) as secured:
            return secured.version()
    finally:
        near.close()
        thread.join()


@pytest.mark.parametrize("name", NAMES)
def test_each_name_is_vouched_for_by_the_authority(tmp_path: Path, name: str) -> None:
    paths = for_names(tmp_path, NAMES)
    assert paths.ca == tmp_path / "tls" / CA_FILE
    assert handshake(paths, name) == "TLSv1.3"


def test_another_name_is_not_believed(tmp_path: Path) -> None:
    paths = for_names(tmp_path, NAMES)
    for name in ("bank.example", "other.local", "192.168.1.1"):
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(paths, name)


def test_old_tls_is_refused(tmp_path: Path) -> None:
    paths = for_names(tmp_path, NAMES)
    with pytest.raises(ssl.SSLError):
        handshake(paths, "localhost", maximum=ssl.TLSVersion.TLSv1_1)


def test_a_stolen_authority_is_not_believed_for_a_bank(tmp_path: Path) -> None:
    """The name constraints are in the certificate and a verifier keeps to them."""
    authority = own_authority(tmp_path)
    key, leaf = certificates._issue(["bank.example"], authority, datetime.now(UTC))
    forged = tmp_path / "forged.pem"
    durable.write_over(
        forged,
        certificates.pem_of_key(key) + leaf.public_bytes(certificates.serialization.Encoding.PEM),
    )
    paths = CertificatePaths(forged, forged, tmp_path / "tls" / CA_FILE)
    with pytest.raises(ssl.SSLCertVerificationError, match="permitted subtree"):
        handshake(paths, "bank.example")


def test_a_name_outside_the_limits_gets_a_certificate_that_vouches_for_itself(
    tmp_path: Path,
) -> None:
    paths = for_names(tmp_path, ["tunnel.example.org", "8.8.8.8"])
    assert handshake(paths, "tunnel.example.org") == "TLSv1.3"
    assert handshake(paths, "8.8.8.8") == "TLSv1.3"
    assert b"PRIVATE" not in paths.ca.read_bytes()
    leaf = leaf_of(paths)
    assert leaf.issuer == leaf.subject != own_authority(tmp_path).certificate.subject
    paths.ca.unlink()
    assert handshake(for_names(tmp_path, ["tunnel.example.org", "8.8.8.8"]), "8.8.8.8")
    assert leaf_of(paths) == leaf, "only what was missing is written"


def test_the_key_is_its_owners_alone(tmp_path: Path) -> None:
    paths = for_names(tmp_path, NAMES)
    folder = tmp_path / "tls"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(paths.key.stat().st_mode) == 0o600
    authority = folder / AUTHORITY_FILE
    assert stat.S_IMODE(authority.stat().st_mode) == 0o600
    assert b"PRIVATE" not in paths.ca.read_bytes()
    assert sorted(path.name for path in folder.iterdir()) == [
        AUTHORITY_FILE,
        CA_FILE,
        "share.pem",
    ]
    authority.chmod(0o644)
    for_names(tmp_path, NAMES)
    assert stat.S_IMODE(authority.stat().st_mode) == 0o600


def test_lifetimes_are_what_phones_accept(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    leaf = leaf_of(for_names(tmp_path, NAMES))
    own = own_authority(tmp_path).certificate
    assert leaf.not_valid_after_utc - leaf.not_valid_before_utc <= 397 * DAY
    assert own.not_valid_after_utc - now > 3640 * DAY
    for certificate in (leaf, own):
        assert now - 2 * DAY < certificate.not_valid_before_utc <= now - DAY


def test_the_same_certificate_serves_until_a_month_before_its_end(tmp_path: Path) -> None:
    first = leaf_of(for_names(tmp_path, NAMES))
    assert leaf_of(for_names(tmp_path, reversed(NAMES))) == first
    ends = first.not_valid_after_utc
    assert leaf_of(for_names(tmp_path, NAMES, now=ends - 31 * DAY)) == first
    renewed = leaf_of(for_names(tmp_path, NAMES, now=ends - 29 * DAY))
    assert renewed != first
    assert renewed.not_valid_after_utc > ends
    assert own_authority(tmp_path).certificate.subject == renewed.issuer


def test_new_addresses_get_a_new_certificate(tmp_path: Path) -> None:
    first = leaf_of(for_names(tmp_path, NAMES))
    moved = leaf_of(for_names(tmp_path, [*NAMES, "192.168.7.7"]))
    assert moved != first
    assert moved.issuer == first.issuer


def test_near_the_authoritys_end_the_certificate_ends_with_it(tmp_path: Path) -> None:
    ends = own_authority(tmp_path).certificate.not_valid_after_utc
    late = for_names(tmp_path, NAMES, now=ends - 10 * DAY)
    leaf = leaf_of(late)
    assert leaf.not_valid_after_utc == ends
    assert leaf_of(for_names(tmp_path, NAMES, now=ends - 9 * DAY)) == leaf, "not made again daily"


def test_an_ended_authority_or_a_clock_before_it_is_said(tmp_path: Path) -> None:
    authority = own_authority(tmp_path).certificate
    with pytest.raises(CertificateError, match="has ended"):
        for_names(tmp_path, NAMES, now=authority.not_valid_after_utc)
    with pytest.raises(CertificateError, match="set the clock"):
        for_names(tmp_path, NAMES, now=datetime(2020, 1, 1, tzinfo=UTC))
    assert own_authority(tmp_path).certificate == authority


def test_a_clock_set_back_does_not_leave_a_certificate_of_the_future(tmp_path: Path) -> None:
    own_authority(tmp_path)
    now = datetime.now(UTC)
    for_names(tmp_path, NAMES, now=now + 300 * DAY)
    assert leaf_of(for_names(tmp_path, NAMES, now=now)).not_valid_before_utc <= now


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: content[: content.index(b"-----BEGIN CERT")],
        lambda content: content.replace(b"M", b"N", 3),
        lambda content: b"\x00\xff" * 400,
        lambda content: content[content.index(b"-----BEGIN CERT") :],
    ],
    ids=["empty", "half", "key alone", "changed", "noise", "certificate alone"],
)
def test_a_damaged_authority_is_never_replaced(tmp_path: Path, damage) -> None:
    for_names(tmp_path, NAMES)
    path = tmp_path / "tls" / AUTHORITY_FILE
    path.write_bytes(damage(path.read_bytes()))
    left = path.read_bytes()
    with pytest.raises(CertificateError, match="is damaged, and was left as it is"):
        for_names(tmp_path, NAMES)
    assert path.read_bytes() == left


def test_a_lost_authority_is_not_replaced_while_phones_may_trust_it(tmp_path: Path) -> None:
    own_authority(tmp_path)
    (tmp_path / "tls" / AUTHORITY_FILE).unlink()
    with pytest.raises(CertificateError, match="is gone"):
        own_authority(tmp_path)
    assert not (tmp_path / "tls" / AUTHORITY_FILE).exists()


def test_a_key_of_another_authority_is_noticed(tmp_path: Path) -> None:
    """A restored backup that mixed two folders' files."""
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        own_authority(folder)
    ours, theirs = (folder / "tls" / AUTHORITY_FILE for folder in (one, two))
    cut = b"-----BEGIN CERT"
    key, certificate = ours.read_bytes().split(cut)[0], theirs.read_bytes().split(cut)[1]
    ours.write_bytes(key + cut + certificate)
    with pytest.raises(CertificateError, match="damaged"):
        own_authority(one)


def test_a_servers_certificate_is_no_authority(tmp_path: Path) -> None:
    paths = for_names(tmp_path, NAMES)
    shutil.copy(paths.cert, tmp_path / "tls" / AUTHORITY_FILE)
    with pytest.raises(CertificateError, match="damaged"):
        own_authority(tmp_path)


@pytest.mark.parametrize("content", [b"", b"noise", None])
def test_a_damaged_server_certificate_is_made_again(tmp_path: Path, content: bytes | None) -> None:
    paths = for_names(tmp_path, NAMES)
    paths.cert.write_bytes(paths.cert.read_bytes()[:700] if content is None else content)
    paths.ca.unlink()
    assert handshake(for_names(tmp_path, NAMES), "localhost") == "TLSv1.3"


def test_programs_that_start_together_share_one_authority(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: own_authority(tmp_path).fingerprint, range(16)))
    assert len(set(made)) == 1
    assert [path.name for path in (tmp_path / "tls").iterdir() if path.name.startswith(".")] == []


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "tls").write_text("a file in its place")
    with pytest.raises(CertificateError, match="cannot be written"):
        own_authority(tmp_path)


@pytest.mark.parametrize("name", ["", "a b", "-x.local", "x" * 64, "*.local", "a/b", "ä.local"])
def test_what_is_no_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(CertificateError, match="neither a host name nor an IP"):
        for_names(tmp_path, [name])


def test_a_certificate_has_at_least_one_name_and_not_too_many(tmp_path: Path) -> None:
    for names in ([], [f"h{number}.local" for number in range(65)]):
        with pytest.raises(CertificateError, match="1 to 64"):
            for_names(tmp_path, names)


def test_this_computers_own_addresses_and_names_are_all_covered(tmp_path: Path) -> None:
    authority = own_authority(tmp_path)
    names = lan_names(authority)
    assert {str(address) for address in machine_addresses()} <= set(names)
    assert any(name.endswith(".local") for name in names) == bool(certificates.hostname())
    paths = for_names(tmp_path, names, purpose="lan")
    for name in names:
        assert handshake(paths, name)


@pytest.mark.parametrize(
    ("name", "permitted"),
    [
        *((f"x.{domain}", True) for domain in LOCAL_DOMAINS),
        ("notlocal", False),
        ("evil-local", False),
        ("local.example.com", False),
        (ipaddress.ip_address("192.168.200.1"), True),
        (ipaddress.ip_address("fd12::9"), True),
        (ipaddress.ip_address("8.8.8.8"), False),
        (ipaddress.ip_address("2a00::1"), False),
    ],
)
def test_what_the_authority_may_vouch_for(tmp_path_factory, name, permitted: bool) -> None:
    assert own_authority(tmp_path_factory.getbasetemp() / "shared-ca").permits(name) is permitted


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_agrees(tmp_path: Path) -> None:
    paths = for_names(tmp_path, NAMES)
    strictly = ["-x509_strict", "-purpose", "sslserver", "-CAfile", str(paths.ca)]
    said = subprocess.run(
        ["openssl", "verify", *strictly, str(paths.cert)], capture_output=True, text=True
    )
    assert said.returncode == 0, said.stderr
