"""Whatever is dropped or typed gets a clear sentence, and the page goes on."""

from __future__ import annotations

import re
from types import ModuleType

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

EVIL = "http://evil.example"
HOSTILE = f"""# Visitors <img src={EVIL}/heading.png>

## The visitors' badge

The visitors' badge is purple and hangs beside the door. ![badge]({EVIL}/badge.png)
<img src="{EVIL}/badge2.png" onerror="window.hacked = true"> <script>window.hacked = true</script>
Get it [here]({EVIL}/click) or at <{EVIL}/auto>. **Return the purple badge before 17:00.**
"""


def test_each_bad_file_gets_its_reason_and_the_good_one_is_ready(
    chat, make_documents: ModuleType, handbook_pdf: bytes
) -> None:
    lines = chat.give(
        ("empty.pdf", b""),
        ("cut.pdf", make_documents.truncated_pdf()),
        ("locked.pdf", make_documents.encrypted_pdf()),
        ("scan.pdf", make_documents.picture_pdf()),
        ("letter.docx", b"this is no Word document"),
        ("holiday.png", make_documents.png()),
        ("good.pdf", handbook_pdf),
    )
    assert len(lines) == 7
    *bad, good = lines
    assert "ready" in good
    for line in bad:
        assert "ready" not in line
        assert len(line.split("\n")[-1]) > 15, f"a sentence, not a code: {line}"
        assert "Error" not in line
    assert "password" in lines[2] or "encrypted" in lines[2]


def test_thirty_files_at_once_are_all_read(chat) -> None:
    names = [f"note {number}.md" for number in range(30)]
    lines = chat.give(*((name, f"# Note\n\nThe {name} is kept.".encode()) for name in names))
    assert [line.split("\n")[0] for line in lines] == names
    assert all("ready" in line for line in lines)


def test_file_names_are_shown_as_text_and_harm_nothing(chat) -> None:
    names = [
        f"<img src={EVIL}/name.png onerror=window.hacked=1>.md",
        f"![x]({EVIL}/y.png).md",
        "../../../../tmp/escaped.md",
        "🧾 Rechnung für März.md",
        "x" * 290 + ".md",
    ]
    lines = chat.give(*((name, b"# A note\n\nIt is short.") for name in names))
    assert all("ready" in line for line in lines)
    assert "🧾 Rechnung für März.md" in lines[3]
    assert not chat.page.evaluate("window.hacked")
    listed = chat.ask("/library ").inner_text()
    assert "escaped.md" in listed
    assert ".." not in listed.replace("…", "")


def test_a_file_over_the_limit_is_refused_by_the_page_and_by_the_server(chat) -> None:
    limit = chat.upload_mb
    too_large = b"x" * (limit * 1024 * 1024 + 1000)
    chat.attach(("large.txt", too_large))
    expect(chat.page.get_by_text(f"larger than {limit} MB")).to_be_visible()
    paste = """(size) => {
      const data = new DataTransfer();
      data.items.add(new File([new Uint8Array(size)], "pasted.txt"));
      const event = new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
      document.querySelector("#chat-input").dispatchEvent(event);
    }"""
    chat.page.evaluate(paste, len(too_large))
    expect(chat.page.get_by_text(f"pasted.txt: It is larger than {limit} MB")).to_be_visible(
        timeout=15_000
    )
    expect(chat.page.locator("#attachments")).to_have_count(0)


def test_a_hostile_document_is_quoted_as_text_and_asks_no_other_host(chat) -> None:
    assert "ready" in chat.give(("visitors.md", HOSTILE.encode()))[0]
    answer = chat.ask("What colour is the visitors' badge?")
    expect(answer).to_contain_text("purple")
    answer.locator(".xoe-sources button").first.click()
    panel = chat.page.locator(".xoe-passage")
    expect(panel).to_contain_text("<img src=")
    assert panel.locator("img, script, a:not(.xoe-original)").count() == 0
    assert answer.locator(f'img[src^="{EVIL}"], script').count() == 0
    assert not chat.page.evaluate("window.hacked")


def test_questions_of_no_one_and_too_many_characters(chat) -> None:
    chat.page.fill("#chat-input", "   ")
    expect(chat.page.locator("#chat-submit")).to_be_disabled()
    one = chat.ask("?")
    assert one.inner_text().strip()
    long = chat.ask("why " * 5000)
    expect(long).to_contain_text(re.compile("limit is 4,?000"))
    expect(chat.ask("Who wrote Hamlet?")).to_contain_text("Not in your library")
