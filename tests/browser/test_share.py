"""A guest's visit by a link, through a real SSH server, in a browser profile of their own."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from eye import Eye
from microphone import silence, spoken, write_wav
from playwright.sync_api import Page, expect
from servers import Server, xoe
from sshd import SshServer

pytestmark = pytest.mark.browser

RULES = "# Office rules\n\n## Lost keys\n\nA new key costs 45 euros. Tell Mr Lindqvist.\n"
NOTE = b"# The garden\n\nThe roses are watered by Mrs Abernathy on Tuesdays.\n"


@pytest.fixture(scope="module")
def sshd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    server = SshServer(tmp_path_factory.mktemp("sshd")).start()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, sshd: SshServer, need_models: Callable[..., None]
) -> Iterator[Server]:
    need_models("tiny", "embedder")
    server = Server(
        tmp_path_factory.mktemp("house"),
        {
            "XOE_SHARE_SSH_CONFIG": str(sshd.client_config),
            "XOE_SHARE_OWNER": "Ada Lovelace",
            "XOE_LLM_PROFILE": "tiny",
            "XOE_LLM_MAX_TOKENS": "48",
        },
    )
    (server.library / "rules.md").write_text(RULES)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def share(house: Server, sshd: SshServer) -> Iterator[Callable[..., str]]:
    """Share anew and return the link; ends it afterwards."""

    def command(*arguments: str) -> dict[str, Any]:
        done = xoe("share", *arguments, "--data-dir", str(house.data_dir), cwd=house.home)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    def begin(*arguments: str) -> str:
        accept = ("--accept-key", sshd.fingerprint)
        return str(command(sshd.target, *accept, "--json", *arguments)["link"])

    yield begin
    command("end", "all", "--json")


@pytest.fixture
def eye() -> Iterator[Eye]:
    """Looks at what a test shows it, and says at the end what was wrong."""
    eye = Eye()
    yield eye
    eye.verdict()


def visit(new_chat: Callable[..., Any], link: str, **options: Any) -> Any:
    """Open a link in a profile of its own, and wait for the page."""
    base = link.partition("/invitation/")[0]
    chat = new_chat(SimpleNamespace(url=base), **options)
    chat.page.goto(link)
    chat.page.wait_for_selector(".xoe-welcome")
    assert chat.page.url == f"{base}/", "the invitation leaves the address bar"
    expect(chat.page.locator("#xoe-visit")).to_contain_text("Ada Lovelace")
    return chat


def ended(page: Page) -> None:
    expect(page.locator("dialog[open]")).to_contain_text("Your visit has ended", timeout=60_000)


def test_a_guest_asks_and_uploads_and_is_sent_out(
    house: Server, share: Callable[..., str], new_chat: Callable[..., Any], eye: Eye
) -> None:
    began = time.monotonic()
    link = share("--scope", "upload")
    guest = visit(new_chat, link)
    print(f"command to a usable page: {time.monotonic() - began:.1f} s")
    answer = guest.ask("How much does a new key cost?")
    expect(answer).to_contain_text("45 euros")
    assert "passage" in guest.give(("garden.md", NOTE))[0]
    expect(guest.ask("Who waters the roses?")).to_contain_text("Abernathy")

    eye.look(guest.page, "a guest's chat")
    operator = new_chat(house)
    operator.open()
    operator.page.locator("#xoe-share").wait_for()
    if operator.page.locator("dialog[open]").count():  # the tour of a first visit
        operator.page.keyboard.press("Escape")
    operator.page.click("#xoe-share")
    panel = operator.page.locator("#xoe-sharing")
    expect(panel).to_contain_text("Guest 1 is here")
    assert panel.locator("#xoe-share-link").input_value() == link
    expect(panel.locator("#xoe-share-code")).to_have_js_property("complete", True)
    eye.look(operator.page, "who is on")
    # What the guest has added is nobody else's.
    state = operator.page.request.post(
        f"{house.url}/query", data={"question": "Who waters the roses?"}
    )
    assert state.status == 200
    assert "Abernathy" not in state.text()
    operator.page.keyboard.press("1")
    ended(guest.page)
    eye.look(guest.page, "the visit has ended")
    expect(panel).to_contain_text("Guest 1 is out")
    guest.page.reload()
    expect(guest.page.locator("main")).to_contain_text(re.compile("invitation|visit"))
    eye.look(guest.page, "why one is not let in")


def test_who_may_only_ask_is_offered_no_upload_and_can_send_none(
    share: Callable[..., str], new_chat: Callable[..., Any]
) -> None:
    guest = visit(new_chat, share())
    expect(guest.page.locator("#xoe-visit")).to_contain_text("not upload")
    expect(guest.page.locator("#upload-button")).to_be_hidden()
    fold = guest.page.locator("#xoe-visit button")
    fold.click()
    expect(fold).to_have_attribute("aria-expanded", "false")
    expect(guest.page.locator("#xoe-visit")).to_contain_text("Ada Lovelace")
    answer = guest.page.evaluate(
        """async () => {
          const form = new FormData()
          form.append("file", new Blob(["# secret"]), "secret.md")
          const sent = await fetch("/project/file?session_id=x", { method: "POST", body: form })
          return [sent.status, await sent.text()]
        }"""
    )
    assert answer[0] == 403
    assert "asking only" in answer[1]
    guest.attach(("garden.md", NOTE))
    guest.page.wait_for_timeout(500)
    expect(guest.ask("Who waters the roses?")).not_to_contain_text("Abernathy")
    assert guest.page.evaluate("fetch('/share/state').then((a) => a.status)") == 403


def test_over_tls_a_guest_speaks(
    share: Callable[..., str],
    new_chat: Callable[..., Any],
    browser_hearing: Callable[..., Any],
    need_models: Callable[..., None],
    tmp_path: Path,
) -> None:
    need_models("stt", "stt-light", "tts")
    (question,) = spoken("How much does a new key cost?")
    sound = write_wav(tmp_path / "q.wav", silence(6), question, silence(20))
    link = share("--tls")
    assert link.startswith("https://")
    guest = visit(
        new_chat,
        link,
        using=browser_hearing(sound),
        permissions=["microphone"],
        ignore_https_errors=True,
    )
    assert guest.page.evaluate("isSecureContext")
    guest.page.evaluate("document.activeElement.blur()")
    guest.page.keyboard.press("p")
    expect(guest.page.locator("#xoe-call")).to_contain_text("Listening", timeout=60_000)
    asked = guest.page.locator("[data-step-type=user_message]")
    expect(asked).to_contain_text(re.compile("new key cost", re.I), timeout=90_000)
    expect(guest.page.locator(".ai-message").last).to_contain_text("45", timeout=90_000)
