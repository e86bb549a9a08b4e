"""Sharing through a real SSH server: the tunnel itself, and the command with a whole server."""

from __future__ import annotations

import asyncio
import codecs
import json
import os
import pty
import re
import select
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import redis
from servers import Server, free_port, xoe
from sshd import SshServer
from typer.testing import CliRunner

from core.backoff import Backoff
from core.errors import HostKeyError, HostKeyUnknownError, TunnelError
from core.settings import Settings
from xoe.auth.invitations import Invitations
from xoe.auth.services import AuthServices
from xoe.cli import app
from xoe.db.database import FILE_NAME
from xoe.share.tunnels import (
    KeptTunnel,
    KnownHosts,
    LocalEnd,
    TunnelEvent,
    TunnelOptions,
    tunnel_for,
)

BROWSER = {"user-agent": "Mozilla/5.0", "accept": "text/html"}
COOKIE = "xoe_session"


# ── the tunnel ───────────────────────────────────────────────────────────────────────────────


class Far:
    """A tunnel through an SSH server to a socket that answers, and what became of it."""

    def __init__(self, folder: Path, sshd: SshServer) -> None:
        self.sshd = sshd
        self.known = KnownHosts(folder / "tunnel", [])
        self.local = LocalEnd(folder / "share.sock")
        self.events: list[TunnelEvent] = []
        self.tunnels: list[KeptTunnel] = []

    def tunnel(self, target: str | None = None, **options: Any) -> KeptTunnel:
        made = tunnel_for(
            TunnelOptions(target or self.sshd.target, **options),
            self.known,
            self.events.append,
            ssh_config=self.sshd.client_config,
            backoff=Backoff(0.2),
        )
        self.tunnels.append(made)
        return made

    async def open(self, **options: Any) -> tuple[KeptTunnel, str]:
        tunnel = self.tunnel(accept_key=self.sshd.fingerprint, **options)
        return tunnel, (await tunnel.open(self.local)).url

    async def refusal(self, target: str | None = None, **options: Any) -> TunnelError:
        tunnel = self.tunnel(target, **options)
        with pytest.raises(TunnelError) as caught:
            await tunnel.open(self.local)
        return caught.value

    async def up(self, times: int) -> None:
        async with asyncio.timeout(60):
            while self.events[-1].state != "up" or self.events[-1].connections < times:
                await asyncio.sleep(0.02)


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("sshd")).start()
    yield server
    server.stop()


@pytest.fixture
async def far(tmp_path: Path, sshd: SshServer) -> AsyncIterator[Far]:
    async with reaching(tmp_path, sshd) as far:
        yield far


@asynccontextmanager
async def reaching(folder: Path, sshd: SshServer) -> AsyncIterator[Far]:
    far = Far(folder, sshd)

    async def hello(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello")
        writer.close()

    listening = await asyncio.start_unix_server(hello, far.local.socket)
    yield far
    for tunnel in far.tunnels:
        await tunnel.aclose()
    listening.close()


async def said_at(url: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    said = await reader.read()
    writer.close()
    return said


async def test_a_new_key_is_accepted_once_by_its_fingerprint(far: Far, sshd: SshServer) -> None:
    unknown = await far.refusal()
    assert isinstance(unknown, HostKeyUnknownError)
    assert unknown.fingerprint == sshd.fingerprint
    other = await far.refusal(accept_key="SHA256:" + "A" * 43)
    assert type(other) is HostKeyError
    assert "another key" in str(other)
    assert not far.known.path.exists()
    _, url = await far.open()
    assert await said_at(url) == b"hello"
    again = far.tunnel()
    assert await said_at((await again.open(far.local)).url) == b"hello"


async def test_a_tunnel_killed_five_times_comes_back_at_the_same_address(
    far: Far, sshd: SshServer
) -> None:
    tunnel, url = await far.open()
    for time_number in range(2, 7):
        if time_number % 2:
            assert sshd.cut(), "the far end drops it"
        else:
            assert tunnel.pid is not None
            os.kill(tunnel.pid, signal.SIGKILL)
        await asyncio.sleep(0.05)
        await far.up(time_number)
        assert far.events[-1].url == url
        assert await said_at(url) == b"hello"
    pauses = [event.retry_in_s for event in far.events if event.state == "lost"]
    print("pauses:", [round(pause or 0, 2) for pause in pauses])
    assert len(pauses) >= 5
    assert all(pause is not None and pause > 0 for pause in pauses)
    assert max(filter(None, pauses)) > 1.5, "they grow"


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
async def test_a_changed_key_is_refused_also_when_it_is_of_another_kind(
    tmp_path: Path, kind: str
) -> None:
    sshd = SshServer(tmp_path / "sshd").start()
    try:
        async with reaching(tmp_path, sshd) as far:
            await far.open()
            sshd.stop()
            sshd.new_key("host_key", kind)
            sshd.start()
            async with asyncio.timeout(60):
                while far.events[-1].state != "refused":
                    await asyncio.sleep(0.02)
            assert "has changed" in far.events[-1].sentence
            refusal = await far.refusal()
            assert type(refusal) is HostKeyError
            assert "has changed" in str(refusal)
            again = await far.refusal(accept_key=sshd.fingerprint)
            assert "has changed" in str(again), "not even when it is accepted by its fingerprint"
            assert sshd.fingerprint not in far.known.path.read_text()
    finally:
        sshd.stop()


async def test_a_far_end_that_cannot_be_had_is_told(far: Far, sshd: SshServer) -> None:
    await far.open()
    down = await far.refusal(f"127.0.0.1:{free_port()}")
    assert "no SSH server answers" in str(down)
    unknown = await far.refusal("no-such-host.invalid")
    assert "no host of the name" in str(unknown)
    locked = await far.refusal(f"no-such-user@{sshd.target}")
    assert "asks for a password" in str(locked)


async def test_a_far_end_that_refuses_the_forward_is_told(tmp_path: Path) -> None:
    sshd = SshServer(tmp_path / "sshd", AllowTcpForwarding="no").start()
    try:
        async with reaching(tmp_path, sshd) as far:
            refused = await far.refusal(accept_key=sshd.fingerprint)
            assert "refuses to forward" in str(refused)
    finally:
        sshd.stop()


async def test_a_far_end_that_closes_at_once_is_told(far: Far) -> None:
    async def close(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    rude = await asyncio.start_server(close, "127.0.0.1", 0)
    port = rude.sockets[0].getsockname()[1]
    refused = await far.refusal(f"127.0.0.1:{port}")
    assert "closed the connection" in str(refused)
    rude.close()


async def test_a_service_prints_its_address_among_much_else(tmp_path: Path) -> None:
    printed = tmp_path / "welcome"
    printed.write_text(
        "yes '\x1b[1mwelcome to a service that says a lot' | head -n 2000\n"
        "echo '\x1b[32mready at https://demo.example\x1b[0m'; sleep 600\n"
    )
    sshd = SshServer(
        tmp_path / "sshd", ForceCommand=f"/bin/sh {printed}", GatewayPorts="no"
    ).start()
    try:
        async with reaching(tmp_path, sshd) as far:
            far_port = free_port()
            tunnel = far.tunnel(accept_key=sshd.fingerprint, service="printed")
            # Port 80 is the service's; here it may not be had.
            object.__setattr__(tunnel._dialer._plan, "remote_port", far_port)  # type: ignore[attr-defined]
            assert (await tunnel.open(far.local)).url == "https://demo.example"
            assert await said_at(f":{far_port}") == b"hello"
    finally:
        sshd.stop()


async def test_a_port_behind_a_web_server_over_there(far: Far) -> None:
    port = free_port()
    _, url = await far.open(public_url="https://demo.example.org/", remote_port=port)
    assert url == "https://demo.example.org"
    assert await said_at(f":{port}") == b"hello"


async def test_cloudflareds_address_is_found(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a stand-in that prints what the real one does: that one needs the internet."""
    program = far.local.socket.parent / "bin" / "cloudflared"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\n"
        'echo "$@" > "$0.arguments"\n'
        'echo "2026-01-01T00:00:00Z INF Requesting new quick Tunnel on trycloudflare.com..." >&2\n'
        'echo "2026-01-01T00:00:01Z INF |  https://four-words-of-it.trycloudflare.com  |" >&2\n'
        'echo "2026-01-01T00:00:02Z INF Registered tunnel connection connIndex=0" >&2\n'
        "exec sleep 600\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    tunnel = tunnel_for(
        TunnelOptions(service="cloudflared"), far.known, far.events.append, backoff=Backoff(0.1)
    )
    far.tunnels.append(tunnel)
    address = await tunnel.open(far.local)
    assert address.url == "https://four-words-of-it.trycloudflare.com"
    told = program.with_suffix(".arguments").read_text()
    assert f"--unix-socket {far.local.socket}" in told
    program.write_text(
        '#!/bin/sh\necho "ERR Error unmarshaling QuickTunnel response" >&2\nexit 1\n'
    )
    broken = tunnel_for(TunnelOptions(service="cloudflared"), far.known, lambda _: None)
    with pytest.raises(TunnelError, match="It said: Error unmarshaling"):
        await broken.open(far.local)
    await broken.aclose()


# ── the command ──────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, sshd: SshServer, need_models: Callable[..., None]
) -> Iterator[Server]:
    need_models("tiny", "embedder")
    server = Server(
        tmp_path_factory.mktemp("share"),
        {
            "XOE_SHARE_SSH_CONFIG": str(sshd.client_config),
            "XOE_VOICE": "false",
            "XOE_LLM_PROFILE": "tiny",
            "XOE_SHARE_OWNER": "Ada",
        },
    )
    (server.library / "rules.md").write_text("# Rules\n\nThe office opens at 7:30.\n")
    server.start()
    yield server
    server.stop()


def share(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    return xoe("share", *arguments, "--data-dir", str(server.data_dir), cwd=server.home)


def shared(server: Server, sshd: SshServer, *arguments: str) -> dict[str, Any]:
    share(server, "end", "all")
    done = share(server, sshd.target, "--accept-key", sshd.fingerprint, "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


@contextmanager
def come_in(link: str) -> Iterator[httpx.Client]:
    base = link.partition("/invitation/")[0]
    with httpx.Client(base_url=base, headers=BROWSER, trust_env=False, timeout=60) as guest:
        answer = guest.get(link)
        assert answer.status_code == 303, answer.text
        assert answer.headers["location"] == "/"
        yield guest


def test_from_the_command_to_the_page(server: Server, sshd: SshServer) -> None:
    unknown = share(server, sshd.target, "--json")
    assert unknown.returncode == 1
    assert sshd.fingerprint in json.loads(unknown.stdout)["error"]
    began = time.monotonic()
    done = share(server, sshd.target, "--accept-key", sshd.fingerprint, "--detach")
    link = re.search(r"^http\S+$", done.stdout, re.MULTILINE)
    assert link is not None, done.stdout + done.stderr
    with come_in(link[0]) as guest:
        assert guest.get("/").status_code == 200
        print(f"command to page: {time.monotonic() - began:.1f} s")
        told = guest.get("/visit").json()
        assert (told["role"], told["owner"], told["may_upload"]) == ("guest", "Ada", False)
        answer = guest.post("/query", json={"question": "When does the office open?"})
        assert "7:30" in answer.json()["answer"]
        assert guest.get("/share/state").status_code == 403
    listed = json.loads(share(server, "list", "--json").stdout)
    assert [one["number"] for one in listed["guests"]] == [1]
    assert "Guest 1" in share(server, "list").stdout
    assert share(server, "end", "1").returncode == 0
    assert guest_refused(link[0], guest.cookies[COOKIE]) == (401, True)
    ended = share(server, "end", "all")
    assert ended.returncode == 0
    assert share(server, "end", "7").returncode == 1


class Terminal:
    """The command in a terminal, with its keys and its screen."""

    def __init__(self, server: Server, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        self._screen, self._ours = "", ours
        self._text = codecs.getincrementaldecoder("utf-8")()
        command = [sys.executable, "-m", "xoe.cli", "share", *arguments]
        self.process = subprocess.Popen(
            [*command, "--data-dir", str(server.data_dir)],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            cwd=server.home,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "400"},
            start_new_session=True,
        )
        os.close(theirs)

    def shows(self, words: str) -> str:
        """Wait until the screen has shown ``words``; return all that it has shown since."""
        deadline = time.monotonic() + 60
        while words not in self._screen:
            ready, _, _ = select.select([self._ours], [], [], 0.2)
            with suppress(OSError):  # it has ended
                self._screen += self._text.decode(os.read(self._ours, 65536)) if ready else ""
            assert time.monotonic() < deadline, self._screen[-2000:]
        shown, self._screen = self._screen, ""
        return shown

    def press(self, keys: str) -> None:
        os.write(self._ours, keys.encode())

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)
        os.close(self._ours)


def test_in_the_terminal_one_key_sends_a_guest_out_and_one_ends_it(
    server: Server, sshd: SshServer
) -> None:
    share(server, "end", "all")
    (server.data_dir / "tunnel" / "known_hosts").unlink(missing_ok=True)
    terminal = Terminal(server, sshd.target)
    try:
        assert sshd.fingerprint in terminal.shows("Type yes")
        terminal.press("yes\n")
        shown = terminal.shows("Keys:")
        link = re.search(r"(http://\S+/invitation/\S+)", shown)
        assert link is not None
        assert "\x1b]52;c;" in shown, "the link is copied"
        assert "█" in shown or "▀" in shown or "▄" in shown, "the QR code"
        with come_in(link[1]) as guest:
            terminal.shows("Guest 1 is away")
            terminal.press("1")
            terminal.shows("Guest 1 is out")
            assert guest.get("/visit").status_code == 401
        terminal.press("q")
        terminal.shows("Nothing is shared any more")
        assert terminal.process.wait(timeout=30) == 0
    finally:
        terminal.close()
    assert json.loads(share(server, "list", "--json").stdout)["link"] is None


def guest_refused(link: str, cookie: str) -> tuple[int, bool]:
    """Return the status for a cookie, and whether a page says why."""
    base = link.partition("/invitation/")[0]
    answer = httpx.get(base, headers=BROWSER, cookies={COOKIE: cookie}, trust_env=False, timeout=30)
    return answer.status_code, "<h1>" in answer.text and "<p>" in answer.text


def expired_invitation(server: Server) -> str:
    """Return the token of an invitation that was good for an hour, two hours ago."""

    async def make() -> str:
        auth = await AuthServices.open(Settings(data_dir=server.data_dir))
        try:
            then = Invitations(
                auth.db, auth.sessions, auth.secret, clock=lambda: time.time() - 7200
            )
            invitation = await then.create("ask", ttl_s=3600, max_guests=1, made_by="console")
            return invitation.token
        finally:
            await auth.aclose()

    return asyncio.run(make())


def routes() -> list[tuple[str, str]]:
    """Return every route of the app, enumerated from the app itself: method and a path."""
    program = """
import json
from xoe.serve.server import create_app
from core.settings import Settings
from chainlit.server import app as page
from starlette.routing import Route
found = set()
def walk(routes):
    for route in routes:
        if isinstance(route, Route):
            found.update((method, route.path) for method in route.methods or {"GET"})
        inner = getattr(route, "app", None)
        walk(getattr(route, "routes", None) or getattr(inner, "routes", None) or ())
app = create_app(Settings())
walk(app.router.routes)
walk(app.state.interface)
walk(page.router.routes)
print("ROUTES" + json.dumps(sorted(found)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    line = next(one for one in done.stdout.splitlines() if one.startswith("ROUTES"))
    return [
        (method, re.sub(r"\{[^}]*\}", "x", path))
        for method, path in json.loads(line.removeprefix("ROUTES"))
    ]


OPEN = ("/public/", "/assets/", "/static-offline-docs", "/favicon", "/logo", "/login", "/health")
"""Static files, and what has nothing to hide: the way in, and whether the server is up."""


def test_every_route_is_refused_without_an_invitation_that_holds(
    server: Server, sshd: SshServer
) -> None:
    link = shared(server, sshd, "--guests", "3")["link"]
    base, _, token = link.partition("/invitation/")
    with come_in(link) as first, come_in(link) as second, come_in(link) as third:
        ended, logged_out = first.cookies[COOKIE], second.cookies[COOKIE]
        expired = third.cookies[COOKIE]
        assert share(server, "end", "1").returncode == 0
        assert second.post("/logout", headers={"origin": base}).status_code in (200, 303)
    with sqlite3.connect(server.data_dir / FILE_NAME, timeout=10) as auth:
        auth.execute("UPDATE logins SET ends_at = ? WHERE is_guest", (time.time() - 1,))
    cookies = {
        "none": "",
        "ended": ended,
        "expired": expired,
        "replayed after logout": logged_out,
        "tampered": logged_out[:-2] + ("AA" if logged_out[-2:] != "AA" else "BB"),
        "cut": logged_out[:20],
        "forged": "x" * 43,
    }
    found = [(m, p) for m, p in routes() if not p.startswith(OPEN)]
    assert len(found) > 30
    open_routes: list[tuple[str, ...]] = []
    with httpx.Client(base_url=base, headers=BROWSER, trust_env=False, timeout=60) as client:
        for why, cookie in cookies.items():
            client.cookies.clear()
            if cookie:
                client.cookies.set(COOKIE, cookie)
            for method, path in found:
                answer = client.request(method, path)
                says_why = method == "HEAD" or "<p>" in answer.text or "detail" in answer.text
                is_link = path.startswith(("/invitation/", "/shared/"))
                refusals = (403, 404, 405, 410) if is_link else (401, 403)
                if answer.status_code not in refusals or not says_why:
                    open_routes.append((why, method, path, str(answer.status_code)))
    assert open_routes == []
    for bad, words in {
        token: "all of them have come",
        token[:-4]: "changed or is incomplete",
        token[:-3] + "xyz": "changed or is incomplete",
        "x": "changed or is incomplete",
        expired_invitation(server): "has ended",
    }.items():
        answer = httpx.get(f"{base}/invitation/{bad}", headers=BROWSER, trust_env=False)
        assert answer.status_code == 403
        assert words in answer.text
    share(server, "end", "all")
    answer = httpx.get(link, headers=BROWSER, trust_env=False)
    assert answer.status_code == 403
    assert "taken back" in answer.text


def test_what_is_kept_of_a_guest_is_deleted_with_the_visit(server: Server, sshd: SshServer) -> None:
    link = shared(server, sshd)["link"]
    with come_in(link) as guest:
        asked = guest.post(
            "/query", json={"question": "When does the office open?", "session_id": "mine"}
        )
        assert asked.status_code == 200
    with redis.Redis(unix_socket_path=str(next(server.data_dir.glob("redis/*.sock")))) as store:
        assert store.keys("*guest*:history")
        share(server, "end", "all")
        deadline = time.monotonic() + 20
        while store.keys("*guest*:history") and time.monotonic() < deadline:
            time.sleep(0.1)
        assert store.keys("*guest*:history") == []


def test_what_is_wrong_is_told_by_one_sentence(server: Server, sshd: SshServer) -> None:
    share(server, "end", "all")
    down = free_port()
    for arguments, words in (
        ((f"127.0.0.1:{down}",), "no SSH server answers"),
        (("-oProxyCommand=x",), "No such option"),
        (("me@-oProxyCommand=x",), "no host to share through"),
        ((), "Through which host"),
        (("--service", "smoke"), "service"),
        (("far.example", "--hours", "0"), "hours"),
        (("far.example", "--guests", "900"), "guests"),
        (("far.example", "--scope", "all"), "scope"),
        (("far.example", "--cert", "c.pem"), "go together"),
        (("end",), "Whom"),
        (("far.example", "all"), "nothing"),
    ):
        done = CliRunner().invoke(app, ["share", *arguments, "--data-dir", str(server.data_dir)])
        assert done.exit_code in (1, 2), arguments
        assert words in done.output, arguments


def test_without_a_server_it_says_how_to_start_one(tmp_path: Path) -> None:
    done = xoe("share", "far.example", "--data-dir", str(tmp_path / "none"), cwd=tmp_path)
    assert done.returncode == 1
    assert "xoe serve" in done.stderr


def test_the_tunnel_dies_with_a_server_that_is_killed(server: Server, sshd: SshServer) -> None:
    """The last test of this module: the server is gone afterwards, and comes back clean."""
    link = shared(server, sshd)["link"]
    assert server.process is not None
    tunnels = [
        child
        for child in psutil.Process(server.process.pid).children(recursive=True)
        if child.name() == "ssh"
    ]
    assert len(tunnels) == 1
    server.kill()
    _, alive = psutil.wait_procs(tunnels, timeout=10)
    assert alive == []
    server.start(wait=False)
    deadline = time.monotonic() + 120
    while not server.health() and time.monotonic() < deadline:
        time.sleep(0.1)
    listed = json.loads(share(server, "list", "--json").stdout)
    assert listed["state"] == "off"
    # The old link opens nothing, though its time is not over.
    again = shared(server, sshd)["link"]
    stale = again.partition("/invitation/")[0] + "/invitation/" + link.rpartition("/")[2]
    answer = httpx.get(stale, headers=BROWSER, trust_env=False)
    assert answer.status_code == 403
    assert "taken back" in answer.text
