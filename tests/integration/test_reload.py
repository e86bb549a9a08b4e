"""``chainlit run app.py -w``: an edited page is loaded anew, and goes on with the same engines."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from page_client import open_page
from servers import START_S, free_port

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
SITE = ("app.py", "chainlit.md", "pyproject.toml", "public", ".chainlit", "library")
QUESTION = "What colour is the gate of the mill?"
COMMANDS = "xoe/page/commands.py"
GREETING = "There is no command"


@dataclass
class Watched:
    """A copy of the project, served by Chainlit, which watches its files."""

    root: Path
    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return (self.root / "server.log").read_text(errors="replace")

    async def edit(self, file: str, old: str, new: str) -> None:
        """Change a file, and wait until open pages are told that the page was loaded anew."""
        path = self.root / file
        text = path.read_text()
        assert old in text
        async with open_page(self.url) as page:
            path.write_text(text.replace(old, new))
            await page.until(lambda: any(event == "reload" for event, _ in page.events))

    def until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if done():
                return
            time.sleep(0.1)
        pytest.fail(f"it did not happen:\n{self.log[-4000:]}")

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/project/settings", trust_env=False).status_code == 200
        except httpx.HTTPError:
            return False


@pytest.fixture
def watched(tmp_path: Path, need_models) -> Iterator[Watched]:
    need_models("embedder")
    for name in (*SITE, *(path.parent.name for path in ROOT.glob("*/__init__.py"))):
        source = ROOT / name
        if source.is_dir():
            weights = ["models/*/**"] if name == "models" else []
            ignored = shutil.ignore_patterns("__pycache__", "*.gguf", "*.bin", "*.onnx", *weights)
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    environment = {
        "XOE_MODELS_DIR": str(ROOT / "models"),
        "XOE_DATA_DIR": str(tmp_path / "data"),
        "XOE_LLM_BASE_URL": "http://127.0.0.1:9/v1",
        "XOE_LLM_MODEL": "none",
        "XOE_VOICE": "false",
    }
    port = free_port()
    command = ["-m", "chainlit", "run", "app.py", "-w", "-h", "--port", str(port)]
    with (tmp_path / "server.log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, *command, "--host", "127.0.0.1"],
            env={**os.environ, **environment},
            stdout=log,
            stderr=log,
            cwd=tmp_path,
        )
    server = Watched(tmp_path, port, process)
    try:
        server.until(server.is_ready)
        yield server
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def said(watched: Watched) -> tuple[str, str]:
    """What a new page answers to a command that there is not, and to a question."""
    async with open_page(watched.url, visitor=uuid.uuid4().hex) as page:
        await page.until(lambda: bool(page.elements))
        await page.type("/nonsense")
        await page.until(lambda: any("/nonsense" in text for text in page.answers))
        refused = next(text for text in page.answers if "/nonsense" in text)
        response = await page.upload("note.txt", b"The gate of the mill is painted blue.\n")
        assert response.status_code == 200, response.text
        await page.type("", files=[response.json()["id"]])
        await page.until(lambda: page.has_read("note.txt"))
        answer = await page.ask(QUESTION)
        return refused, answer.partition("\n\n*Your library is still being read")[0]


async def test_the_page_works_after_each_edit_and_shows_it(watched: Watched) -> None:
    refused, first = await said(watched)
    assert GREETING in refused
    assert "blue" in first
    await watched.edit(COMMANDS, GREETING, "Nobody knows")
    refused, second = await said(watched)
    assert "Nobody knows" in refused, watched.log[-3000:]
    assert second == first
    # An edit of what the engines are made of is not taken over, and breaks nothing.
    await watched.edit("xoe/chats/recorder.py", "from __future__", "# edited\nfrom __future__")
    assert await said(watched) == (refused, first)
    # A mistake leaves the page as it was, until it is mended.
    await watched.edit(COMMANDS, "Nobody knows", 'Nobody (" knows')
    assert await said(watched) == (refused, first)
    await watched.edit(COMMANDS, 'Nobody (" knows', "No such name")
    refused, last = await said(watched)
    assert "No such name" in refused
    assert last == first
    assert '"exception"' not in watched.log
