"""The chat commands: ``/help``, ``/status``, ``/library``, ``/model`` and ``/reset``."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import chainlit as cl
from chainlit.types import CommandDict

from chains import profiles
from chains.types import LIBRARY_OWNER
from xoe.page import elements, exporting, session, shelves
from xoe.page.markup import plain
from xoe.page.session import Chat

if TYPE_CHECKING:
    from xoe.services import Services

_TYPED = re.compile(r"\s*/([a-z]+(?:-[a-z]+)*)(?:\s+(.*))?\s*", re.IGNORECASE | re.DOTALL)
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Command:
    """A command and what follows it."""

    name: str
    argument: str


@dataclass(frozen=True)
class _Entry:
    icon: str
    description: str
    run: Callable[[Services, Chat, str], Awaitable[None]]
    for_operators: bool = False


def parse(message: cl.Message) -> Command | None:
    """Return the command that was picked from the list or typed, if the message is one."""
    if message.command:
        return Command(message.command.lstrip("/").lower()[:40], message.content.strip())
    typed = _TYPED.fullmatch(message.content)
    if typed is None:
        return None
    return Command(typed[1].lower()[:40], (typed[2] or "").strip())


async def announce() -> None:
    """Tell the page the commands, so that it completes them after a slash."""
    listed: list[CommandDict] = [
        {
            "id": f"/{name}",
            "description": entry.description,
            "icon": entry.icon,
            "button": False,
            "persistent": False,
            "selected": False,
        }
        for name, entry in _mine().items()
    ]
    await cl.context.emitter.set_commands(listed)


async def run(services: Services, chat: Chat, command: Command) -> None:
    """Carry out a command and show what came of it."""
    mine = _mine()
    entry = mine.get(command.name)
    if entry is None:
        known = ", ".join(f"`/{name}`" for name in mine)
        await _say(f"There is no command /{plain(command.name)}. There are {known}.")
        return
    await entry.run(services, chat, command.argument)


async def _help(_services: Services, _chat: Chat, _argument: str) -> None:
    rows = "\n".join(f"| `/{name}` | {entry.description} |" for name, entry in _mine().items())
    await _say(
        "Ask in your own words: what your documents say is quoted first, then answered. "
        "Each number in an answer opens the passage it rests on.\n\n"
        f"| command | what it does |\n| --- | --- |\n{rows}\n\n"
        "Drop PDF, Word, Excel, e-mail and many more files, or recordings, on the page, or attach "
        "them with the clip. To talk, press the sound wave in the message box or the `p` key. "
        "The length of answers and the number of passages are set with the gear in the "
        "message box.\n\n"
        "[Take the tour](#tour) · [Keyboard shortcuts](#shortcuts), also with the `?` key · "
        "[Your account](/account)"
    )


async def _status(services: Services, chat: Chat, _argument: str) -> None:
    owner = session.owner()
    documents = await services.store.documents((LIBRARY_OWNER, owner))
    readable = [document for document in documents if document.chunks]
    own = sum(document.owner == owner for document in readable)
    passages = sum(document.chunks for document in readable)
    level = services.ladder.status()
    rows = [("level", f"{level.level.replace('_', ' ')}. {level.reason}".strip())]
    is_operator = session.identity().is_operator
    rows += [
        (component.name, f"{component.state}: {component.detail}".rstrip(": "))
        for component in services.readiness().components
        if is_operator
    ]
    installed = profiles.installed_profiles(services.settings)
    used = chat.profile or (installed[0] if installed else "")
    rows += [
        ("this chat's model", profiles.title(used) if used else "the configured server's"),
        ("installed models", ", ".join(profiles.title(name) for name in installed) or "none"),
        ("documents", f"{len(readable)}, of which {own} are yours; {passages} passages"),
    ]
    if is_operator:
        memory = f"{await asyncio.to_thread(_resident_mib)} MiB used by this server"
        rows.append(("memory", memory))
    table = "\n".join(f"| {plain(name)} | {plain(value)} |" for name, value in rows)
    more = "[Live plots, circuits and recent turns](/status)" if is_operator else ""
    await _say(f"| part | state |\n| --- | --- |\n{table}\n\n{more}")


async def _library(services: Services, _chat: Chat, _argument: str) -> None:
    owner = session.owner()
    documents = await services.store.documents((owner, LIBRARY_OWNER))
    if not documents:
        await _say("There are no documents yet. Drop one on the page to begin.")
        return
    listed = await asyncio.to_thread(
        shelves.listed, documents, session.identity(), services.settings
    )
    card = elements.library(listed, hidden=max(0, len(documents) - len(listed)))
    await cl.Message(content="", elements=[card]).send()


async def _model(services: Services, chat: Chat, argument: str) -> None:
    installed = profiles.installed_profiles(services.settings)
    names = ", ".join(f"`/model {name}`" for name in installed)
    if not installed:
        await _say("This server uses the model that its settings name; there is none to choose.")
        return
    if not argument:
        used = profiles.title(chat.profile or installed[0])
        others = f" Change it with {names}." if len(installed) > 1 else ""
        await _say(f"This chat is answered by **{used}**.{others}")
        return
    wanted = profiles.find_profile(argument, installed)
    if wanted is None:
        await _say(f"{plain(argument, 40)} is not installed here. There is {names}.")
        return
    chat.profile = wanted
    await _say(f"From now on this chat is answered by **{profiles.title(wanted)}**.")


async def _reset(services: Services, _chat: Chat, _argument: str) -> None:
    await services.chats.forget(session.owner(), session.session_id())
    await _say("This conversation is forgotten: the next question starts afresh. Documents stay.")


async def _export(_services: Services, _chat: Chat, argument: str) -> None:
    await exporting.show(argument)


async def _share(_services: Services, _chat: Chat, _argument: str) -> None:
    await cl.context.emitter.send_window_message({"xoe": "share"})


def _mine() -> dict[str, _Entry]:
    """Return the commands that whoever sits at the page may give."""
    is_operator = session.identity().is_operator
    return {
        name: entry for name, entry in _COMMANDS.items() if is_operator or not entry.for_operators
    }


async def _say(text: str) -> None:
    await cl.Message(content=text).send()


def _resident_mib() -> int:
    import psutil  # with the engines, behind the page

    return int(psutil.Process().memory_info().rss) // _MIB


_COMMANDS: dict[str, _Entry] = {
    "help": _Entry("circle-help", "What you can do here", _help),
    "status": _Entry("activity", "What is loaded, and what it takes", _status),
    "library": _Entry("library", "The documents; remove your own", _library),
    "model": _Entry("cpu", "Which model answers, e.g. /model quality", _model),
    "share": _Entry("share-2", "Let others in by a link", _share, for_operators=True),
    "export": _Entry("download", "Keep this chat as a file: /export html, md or json", _export),
    "share-chat": _Entry("link", "A read-only link to this chat, or a file", _export),
    "reset": _Entry("eraser", "Forget this conversation", _reset),
}
