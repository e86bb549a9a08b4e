"""Where the server listens: this computer's addresses, or a Unix socket that its owner may open."""

from __future__ import annotations

import asyncio
import socket
import stat
from pathlib import Path

import pytest

from core.data_folder import DataFolder
from core.errors import SettingsError
from core.settings import Settings
from xoe import running
from xoe.auth.users import Users
from xoe.db import Database
from xoe.net.addresses import machine_addresses
from xoe.net.lan import LanSocket, _listen
from xoe.net.reach import is_loopback, is_open_to_others, names_of, require_account
from xoe.net.sockets import UNIX_URL, address, bind, release
from xoe.serve.server import serve
from xoe.web.host_guard import _hostname


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, uds=tmp_path / "xoe.sock")


def connect(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(str(path))


def test_a_unix_socket_is_for_its_owner_only_and_goes_with_the_server(settings: Settings) -> None:
    assert settings.uds is not None
    listener = bind(settings)
    assert stat.S_IMODE(settings.uds.stat().st_mode) == 0o600
    connect(settings.uds)
    assert address(listener) == UNIX_URL
    release(listener, settings)
    assert not settings.uds.exists()


@pytest.mark.parametrize("kind", ["local", "lan"])
async def test_a_piece_of_an_answer_does_not_wait_for_the_one_before(
    kind: str, tmp_path: Path
) -> None:
    """Nagle's algorithm is off: it held streamed words, and each answer's body, back for 40 ms."""
    settings = Settings(data_dir=tmp_path, port=0)
    listener = bind(settings) if kind == "local" else _listen(LanSocket, 0, "--lan-port")
    is_off: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def look(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = writer.get_extra_info("socket")
        is_off.set_result(connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        writer.close()

    async with await asyncio.start_server(look, sock=listener):
        _, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        writer.write(b"\x16")
        assert await asyncio.wait_for(is_off, 30)
        writer.close()


def test_the_guard_answers_to_the_name_that_is_asked_over_the_socket(settings: Settings) -> None:
    assert _hostname(UNIX_URL) in names_of(settings)


def test_a_killed_servers_socket_is_replaced(settings: Settings) -> None:
    assert settings.uds is not None
    bind(settings).close()  # as a kill leaves it: the file stays
    assert settings.uds.exists()
    listener = bind(settings)
    connect(settings.uds)
    release(listener, settings)


def test_a_socket_that_is_answered_is_not_taken(settings: Settings) -> None:
    assert settings.uds is not None
    listener = bind(settings)
    with pytest.raises(SettingsError, match="Another server is listening"):
        bind(settings)
    connect(settings.uds)  # the first one still answers
    release(listener, settings)


def test_a_file_that_is_no_socket_is_kept(settings: Settings) -> None:
    assert settings.uds is not None
    settings.uds.write_text("somebody's")
    with pytest.raises(SettingsError, match="is no socket"):
        bind(settings)
    assert settings.uds.read_text() == "somebody's"


def test_a_symbolic_link_is_not_followed(settings: Settings, tmp_path: Path) -> None:
    assert settings.uds is not None
    settings.uds.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(SettingsError, match="is no socket"):
        bind(settings)


@pytest.mark.parametrize("path", ["missing/xoe.sock", "x" * 120])
def test_a_path_that_cannot_be_listened_on_is_told_in_a_sentence(tmp_path: Path, path: str) -> None:
    with pytest.raises(SettingsError, match=r"\.$"):
        bind(Settings(data_dir=tmp_path, uds=tmp_path / path))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", "", "127.0.0.1.x"])
async def test_another_address_is_refused_while_there_is_no_account(
    tmp_path: Path, host: str
) -> None:
    settings = Settings(data_dir=tmp_path, host=host, port=0)
    assert is_open_to_others(settings)
    with pytest.raises(SettingsError, match="xoe user add NAME --role operator"):
        await serve(settings)
    with DataFolder(tmp_path):
        pass  # it was not taken
    database = await Database.open(settings)
    await Users(database).add("ada", "kettle orbit lantern")
    await database.aclose()
    await require_account(settings)


async def test_a_name_of_a_proxy_needs_an_account_too(tmp_path: Path) -> None:
    """What comes through a proxy on this computer comes from loopback, whoever sends it."""
    behind = Settings(data_dir=tmp_path, allowed_hosts="docs.example")
    assert is_open_to_others(behind)
    assert is_open_to_others(behind.model_copy(update={"uds": tmp_path / "xoe.sock"}))
    assert not is_open_to_others(Settings(data_dir=tmp_path, allowed_hosts="localhost, "))
    with pytest.raises(SettingsError, match=r"Answering to docs\.example"):
        await require_account(behind)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "localhost", "::1", "::ffff:127.0.0.1"])
def test_this_computer_alone_needs_no_account(host: str) -> None:
    assert is_loopback(host)


def test_on_all_addresses_the_server_goes_by_its_own_names_and_no_others(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, host="0.0.0.0", allowed_hosts=" Docs.example , ")
    names = names_of(settings)
    assert {"localhost", "127.0.0.1", "docs.example"} <= names
    assert names.isdisjoint({"0.0.0.0", "", "evil.example"})
    assert {str(found) for found in machine_addresses()} <= names


def test_the_address_of_all_addresses_is_one_that_can_be_opened(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, host="0.0.0.0", port=0)
    listener = bind(settings)
    assert address(listener).startswith("http://127.0.0.1:")
    release(listener, settings)


def test_the_commands_find_the_socket_again(settings: Settings, tmp_path: Path) -> None:
    with DataFolder(tmp_path):
        running.announce(tmp_path, UNIX_URL, settings.uds)
        found = running.find(tmp_path)
        assert found is not None
        assert found.uds == found.where == str(settings.uds)
        running.announce(tmp_path, "http://127.0.0.1:8000")
        found = running.find(tmp_path)
        assert found is not None
        assert found.uds is None
        assert found.where == "http://127.0.0.1:8000"
