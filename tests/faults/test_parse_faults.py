"""The parser's process may hang, crash, swell or be killed: it costs a file, never the server."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import documents
import pytest

from core.errors import (
    DocumentEmptyError,
    DocumentError,
    DocumentLockedError,
    DocumentTooLargeError,
)
from core.settings import Settings
from ingest.loaders import ParseLimits
from ingest.parse_process import ParserProcess
from ingest.parse_wire import LENGTH, READY, Request, pack_request, unpack_reply
from ingest.parse_worker import FILES, SWOLLEN_MB

pytestmark = pytest.mark.faults


@pytest.fixture
async def make_parser() -> AsyncIterator[Callable[..., ParserProcess]]:
    parsers: list[ParserProcess] = []

    def make(**settings: object) -> ParserProcess:
        parsers.append(ParserProcess(Settings(**settings)))  # type: ignore[arg-type]
        return parsers[-1]

    yield make
    for parser in parsers:
        await parser.aclose()


@pytest.fixture
def handbook(tmp_path: Path) -> Path:
    path = tmp_path / "handbook.pdf"
    path.write_bytes(documents.pdf())
    return path


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A page that takes the parser a long time: its cost grows with the square of the depth."""
    path = tmp_path / "slow.html"
    depth = 4900
    path.write_text("<!doctype html>" + ("<div>" * depth + "x" + "</div>" * depth) * 500)
    return path


def is_gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


async def wait_until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.02)


async def test_one_worker_serves_file_after_file_and_ends_when_closed(
    make_parser: Callable[..., ParserProcess], handbook: Path
) -> None:
    parser = make_parser()
    assert parser.pid is None
    first = await parser.parse(handbook, "handbook.pdf")
    pid = parser.pid
    again = await parser.parse(handbook, "handbook.pdf")
    assert parser.pid == pid is not None
    assert first == again
    assert len(first.pages) == 3
    assert "extension 4471" in first.text
    await parser.aclose()
    assert is_gone(pid)


async def test_files_asked_for_at_once_are_not_mixed_up(
    make_parser: Callable[..., ParserProcess], tmp_path: Path
) -> None:
    parser = make_parser()
    paths = [tmp_path / f"{n}.md" for n in range(30)]
    for n, path in enumerate(paths):
        path.write_text(f"# Number {n}\n\n{'wörds ' * n * 500}")
    loaded = await asyncio.gather(*(parser.parse(path, path.name) for path in paths))
    assert [document.title for document in loaded] == [f"Number {n}" for n in range(30)]
    assert [document.text for document in loaded] == [path.read_text() for path in paths]


@pytest.mark.parametrize(
    ("name", "data", "error"),
    [
        ("a.pdf", documents.encrypted_pdf(), DocumentLockedError),
        ("a.pdf", documents.picture_pdf(), DocumentEmptyError),
        ("a.png", documents.png(), DocumentEmptyError),
        ("a.docx", documents.docx_bomb(100), DocumentTooLargeError),
        ("a.pdf", documents.truncated_pdf(), DocumentError),
    ],
)
async def test_a_reason_arrives_as_the_loader_gave_it(
    make_parser: Callable[..., ParserProcess],
    tmp_path: Path,
    handbook: Path,
    name: str,
    data: bytes,
    error: type[DocumentError],
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    parser = make_parser()
    with pytest.raises(error) as caught:
        await parser.parse(path, name)
    assert type(caught.value) is error
    assert str(caught.value).endswith(".")
    pid = parser.pid
    assert (await parser.parse(handbook, "handbook.pdf")).title
    assert parser.pid == pid


async def test_a_name_of_broken_characters_is_no_obstacle(
    make_parser: Callable[..., ParserProcess], tmp_path: Path
) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt"))
    path.write_text("Some words.")
    assert (await make_parser().parse(path, path.name)).text == "Some words."


async def test_a_parser_that_crashes_costs_its_file_only(
    make_parser: Callable[..., ParserProcess], slow: Path, handbook: Path
) -> None:
    parser = make_parser()
    await parser.parse(handbook, "handbook.pdf")
    pid = parser.pid
    assert pid is not None
    task = asyncio.create_task(parser.parse(slow, "slow.html"))
    await asyncio.sleep(0.2)
    os.kill(pid, signal.SIGSEGV)
    with pytest.raises(DocumentError, match="could not be read"):
        await task
    assert is_gone(pid)
    assert len((await parser.parse(handbook, "handbook.pdf")).pages) == 3


async def test_a_parser_that_hangs_is_killed_in_time(
    make_parser: Callable[..., ParserProcess], slow: Path, handbook: Path
) -> None:
    parser = make_parser(parse_timeout_s=1)
    task = asyncio.create_task(parser.parse(slow, "slow.html"))
    await wait_until(lambda: parser.pid is not None)
    pid = parser.pid
    assert pid is not None
    with pytest.raises(DocumentError, match="longer than 1 s"):
        await task
    assert is_gone(pid)
    assert parser.pid is None
    patient = make_parser()
    assert len((await patient.parse(handbook, "handbook.pdf")).pages) == 3


async def test_a_parser_stopped_dead_is_killed_in_time(
    make_parser: Callable[..., ParserProcess], handbook: Path
) -> None:
    parser = make_parser(parse_timeout_s=5)
    await parser.parse(handbook, "handbook.pdf")
    pid = parser.pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(DocumentError, match="longer than"):
        await parser.parse(handbook, "handbook.pdf")
    assert is_gone(pid)
    assert len((await parser.parse(handbook, "handbook.pdf")).pages) == 3


async def test_a_document_that_takes_too_much_memory_is_refused(
    make_parser: Callable[..., ParserProcess], tmp_path: Path, handbook: Path
) -> None:
    path = tmp_path / "huge.txt"
    path.write_text("Some words and more.\n" * 2_000_000 + "\U0001f680")
    parser = make_parser(parse_memory_mb=256)
    with pytest.raises(DocumentError, match="memory"):
        await parser.parse(path, "huge.txt")
    assert len((await parser.parse(handbook, "handbook.pdf")).pages) == 3


async def test_a_cancelled_call_ends_the_parser_at_once(
    make_parser: Callable[..., ParserProcess], slow: Path, handbook: Path
) -> None:
    parser = make_parser()
    await parser.parse(handbook, "handbook.pdf")
    pid = parser.pid
    assert pid is not None
    task = asyncio.create_task(parser.parse(slow, "slow.html"))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert is_gone(pid)
    assert len((await parser.parse(handbook, "handbook.pdf")).pages) == 3


async def test_a_parser_killed_between_two_files_is_replaced(
    make_parser: Callable[..., ParserProcess], handbook: Path
) -> None:
    parser = make_parser()
    await parser.parse(handbook, "handbook.pdf")
    pid = parser.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await wait_until(lambda: is_gone(pid))
    await asyncio.sleep(0.1)
    assert len((await parser.parse(handbook, "handbook.pdf")).pages) == 3
    assert parser.pid != pid


async def test_a_worker_retires_in_time_without_losing_a_file(
    make_parser: Callable[..., ParserProcess], tmp_path: Path
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Some words.")
    parser = make_parser()
    pids = set()
    for _ in range(FILES + 2):
        assert (await parser.parse(path, "a.txt")).text == "Some words."
        pids.add(parser.pid)
    assert len(pids - {None}) == 2


async def test_a_server_full_of_models_does_not_wear_out_its_parser(
    make_parser: Callable[..., ParserProcess], handbook: Path
) -> None:
    model = b"x" * (SWOLLEN_MB + 50) * 1024 * 1024
    parser = make_parser()
    await parser.parse(handbook, "handbook.pdf")
    pid = parser.pid
    await parser.parse(handbook, "handbook.pdf")
    assert parser.pid == pid is not None
    assert len(model) > SWOLLEN_MB


async def test_a_swollen_parser_makes_room_for_a_new_one(
    make_parser: Callable[..., ParserProcess], tmp_path: Path, handbook: Path
) -> None:
    path = tmp_path / "large.txt"
    path.write_text("Some words and more.\n" * 1_900_000 + "\U0001f680\u200b")
    parser = make_parser()
    await parser.parse(path, "large.txt")
    assert parser.pid is None
    assert len((await parser.parse(handbook, "handbook.pdf")).pages) == 3


async def test_a_file_over_the_limit_never_reaches_the_parser(
    make_parser: Callable[..., ParserProcess], tmp_path: Path
) -> None:
    path = tmp_path / "large.txt"
    with path.open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    parser = make_parser()
    with pytest.raises(DocumentTooLargeError, match="50 MB"):
        await parser.parse(path, "large.txt")
    assert parser.pid is None


async def test_the_parser_has_no_secrets_and_may_write_nothing(
    make_parser: Callable[..., ParserProcess], handbook: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XOE_LLM_API_KEY", "a-secret-key")
    monkeypatch.setenv("SOME_TOKEN", "a-secret-token")
    parser = make_parser()
    await parser.parse(handbook, "handbook.pdf")
    assert b"a-secret" not in Path(f"/proc/{parser.pid}/environ").read_bytes()
    limits = Path(f"/proc/{parser.pid}/limits").read_text()
    assert "Max file size             0                    0" in limits
    assert f"Max address space         {1024 * 1024 * 1024}" in limits


def test_the_parser_ends_when_its_server_is_killed(handbook: Path) -> None:
    program = textwrap.dedent(
        """
        import asyncio, sys
        from pathlib import Path
        from ingest.parse_process import ParserProcess
        from core.settings import Settings

        async def main():
            parser = ParserProcess(Settings())
            await parser.parse(Path(sys.argv[1]), "handbook.pdf")
            print(parser.pid, flush=True)
            await asyncio.sleep(600)

        asyncio.run(main())
        """
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(handbook)], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        pid = next(int(line) for line in server.stdout if line.strip().isdigit())
        assert not is_gone(pid)
        server.kill()
    asyncio.run(wait_until(lambda: is_gone(pid)))


def test_a_parser_that_hangs_without_a_server_ends_itself(slow: Path) -> None:
    request = Request(str(slow), "slow.html", -4.0, ParseLimits())  # one second, with the grace
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "ingest.parse_worker", "1024"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None
        assert worker.stdout.read(len(READY)) == READY
        worker.stdin.write(pack_request(request))
        worker.stdin.flush()
        assert worker.wait(60) == -signal.SIGALRM


def test_what_a_library_prints_does_not_end_up_among_the_replies(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("Some words.")
    program = (
        "import os, ingest.parse_worker as w\n"
        "real = w.load_document\n"
        "def noisy(*a, **k):\n"
        "    print('noise', flush=True); os.write(1, b'more noise'); return real(*a, **k)\n"
        "w.load_document = noisy\n"
        "w.main(1024)\n"
    )
    request = pack_request(Request(str(path), "a.txt", 10.0, ParseLimits()))
    result = subprocess.run(
        [sys.executable, "-c", program], input=request, capture_output=True, check=True
    )
    body = result.stdout.removeprefix(READY)
    (length,) = LENGTH.unpack(body[: LENGTH.size])
    assert unpack_reply(body[LENGTH.size :][:length]).text_bytes == len("Some words.")
    assert body.endswith(b"Some words.")
