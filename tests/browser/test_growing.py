"""While an answer is written the page only ever adds to it, and shows nothing that is not so."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import expect

from core.settings import Settings

pytestmark = pytest.mark.browser

KILN = """# The kiln

The kiln cools for 14 hours after it was fired. It was built by Ida Moser in 1988.

## Lighting

Open the vent, then type both lines:

```sh
kilnctl vent --minutes 12
kilnctl fire --cone 6
```

## Lamps

| Lamp | Meaning |
| --- | --- |
| red | The door is not shut |
| blue | The probe is broken |
"""
WRITTEN = {
    "cool": "The kiln cools for 14 hours [4]. It was built in Rome by the emperor Nero. It was "
    "built by Ida Moser in 1988. Nobody knows more about 77 other kilns.",
    "lines": "Type both lines:\n\n```sh\nkilnctl vent --minutes 12\nkilnctl melt --all\n"
    "kilnctl fire --cone 6\n",
    "lamp": "| Lamp | Meaning |\n|---|---|\n| red | The door is not shut |\n"
    "| green | All is well in Rome |\n| blue | The probe is broken |\n",
    "weigh": "The passages do not mention it. It weighs 900 kg in Rome.",
}
"""What the model writes, by a word of the question."""

WATCH = """() => {
  window.seen = []
  const look = () => {
    const answer = [...document.querySelectorAll(".ai-message .message-content")].pop()
    if (!answer || answer.querySelector(".xoe-welcome")) return
    const copy = answer.cloneNode(true)
    copy.querySelectorAll(".xoe-sources").forEach((card) => card.remove())
    const text = copy.textContent.replace(/\\s+/g, " ").trim()
    if (window.seen.at(-1) !== text) window.seen.push(text)
  }
  new MutationObserver(look).observe(document.body, {
    subtree: true, childList: true, characterData: true
  })
}"""


class Model(BaseHTTPRequestHandler):
    """Speaks OpenAI's chat completions, a few characters at a time."""

    def do_POST(self) -> None:
        """Write what belongs to the question."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = body["messages"][-1]["content"].rsplit("Question:", 1)[-1]
        text = next((text for word, text in WRITTEN.items() if word in asked), "Yes.")
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        pieces = [text[place : place + 5] for place in range(0, len(text), 5)]
        for piece in (*pieces, None):
            self._send(piece)
            time.sleep(0.02)
        self.wfile.write(b"data: [DONE]\n\n")

    def _send(self, piece: str | None) -> None:
        choice = {"index": 0, "delta": {"content": piece} if piece else {}}
        choice["finish_reason"] = None if piece else "stop"
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        self.wfile.write(f"data: {json.dumps({**chunk, 'choices': [choice]})}\n\n".encode())

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def scripted(
    new_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """A server whose model writes what stands above, with no other that checks."""
    models = tmp_path_factory.mktemp("models")
    (models / "embedder").symlink_to(Settings().models_dir / "embedder")
    with ThreadingHTTPServer(("127.0.0.1", 0), Model) as model:
        threading.Thread(target=model.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{model.server_port}/v1"
        server = new_server(
            XOE_VOICE="false", XOE_LLM_BASE_URL=url, XOE_LLM_MODEL="m", XOE_MODELS_DIR=str(models)
        )
        (server.library / "kiln.md").write_text(KILN)
        with server.running():
            yield server
        model.shutdown()


def watched(chat: Any, question: str) -> tuple[Any, list[str]]:
    """Ask; return the answer, and each text that the page showed of it."""
    chat.page.evaluate(WATCH)
    answer = chat.ask(question)
    seen: list[str] = chat.page.evaluate("() => window.seen")
    return answer, [text for text in seen if text]


def test_the_text_of_an_answer_only_ever_grows(scripted: Any, new_chat: Callable[..., Any]) -> None:
    chat = new_chat(scripted).open()
    answer, seen = watched(chat, "How long does the kiln cool after it was fired?")
    assert len(seen) >= 2, "it is shown while it is written"
    assert all(after.startswith(before) for before, after in pairwise(seen)), seen
    assert not any("Rome" in text or "77" in text for text in seen)
    assert seen[0].startswith("The kiln cools for 14 hours. 1"), "a mark is a link from the first"
    expect(answer.locator('a[href="#cite-1"]').first).to_be_visible()
    expect(answer).to_contain_text("What your documents do not support was left out.")
    quotes = answer.locator(".xoe-sources q")
    expect(answer.locator(".xoe-sources li")).to_have_count(2)
    expect(quotes).to_have_count(1)  # the other sentence stands in the answer, word for word
    top = answer.get_by_text("The kiln cools").first.bounding_box()
    below = answer.locator(".xoe-sources h3").bounding_box()
    assert top["y"] < below["y"], "the answer stands above its sources"
    expect(answer.locator(".xoe-sources h3")).to_have_text("Answered from your documents")


def test_code_and_tables_are_well_formed_at_every_moment(
    scripted: Any, new_chat: Callable[..., Any]
) -> None:
    chat = new_chat(scripted).open()
    answer, seen = watched(chat, "Which lines light the kiln after its vent is open?")
    assert not any("melt" in text or "```" in text for text in seen)
    code = answer.locator("pre code").first
    assert code.inner_text().strip() == "kilnctl vent --minutes 12\nkilnctl fire --cone 6"
    expect(answer.locator('pre a, code a, pre:has-text("[1]")')).to_have_count(0)
    answer, seen = watched(chat, "What does each lamp of the kiln mean?")
    expect(answer.locator("table th")).to_have_text(["Lamp", "Meaning"])
    expect(answer.locator("table td").first).to_have_text("red")
    expect(answer.locator("table td").nth(1)).to_have_text(
        re.compile(r"^The door is not shut\s*\d$")
    )
    assert not any("Rome" in text for text in seen)


def test_where_nothing_answers_nothing_is_shown_but_the_nearest_passages(
    scripted: Any, new_chat: Callable[..., Any]
) -> None:
    chat = new_chat(scripted).open()
    answer, seen = watched(chat, "In which city was the probe of the kiln weighed?")
    assert not any("900" in text or "do not mention" in text for text in seen)
    assert all(after.startswith(before) for before, after in pairwise(seen)), seen
    outcome = re.compile("nearest_passages|not_in_library")
    expect(answer.locator(".xoe-sources")).to_have_attribute("data-outcome", outcome)
    expect(answer.locator(".xoe-sources h3")).to_have_text(re.compile("the nearest passages$"))
