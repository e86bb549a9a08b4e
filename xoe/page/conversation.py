"""What a message, a new chat, a stop or a change of settings leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING

import chainlit as cl
import structlog

from chains.citations import strip_marks
from chains.types import Question
from xoe.errors import XoeError
from xoe.limits import too_fast
from xoe.page import attachments, commands, profiles, session, standing
from xoe.page.answering import answer, new_reply
from xoe.page.markup import plain
from xoe.page.options import AnswerOptions, panel, read_options
from xoe.page.session import Chat
from xoe.page.welcome import Welcome

if TYPE_CHECKING:
    from xoe.services import Services
    from xoe.startup import Startup

log = structlog.get_logger(__name__)

_UNEXPECTED = (
    "Something unexpected went wrong. Your question was not answered; please ask it again. "
    "The server's log says what happened."
)
# Redis is there in under a second; without it a chat begins anew.
_REDIS_WAIT_S = 5.0
# What Chainlit itself says on Stop; the answer is marked as stopped where it broke off.
_CHAINLIT_STOPPED = "Task manually stopped."


async def begin(startup: Startup) -> None:
    """Greet a new chat; go on quietly with one that outlived the server."""
    await commands.announce()
    welcome = Welcome(session.owner())
    if startup.services is not None:
        await _greet(startup, welcome)
        return
    await welcome.show_starting()
    # Not awaited: while this callback runs, the page takes no question. Held by the session,
    # since the loop itself keeps only a weak reference.
    cl.user_session.set("xoe_greeting", asyncio.create_task(_greet(startup, welcome)))


async def _greet(startup: Startup, welcome: Welcome) -> None:
    services = await startup.wait()
    notes: list[str] = []
    chat = session.current_chat()
    if chat is None:
        chat, notes = _new_chat(services)
    await panel(chat.options).send()
    await standing.tell(services, chat)
    if not chat.answered and await _has_earlier_turns(services):
        await welcome.take_away()
        await cl.Message(
            content="*The server was started again. This chat goes on where it was.*"
        ).send()
        return
    await welcome.show(services, notes)
    for owner in await services.store.owners():
        if session.is_left_behind(owner):
            await services.store.delete_owner(owner)


async def _has_earlier_turns(services: Services) -> bool:
    await services.redis_settled(_REDIS_WAIT_S)
    return bool(await services.history.load(session.session_id(), session.owner(), 1))


async def take(services: Services, message: cl.Message | None) -> None:
    """Carry out a message: a command, or files and then a question."""
    if message is None:
        await complain("This question is too old to be changed. Please ask it anew.")
        return
    chat = current_or_new_chat(services)
    with chat.busy():
        try:
            await _carry_out(services, chat, message)
        except XoeError as exc:
            log.info("page.not_answered", error=type(exc).__name__)
            await complain(str(exc))
        except Exception:
            log.exception("page.failed")
            await complain(_UNEXPECTED)
        finally:
            session.drop_old_messages()
    await standing.tell(services, chat)


async def stop() -> None:
    """Stop what runs for the chat, and take Chainlit's own remark off the page."""
    chat = session.current_chat()
    if chat is not None:
        chat.stop()
    for message in reversed(cl.chat_context.get()):
        if message.content == _CHAINLIT_STOPPED and message.type == "assistant_message":
            await message.remove()
            return


async def change_options(services: Services, values: Mapping[str, object]) -> AnswerOptions:
    """Take over the settings panel; say what of it was refused. Returns what holds now."""
    chat = current_or_new_chat(services)
    chat.options, notes = read_options(values, chat.options)
    for note in notes:
        await cl.context.emitter.send_toast(note, "warning")
    if notes:
        await panel(chat.options).send()
    return chat.options


async def _carry_out(services: Services, chat: Chat, message: cl.Message) -> None:
    command = commands.parse(message)
    if command is not None:
        await commands.run(services, chat, command)
        return
    files = attachments.attachments_of(message)
    who = session.identity()
    if files and not who.may_upload:
        attachments.drop(files)
        await complain("Your invitation is for asking only, so documents are not taken.")
    elif files:
        await attachments.read_attachments(services, files)
    text = message.content.strip()
    wait_s = services.limits.take_for(who, "question", session.session_id()) if text else 0.0
    if wait_s:
        await cl.Message(content=f"*{too_fast('question', wait_s)}*").send()
    elif text:
        await _take_back(services, chat.forget_from(message.id))
        finished = await answer(
            services, question_of(services, chat, text), new_reply(services, message.id)
        )
        chat.remember(message.id)
        call = session.current_call()
        if call is not None and call.is_deaf:
            await call.say(strip_marks(finished.text))
    elif not files:
        await cl.Message(content="Type a question, or drop a document here.").send()


async def ask_again(services: Services, payload: Mapping[str, object]) -> bool:
    """Ask a question once more that a part of the house was missing for; return whether it was.

    Where nothing was asked since, the earlier answer is forgotten.
    """
    text, asked_id = payload.get("question"), payload.get("asked")
    if not isinstance(text, str) or not isinstance(asked_id, str) or not text.strip():
        return False
    chat = current_or_new_chat(services)
    if chat.answered[-1:] == [asked_id]:
        await _take_back(services, chat.forget_from(asked_id))
    message = cl.Message(content=text, type="user_message", author="User")
    await message.send()
    await take(services, message)
    return True


async def _take_back(services: Services, turns: int) -> None:
    """Drop the turns of a question that was changed, and of what came after it."""
    if turns:
        await services.history.drop_last(session.session_id(), session.owner(), turns)


def question_of(services: Services, chat: Chat, text: str) -> Question:
    """Return the question that a chat asks with ``text``."""
    return Question(
        text=text,
        session_id=session.session_id(),
        owner=session.owner(),
        use_library=chat.options.use_library,
        max_tokens=chat.options.max_tokens(services.settings.llm_max_tokens),
        passages=chat.options.passages,
        profile=chat.profile,
    )


def current_or_new_chat(services: Services) -> Chat:
    """Return the page's chat; it may be asked before it is greeted."""
    return session.current_chat() or _new_chat(services)[0]


def _new_chat(services: Services) -> tuple[Chat, list[str]]:
    """Return a chat with the picked profile, and a note when that is not installed."""
    installed = profiles.installed_profiles(services.settings)
    picked = cl.context.session.chat_profile
    profile = profiles.find_profile(picked, installed)
    notes = []
    if picked and profile is None and installed:
        used = profiles.title(installed[0])
        notes.append(f"There is no model “{picked[:40]}” here; this chat is answered by {used}.")
    passages = services.settings.retrieval_passages
    options, _ = read_options({"passages": passages}, AnswerOptions())
    return session.start_chat(options, profile), notes


async def complain(sentence: str) -> None:
    """Tell what is wrong."""
    await cl.ErrorMessage(content=plain(sentence, 1000)).send()
