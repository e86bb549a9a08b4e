"""What is being typed is prepared for: by whom, when, and never against somebody who waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from chains.types import Question
from core.share import Share, share
from xoe.page import session, typed

TEXT = "How long is the lease?"


class Ahead:
    """Remembers what was begun, and for whom."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, Share]] = []
        self.is_searching = False

    def begin(self, question: Question) -> None:
        self.begun.append((question.text, share()))


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """An open page on which nothing runs, and services that are idle."""
    chat = SimpleNamespace(running=set(), ahead=Ahead())
    services = SimpleNamespace(
        is_stopping=False,
        memory=SimpleNamespace(tier=0),
        engine=SimpleNamespace(idle=True),
        answers=None,
    )
    whose = Share(owner="visitor:1")
    monkeypatch.setattr(session, "current_chat", lambda: chat)
    monkeypatch.setattr(session, "current_call", lambda: None)
    monkeypatch.setattr(session, "share", lambda: whose)
    monkeypatch.setattr(
        typed, "question_of", lambda _services, _chat, text: Question(text, "c", "visitor:1")
    )
    return SimpleNamespace(chat=chat, services=services, whose=whose)


def tell(page: SimpleNamespace, message: object) -> list[str]:
    typed.read_ahead(page.services, message)
    return [text for text, _ in page.chat.ahead.begun]


def test_what_is_typed_is_begun_in_its_owners_name(page: SimpleNamespace) -> None:
    assert tell(page, {"xoe": "typed", "text": f"  {TEXT} "}) == [TEXT]
    assert page.chat.ahead.begun[0][1] == page.whose


@pytest.mark.parametrize(
    "message",
    [
        None,
        "typed",
        {"xoe": "press"},
        {"xoe": "typed"},
        {"xoe": "typed", "text": 7},
        {"xoe": "typed", "text": "  "},
    ],
)
def test_another_message_begins_nothing(page: SimpleNamespace, message: Any) -> None:
    assert tell(page, message) == []


@pytest.mark.parametrize(
    "hinder",
    [
        lambda page: page.chat.running.add(object()),
        lambda page: setattr(page.services.engine, "idle", False),
        lambda page: setattr(page.services, "engine", None),
        lambda page: setattr(page.services.memory, "tier", 1),
        lambda page: setattr(page.services, "is_stopping", True),
        lambda page: setattr(page.chat.ahead, "is_searching", True),
        lambda page: setattr(page, "services", None),
    ],
    ids=[
        "an answer runs",
        "somebody waits",
        "a server elsewhere",
        "memory is short",
        "it ends",
        "a search runs",
        "it starts",
    ],
)
def test_it_stands_back(page: SimpleNamespace, hinder: Any) -> None:
    hinder(page)
    assert tell(page, {"xoe": "typed", "text": TEXT}) == []
