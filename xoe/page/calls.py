"""Calls from the page: its microphone and loudspeaker, and the bar that shows how the call is."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import chainlit as cl
import structlog

from chains.types import LIBRARY_OWNER
from core.errors import CallBusyError, XoeError
from core.share import as_share
from xoe.auth.limits import too_fast
from xoe.page import conversation, session

if TYPE_CHECKING:
    from voice.active_calls import CallPlace
    from voice.ports import CallView, TurnStages
    from xoe.services import Services

log = structlog.get_logger(__name__)

_FORMAT = "pcm16"


async def begin(services: Services) -> bool:
    """Begin a call and return True, or say why there can be none."""
    with as_share(session.share()):  # of all that the call's task does
        return await _begin(services)


async def _begin(services: Services) -> bool:
    who = session.identity()
    try:
        place = await services.calls.reserve(_call_id())
    except CallBusyError as exc:
        await _refuse(str(exc))
        return False
    try:
        if wait_s := services.limits.take_for(who, "audio"):
            await _refuse(too_fast("audio", wait_s))
            return False
        await _tell({"state": "loading"})
        return await _open(services, place)
    except XoeError as exc:
        await _refuse(str(exc))
        return False
    finally:
        services.calls.release(place)


async def _open(services: Services, place: CallPlace) -> bool:
    """Make the call; False when its place was given up meanwhile."""
    engines = await services.voice()
    hints = await _names(services)
    chat = conversation.current_or_new_chat(services)
    await services.chats.reconcile(session.owner(), session.session_id())
    # Here and not above: what a call needs is imported with the engines, behind the page.
    from voice.call import Call
    from xoe.page.spoken import SpokenConversation

    call = Call(
        engines,
        _Page(services),
        SpokenConversation(services, chat),
        services.settings,
        mode="push_to_talk" if chat.options.hold_to_talk else "hands_free",
        hints=hints,
    )
    if not services.calls.open(place, call):
        return False
    session.set_call(call)
    await _tell({"state": "mode", "hold": chat.options.hold_to_talk})
    return True


def _call_id() -> str:
    return session.call_id(cl.context.session, session.identity())


async def _refuse(sentence: str) -> None:
    await _tell({"state": "off"})
    await _say(sentence)


async def _names(services: Services) -> tuple[str, ...]:
    """Return names that may come up: of the visitor's own documents, then of the library's."""
    from voice.stt.hints import hints_from_titles  # with the engines, behind the page

    own = await services.store.documents((session.owner(),))
    shared = await services.store.documents((LIBRARY_OWNER,))
    return hints_from_titles(document.title or document.name for document in (*own, *shared))


def take(chunk: cl.InputAudioChunk) -> None:
    """Hand a chunk to the session's call; what belongs to no call is dropped."""
    call = session.current_call()
    if call is not None and chunk.mimeType == _FORMAT and isinstance(chunk.data, bytes):
        call.put(chunk.data)


def steer(message: object) -> None:
    """Take what the bar sends: the button that is held while talking."""
    call = session.current_call()
    if call is None or not isinstance(message, dict):
        return
    match message.get("xoe"):
        case "press":
            call.press()
        case "release":
            call.release()


def hush() -> None:
    """Stop the reply that is being spoken."""
    call = session.current_call()
    if call is not None:
        call.hush()


async def end(services: Services) -> None:
    """End the session's call."""
    session.set_call(None)
    await services.calls.close(_call_id())
    await _tell({"state": "off"})


async def change_mode(hold_to_talk: bool) -> None:
    """Take over the setting in a call that is going on."""
    call = session.current_call()
    if call is not None:
        call.change_mode("push_to_talk" if hold_to_talk else "hands_free")
        await _tell({"state": "mode", "hold": hold_to_talk})


class _Page:
    """Chainlit's page as a call sees it."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def send_audio(self, track: str, pcm: bytes) -> None:
        chunk = cl.OutputAudioChunk(mimeType=_FORMAT, track=track, data=pcm)
        await cl.context.emitter.send_audio_chunk(chunk)

    async def interrupt(self) -> None:
        await cl.context.emitter.send_audio_interrupt()

    async def show(self, view: CallView) -> None:
        await _tell(asdict(view))

    async def show_stages(self, stages: TurnStages) -> None:
        times = {name: ms if ms is None else round(ms) for name, ms in asdict(stages).items()}
        await _tell({"state": "stages", "stages": times})

    async def hang_up(self, reason: str) -> None:
        session.set_call(None)
        await cl.context.emitter.update_audio_connection("off")
        await _tell({"state": "off"})
        await _say(reason)


async def _tell(view: dict[str, Any]) -> None:
    await cl.context.emitter.send_window_message({"xoe": "call", **view})


async def _say(sentence: str) -> None:
    await cl.context.emitter.send_toast(sentence, "info")
