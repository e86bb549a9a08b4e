"""What is being typed is prepared for at a pause, so that its answer begins at once.

Its passages are found and checked, and the model reads the prompt; nothing is shown or kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.share import as_share
from xoe.page import session
from xoe.page.conversation import question_of

if TYPE_CHECKING:
    from xoe.services import Services


def read_ahead(services: Services | None, message: object) -> None:
    """Prepare for the text that the page tells stands in the message box.

    Only while nobody waits for the model, and never by a server elsewhere, which is sent nothing
    before it is asked.
    """
    text, chat = _typed(message), session.current_chat()
    if not text or chat is None or chat.running or session.current_call() is not None:
        return
    if services is None or services.is_stopping or services.memory.tier:
        return
    if services.engine is None or not services.engine.idle:
        return
    if chat.ahead is None:
        from chains.prepared import PreparedTurn  # with the engines, behind the page

        chat.ahead = PreparedTurn(services.answers)
    if not chat.ahead.is_searching:
        with as_share(session.share()):
            chat.ahead.begin(question_of(services, chat, text))


def _typed(message: object) -> str:
    is_ours = isinstance(message, dict) and message.get("xoe") == "typed"
    text = message.get("text") if is_ours else None  # type: ignore[attr-defined]
    return text.strip() if isinstance(text, str) else ""
