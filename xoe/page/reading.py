"""Reading an answer aloud: the button, and the text until the browser fetches its sound."""

from __future__ import annotations

import secrets
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import chainlit as cl

from core.errors import SpeechBusyError, XoeError
from core.fairness import OwnerQuota
from core.share import Share, as_share
from xoe.auth.identity import SESSION, Identity
from xoe.page import session as pages
from xoe.page.markup import without_citation_links

if TYPE_CHECKING:
    from xoe.services import Services

READ_PATH = "/voice/read/{token}"

_KEPT = 64
_READ_AT_ONCE = 3
"""Texts read aloud to one owner at a time."""


class Readings:
    """Texts that were asked to be read, until the browser has fetched them. Bounded."""

    def __init__(self) -> None:
        """Nothing waits yet."""
        self._texts: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._quota = OwnerQuota(_READ_AT_ONCE, busy=SpeechBusyError)

    def add(self, text: str, owner: str) -> str:
        """Keep a text and return the token under which ``owner`` can fetch it once.

        Where there is no room, the oldest of whoever has most is forgotten.
        """
        token = secrets.token_urlsafe(16)
        self._texts[token] = (owner, text)
        while len(self._texts) > _KEPT:
            [(most, _)] = Counter(whose for whose, _ in self._texts.values()).most_common(1)
            del self._texts[next(t for t, (whose, _) in self._texts.items() if whose == most)]
        return token

    def has(self, token: str, owner: str) -> bool:
        """Whether a text of ``owner``'s waits under the token."""
        return token in self._texts and self._texts[token][0] == owner

    def take(self, token: str, owner: str) -> str | None:
        """Return the text of a token of ``owner``'s, once."""
        kept = self._texts.get(token)
        if kept is None or kept[0] != owner:
            return None
        del self._texts[token]
        return kept[1]

    @contextmanager
    def reading(self, who: Identity) -> Iterator[None]:
        """Read to ``who`` inside. Raises ``SpeechBusyError`` when too much is read to them."""
        with as_share(bulk_share(who, "reading")), self._quota.hold(of_session=most_of_guest(who)):
            yield


def read_aloud_action() -> cl.Action:
    """Return the button under an answer."""
    return cl.Action(name="read_aloud", payload={}, label="", tooltip="Read aloud", icon="volume-2")


async def read_aloud(readings: Readings, services: Services, message_id: str | None) -> bool:
    """Have the page play an answer of this chat; return whether it could be found."""
    message = next((m for m in cl.chat_context.get() if m.id == message_id), None)
    if message is None or not message.content:
        await cl.context.emitter.send_toast("This answer is too old to be read aloud.", "info")
        return False
    try:
        await services.voice()
        with readings.reading(pages.identity()):
            pass  # there is room; it is taken when the page fetches the sound
    except XoeError as exc:
        await cl.context.emitter.send_toast(str(exc), "info")
        return False
    token = readings.add(without_citation_links(message.content), reader_of(pages.identity()))
    url = READ_PATH.format(token=token)
    await cl.context.emitter.send_window_message({"xoe": "read", "url": url})
    return True


def reader_of(who: Identity) -> str:
    """Return whose a text is; the page of a browser without cookies asks as any such."""
    return SESSION if who.id.startswith(SESSION) else who.id


def bulk_share(who: Identity, session: str) -> Share:
    """Return whose work it is; calls, in which a person listens, go before it."""
    return replace(who.share_at_page(session), interactive=False)


def most_of_guest(who: Identity) -> int | None:
    """Return how much of it one guest may have under way."""
    return 1 if who.is_guest else None
