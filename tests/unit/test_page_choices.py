"""What the page offers and what it believes of what comes back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import SimpleNamespace

import chainlit as cl
import pytest

from chains.profiles import find_profile
from xoe.page import commands, profiles, session
from xoe.page.options import AnswerOptions, read_options
from xoe.page.session import Chat

USUAL = AnswerOptions(length="medium", passages=3, use_library=True)


def test_good_settings_are_taken_over() -> None:
    values = {"length": "long", "passages": 5, "use_library": False}
    options, notes = read_options(values, USUAL)
    assert options == AnswerOptions("long", 5, use_library=False)
    assert not notes


@pytest.mark.parametrize(
    "passages",
    [float("nan"), float("inf"), "3", True, None, 2.5, [], pytest.param(10**400, id="huge")],
)
def test_a_number_of_passages_that_is_none_changes_nothing(passages: object) -> None:
    options, notes = read_options({"passages": passages}, USUAL)
    assert options == USUAL
    assert len(notes) == 1


@pytest.mark.parametrize(("given", "taken"), [(-3, 1), (0, 1), (7, 6), (1e6, 6)])
def test_a_number_out_of_range_is_moved_into_it_and_said(given: float, taken: int) -> None:
    options, notes = read_options({"passages": given}, USUAL)
    assert options.passages == taken
    assert str(taken) in notes[0]


@pytest.mark.parametrize(
    "values", [{"length": "endless"}, {"length": 3}, {"use_library": "no"}, {"use_library": 0}]
)
def test_other_nonsense_is_refused_with_a_note(values: dict[str, object]) -> None:
    options, notes = read_options(values, USUAL)
    assert options == USUAL
    assert len(notes) == 1


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["house", ":own", "club", "club"], (":own", "club", "house")),
        (["an older folder"], ("an older folder",)),
        ([], ()),
    ],
)
def test_what_is_searched_is_a_list_of_folders(given: object, taken: tuple[str, ...]) -> None:
    before = replace(USUAL, categories=("attic",))
    assert read_options({"categories": given}, before) == (replace(USUAL, categories=taken), ())


@pytest.mark.parametrize(
    "given", ["club", None, [3], [""], ["../club"], ["<b>"], [":else"], ["a\nb"], ["x"] * 60]
)
def test_what_can_be_no_folder_is_not_searched(given: object) -> None:
    before = replace(USUAL, categories=("attic",))
    options, notes = read_options({"categories": given}, before)
    assert options == before
    assert len(notes) == 1


def test_unknown_settings_are_ignored() -> None:
    assert read_options({"__class__": "x", "temperature": 9}, USUAL) == (USUAL, ())


def test_lengths_stay_within_what_the_model_can_write() -> None:
    assert AnswerOptions("short").max_tokens(256) == 128
    assert AnswerOptions("long").max_tokens(256) == 512
    assert AnswerOptions("long").max_tokens(2048) == 2048
    assert AnswerOptions("short").max_tokens(16) == 16


def test_only_installed_models_are_offered_and_the_default_comes_first() -> None:
    offered = profiles.chat_profiles(("tiny", "fast"))
    assert [profile.name for profile in offered] == ["Tiny", "Fast"]
    assert [profile.default for profile in offered] == [True, False]
    assert profiles.chat_profiles(()) == []


@pytest.mark.parametrize(
    ("wanted", "found"),
    [("Fast", "fast"), (" QUALITY ", None), ("nonsense", None), (None, None), ("", None)],
)
def test_a_profile_is_found_by_name_if_it_is_installed(wanted: str | None, found: str) -> None:
    assert find_profile(wanted, ("fast", "tiny")) == found


@pytest.mark.parametrize(
    ("picked", "text", "expected"),
    [
        ("/model", "quality", commands.Command("model", "quality")),
        (None, "/status", commands.Command("status", "")),
        (None, " /MODEL  tiny ", commands.Command("model", "tiny")),
        (None, "/etc/hosts is what?", None),
        (None, "What does /help do?", None),
        (None, "", None),
    ],
)
def test_commands_are_picked_or_typed(
    picked: str | None, text: str, expected: commands.Command | None
) -> None:
    message = cl.Message.__new__(cl.Message)
    message.command, message.content = picked, text
    assert commands.parse(message) == expected


def test_a_changed_question_takes_back_its_turn_and_all_later_ones() -> None:
    chat = Chat(USUAL)
    for message in ("a", "b", "c"):
        chat.remember(message)
    assert chat.forget_from("never answered") == 0
    assert chat.forget_from("b") == 2
    assert chat.forget_from("b") == 0
    assert chat.forget_from("a") == 1


async def test_stop_reaches_a_task_once_so_that_it_can_say_so() -> None:
    """Chainlit cancels the task itself before it tells the page's stop."""
    said = asyncio.Event()

    async def answering() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            said.set()
            raise

    task = asyncio.create_task(answering())
    chat = Chat(USUAL, running={task})
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.sleep(0)
    chat.stop()
    await asyncio.wait([task])
    assert said.is_set()


def test_only_the_uploads_of_a_session_that_is_gone_are_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened = SimpleNamespace(thread_id="open-chat")
    monkeypatch.setitem(session.ws_sessions_id, "open-page", opened)
    assert session.is_left_behind("session:closed-chat")
    assert not session.is_left_behind("session:open-chat")
    assert not session.is_left_behind("visitor:" + "0" * 32)
    assert not session.is_left_behind("library")
