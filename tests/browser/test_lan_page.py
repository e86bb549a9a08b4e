"""A phone on the network: the page over TLS, a login, and a question asked aloud."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from lan import NAME, PASSWORD, LanServer, own_address
from microphone import silence, spoken, write_wav
from playwright.sync_api import Browser, Page, expect

pytestmark = pytest.mark.browser

ADDRESS = own_address()
ANSWER_MS = 120_000
RULES = """# Office rules

## Lost keys

Tell the caretaker, Mr Lindqvist, on the same day when a key is lost. A new key costs 45 euros.
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[LanServer]:
    need_models("fast", "embedder", "stt", "stt-light", "tts")
    if ADDRESS is None:
        pytest.skip("this computer has no address on a network")
    server = LanServer(tmp_path_factory.mktemp("lan"), {"XOE_LLM_MAX_TOKENS": "48"})
    (server.library / "office-rules.md").write_text(RULES)
    server.add_operator()
    with server.running():
        yield server


def trusted(server: LanServer) -> str:
    """Return the switch by which Chromium trusts this server's key and no other."""
    leaf = x509.load_pem_x509_certificate((server.data_dir / "tls" / "lan.pem").read_bytes())
    key = leaf.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key)
    return f"--ignore-certificate-errors-spki-list={base64.b64encode(digest.finalize()).decode()}"


def log_in(page: Page) -> None:
    page.fill("#name", NAME)
    page.fill("#password", PASSWORD)
    page.press("#password", "Enter")
    page.wait_for_selector(".xoe-welcome")


def test_a_question_is_asked_aloud_from_another_address(
    server: LanServer, browser_hearing: Callable[..., Browser], tmp_path: Path
) -> None:
    (question,) = spoken("How much does a new key cost?")
    sound = write_wav(tmp_path / "q.wav", silence(4), question, silence(20))
    browser = browser_hearing(sound, trusted(server))
    context = browser.new_context(permissions=["microphone"])
    context.set_default_timeout(ANSWER_MS)
    context.add_init_script("localStorage.setItem('xoe-tour', '\"off\"')")
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(f"http://{ADDRESS}:{server.plain_port}/")
    expect(page).to_have_url(re.compile(f"^https://{re.escape(str(ADDRESS))}:"))
    log_in(page)
    assert page.evaluate("isSecureContext && !!navigator.mediaDevices.getUserMedia")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("p")
    asked = page.locator("[data-step-type=user_message]")
    expect(asked).to_contain_text(re.compile("a new key cost", re.I), timeout=ANSWER_MS)
    answer = page.locator(".ai-message").last
    expect(answer.locator(".xoe-sources")).to_contain_text("45 euros", timeout=ANSWER_MS)
    expect(page.locator("#xoe-call")).to_contain_text("Speaking", timeout=ANSWER_MS)
    assert problems == []


def test_the_way_to_install_the_certificate_can_be_read_and_followed(
    server: LanServer, browser
) -> None:
    context = browser.new_context(accept_downloads=True, bypass_csp=False)
    page = context.new_page()
    page.goto(f"http://{ADDRESS}:{server.plain_port}/install")
    page.get_by_text("iPhone and iPad").click()
    expect(page.get_by_text("Certificate Trust Settings")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download the certificate").click()
    assert Path(download.value.path()).read_bytes() == server.ca.read_bytes()
    assert page.evaluate("!isSecureContext"), "the microphone needs the other address"
    context.close()
