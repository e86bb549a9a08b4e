"""All that goes beyond what Chainlit offers: its attributes replaced, its routes taken over.

Chainlit is held to one minor version for these. Each has a test in
``tests/unit/test_chainlit_patches.py`` (the reload in ``tests/integration/test_reload.py``) that
says what breaks without it; a new version is taken when they pass. Two more stand where they must:
``xoe.serve.trimmed_imports`` keeps parts of Chainlit from being imported at all, and
``.chainlit/config.toml`` switches off what has a switch.

Nothing is imported from Chainlit until a patch is applied, so that those imports are trimmed first.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import secrets
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import Scope

if TYPE_CHECKING:
    from chainlit.session import BaseSession, WebsocketSession

    from core.settings import Settings
    from xoe.auth.identity import Identity

COOKIE: Final = "access_token"
"""Of Chainlit's own login."""
CLOSED: Final = (*("/mcp", "/copilot", "/project/element", "/redoc", "/docs/oauth2-redirect"),)
"""Parts of Chainlit that this page does not use: MCP, the widget for other sites, what describes
its own interface, and the calls by which a browser would write the properties of an element that
the server made."""
KEPT_MESSAGES: Final = 200
"""Chainlit keeps every message of a session for ever; editing needs only those in sight."""

_PAGE: Final = "xoe.page"
_STOPPED: Final = "Task manually stopped."
_LINK: Final = re.compile(r"<link\b[^>]*>", re.IGNORECASE | re.DOTALL)
_FOREIGN_HREF: Final = re.compile(r"""href\s*=\s*["'](?:https?:)?//""", re.IGNORECASE)
_INLINE_SCRIPT: Final = re.compile(r"<script(?![^>]*\bsrc\s*=)", re.IGNORECASE)
_COMMENT: Final = re.compile(r"[ \t]*<!--.*?-->\n?", re.DOTALL)


# ── The app ──────────────────────────────────────────────────────────────────────────────────


def without_foreign_links(html: str) -> str:
    """Return the page without links to other hosts (fonts, stylesheets, preconnects)."""
    kept = _LINK.sub(lambda found: "" if _FOREIGN_HREF.search(found[0]) else found[0], html)
    return _COMMENT.sub("", kept)


def with_named_scripts(html: str, nonce: str) -> str:
    """Return the page with ``nonce`` on its inline scripts, which its policy would not run else."""
    return _INLINE_SCRIPT.sub(f'<script nonce="{nonce}"', html)


def offer_no_more(settings: Settings) -> None:
    """Tell the browser what is to be had, so that it offers nothing that would be refused."""
    from chainlit.config import config

    upload = config.features.spontaneous_file_upload
    if upload is not None:
        upload.max_size_mb = settings.upload_max_mb
        upload.max_files = settings.upload_max_files
    audio = config.features.audio
    if audio is not None:
        audio.enabled = settings.voice


def quieten() -> None:
    """Leave out two warnings that come at every request and mean nothing here.

    Chainlit looks for the profiles' overrides of its settings, of which there are none, in a way
    that cannot work in a running loop; and it misses a translation of the one page that there is.
    """
    from chainlit.logger import logger

    warnings.filterwarnings("ignore", message="coroutine 'set_chat_profiles' was never awaited")
    if is_worth_a_line not in logger.filters:
        logger.addFilter(is_worth_a_line)


def is_worth_a_line(record: Any) -> bool:
    """Whether a line of Chainlit's log tells something."""
    return "Translated markdown file" not in str(record.msg)


def reload_the_page_alone() -> None:
    """Have ``chainlit run -w`` load ``app.py`` and ``xoe.page`` anew, and nothing else.

    Chainlit forgets every module under ``app.py``'s folder. The services are objects of those:
    reloaded, their classes would be others, and no ``except XoeError`` would fit any more. Where
    the edited file cannot be loaded, the page stays as it was.
    """
    from chainlit import server
    from chainlit.config import config

    load: Callable[[str], None] = vars(server)["load_module"]
    works = config.code, config.features  # Chainlit has read both anew when it loads the page

    def load_page(target: str, force_refresh: bool = False) -> None:
        nonlocal works
        before = _page_modules() if force_refresh else {}
        for name in before:
            del sys.modules[name]
        try:
            load(target)
        except BaseException:
            for name in _page_modules():
                del sys.modules[name]
            sys.modules.update(before)
            config.code, config.features = works
            raise
        works = config.code, config.features

    vars(server)["load_module"] = load_page


def _page_modules() -> dict[str, Any]:
    return {
        name: module
        for name, module in sys.modules.items()
        if name == _PAGE or name.startswith(f"{_PAGE}.")
    }


# ── Who somebody is ──────────────────────────────────────────────────────────────────────────


def trust_our_login() -> None:
    """Have Chainlit ask for its login, which shows the list of chats, and never see a real one.

    Ours makes it believe what it has found out, with a secret that nobody else has to know.
    """
    os.environ["CHAINLIT_CUSTOM_AUTH"] = "true"
    os.environ["CHAINLIT_AUTH_SECRET"] = secrets.token_urlsafe(32)


def as_known(scope: Scope, found: Identity) -> Scope:
    """Return the scope of a request with Chainlit's cookie of who was let in."""
    from chainlit.auth import create_jwt
    from chainlit.user import User

    user = User(identifier=found.id, display_name=found.name, metadata={"role": found.role})
    return _cookies(scope, f"{COOKIE}={create_jwt(user)}")


def as_nobody(scope: Scope) -> Scope:
    """Return the scope of a request without anything that Chainlit takes for a login."""
    return _cookies(scope, None)


def _cookies(scope: Scope, added: str | None) -> Scope:
    """Return the scope without any of Chainlit's own cookies, and with ``added``."""
    kept = [
        pair
        for pair in Headers(scope=scope).get("cookie", "").split(";")
        if pair.strip() and not pair.strip().startswith(COOKIE)
    ]
    inner: dict[str, Any] = {**scope, "headers": list(scope["headers"])}
    headers = MutableHeaders(scope=inner)
    pairs = [*kept, *([added] if added else [])]
    if pairs:
        headers["cookie"] = "; ".join(pair.strip() for pair in pairs)
    else:
        del headers["cookie"]
    # Chainlit takes a token from this header too.
    if headers.get("authorization", "").lower().startswith("bearer"):
        del headers["authorization"]
    return inner


# ── Open pages ───────────────────────────────────────────────────────────────────────────────


def keep_files_in(root: Path) -> None:
    """Have the sessions keep their files in folders of ``root``.

    Chainlit joins the session's id, which the browser chooses, to a folder in the project, and
    deletes that folder when the session ends: an id such as ``../..`` would delete anything.
    Here the folder's name is the id's hash.
    """
    from chainlit.session import BaseSession

    def files_dir(session: BaseSession) -> Path:
        name = hashlib.sha256(session.id.encode("utf-8", "surrogatepass")).hexdigest()
        return root / name[:32]

    BaseSession.files_dir = property(files_dir)  # type: ignore[method-assign,assignment]


def open_sessions() -> tuple[WebsocketSession, ...]:
    """Return the sessions of the pages that are open, or were until a moment ago."""
    from chainlit.session import ws_sessions_id

    return tuple(ws_sessions_id.values())


def is_connected(session: WebsocketSession) -> bool:
    """Whether the page of a session is there at this moment."""
    from chainlit.server import sio

    return bool(sio.manager.is_connected(session.socket_id, "/"))


async def until_sent(timeout_s: float) -> None:
    """Wait until what the pages were told has been handed to their sockets."""
    from chainlit.server import sio

    queues = [known.queue.join() for known in tuple(sio.eio.sockets.values())]
    if queues:
        await asyncio.wait([asyncio.ensure_future(queue) for queue in queues], timeout=timeout_s)


async def end_session(session: WebsocketSession) -> None:
    """Forget a session and what it keeps, its messages included, which Chainlit would not."""
    from chainlit.chat_context import chat_contexts
    from chainlit.user_session import user_sessions

    user_sessions.pop(session.id, None)
    chat_contexts.pop(session.id, None)
    await session.delete()


def drop_old_messages(session: BaseSession) -> None:
    """Forget the messages of closed sessions, and all but the latest of this one."""
    from chainlit.chat_context import chat_contexts
    from chainlit.session import ws_sessions_id

    for known in tuple(chat_contexts):
        if known not in ws_sessions_id:
            del chat_contexts[known]
    kept = chat_contexts.get(session.id)
    if kept is not None:
        del kept[:-KEPT_MESSAGES]


def greet_at_each_connection(session: WebsocketSession) -> None:
    """Have a new chat greeted again when its page connects again.

    While a page loads slowly it may connect twice, and drops what came by its first connection.
    """
    session.chat_started = False


def resume_once(session: WebsocketSession) -> None:
    """Have a kept chat sent to its page once: when it connects again, it shows it still."""
    session.thread_id_to_resume = None
    session.chat_started = True


def let_stop_reach(session: BaseSession, task: asyncio.Task[Any]) -> None:
    """Have Chainlit's Stop cancel ``task``; for an edited question it would keep the old one."""
    session.current_task = task


async def name_first_interaction(name: str) -> None:
    """Let the page offer Stop: it does so only after a first message that had a text."""
    import chainlit as cl

    first = {"interaction": name, "thread_id": cl.context.session.thread_id}
    await cl.context.emitter.emit("first_interaction", first)


async def take_stop_remark_away() -> None:
    """Take Chainlit's own remark on Stop off the page: the answer says itself where it ends."""
    import chainlit as cl

    for message in reversed(cl.chat_context.get()):
        if message.content == _STOPPED and message.type == "assistant_message":
            await message.remove()
            return
