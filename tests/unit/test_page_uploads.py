"""An upload is written as it arrives, under a safe name, and refused as soon as it is too large."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from chainlit.session import BaseSession, WebsocketSession, ws_sessions_id, ws_sessions_sid
from starlette.applications import Starlette
from starlette.routing import Route

from core.errors import DiskFullError, UploadBusyError
from core.share import Share, as_share
from xoe.auth.identity import SCOPE_KEY, Identity, visitor
from xoe.page.session import forget_file
from xoe.web import uploads
from xoe.web.problems import tell_in_sentences

SESSION = "../../../../escape"
MIB = 1024 * 1024
BOUNDARY = "----form"
ME, OTHER = visitor("0" * 32), visitor("1" * 32)
ASKER = Identity(ME.id, "guest", "Guest 1", may_upload=False)


def page_of(who: Identity, session_id: str) -> WebsocketSession:
    return WebsocketSession(
        id=session_id,
        socket_id=f"socket of {session_id}",
        emit=lambda *_: None,
        emit_call=lambda *_: None,
        user_env={},
        client_type="webapp",
        environ={"asgi.scope": {SCOPE_KEY: who}},
    )


def forget_page(session: WebsocketSession) -> None:
    ws_sessions_id.pop(session.id)
    ws_sessions_sid.pop(session.socket_id)


@pytest.fixture
def session(tmp_path: Path) -> Iterator[WebsocketSession]:
    """A session whose browser chose an id that points out of the folder."""
    chainlits_own = BaseSession.files_dir
    uploads.prepare_folder(tmp_path / "data")
    session = page_of(ME, SESSION)
    yield session
    forget_page(session)
    BaseSession.files_dir = chainlits_own  # type: ignore[method-assign]


@pytest.fixture
async def client(session: WebsocketSession, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = Starlette(routes=[Route("/project/file", uploads.receive_upload, methods=["POST"])])
    tell_in_sentences(app)
    settings = SimpleNamespace(upload_max_mb=1, upload_max_files=3, data_dir=tmp_path)
    app.state.arrivals = uploads.Arrivals()
    app.state.startup = SimpleNamespace(settings=settings, services=None)

    async def authenticated(scope: Any, receive: Any, send: Any) -> None:
        who = {"other": OTHER, "asker": ASKER, "flood": visitor("2" * 32)}.get(
            dict(scope["headers"]).get(b"x-who", b"").decode()
        )
        await app({**scope, SCOPE_KEY: who or ME}, receive, send)

    transport = httpx.ASGITransport(app=authenticated)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://test", params={"session_id": SESSION}
    ) as client:
        client.app = app  # type: ignore[attr-defined]
        yield client


async def send(client: httpx.AsyncClient, name: str, content: bytes) -> httpx.Response:
    files = {"note": ("other.bin", b"not this one"), "file": (name, content)}
    return await client.post("/project/file", files=files)


def kept(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file()]


async def test_a_file_arrives_whole_in_the_data_folder(
    client: httpx.AsyncClient, session: WebsocketSession, tmp_path: Path
) -> None:
    content = bytes(range(256)) * 3000
    answer = await send(client, "report.pdf", content)
    upload = session.files[answer.json()["id"]]
    path = Path(upload["path"])
    assert path.read_bytes() == content
    assert path.is_relative_to(tmp_path / "data" / "uploads")
    assert (upload["name"], upload["size"]) == ("report.pdf", len(content))


async def test_nobody_sends_a_file_to_somebody_elses_page(
    client: httpx.AsyncClient, session: WebsocketSession, tmp_path: Path
) -> None:
    client.headers["x-who"] = "other"
    answer = await send(client, "report.pdf", b"theirs")
    assert answer.status_code == 404
    assert not session.files
    assert kept(tmp_path) == []


async def test_who_may_only_ask_sends_no_file(
    client: httpx.AsyncClient, session: WebsocketSession, tmp_path: Path
) -> None:
    client.headers["x-who"] = "asker"
    answer = await send(client, "report.pdf", b"not taken")
    assert answer.status_code == 403
    assert "asking only" in answer.json()["detail"]
    assert not session.files
    assert kept(tmp_path) == []


async def test_an_empty_file_is_taken_so_that_its_reason_can_be_shown(
    client: httpx.AsyncClient, session: WebsocketSession
) -> None:
    answer = await send(client, "empty.pdf", b"")
    assert answer.status_code == 200
    assert session.files[answer.json()["id"]]["size"] == 0


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "a\x00b.txt", "é" * 300 + ".txt", "🧾 März.md", 'q"uo;te.md']
)
async def test_names_are_made_safe(
    client: httpx.AsyncClient, session: WebsocketSession, name: str
) -> None:
    answer = await send(client, name, b"text")
    shown = session.files[answer.json()["id"]]["name"]
    assert "/" not in shown
    assert "\x00" not in shown
    assert 0 < len(shown) <= 120
    assert ("🧾" in shown) == ("🧾" in name)


async def test_a_declared_size_over_the_limit_is_refused_unread(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body was read")
        yield b""

    headers = {
        "content-type": f"multipart/form-data; boundary={BOUNDARY}",
        "content-length": str(200 * MIB),
    }
    answer = await client.post("/project/file", content=body(), headers=headers)
    assert answer.status_code == 413
    assert "1 MB" in answer.json()["detail"]
    assert not kept(tmp_path)


async def test_an_undeclared_size_is_refused_while_reading(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        head = 'Content-Disposition: form-data; name="file"; filename="big.pdf"'
        yield f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode()
        for _ in range(200):
            sent += MIB
            yield bytes(MIB)

    headers = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = await client.post("/project/file", content=body(), headers=headers)
    assert answer.status_code == 413
    assert sent <= 4 * MIB
    assert not kept(tmp_path)


async def test_files_that_wait_are_counted(client: httpx.AsyncClient) -> None:
    for number in range(3):
        assert (await send(client, f"{number}.txt", b"text")).status_code == 200
    refused = await send(client, "4.txt", b"text")
    assert refused.status_code == 429
    assert "3" in refused.json()["detail"]


async def test_files_that_come_at_once_are_counted_before_they_are_there(
    client: httpx.AsyncClient, session: WebsocketSession, tmp_path: Path
) -> None:
    for _ in range(50):
        answers = await asyncio.gather(*(send(client, f"{n}.txt", b"text") for n in range(20)))
        assert sorted(answer.status_code for answer in answers) == [200] * 3 + [429] * 17
        assert len(session.files) == len(kept(tmp_path)) == 3
        for file_id in tuple(session.files):
            forget_file(session, file_id)


async def test_a_place_is_given_back_however_an_upload_fails(
    client: httpx.AsyncClient, session: WebsocketSession, tmp_path: Path
) -> None:
    form = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}

    async def broken_off(began: asyncio.Event) -> AsyncIterator[bytes]:
        yield f"--{BOUNDARY}\r\n".encode()
        began.set()
        await asyncio.Event().wait()

    async def too_large() -> None:
        assert (await send(client, "big.pdf", bytes(MIB + 1))).status_code == 413

    async def damaged() -> None:
        answer = await client.post("/project/file", content=b"--wrong", headers=form)
        assert answer.status_code == 400

    async def disk_full() -> None:
        aside = session.files_dir.rename(tmp_path / "aside")
        session.files_dir.write_bytes(b"no folder to write to")
        assert (await send(client, "a.txt", b"text")).status_code == 507
        session.files_dir.unlink()
        aside.rename(session.files_dir)

    async def given_up() -> None:
        began = asyncio.Event()
        sending = asyncio.create_task(
            client.post("/project/file", content=broken_off(began), headers=form)
        )
        await began.wait()
        sending.cancel()
        await asyncio.wait([sending])

    async def page_closed() -> None:
        async def body() -> AsyncIterator[bytes]:
            head = 'Content-Disposition: form-data; name="file"; filename="a.txt"'
            yield f"--{BOUNDARY}\r\n{head}\r\n\r\n".encode()
            ws_sessions_id.pop(SESSION)
            yield f"text\r\n--{BOUNDARY}--\r\n".encode()

        try:
            answer = await client.post("/project/file", content=body(), headers=form)
            assert answer.status_code == 404
        finally:
            ws_sessions_id[SESSION] = session

    assert (await send(client, "first.txt", b"text")).status_code == 200
    for fail in (too_large, damaged, disk_full, given_up, page_closed):
        for _ in range(5):
            await fail()
        assert len(session.files) == 1, fail
    assert len(kept(tmp_path)) == 1
    answers = [await send(client, f"{n}.txt", b"text") for n in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert "Retry-After" in answers[-1].headers


async def test_one_owners_files_leave_room_on_the_disk_for_anothers(
    session: WebsocketSession,
) -> None:
    arrivals = uploads.Arrivals()

    @contextmanager
    def expect(owner: str, size: int) -> Iterator[None]:
        with (
            as_share(Share(owner)),
            arrivals.expected(session, size, free=100 * MIB, most=50),
        ):
            yield

    with ExitStack() as under_way:
        taken = 0
        with pytest.raises(UploadBusyError, match="room for others"):
            for _ in range(11):
                under_way.enter_context(expect("anna", 10 * MIB))
                taken += 1
        assert taken == 5
        under_way.enter_context(expect("bert", 10 * MIB))
        with pytest.raises(DiskFullError), expect("carl", 90 * MIB):
            pass
    with expect("carl", 90 * MIB):
        pass


async def test_a_flood_of_files_delays_anothers_by_the_pieces_being_written(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    pages = [page_of(who, f"of-{who.id}") for who in (visitor("2" * 32), OTHER)]
    arrivals: uploads.Arrivals = client.app.state.arrivals  # type: ignore[attr-defined]
    there: list[str] = []

    async def upload(page: WebsocketSession, who: str) -> None:
        headers, params = {"x-who": who}, {"session_id": page.id}
        files = {"file": (f"{who}.txt", b"text")}
        answer = await client.post("/project/file", params=params, files=files, headers=headers)
        assert answer.status_code == 200
        there.append(who)

    try:
        async with arrivals.writing.place(), arrivals.writing.place():  # a slow disk
            flood = [asyncio.create_task(upload(pages[0], "flood")) for _ in range(3)]
            while arrivals.writing.waiting < 3:
                await asyncio.sleep(0)
            single = asyncio.create_task(upload(pages[1], "other"))
            while arrivals.writing.waiting < 4:
                await asyncio.sleep(0)
        await asyncio.gather(*flood, single)
    finally:
        for page in pages:
            forget_page(page)
    assert there.index("other") <= 2


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"--wrong", f"multipart/form-data; boundary={BOUNDARY}"),
        (b"{}", "application/json"),
        (f"--{BOUNDARY}--\r\n".encode(), f"multipart/form-data; boundary={BOUNDARY}"),
    ],
)
async def test_a_broken_form_is_refused_with_a_sentence(
    client: httpx.AsyncClient, tmp_path: Path, content: bytes, kind: str
) -> None:
    answer = await client.post("/project/file", content=content, headers={"content-type": kind})
    assert answer.status_code == 400
    assert answer.json()["detail"].endswith(".")
    assert not kept(tmp_path)


async def test_an_unknown_session_is_told_to_reload(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        "/project/file", params={"session_id": "nobody"}, files={"file": ("a", b"b")}
    )
    assert answer.status_code == 404
    assert "reload" in answer.json()["detail"]


async def test_what_was_read_is_gone_and_a_new_start_begins_empty(
    client: httpx.AsyncClient, session: WebsocketSession, tmp_path: Path
) -> None:
    first = (await send(client, "a.txt", b"text")).json()["id"]
    await send(client, "b.txt", b"text")
    forget_file(session, first)
    assert list(session.files) != [first]
    assert len(kept(tmp_path)) == 1
    uploads.prepare_folder(tmp_path / "data")
    assert not kept(tmp_path)


async def test_the_end_of_a_session_removes_its_own_folder_only(
    client: httpx.AsyncClient, session: WebsocketSession, tmp_path: Path
) -> None:
    await send(client, "a.txt", b"text")
    bystander = tmp_path / "data" / "uploads" / "other"
    bystander.mkdir()
    (bystander / "b.txt").write_text("stays")
    await session.delete()
    assert kept(tmp_path) == [bystander / "b.txt"]
    ws_sessions_id[SESSION] = ws_sessions_sid[session.socket_id] = session
