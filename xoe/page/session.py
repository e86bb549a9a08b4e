"""What is kept of one chat while its page is open."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import chainlit as cl
from chainlit.session import BaseSession, WebsocketSession, ws_sessions_id
from chainlit.user_session import user_sessions

from core.settings import LlmProfile
from core.share import Share
from xoe.auth.identity import SESSION, Identity, identity_of, without_cookie
from xoe.page import chainlit_patches
from xoe.page.options import AnswerOptions

if TYPE_CHECKING:
    from chains.prepared import PreparedTurn
    from voice.call import Call

_KEY = "xoe_chat"
_CALL = "xoe_call"
_SAFE_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


@dataclass
class Chat:
    """One chat: how it answers and what runs for it."""

    options: AnswerOptions
    profile: LlmProfile | None = None
    """``None``: the model that is the server's default."""
    running: set[asyncio.Task[Any]] = field(default_factory=set)
    answered: list[str] = field(default_factory=list)
    """Ids of the messages whose turns are in the history, the latest last."""
    categories: Mapping[str, str] = field(default_factory=dict)
    """What of the library the settings panel offers to ask by itself."""
    ahead: PreparedTurn | None = None
    """What was prepared of a question that is being typed."""

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count the current task as one that Stop cancels."""
        task = asyncio.current_task()
        if task is None:  # pragma: no cover - callbacks always run in a task
            yield
            return
        self.running.add(task)
        chainlit_patches.let_stop_reach(cl.context.session, task)
        try:
            yield
        finally:
            self.running.discard(task)

    def stop(self) -> None:
        """Cancel everything that runs for this chat.

        Once only: Chainlit has cancelled one of the tasks itself, and a second time would reach it
        while it says that it was stopped.
        """
        for task in tuple(self.running):
            if not task.cancelling():
                task.cancel()

    def forget_from(self, message_id: str) -> int:
        """Return how many answered questions a changed one takes back: itself and all later."""
        if message_id not in self.answered:
            return 0
        place = self.answered.index(message_id)
        taken_back = len(self.answered) - place
        del self.answered[place:]
        return taken_back

    def remember(self, message_id: str) -> None:
        """Note that a question was answered, so that its turn is in the history."""
        self.answered.append(message_id)
        del self.answered[: -chainlit_patches.KEPT_MESSAGES]


def start_chat(options: AnswerOptions, profile: LlmProfile | None) -> Chat:
    """Return a new chat for the current session."""
    chat = Chat(options=options, profile=profile)
    cl.user_session.set(_KEY, chat)
    return chat


def current_chat() -> Chat | None:
    """Return the current session's chat, if it has one."""
    return cast("Chat | None", cl.user_session.get(_KEY))


def current_call() -> Call | None:
    """Return the current session's call, if it is in one."""
    return cast("Call | None", cl.user_session.get(_CALL))


def set_call(call: Call | None) -> None:
    """Note that the current session is in a call, or in none."""
    cl.user_session.set(_CALL, call)


def session_id() -> str:
    """Return the id of the chat that is open in the page, under which all of it is kept.

    The browser tells it again when it comes back, so it survives a restart of the server while
    the page is open. One that does not look like Chainlit's is hashed, so that it cannot reach
    into a key's name.
    """
    return id_of(cl.context.session)


def id_of(session: BaseSession) -> str:
    """Return the same for a given session."""
    return safe_id(session.thread_id)


def chat_of(session: BaseSession) -> Chat | None:
    """Return a given session's chat, if it has one."""
    return cast("Chat | None", user_sessions.get(session.id, {}).get(_KEY))


def safe_id(given: str) -> str:
    """Return the id under which a chat is kept that the browser calls ``given``."""
    if _SAFE_ID.fullmatch(given):
        return given
    return hashlib.sha256(given.encode("utf-8", "surrogatepass")).hexdigest()


def identity() -> Identity:
    """Return who sits at the current page, as the authentication let them in.

    Somebody whose browser keeps no cookie is known by the chat: their uploads belong to it alone,
    and are out of reach once its page is closed.
    """
    found = identity_of(cl.context.session.environ["asgi.scope"])
    return without_cookie(session_id()) if found.id == SESSION else found


def owner() -> str:
    """Return who owns what is uploaded and asked in the current session."""
    return identity().id


def call_id(session: BaseSession, who: Identity) -> str:
    """Return the id of a page's call; a chat's alone would be whatever its browser says."""
    return f"{who.id}/{id_of(session)}"


def share() -> Share:
    """Return as whose work counts what the current page asks for."""
    return identity().share_at_page(session_id())


def forget_file(session: BaseSession, file_id: str) -> None:
    """Remove an upload that was read, or will not be."""
    upload = session.files.pop(file_id, None)
    if upload is not None:
        Path(upload["path"]).unlink(missing_ok=True)


def is_open(given_id: str) -> bool:
    """Whether a session still exists."""
    return given_id in ws_sessions_id


def is_left_behind(an_owner: str) -> bool:
    """Whether ``an_owner`` is a session, known by no cookie, that is gone for good."""
    if not an_owner.startswith(SESSION):
        return False
    here = {safe_id(known.thread_id) for known in chainlit_patches.open_sessions()}
    return an_owner.removeprefix(SESSION) not in here


def websocket_session() -> WebsocketSession:
    """Return Chainlit's session of the current page."""
    return cast(WebsocketSession, cl.context.session)
