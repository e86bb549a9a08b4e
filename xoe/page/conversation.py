"""What a message, a new chat, a stop or a change of settings leads to."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import chainlit as cl
import structlog
from chainlit.types import ThreadDict

from chains import profiles
from chains.types import LIBRARY_OWNER, Question
from core.errors import StoreError, XoeError
from core.share import as_share
from xoe import library
from xoe.auth.limits import too_fast
from xoe.page import attachments, commands, session, standing
from xoe.page.answering import answer, new_answer, offer_actions
from xoe.page.chainlit_patches import (
    drop_old_messages,
    greet_at_each_connection,
    resume_once,
    take_stop_remark_away,
)
from xoe.page.markup import plain
from xoe.page.options import AnswerOptions, panel, read_options
from xoe.page.resumed import SHOWN_MESSAGES, cited_names, thread_dict
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
# Of an answer that is asked for once more; the likeliest one is there already.
_ANOTHER = 0.7
# Redis is there in under a second; without it a chat begins anew.
_REDIS_WAIT_S = 5.0
_WELCOME = "xoe_welcome"
_GOES_ON = "*The server was started again. This chat goes on where it was.*"
_NO_SUCH_CHAT = "There is no chat of yours at this address, so this is a new one."
# Of a chat that is opened again, the last messages get their buttons back.
_WITH_ACTIONS = 40


async def begin(startup: Startup) -> None:
    """Greet a new chat; go on quietly with one that outlived the server."""
    opened = session.websocket_session()
    greet_at_each_connection(opened)
    if opened.restored and opened.has_first_interaction:
        return
    await commands.announce()
    welcome: Welcome | None = cl.user_session.get(_WELCOME)
    if welcome is not None:
        await welcome.show_again()
        chat = session.current_chat()
        if chat is not None and startup.services is not None:
            await show_panel(startup.services, chat)
        return
    welcome = Welcome(session.owner())
    cl.user_session.set(_WELCOME, welcome)
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
    await show_panel(services, chat)
    if not chat.answered and await _has_earlier_turns(services):
        await welcome.take_away()
        await cl.Message(content=_GOES_ON).send()
        return
    await welcome.show(services, notes)
    for owner in await services.store.owners():
        if session.is_left_behind(owner):
            await services.store.delete_owner(owner)
    await services.chats.delete_left_behind(session.is_left_behind)


async def resume(startup: Startup, thread: ThreadDict) -> None:
    """Go on with a kept chat: what it says is in ``thread``, which is set right here."""
    opened = session.websocket_session()
    resume_once(opened)
    await commands.announce()
    if startup.services is not None:
        await _resume(startup.services, thread)
        return
    # What is kept is shown at once; the engines are not awaited for it.
    cl.user_session.set("xoe_greeting", asyncio.create_task(_resume_later(startup, thread)))


async def _resume_later(startup: Startup, thread: ThreadDict) -> None:
    services = await startup.wait()
    known = {message.id for message in cl.chat_context.get()}
    await _resume(services, thread)
    if any(step["id"] not in known for step in thread["steps"] if "message" in step["type"]):
        cl.chat_context.clear()
        for step in thread["steps"]:
            if "message" in step["type"]:
                cl.chat_context.add(cl.Message.from_dict(step))
        await cl.context.emitter.resume_thread(thread)


async def _resume(services: Services, thread: ThreadDict) -> None:
    owner, thread_id = session.owner(), session.session_id()
    await services.redis_settled(_REDIS_WAIT_S)
    await services.chats.reconcile(owner, thread_id)
    try:
        stored = await services.chats.threads.get(owner, thread_id, last=SHOWN_MESSAGES)
    except StoreError as exc:
        log.warning("page.chat_not_read", error=str(exc))
        stored = None
    chat = current_or_new_chat(services)
    if stored is None:
        await _greet_unknown(services, chat)
        return
    cited = cited_names(stored)
    gone = cited - await services.store.names_there((owner, LIBRARY_OWNER), cited)
    thread.update(thread_dict(stored, thread["userIdentifier"] or "", gone=gone))
    chat.options, _ = read_options(stored.options, chat.options)
    installed = profiles.installed_profiles(services.settings)
    chat.profile = profiles.find_profile(stored.profile, installed) or chat.profile
    await show_panel(services, chat)
    asked = ""
    for message in stored.messages:
        if message.role == "user":
            asked, question = message.id, message.text
            continue
        if message.remembered:
            chat.remember(asked)
        if message in stored.messages[-_WITH_ACTIONS:] and asked:
            readable = services.settings.voice
            await offer_actions(message.id, asked, question, message.level, readable=readable)


async def _greet_unknown(services: Services, chat: Chat) -> None:
    """Greet a page that names a chat of which nothing is kept."""
    await show_panel(services, chat)
    if await _has_earlier_turns(services):
        await cl.Message(content=_GOES_ON).send()
        return
    await Welcome(session.owner()).show(services, [_NO_SUCH_CHAT])


async def _has_earlier_turns(services: Services) -> bool:
    await services.redis_settled(_REDIS_WAIT_S)
    return bool(await services.history.load(session.session_id(), session.owner(), 1))


async def take(services: Services, message: cl.Message | None, *, temperature: float = 0.0) -> None:
    """Carry out a message: a command, or files and then a question.

    ``temperature``: above 0 the answer is another one each time.
    """
    if message is None:
        await complain("This question is too old to be changed. Please ask it anew.")
        return
    chat = current_or_new_chat(services)
    with chat.busy(), as_share(session.share()):
        try:
            await _carry_out(services, chat, message, temperature)
        except XoeError as exc:
            log.info("page.not_answered", error=type(exc).__name__)
            await complain(str(exc))
        except Exception:
            log.exception("page.failed")
            await complain(_UNEXPECTED)
        finally:
            drop_old_messages(cl.context.session)
    if chat.categories != await library.categories(services):
        await show_panel(services, chat)
    else:
        await standing.tell(services, chat)


async def stop() -> None:
    """Stop what runs for the chat, and take Chainlit's own remark off the page."""
    chat = session.current_chat()
    if chat is not None:
        chat.stop()
    await take_stop_remark_away()


async def change_options(services: Services, values: Mapping[str, object]) -> AnswerOptions:
    """Take over the settings panel; say what of it was refused. Returns what holds now."""
    chat = current_or_new_chat(services)
    chat.options, notes = read_options(values, chat.options)
    for note in notes:
        await cl.context.emitter.send_toast(note, "warning")
    if notes:
        await show_panel(services, chat)
    else:
        await standing.tell(services, chat)
    return chat.options


async def show_panel(services: Services, chat: Chat) -> None:
    """Show the settings panel with the folders that there are now, and in the header what holds."""
    chat.categories = await library.categories(services)
    await panel(chat.options, chat.categories).send()
    await standing.tell(services, chat)


async def _carry_out(
    services: Services, chat: Chat, message: cl.Message, temperature: float
) -> None:
    command = commands.parse(message)
    if command is not None:
        await commands.run(services, chat, command)
        return
    files = attachments.attachments_of(message)
    text = message.content.strip()
    who = session.identity()
    if files and not who.may_upload:
        attachments.drop(files)
        await complain("Your invitation is for asking only, so documents are not taken.")
    elif files:
        await keep_question(services, chat, message.id, text, files=[f.name for f in files])
        await attachments.read_attachments(services, files, message.id)
    wait_s = services.limits.take_for(who, "question") if text else 0.0
    if wait_s:
        await cl.Message(content=f"*{too_fast('question', wait_s)}*").send()
    elif text:
        with services.admission.question(who, session.share()):
            kept = bool(files) and who.may_upload
            await _answer(services, chat, message, text, temperature=temperature, kept=kept)
    elif not files:
        await cl.Message(content="Type a question, or drop a document here.").send()


async def _answer(
    services: Services,
    chat: Chat,
    message: cl.Message,
    text: str,
    *,
    temperature: float,
    kept: bool,
) -> None:
    """Answer a message's question; ``kept``: it is written down already."""
    await _take_back(services, chat.forget_from(message.id))
    reply = new_answer(services, message.id)
    if not kept:
        reply.remarks += await keep_question(services, chat, message.id, text)
    await services.chats.reconcile(session.owner(), session.session_id())
    question = question_of(services, chat, text, temperature=temperature)
    question = replace(question, asked_id=message.id, answer_id=reply.id)
    turn = None if chat.ahead is None else await chat.ahead.take_begun(question)
    finished = await answer(services, question, reply, prepared=turn)
    chat.remember(message.id)
    call = session.current_call()
    if call is not None and call.is_deaf:
        from chains.citations import strip_marks  # with the engines, behind the page

        await call.say(strip_marks(finished.text))


async def ask_again(services: Services, payload: Mapping[str, object]) -> bool:
    """Ask a question once more that a part of the system was missing for; return whether it was.

    Where nothing was asked since, the earlier answer is forgotten.
    """
    text, asked_id = payload.get("question"), payload.get("asked")
    if not isinstance(text, str) or not isinstance(asked_id, str) or not text.strip():
        return False
    chat = current_or_new_chat(services)
    if chat.answered[-1:] == [asked_id]:
        await _take_back(services, chat.forget_from(asked_id))
        await services.chats.take_back(session.owner(), session.session_id(), asked_id)
    message = cl.Message(content=text, type="user_message", author="User")
    await message.send()
    await take(services, message)
    return True


async def regenerate(services: Services, payload: Mapping[str, object], answer_id: str) -> bool:
    """Have a question answered once more, in the place of its answer and of what came after it."""
    shown = cl.chat_context.get()
    places = {message.id: place for place, message in enumerate(shown)}
    asked, told = places.get(str(payload.get("asked"))), places.get(answer_id)
    if asked is None or told is None or told < asked or shown[asked].type != "user_message":
        await cl.context.emitter.send_toast("This answer is too old to be given anew.", "info")
        return False
    for message in shown[told:]:
        await message.remove()
    await cl.context.emitter.task_start()
    try:
        # As Chainlit does for a message: what is told in it belongs to the question.
        async with cl.Step(name="on_message", type="run", parent_id=shown[asked].id):
            await take(services, shown[asked], temperature=_ANOTHER)
    finally:
        await cl.context.emitter.task_end()
    return True


async def keep_question(
    services: Services, chat: Chat, message_id: str, text: str, *, files: Sequence[str] = ()
) -> list[str]:
    """Write a question down; return what its reader should know of that."""
    note = await services.chats.ask(
        session.owner(),
        session.session_id(),
        message_id,
        text,
        files=files,
        profile=chat.profile or "",
        options=asdict(chat.options),
    )
    return [note] if note else []


async def _take_back(services: Services, turns: int) -> None:
    """Drop the turns of a question that was changed, and of what came after it."""
    if turns:
        await services.history.drop_last(session.session_id(), session.owner(), turns)


def question_of(services: Services, chat: Chat, text: str, *, temperature: float = 0.0) -> Question:
    """Return the question that a chat asks with ``text``."""
    return Question(
        text=text,
        session_id=session.session_id(),
        owner=session.owner(),
        use_library=chat.options.use_library,
        categories=chat.options.categories,
        max_tokens=chat.options.max_tokens(services.settings.llm_max_tokens),
        passages=chat.options.passages,
        profile=chat.profile,
        temperature=temperature,
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
