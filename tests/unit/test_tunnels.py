"""Tunnels: what is asked for is checked, what programs write is bounded, and a loss is mended."""

from __future__ import annotations

import asyncio
import re
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.backoff import Backoff
from core.errors import HostKeyError, TunnelError
from xoe.share.tunnels import (
    KeptTunnel,
    KnownHosts,
    LocalEnd,
    PublicAddress,
    TunnelEvent,
    TunnelOptions,
)
from xoe.share.tunnels.explain import explain, is_unknown_key
from xoe.share.tunnels.keys import HostKey
from xoe.share.tunnels.make import tunnel_for
from xoe.share.tunnels.output import Lines, clean, first_address, public_url
from xoe.share.tunnels.targets import PRESETS, SshTarget, checked_public_url

KEY = "AAAAC3NzaC1lZDI1NTE5AAAAICoVOvVbdN8vS5MSNIo/d6srUH0OYQu195ND0sGzPhOG"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("example.org", ("example.org", None, None)),
        ("me@example.org:2222", ("example.org", "me", 2222)),
        ("my_alias", ("my_alias", None, None)),
        ("me@[::1]:22", ("::1", "me", 22)),
        ("fe80::1", ("fe80::1", None, None)),
        ("token+qr@a.pinggy.io:443", ("a.pinggy.io", "token+qr", 443)),
        ("a@b@example.org", ("example.org", "a@b", None)),
    ],
)
def test_a_target_is_user_host_and_port(text: str, parts: tuple[Any, ...]) -> None:
    target = SshTarget.parse(text)
    assert (target.host, target.user, target.port) == parts
    assert SshTarget.parse(str(target)) == target


@pytest.mark.parametrize(
    "text",
    [
        *("", "@", "me@", "-oProxyCommand=touch x", "me@-oProxyCommand=x", "-l@host", "host:"),
        *("host:0", "host:65536", "host:x", "host:22:22", "a b", "host\n", "host;id", "$(id)"),
        *("[::1", "[::1]x", "[nonsense]:22", "fe80::1%eth0", "host/path", "x" * 300, "ho\x00st"),
        *("hö.st", "`id`", "me@ho'st", "host:٢٢"),
    ],
)
def test_what_is_no_target_is_refused_by_a_sentence(text: str) -> None:
    with pytest.raises(TunnelError, match=r"write it as \[user@\]host\[:port\]"):
        SshTarget.parse(text)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_no_target_can_be_an_option(text: str) -> None:
    try:
        target = SshTarget.parse(text)
    except TunnelError:
        return
    assert not target.host.startswith("-")
    assert not (target.user or "").startswith("-")
    assert re.fullmatch(r"[\w.:-]+", target.host, re.ASCII)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (TunnelOptions(), "Through which host"),
        (TunnelOptions("host", service="smoke"), "no tunnel service"),  # type: ignore[arg-type]
        (TunnelOptions("host", service="cloudflared"), "leave the target out"),
        (TunnelOptions("host", public_url="https://a.example"), "--remote-port"),
        (TunnelOptions("host", public_url="https://a.example/x", remote_port=80), "public address"),
        (TunnelOptions("host", remote_port=70_000), "1 to 65535"),
        (TunnelOptions("host", accept_key="MD5:00"), "no fingerprint"),
        (TunnelOptions("host", identity="/no/such/key"), "no key"),
        (TunnelOptions("host", agent="/dev/null"), "no SSH agent"),
        (TunnelOptions(service="serveo", remote_port=80), "a host of one's own"),
    ],
)
def test_a_wish_that_cannot_be_met_is_refused(
    options: TunnelOptions, words: str, tmp_path: Path
) -> None:
    with pytest.raises(TunnelError, match=re.escape(words)):
        tunnel_for(options, KnownHosts(tmp_path, []), lambda _: None)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://demo.example.org", "https://demo.example.org"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("https://[::1]:4", "https://[::1]:4"),
        ("HTTPS://Demo.Example", "https://demo.example"),
        *((bad, None) for bad in ("ftp://a", "https://", "https://u@a", "https://a/b", "a.b")),
        *((bad, None) for bad in ("https://a?x", "https://a#x", "https://a b", "https://a:99999")),
        *((bad, None) for bad in ("https://-a.b", "https://a..b", "https://ex\u200bample.org")),
        *((bad, None) for bad in ("https://a\n.b", "https://" + "a" * 300, "https://a\\b", "//a")),
    ],
)
def test_a_public_address_is_scheme_host_and_port(text: str, url: str | None) -> None:
    assert public_url(text) == url
    if url is None:
        with pytest.raises(TunnelError):
            checked_public_url(text)


@pytest.mark.parametrize(
    ("service", "line", "url"),
    [
        ("localhost.run", "Welcome! Follow https://twitter.com/localhost_run", None),
        (
            "localhost.run",
            "ab12.lhr.life tunneled with tls termination, https://ab12.lhr.life",
            "https://ab12.lhr.life",
        ),
        (
            "serveo",
            "\x1b[32mForwarding HTTP traffic from https://x.serveo.net\x1b[0m",
            "https://x.serveo.net",
        ),
        ("pinggy", "You are not authenticated. See https://dashboard.pinggy.io", None),
        ("pinggy", "https://rnabc.a.free.pinggy.link", "https://rnabc.a.free.pinggy.link"),
        ("pinggy", "https://rnabc.a.free.pinggy.link.evil.example", None),
    ],
)
def test_a_services_address_is_found_among_its_other_links(
    service: str, line: str, url: str | None
) -> None:
    assert first_address(clean(line), PRESETS[service].address) == url


def test_any_service_has_its_first_https_address_taken() -> None:
    assert first_address("at http://a.example") is None
    assert first_address("ready: https://a.example.") == "https://a.example"
    assert first_address("see https://user@evil.example") != "https://evil.example"


@settings(deadline=None)
@given(st.binary(max_size=400), st.integers(1, 50))
def test_lines_come_out_clean_and_bounded_however_they_arrive(data: bytes, step: int) -> None:
    lines = Lines(max_bytes=60)
    got = [line for at in range(0, len(data), step) for line in lines.feed(data[at : at + step])]
    got += lines.feed(b"\n")
    whole = Lines(max_bytes=60)
    assert got == whole.feed(data + b"\n")
    assert all(0 < len(line) <= 60 and line.strip() == line for line in got)
    assert not any(mark in line for line in got for mark in "\x1b\r\n\x00\u202e")


def test_a_line_without_end_costs_no_memory() -> None:
    lines = Lines()
    for _ in range(1000):
        assert lines.feed(b"x" * 10_000) == []
    (line,) = lines.feed(b"\n")
    assert len(line) == 4000


def test_pauses_double_up_to_a_limit_and_never_meet() -> None:
    most = Backoff(0.5, 60, chance=lambda: 0.0)
    least = Backoff(0.5, 60, chance=lambda: 1.0)
    assert [most.delay_s(n) for n in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert [least.delay_s(n) for n in range(3)] == [0.25, 0.5, 1]
    assert most.delay_s(100_000) == 60


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ssh: Could not resolve hostname x: Name or service not known", "no host of the name"),
        ("ssh: connect to host x port 22: Connection refused", "no SSH server answers"),
        ("ssh: connect to host x port 22: Connection timed out", "does not answer"),
        ("ssh: connect to host x port 22: No route to host", "does not answer"),
        ("me@x: Permission denied (publickey).", "with any of its keys. Set up"),
        ("me@x: Permission denied (publickey,password).", "asks for a password"),
        ("Error: remote port forwarding failed for listen port 80", "refuses to forward port 80"),
        ("kex_exchange_identification: Connection closed by remote host", "closed the connection"),
        ("Connection reset by 1.2.3.4 port 22", "closed the connection"),
        ("Timeout, server x not responding.", "stopped to answer"),
        ("/root/.ssh/config: line 1: Bad configuration option: foo", "settings on this computer"),
        ("something never heard of", "It said: something never heard of"),
    ],
)
def test_what_openssh_says_becomes_a_sentence(line: str, words: str) -> None:
    error = explain(["debug1: Connection refused", line], "me@x", 80)
    assert words in str(error)
    assert not isinstance(error, HostKeyError)


def test_a_changed_key_is_told_before_anything_else() -> None:
    said = [
        "@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @",
        "Host key verification failed.",
        "me@x: Permission denied (publickey).",
    ]
    assert isinstance(explain(said, "x", 0), HostKeyError)
    unknown = ["No ED25519 host key is known for x and you have requested strict checking."]
    assert is_unknown_key(unknown)
    assert not is_unknown_key(said)


def test_accepted_keys_are_kept_for_this_user_alone(tmp_path: Path) -> None:
    known = KnownHosts(tmp_path / "tunnel", [])
    first = HostKey.parse(f"[127.0.0.1]:2222 ssh-ed25519 {KEY} comment")
    assert first is not None
    assert first.fingerprint == "SHA256:JsEsxp8WtPMwG9WGxCgbdR7zHcw3UxFLsGGaXkp+6ww"
    known.add(first)
    known.add(HostKey("other.example", "ssh-ed25519", KEY))
    assert known.path.read_text().splitlines() == [str(first), f"other.example ssh-ed25519 {KEY}"]
    assert stat.S_IMODE(known.path.stat().st_mode) == 0o600
    for line in ("", "# x y z", f"|1|a=|b= ssh-ed25519 {KEY}", "host kind not-base64!"):
        assert HostKey.parse(line) is None


# ── keeping it open ──────────────────────────────────────────────────────────────────────────


class Line:
    """A connection of a far end that fails when the test wants it."""

    pid = 1

    def __init__(self, url: str) -> None:
        self.address = PublicAddress(url, 80)
        self.over: asyncio.Future[TunnelError] = asyncio.get_running_loop().create_future()
        self.closed = 0

    async def ended(self) -> TunnelError:
        return await self.over

    async def aclose(self) -> None:
        self.closed += 1


class FarEnd:
    """Gives out what the test has put down for each attempt."""

    far = "far"

    def __init__(self, *outcomes: Callable[[], Awaitable[Line]]) -> None:
        self.outcomes = list(outcomes)
        self.asked_for: list[PublicAddress | None] = []

    async def dial(self, local: LocalEnd, before: PublicAddress | None) -> Line:
        self.asked_for.append(before)
        return await self.outcomes.pop(0)()


def works(line: Line) -> Callable[[], Awaitable[Line]]:
    async def dial() -> Line:
        return line

    return dial


def fails(error: TunnelError) -> Callable[[], Awaitable[Line]]:
    async def dial() -> Line:
        raise error

    return dial


class Watch:
    """Notes events and pauses; no pause takes time."""

    def __init__(self) -> None:
        self.events: list[TunnelEvent] = []
        self.pauses: list[float] = []
        self.now = 0.0

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)

    def states(self) -> list[str]:
        return [event.state for event in self.events]

    def tunnel(self, far: FarEnd) -> KeptTunnel:
        return KeptTunnel(
            far,  # type: ignore[arg-type]
            self.events.append,
            backoff=Backoff(chance=lambda: 0.0),
            clock=lambda: self.now,
            sleep=self.sleep,
        )

    async def up(self, times: int) -> None:
        async with asyncio.timeout(5):
            while self.events[-1].state != "up" or self.events[-1].connections < times:
                await asyncio.sleep(0)

    async def until(self, state: str) -> None:
        async with asyncio.timeout(5):
            while not self.events or self.events[-1].state != state:
                await asyncio.sleep(0)


LOCAL = LocalEnd(Path("/tmp/x.sock"))


async def test_a_lost_tunnel_comes_back_with_growing_pauses_and_asks_for_its_address() -> None:
    watch, lines = Watch(), [Line("http://far:80") for _ in range(3)]
    gone = TunnelError("It went away.")
    far = FarEnd(works(lines[0]), fails(gone), fails(gone), works(lines[1]), works(lines[2]))
    tunnel = watch.tunnel(far)
    address = await tunnel.open(LOCAL)
    lines[0].over.set_result(gone)
    await watch.up(2)
    assert watch.pauses == [0.5, 1, 2]
    assert far.asked_for == [None, address, address, address]
    assert watch.events[-1].connections == 2
    watch.now += 60  # it held: the next pause is a short one again
    lines[1].over.set_result(gone)
    await watch.up(3)
    assert watch.pauses[3:] == [0.5]
    await tunnel.aclose()
    assert watch.states()[-1] == "ended"
    assert [line.closed for line in lines] == [1, 1, 1]


async def test_a_connection_that_closes_at_once_does_not_make_the_pauses_short() -> None:
    watch, lines = Watch(), [Line("http://far:80") for _ in range(5)]
    tunnel = watch.tunnel(FarEnd(*map(works, lines)))
    await tunnel.open(LOCAL)
    for number, line in enumerate(lines[:4]):
        line.over.set_result(TunnelError("Closed."))
        await watch.up(number + 2)
    assert watch.pauses == [0.5, 1, 2, 4]
    await tunnel.aclose()


async def test_the_first_failure_is_raised_and_not_tried_again() -> None:
    watch = Watch()
    tunnel = watch.tunnel(FarEnd(fails(TunnelError("Nobody there."))))
    with pytest.raises(TunnelError, match="Nobody there"):
        await tunnel.open(LOCAL)
    assert watch.states() == ["connecting", "refused"]
    assert watch.pauses == []
    await tunnel.aclose()


async def test_a_changed_key_ends_it_for_good() -> None:
    watch, line = Watch(), Line("http://far:80")
    tunnel = watch.tunnel(FarEnd(works(line), fails(HostKeyError("The key has changed."))))
    await tunnel.open(LOCAL)
    line.over.set_result(TunnelError("Gone."))
    await watch.until("refused")
    await asyncio.sleep(0.01)
    assert watch.events[-1].sentence == "The key has changed."
    await tunnel.aclose()


async def test_another_address_is_told() -> None:
    watch, lines = Watch(), [Line("http://far:80"), Line("http://far:81")]
    tunnel = watch.tunnel(FarEnd(*map(works, lines)))
    await tunnel.open(LOCAL)
    lines[0].over.set_result(TunnelError("Gone."))
    await watch.up(2)
    assert watch.events[-1].url == "http://far:81"
    assert "new link" in watch.events[-1].sentence
    await tunnel.aclose()


async def test_closing_ends_a_connection_that_is_being_made() -> None:
    watch = Watch()
    begun = asyncio.Event()

    async def never() -> Line:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    tunnel = watch.tunnel(FarEnd(never))
    opening = asyncio.create_task(tunnel.open(LOCAL))
    await begun.wait()
    await tunnel.aclose()
    with pytest.raises(TunnelError, match="closed while"):
        await opening
    with pytest.raises(TunnelError):
        await tunnel.open(LOCAL)
