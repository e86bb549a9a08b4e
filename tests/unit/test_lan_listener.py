"""The network's listener while it is open: other addresses, a renewed certificate, taken ports."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from core.errors import CertificateError, SettingsError
from core.settings import Settings
from xoe.net import certificates
from xoe.net.authority import AUTHORITY_FILE
from xoe.net.lan import Lan
from xoe.net.listeners import Listeners, listener_of
from xoe.web.protection import ProtectingHeaders

NEW = ipaddress.ip_address("192.168.77.77")


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Tell the listener, its names and the scheme."""
    listener = listener_of(scope)
    told = f"{listener.name} {scope['scheme']} {str(NEW) in listener.hosts}"
    await PlainTextResponse(told)(scope, receive, send)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Lan, Listeners, Path]]:
    lan = await Lan.prepare(Settings(data_dir=tmp_path, lan=True, lan_port=0, lan_http_port=0))
    listeners = Listeners(app)
    await lan.open(listeners, ProtectingHeaders)
    yield lan, listeners, tmp_path
    await listeners.aclose()
    await lan.aclose()


def shown(lan: Lan, folder: Path) -> set[str]:
    """Return the names in the certificate that a new connection gets."""
    context = ssl.create_default_context(cafile=str(folder / "tls" / "ca.crt"))
    with (
        socket.create_connection(("127.0.0.1", lan.secure_port), timeout=20) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        return {name for _, name in secured.getpeercert()["subjectAltName"]}


async def ask(lan: Lan, folder: Path) -> str:
    context = ssl.create_default_context(cafile=str(folder / "tls" / "ca.crt"))
    async with httpx.AsyncClient(verify=context, trust_env=False, timeout=20) as client:
        return (await client.get(f"https://localhost:{lan.secure_port}/")).text


async def test_a_new_address_is_served_without_a_restart(opened, monkeypatch) -> None:
    lan, listeners, folder = opened
    assert await ask(lan, folder) == "lan https False"
    assert str(NEW) not in await asyncio.to_thread(shown, lan, folder)
    monkeypatch.setattr(certificates, "machine_addresses", lambda: (NEW,))
    await lan.refresh(listeners)
    assert str(NEW) in await asyncio.to_thread(shown, lan, folder)
    assert await ask(lan, folder) == "lan https True"
    assert lan.addresses()[0] == f"https://{NEW}:{lan.secure_port}"
    assert f"http://{NEW}:{lan.plain_port}/install" in lan.announcement()
    async with httpx.AsyncClient(trust_env=False) as client:
        led = await client.get(f"http://127.0.0.1:{lan.plain_port}/x", headers={"Host": str(NEW)})
    assert led.headers["location"] == f"https://{NEW}:{lan.secure_port}/x"


async def test_a_certificate_that_went_bad_is_replaced_while_serving(opened) -> None:
    lan, listeners, folder = opened
    (folder / "tls" / "lan.pem").write_text("noise")
    await lan.refresh(listeners)
    assert await ask(lan, folder) == "lan https False"


async def test_a_lost_authority_does_not_end_what_is_served(opened) -> None:
    lan, listeners, folder = opened
    (folder / "tls" / AUTHORITY_FILE).write_text("noise")
    with pytest.raises(CertificateError):
        await lan.refresh(listeners)
    assert await ask(lan, folder) == "lan https False"


async def test_without_a_network_it_says_so(opened, monkeypatch) -> None:
    lan, listeners, _ = opened
    monkeypatch.setattr(certificates, "machine_addresses", lambda: ())
    monkeypatch.setattr(certificates, "hostname", lambda: "")
    await lan.refresh(listeners)
    assert lan.addresses() == ()
    assert "no address on a network just now" in lan.announcement()


async def test_a_terminal_without_blocks_gets_no_picture(opened) -> None:
    lan, _, _ = opened
    lan.announcement("ascii").encode("ascii")


async def test_the_plain_port_moves_on_and_the_secure_one_does_not(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = Settings(data_dir=tmp_path, lan=True, lan_port=0, lan_http_port=port)
        lan = await Lan.prepare(settings)
        assert port < lan.plain_port < port + 10
        await lan.aclose()
        with pytest.raises(SettingsError, match="--lan-port"):
            await Lan.prepare(settings.model_copy(update={"lan_port": port}))


async def test_many_who_speak_plain_http_to_the_secure_port_are_led_on(opened) -> None:
    """Side by side with those who speak TLS, a hundred at a time."""
    lan, _, folder = opened
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        plain = [client.get(f"http://localhost:{lan.secure_port}/{n}") for n in range(100)]
        answers = await asyncio.gather(*plain, *(ask(lan, folder) for _ in range(10)))
    assert set(answers[100:]) == {"lan https False"}
    for n, answer in enumerate(answers[:100]):
        assert answer.status_code == 307
        assert answer.headers["location"] == f"https://localhost:{lan.secure_port}/{n}"
