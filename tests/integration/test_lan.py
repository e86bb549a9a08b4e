"""The listener to the local network: TLS by our own authority, and the way to it."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
from collections.abc import Iterator

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from lan import LanServer, own_address
from servers import free_port

pytestmark = pytest.mark.integration

ADDRESS = own_address()
NO_ENGINES = {"XOE_VOICE": "false", "XOE_LLM_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
NAME = socket.gethostname().split(".")[0].lower()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanServer]:
    server = LanServer(tmp_path_factory.mktemp("lan"), dict(NO_ENGINES))
    server.add_operator()
    server.start(wait=False)
    server.wait_open()
    yield server
    server.stop()


def hosts() -> list[str]:
    return [*([ADDRESS] if ADDRESS else []), "127.0.0.1", "localhost", "[::1]"]


@pytest.mark.parametrize("host", hosts())
def test_the_page_is_served_with_a_certificate_that_the_authority_vouches_for(
    server: LanServer, host: str
) -> None:
    with server.client(host) as client:
        asked = client.get("/", headers={"Accept": "text/html"})
        assert asked.status_code == 303
        assert asked.headers["location"] == "/login"
        assert "strict-transport-security" not in asked.headers
        server.log_in(client)
        (cookie,) = [c for c in client.cookies.jar if c.name == "xoe_session"]
        assert cookie.secure
        page = client.get("/", headers={"Accept": "text/html"})
        assert page.status_code == 200
        assert f"wss://{host}:{server.secure_port}" in page.headers["content-security-policy"]


def test_nobody_is_let_in_without_a_login(server: LanServer) -> None:
    with server.client("127.0.0.1") as client:
        for path in ("/project/settings", "/status", "/metrics", "/docs"):
            assert client.get(path).status_code == 401
        assert client.post("/query", json={"question": "Hello?"}).status_code == 401


def test_another_host_name_is_refused(server: LanServer) -> None:
    with server.client("127.0.0.1") as client:
        for host in ("evil.example", f"evil.example:{server.secure_port}", "192.168.255.254", ""):
            refused = client.get("/", headers={"Host": host})
            assert refused.status_code in (400, 403), host
        crossed = client.post(
            "/login", data={"name": "x"}, headers={"Origin": "https://evil.example"}
        )
        assert crossed.status_code == 403


@pytest.mark.skipif(not ADDRESS, reason="this computer has no address on a network")
def test_the_local_door_does_not_answer_to_the_networks_names(server: LanServer) -> None:
    refused = httpx.get(f"{server.url}/login", headers={"Host": f"{ADDRESS}"}, trust_env=False)
    assert refused.status_code == 403


def test_what_is_presented(server: LanServer) -> None:
    with (
        socket.create_connection(("127.0.0.1", server.secure_port)) as plain,
        server.context().wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        assert secured.version() == "TLSv1.3"
        leaf = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True))
    lasts = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    assert lasts.days <= 397
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    shown = {str(name.value) for name in names}
    assert {"localhost", "127.0.0.1"} <= shown
    assert ADDRESS is None or ADDRESS.strip("[]") in shown
    old = server.context()
    old.maximum_version = ssl.TLSVersion.TLSv1_1
    with (
        socket.create_connection(("127.0.0.1", server.secure_port)) as plain,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(plain, server_hostname="localhost")


@pytest.mark.parametrize("listener", ["plain", "secure"], ids=["plain port", "TLS port"])
def test_plain_http_leads_to_the_secure_address(server: LanServer, listener: str) -> None:
    """Also for who speaks plain HTTP to the TLS port, where the system allows it."""
    port = server.plain_port if listener == "plain" else server.secure_port
    for host in (ADDRESS or "127.0.0.1", "localhost"):
        with httpx.Client(base_url=f"http://{host}:{port}", trust_env=False) as client:
            answer = client.get("/login?next=/a b&x=1")
            assert answer.status_code == 307
            assert answer.headers["location"].startswith(
                f"https://{host}:{server.secure_port}/login?next=/a"
            )
            twisted = client.get("//evil.example/..")
            assert httpx.URL(twisted.headers["location"]).host == host.strip("[]")
            assert client.post("/login", data={"password": "x"}).status_code == 403
            assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_the_plain_port_hands_out_the_certificate_and_how_to_install_it(
    server: LanServer,
) -> None:
    base = f"http://127.0.0.1:{server.plain_port}"
    given = httpx.get(f"{base}/ca.crt", trust_env=False)
    assert given.headers["content-type"] == "application/x-x509-ca-cert"
    certificate = x509.load_pem_x509_certificate(given.content)
    assert b"PRIVATE" not in given.content
    assert given.content == server.ca.read_bytes()
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex(":").upper()
    page = httpx.get(f"{base}/install", trust_env=False)
    assert fingerprint in page.text
    for system in ("Android", "iPhone", "Windows", "macOS", "Linux", "Firefox"):
        assert system in page.text
    assert f"https://127.0.0.1:{server.secure_port}" in page.text
    assert "<script" not in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert fingerprint in server.log, "the terminal shows the same"


def test_the_terminal_shows_the_addresses_and_a_qr_code(server: LanServer) -> None:
    if ADDRESS:
        assert f"https://{ADDRESS}:{server.secure_port}" in server.log
        assert f"http://{ADDRESS}:{server.plain_port}/install" in server.log
        assert "▄" in server.log or "█" in server.log
    if NAME not in ("", "localhost"):
        assert f"https://{NAME}.local:{server.secure_port}" in server.log


def test_noise_and_silence_on_the_secure_port_harm_nobody(server: LanServer) -> None:
    waiting = [socket.create_connection(("127.0.0.1", server.secure_port)) for _ in range(5)]
    try:
        for noise in (
            b"\x00" * 64,
            b"\x16\x03\x01\xff\xff" + os.urandom(64),
            b"GET",
            b"ZZZ\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", server.secure_port)) as caller:
                caller.settimeout(20)
                caller.sendall(noise)
                caller.shutdown(socket.SHUT_WR)
                while caller.recv(4096):
                    pass
        with server.client("localhost") as client:
            assert client.get("/login").status_code == 200
    finally:
        for caller in waiting:
            caller.close()


def refusal(server: LanServer, **environment: str) -> str:
    done = subprocess.run(
        server.command(),
        env={**os.environ, **server.environment, **environment},
        cwd=server.home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr


def test_without_an_account_it_does_not_start_and_says_what_to_do(tmp_path) -> None:
    said = refusal(LanServer(tmp_path))
    assert "xoe user add" in said
    assert not (tmp_path / "data" / "tls").exists()


def test_a_damaged_authority_keeps_it_from_starting_and_is_left(tmp_path) -> None:
    other = LanServer(tmp_path, dict(NO_ENGINES))
    other.add_operator()
    folder = other.data_dir / "tls"
    folder.mkdir()
    (folder / "authority.pem").write_text("half a fi")
    assert "is damaged, and was left as it is" in refusal(other)
    assert (folder / "authority.pem").read_text() == "half a fi"


def test_a_port_in_use_is_named(tmp_path, server: LanServer) -> None:
    other = LanServer(tmp_path, dict(NO_ENGINES))
    other.add_operator()
    other.secure_port = server.secure_port
    assert "--lan-port" in refusal(other)
