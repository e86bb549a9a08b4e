"""A kept chat as Chainlit's page takes it: messages, cards and thumbs made anew from what is kept.

Nothing of it is what a browser once sent except the questions: cards and links are made here, so
what they show and open is what the server wrote down.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, cast

from chainlit.config import config
from chainlit.element import ElementDict
from chainlit.step import StepDict
from chainlit.types import FeedbackDict, ThreadDict

from chains import profiles
from chains.types import Citation, Outcome
from xoe.chats.text import element_id
from xoe.chats.types import StoredCitation, StoredFile, StoredMessage, StoredThread
from xoe.page import elements
from xoe.page.elements import FileLine
from xoe.page.markup import neutralise, with_citation_links

RUN: Final = "run-"
"""What the id of a turn begins with; the rest is its question's."""
SHOWN_MESSAGES: Final = 200
"""As many as a page that stays open keeps."""
_NAMES: Final = uuid.UUID("6e1f7a52-6c07-4b8e-9a52-0d2f6a3a9b11")


def cited_names(thread: StoredThread) -> set[str]:
    """Return the names of the documents that a chat's answers quote."""
    return {
        one.source for message in thread.messages for one in (*message.citations, *message.nearest)
    }


def thread_dict(thread: StoredThread, identifier: str, *, gone: Collection[str] = ()) -> ThreadDict:
    """Return a chat for the page of ``identifier``, whose it is.

    ``gone``: names of documents that were deleted since; quotes of such are marked.
    """
    steps: list[StepDict] = []
    cards: list[ElementDict] = []
    run = ""
    for message in thread.messages:
        if message.role == "user":
            run = f"{RUN}{message.id}"
            began = _step(thread.id, run, "run", "", message.at, message.id)
            began["name"] = "on_message"  # by which the page knows what belongs together
            steps += [_step(thread.id, message.id, "user_message", message.text, message.at), began]
            if message.files:
                board = _derived(message.id, "files")
                steps.append(_step(thread.id, board, "assistant_message", "", message.at, run))
                cards.append(_card(thread.id, board, message, "files"))
            continue
        text, thought = shown_text(message), message.feedback
        steps.append(_step(thread.id, message.id, "assistant_message", text, message.at, run))
        if thought is not None and run:  # the page shows an answer's thumb as its turn's
            began["feedback"] = FeedbackDict(
                forId=run, id=thought.id, value=1 if thought.good else 0, comment=thought.reason
            )
        cards += [
            _card(thread.id, message.id, message, kind, gone)
            for kind in ("citations", "nearest")
            if getattr(message, kind)
        ]
    return {
        **empty_thread(thread.id, identifier),
        "createdAt": _time(thread.created_at),
        "name": thread.name,
        "metadata": _metadata(thread),
        "steps": steps,
        "elements": cards,
    }


def empty_thread(thread_id: str, identifier: str) -> ThreadDict:
    """Return a chat in which nothing was said yet."""
    return {
        "id": thread_id,
        "createdAt": _time(0.0),
        "name": "",
        "userId": identifier,
        "userIdentifier": identifier,
        "tags": [],
        "metadata": {},
        "steps": [],
        "elements": [],
    }


def shown_text(message: StoredMessage) -> str:
    """Return an answer's Markdown as the page shows it: safe, its marks linked, its note below."""
    places = {citation.number: place_of(citation) for citation in message.citations}
    text = with_citation_links(neutralise(message.text), places)
    if not message.note:
        return text
    return f"{text}\n\n*{message.note}*" if text.strip() else f"*{message.note}*"


def place_of(citation: Citation | StoredCitation) -> str:
    """Return where a quote stands, such as ``handbook.pdf, page 3``."""
    return f"{citation.source}, page {citation.page}" if citation.page else citation.source


def element_dict(thread_id: str, message: StoredMessage, kind: str) -> ElementDict:
    """Return the card of a message: ``citations``, ``nearest`` or ``files``."""
    board = _derived(message.id, "files") if kind == "files" else message.id
    return _card(thread_id, board, message, kind)


def _step(
    thread_id: str, step_id: str, kind: str, text: str, at: float, parent: str = ""
) -> StepDict:
    return cast(
        StepDict,
        {
            "id": step_id,
            "threadId": thread_id,
            "parentId": parent or None,
            "name": "User" if kind == "user_message" else config.ui.name,
            "type": kind,
            "input": "",
            "output": text,
            "createdAt": _time(at),
            "start": _time(at),
            "end": _time(at),
            "streaming": False,
            "isError": False,
            "waitForAnswer": False,
            "metadata": {},
            "tags": None,
            "language": None,
        },
    )


def _card(
    thread_id: str, for_id: str, message: StoredMessage, kind: str, gone: Collection[str] = ()
) -> ElementDict:
    if kind == "files":
        name, props = "Files", elements.files_props([_line(file) for file in message.files])
    else:
        cited: Sequence[StoredCitation] = getattr(message, kind)
        outcome = message.outcome or ("" if kind == "citations" else Outcome.ABSENT)
        found = [_citation(one) for one in cited]
        name, props = "Sources", elements.sources_props(found, outcome, message.text)
        for citation, shown in zip(found, props["citations"], strict=True):
            shown["gone"] = citation.source in gone
    return cast(
        ElementDict,
        {
            "id": element_id(message.id, kind),
            "threadId": thread_id,
            "type": "custom",
            "name": name,
            "display": "inline",
            "url": f"/public/elements/{name}.jsx",
            "props": props,
            "forId": for_id,
            "mime": "application/json",
        },
    )


def _line(file: StoredFile) -> FileLine:
    return FileLine(
        name=file.name,
        state=file.state,
        passages=file.passages,
        pages=file.pages,
        reason=file.reason,
    )


def _citation(stored: StoredCitation) -> Citation:
    return Citation(
        number=stored.number,
        document_id=0,
        chunk_id=0,
        source=stored.source,
        title=stored.title,
        heading=stored.heading,
        page=stored.page,
        quote=stored.quote,
        start=stored.start,
        end=stored.end,
        passage=stored.passage,
        passage_start=0,
    )


def _metadata(thread: StoredThread) -> dict[str, Any]:
    found: dict[str, Any] = {"chat_settings": _plain(thread.options)}
    if thread.profile:
        found["chat_profile"] = profiles.title(thread.profile)
    return found


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(name): value
        for name, value in options.items()
        if isinstance(value, str | int | float | bool | list)
    }


def _derived(message_id: str, what: str) -> str:
    """Return an id that is the same each time, for what has none of its own."""
    return str(uuid.uuid5(_NAMES, f"{what}:{message_id}"))


def _time(at: float) -> str:
    try:
        moment = datetime.fromtimestamp(at, UTC)
    except (OverflowError, ValueError, OSError):
        moment = datetime.fromtimestamp(0, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
