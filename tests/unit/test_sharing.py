"""Sharing: its limits, its end whatever the clock does, and what it leaves behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import CertificateError, ShareError, TunnelError
from core.settings import Settings
from xoe.auth.services import AuthServices
from xoe.cli.share_show import copy_to_clipboard, guest_lines, left
from xoe.share import service
from xoe.share.deadline import Deadline
from xoe.share.service import Sharing
from xoe.share.socket import bind
from xoe.share.tunnels import PublicAddress, TunnelEvent, TunnelOptions
from xoe.share.view import ShareOptions


class Clock:
    """A wall clock that somebody sets, and one that nobody can."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000.0, 5000.0

    def passes(self, seconds: float) -> None:
        self.wall += seconds
        self.steady += seconds


def test_a_clock_that_is_set_does_not_make_a_share_longer() -> None:
    clock = Clock()
    deadline = Deadline(clock.wall + 100, 100, wall=lambda: clock.wall, steady=lambda: clock.steady)
    clock.passes(40)
    assert deadline.left_s() == 60
    clock.wall -= 3600  # set back: the other clock counts on
    assert deadline.left_s() == 60
    clock.wall += 3600 + 30  # set forward: what guests were told is over sooner
    assert deadline.left_s() == 30
    clock.passes(1000)
    assert deadline.left_s() == 0


class Listeners:
    """Notes what is open."""

    def __init__(self) -> None:
        self.is_open = False
        self.listener: Any = None

    async def open(self, listener: Any, bound: Any, *, tls: Any = None) -> None:
        self.is_open, self.listener = True, bound

    def change(self, name: str, **_: Any) -> None:
        assert self.is_open

    async def close(self, name: str) -> None:
        self.is_open = False
        if self.listener is not None:
            self.listener.close()


class Guests:
    """Notes who is forgotten."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    def here(self) -> frozenset[str]:
        return frozenset()

    async def forget(self, identity: str) -> None:
        self.forgotten.append(identity)


class FakeTunnel:
    """A tunnel that is up at once, or never."""

    hangs = False

    def __init__(self, on_event: Any) -> None:
        self.on_event = on_event
        self.closed = asyncio.Event()
        self.state = TunnelEvent("up", "Connected.", "http://far.example:80", connections=1)

    async def open(self, target: Any) -> PublicAddress:
        if self.hangs:
            await self.closed.wait()
            raise TunnelError("The tunnel was closed while it was being opened.")
        return PublicAddress("http://far.example:80", 80)

    async def aclose(self) -> None:
        self.closed.set()


class House:
    """The service with a real database, and everything else where the test can see it."""

    def __init__(self, folder: Path, auth: AuthServices) -> None:
        self.clock, self.listeners, self.guests = Clock(), Listeners(), Guests()
        self.auth = auth
        self.folder = folder
        self.sharing = self.again()

    def again(self) -> Sharing:
        async def auth() -> AuthServices:
            return self.auth

        self.sharing = Sharing(
            Settings(data_dir=self.folder),
            self.listeners,  # type: ignore[arg-type]
            auth,
            self.guests,
            wall=lambda: self.clock.wall,
            steady=lambda: self.clock.steady,
        )
        return self.sharing


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    tunnels: list[FakeTunnel] = []

    def make(options: Any, known: Any, on_event: Any, **_: Any) -> FakeTunnel:
        tunnels.append(FakeTunnel(on_event))
        return tunnels[-1]

    monkeypatch.setattr(service, "tunnel_for", make)
    monkeypatch.setattr(FakeTunnel, "hangs", False)
    auth = await AuthServices.open(Settings(data_dir=tmp_path))
    house = House(tmp_path, auth)
    auth.invitations._clock = lambda: house.clock.wall  # type: ignore[attr-defined]
    house.tunnels = tunnels  # type: ignore[attr-defined]
    yield house
    await house.sharing.aclose()
    await auth.aclose()


WISH = ShareOptions(TunnelOptions("far.example"), hours=1, guests=2)


async def token_of(house: House) -> str:
    link = house.sharing.view().link
    assert link is not None
    return link.rpartition("/")[2]


async def until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


async def test_door_tunnel_and_invitation_begin_and_end_together(house: House) -> None:
    view = await house.sharing.start(WISH, made_by="console")
    assert view.state == "up"
    assert view.link is not None
    assert view.link.startswith("http://far.example:80/invitation/")
    assert view.ends_in_s == 3600
    assert house.listeners.is_open
    guest = await house.auth.invitations.redeem(await token_of(house))
    await until(lambda: house.sharing.view().guests)
    ended = await house.sharing.end()
    assert ended.state == "ended"
    assert ended.link is None
    assert house.listeners.is_open, "guests still read why they are out"
    with pytest.raises(Exception, match="taken back"):
        await house.auth.invitations.redeem(view.link.rpartition("/")[2])
    await until(lambda: house.guests.forgotten == [guest.id])
    await house.sharing.aclose()
    assert not house.listeners.is_open
    assert not (house.folder / "share.sock").exists()


async def test_it_ends_by_itself_also_when_the_clock_was_set_back(house: House) -> None:
    await house.sharing.start(WISH, made_by="console")
    guest = await house.auth.invitations.redeem(await token_of(house))
    house.clock.passes(1800)
    house.clock.wall -= 1750
    house.clock.passes(1801)
    await until(lambda: house.sharing.view().state == "ended")
    assert "time" in house.sharing.view().sentence
    await until(lambda: house.guests.forgotten == [guest.id])


async def test_one_guest_is_sent_out_by_number_and_the_others_stay(house: House) -> None:
    await house.sharing.start(WISH, made_by="console")
    token = await token_of(house)
    first, second = [await house.auth.invitations.redeem(token) for _ in range(2)]
    await until(lambda: len(house.sharing.view().guests) == 2)
    view = await house.sharing.end_guest("1")
    assert [guest.is_ended for guest in view.guests] == [True, False]
    await until(lambda: house.guests.forgotten == [first.id])
    assert second.id not in house.guests.forgotten
    with pytest.raises(ShareError, match="no such guest"):
        await house.sharing.end_guest("3")


async def test_a_second_share_is_refused_while_there_is_one(house: House) -> None:
    await house.sharing.start(WISH, made_by="console")
    with pytest.raises(ShareError, match="shared already"):
        await house.sharing.start(WISH, made_by="console")
    await house.sharing.end()
    assert (await house.sharing.start(WISH, made_by="console")).state == "up"


async def test_nothing_is_shared_while_the_server_stops(house: House, monkeypatch: Any) -> None:
    monkeypatch.setattr(FakeTunnel, "hangs", True)
    starting = asyncio.create_task(house.sharing.start(WISH, made_by="console"))
    await until(lambda: house.sharing.view().state == "starting")
    await house.sharing.aclose()
    with pytest.raises(ShareError, match="stopping"):
        await starting
    with pytest.raises(ShareError, match="stopping"):
        await house.sharing.start(WISH, made_by="console")
    assert not house.listeners.is_open
    assert await house.auth.invitations.list() == ()


async def test_what_a_killed_server_left_is_taken_back_and_deleted(house: House) -> None:
    view = await house.sharing.start(WISH, made_by="console")
    assert view.link is not None
    token = view.link.rpartition("/")[2]
    guest = await house.auth.invitations.redeem(token)
    old, house.listeners = house.sharing, Listeners()
    sharing = house.again()
    sharing.begin()
    await until(lambda: house.guests.forgotten == [guest.id])
    with pytest.raises(Exception, match="taken back"):
        await house.auth.invitations.look(token)
    assert (await sharing.start(WISH, made_by="console")).state == "up"
    await old.aclose()


async def test_a_tunnel_that_moved_has_a_new_link_and_one_refused_ends_it(house: House) -> None:
    await house.sharing.start(WISH, made_by="console")
    (tunnel,) = house.tunnels  # type: ignore[attr-defined]
    tunnel.on_event(TunnelEvent("lost", "Gone.", "http://far.example:80", 2.0, 1))
    assert house.sharing.view().state == "lost"
    assert house.sharing.view().retry_in_s == 2.0
    tunnel.on_event(TunnelEvent("up", "Connected.", "http://far.example:81", None, 2))
    view = house.sharing.view()
    assert (view.state, view.connections) == ("up", 2)
    assert view.link is not None
    assert view.link.startswith("http://far.example:81/invitation/")
    tunnel.on_event(TunnelEvent("refused", "The key has changed.", None, None, 2))
    await until(lambda: house.sharing.view().state == "ended")
    assert house.sharing.view().sentence == "The key has changed."


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scope": "all"}, "ask"),
        ({"hours": 0}, "from a minute"),
        ({"hours": float("nan")}, "from a minute"),
        ({"hours": 169}, "168 hours"),
        ({"guests": 0}, "1 to 50"),
        ({"guests": 51}, "1 to 50"),
    ],
)
async def test_limits_are_told(house: House, change: dict[str, Any], words: str) -> None:
    with pytest.raises(ShareError, match=words):
        await house.sharing.start(replace(WISH, **change), made_by="console")
    assert house.tunnels == []  # type: ignore[attr-defined]


async def test_a_certificate_needs_its_key_and_tls(house: House) -> None:
    with pytest.raises(CertificateError, match="go together"):
        await house.sharing.start(replace(WISH, tls=True, certificate="c.pem"), made_by="console")
    half = replace(WISH, certificate="c.pem", key="k.pem")
    with pytest.raises(CertificateError, match="for --tls"):
        await house.sharing.start(half, made_by="console")


def test_a_folder_with_too_long_a_path_is_told(tmp_path: Path) -> None:
    with pytest.raises(ShareError, match="too long"):
        bind(tmp_path / ("x" * 120))


def test_the_socket_is_for_this_user_alone_and_replaces_a_dead_one(tmp_path: Path) -> None:
    first, path = bind(tmp_path)
    first.close()
    second, _ = bind(tmp_path)
    assert path.stat().st_mode & 0o777 == 0o600
    second.close()


def test_copying_never_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "xclip"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("DISPLAY", ":9")
    monkeypatch.setattr("sys.stdout", SimpleNamespace(isatty=lambda: False))
    assert copy_to_clipboard("https://a.example") is False
    broken.write_text(f"#!/bin/sh\n/bin/cat > {tmp_path}/copied\n")
    assert copy_to_clipboard("https://a.example") is True
    assert (tmp_path / "copied").read_text() == "https://a.example"


def test_the_guests_are_shown_in_words() -> None:
    guest = {"number": 2, "came_at": 0.0, "is_here": True, "is_ended": False}
    assert "Guest 2 is here" in guest_lines({"guests": [guest]})[0]
    assert "Guest 2 is out" in guest_lines({"guests": [{**guest, "is_ended": True}]})[0]
    assert [left(30), left(600), left(7260)] == ["30 s left", "10 min left", "2 h 1 min left"]
