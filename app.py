"""The page's callbacks: each turns an event of the page into one call.

``xoe serve`` loads this file beside its API, with the services ready. Under
``chainlit run app.py`` it brings the services up itself.
"""

from __future__ import annotations

from typing import Any

import chainlit as cl
from chainlit.server import app
from chainlit.types import ThreadDict

from chains.profiles import installed_profiles
from xoe.page import attachments, calls, conversation, exporting, profiles, reading, shelves, typed
from xoe.page.data_layer import ChatData
from xoe.serve import lifecycle
from xoe.web import preference

lifecycle.prepare(app)


@cl.on_app_startup
async def on_app_startup() -> None:
    """Start the services (Chainlit calls this only when it runs the server itself)."""
    await lifecycle.start(app)


@cl.on_app_shutdown
async def on_app_shutdown() -> None:
    """Stop the services."""
    await lifecycle.close(app)


@cl.set_chat_profiles
async def set_chat_profiles(_user: cl.User | None) -> list[cl.ChatProfile]:
    """Offer the installed models."""
    settings = lifecycle.attached(app).settings
    installed = installed_profiles(settings)
    return profiles.chat_profiles(preference.preferred_first(installed))


@cl.on_chat_start
async def on_chat_start() -> None:
    """Greet a new chat."""
    await conversation.begin(lifecycle.attached(app))


@cl.data_layer
def data_layer() -> ChatData:
    """Give Chainlit the kept chats."""
    return ChatData(lambda: lifecycle.attached(app))


@cl.on_chat_resume
async def on_chat_resume(thread: ThreadDict) -> None:
    """Go on with a kept chat."""
    await conversation.resume(lifecycle.attached(app), thread)


@cl.on_message
async def on_message(message: cl.Message) -> None:
    """Take a question, files or a command."""
    await conversation.take(await lifecycle.services(app), message)


@cl.on_stop
async def on_stop() -> None:
    """Stop the answer that is being written."""
    calls.hush()
    await conversation.stop()


@cl.on_settings_update
async def on_settings_update(values: dict[str, Any]) -> None:
    """Take over the settings panel."""
    options = await conversation.change_options(await lifecycle.services(app), values)
    await calls.change_mode(options.hold_to_talk)


@cl.action_callback("remove_document")
async def on_remove_document(action: cl.Action) -> bool:
    """Remove one of the visitor's own documents."""
    return await shelves.remove_document(await lifecycle.services(app), action.payload)


@cl.action_callback("share_document")
async def on_share_document(action: cl.Action) -> bool:
    """Move one of the operator's documents to the library that all ask."""
    return await shelves.share_document(await lifecycle.services(app), action.payload)


@cl.action_callback("cancel_file")
async def on_cancel_file(action: cl.Action) -> bool:
    """Cancel the reading of a dropped file."""
    return await attachments.cancel(await lifecycle.services(app), action.payload)


@cl.action_callback("retry_file")
async def on_retry_file(action: cl.Action) -> bool:
    """Have a dropped file that could not be read tried again."""
    return await attachments.try_again(await lifecycle.services(app), action.payload)


@cl.action_callback("ask_again")
async def on_ask_again(action: cl.Action) -> bool:
    """Ask a question again that was answered while a part of the system was missing."""
    await action.remove()
    return await conversation.ask_again(await lifecycle.services(app), action.payload)


@cl.action_callback("regenerate")
async def on_regenerate(action: cl.Action) -> bool:
    """Answer a question once more."""
    await action.remove()
    services = await lifecycle.services(app)
    return await conversation.regenerate(services, action.payload, action.forId or "")


@cl.action_callback("read_aloud")
async def on_read_aloud(action: cl.Action) -> bool:
    """Read an answer aloud."""
    services = await lifecycle.services(app)
    return await reading.read_aloud(app.state.readings, services, action.forId)


@cl.action_callback("share_answer")
async def on_share_answer(action: cl.Action) -> bool:
    """Offer an answer as a link or a file."""
    await exporting.show(message_id=action.forId)
    return True


@cl.on_audio_start
async def on_audio_start() -> bool:
    """Begin a call."""
    return await calls.begin(await lifecycle.services(app))


@cl.on_audio_chunk
async def on_audio_chunk(chunk: cl.InputAudioChunk) -> None:
    """Take the microphone's sound; a task of its own for each chunk, so nothing is awaited."""
    calls.take(chunk)


@cl.on_audio_end
async def on_audio_end() -> None:
    """End the call."""
    await calls.end(await lifecycle.services(app))


@cl.on_window_message
async def on_window_message(message: object) -> None:
    """Take what the call's bar sends, and what is being typed."""
    calls.steer(message)
    typed.read_ahead(lifecycle.attached(app).services, message)
