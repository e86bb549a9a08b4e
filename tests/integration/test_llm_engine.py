"""The engine answers, reads only what is new, stays inside its context and survives failures."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from signal import SIGILL, SIGKILL, SIGSEGV

import llm_engines
import pytest
from llm_engines import (
    PATIENCE_S,
    SYSTEM,
    Direct,
    ask,
    request,
    running_engine,
    settings_for,
    shared_engine,
)

from chains.llm.engine import ChatTurn, GenerationRequest, LlmEngine
from chains.llm.sampler import Sampler
from core.errors import (
    EngineNotReadyError,
    EngineStalledError,
    GenerationError,
    ModelDamagedError,
    ModelMissingError,
    QuestionError,
)
from models.provision import model_path

pytestmark = pytest.mark.integration

FERRY = "The ferry to the northern island leaves at eight and comes back at six. " * 3


@pytest.fixture(scope="module")
def tiny() -> Iterator[LlmEngine]:
    yield from shared_engine("tiny")


@pytest.fixture(scope="module")
def fast() -> Iterator[LlmEngine]:
    yield from shared_engine("fast")


async def test_a_question_is_answered_with_its_measures(fast: LlmEngine) -> None:
    asked = await ask(fast, "What is the capital of France?", max_tokens=24)
    assert "Paris" in asked.text
    assert asked.finished.reason == "stop"
    assert asked.finished.completion_tokens < 24
    assert asked.finished.first_token_ms > 0
    assert asked.places == ()


async def test_characters_of_several_tokens_come_out_whole(fast: LlmEngine) -> None:
    assert (await fast.count_tokens(["🫐"]))[0] > 1
    asked = await ask(fast, "Repeat exactly, nothing else: 🫐 🫐 🫐", max_tokens=40)
    assert "🫐" in asked.text
    assert "�" not in asked.text


async def test_an_answer_ends_before_its_stop_string(tiny: LlmEngine) -> None:
    whole = await ask(tiny, "Name three colours.", max_tokens=24)
    word = whole.text.split()[2]
    cut = await ask(tiny, "Name three colours.", max_tokens=24, stop=(word,))
    assert cut.text == whole.text[: whole.text.index(word)]
    assert cut.finished.reason == "stop"


async def test_the_same_question_gets_the_same_answer(tiny: LlmEngine) -> None:
    first = await ask(tiny, "Tell me about rivers.", session_id="x")
    await ask(tiny, "Something else entirely.", session_id="y")
    assert (await ask(tiny, "Tell me about rivers.", session_id="z")).text == first.text


# ── reading only what is new ──────────────────────────────────────────────────────────────


async def test_a_follow_up_reads_only_what_is_new(fast: LlmEngine) -> None:
    first = await ask(fast, FERRY + "When does it leave?", session_id="f", max_tokens=40)
    contents = (FERRY + "When does it leave?", first.text, "And when does it come back?")
    second = await ask(fast, *contents, session_id="f", max_tokens=40)
    read_before = first.finished.prompt_tokens + first.finished.completion_tokens
    assert second.finished.cached_tokens >= read_before - 1
    new = await fast.count_tokens([contents[2]])
    assert second.finished.prompt_tokens - second.finished.cached_tokens <= new[0] + 12


async def test_an_answer_in_unusual_tokens_is_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tiny = Direct("tiny")
    vocabulary = tiny.service._loader.vocabulary("tiny")
    spelled = [token for letter in "It leaves at eight." for token in vocabulary.encode(letter)]
    usual = vocabulary.encode("It leaves at eight.")
    sampled = iter([*spelled, *vocabulary.encode("<|im_end|>", special=True)])
    monkeypatch.setattr(Sampler, "next", lambda _: next(sampled))
    first = await tiny.ask(FERRY + "When?", session_id="odd", max_tokens=60)
    monkeypatch.undo()
    assert first.text == "It leaves at eight."
    assert first.finished.completion_tokens == len(spelled) > len(usual)

    second = await tiny.ask(FERRY + "When?", first.text, "Sure?", session_id="odd")
    assert second.finished.cached_tokens >= first.finished.prompt_tokens + len(spelled) - 1


async def test_a_follow_up_to_a_stopped_answer_reads_only_what_is_new(tiny: LlmEngine) -> None:
    question = FERRY + "Tell me a long story about it."
    shown = ""
    async for event in tiny.stream(request(question, session_id="stopped", max_tokens=200)):
        shown += getattr(event, "text", "")
        if len(shown) > 20:
            break
    second = await ask(tiny, question, shown, "Go on.", session_id="stopped")
    prompt = (await tiny.count_tokens([question]))[0]
    assert second.finished.cached_tokens > prompt


async def test_sessions_in_turn_keep_what_they_have_read(tiny: LlmEngine) -> None:
    chats: dict[str, list[str]] = {name: [f"{name}: {FERRY}"] for name in ("ann", "bob", "cy")}
    for turn in range(3):
        for name, chat in chats.items():
            answered = await ask(tiny, *chat, session_id=name)
            if turn:
                fresh = answered.finished.prompt_tokens - answered.finished.cached_tokens
                assert fresh <= 20, (name, turn)
            chat += [answered.text, f"Question {turn} of {name}?"]


async def test_reuse_changes_no_answer(tiny: LlmEngine) -> None:
    chat = [FERRY + "Where does it go?"]
    chat += [(await ask(tiny, *chat, session_id="warm")).text, "When does it come back?"]
    await ask(tiny, "Another chat, to push that one out.", session_id="other")
    warm = await ask(tiny, *chat, session_id="warm", max_tokens=24)
    async with running_engine("tiny") as fresh:
        cold = await ask(fresh, *chat, session_id="warm", max_tokens=24)
    assert (warm.finished.cached_tokens, cold.finished.cached_tokens) > (0, 0)
    assert cold.finished.cached_tokens == 0
    assert warm.text == cold.text


async def test_what_was_warmed_is_read_by_no_question(tiny: LlmEngine) -> None:
    system = ChatTurn("system", "You answer questions about ferries only. " * 4)
    other = GenerationRequest((ChatTurn("system", FERRY), ChatTurn("user", "Hm?")), max_tokens=4)
    warmed = await tiny.warm((system,))
    for question in ("When?", "Where to?"):
        async for _ in tiny.stream(other):
            pass
        asked = GenerationRequest((system, ChatTurn("user", question)), max_tokens=4)
        *_, end = [event async for event in tiny.stream(asked)]
        assert end.cached_tokens == warmed  # type: ignore[union-attr]


async def test_saved_states_stay_within_their_bytes() -> None:
    limit = 12 * 2**20
    tiny = Direct("tiny", cache_bytes=limit)
    for number in range(8):
        await tiny.ask(f"{number} {FERRY}", session_id=str(number), max_tokens=2)
        assert tiny.generator._cache.size_bytes <= limit
    assert len(tiny.generator._cache) >= 2


# ── the context's end ─────────────────────────────────────────────────────────────────────


async def test_an_answer_ends_where_the_context_does() -> None:
    facts = [f"Fact {n}: a boy had {n} dogs." for n in range(1, 100)]
    async with running_engine("tiny", llm_context_tokens=1024) as engine:
        asked = await ask(engine, " ".join(facts[:71]) + " Repeat the facts.", max_tokens=2000)
        assert asked.finished.reason == "length"
        # The last token is written and need not be read.
        assert asked.finished.prompt_tokens + asked.finished.completion_tokens == 1024 + 1
        with pytest.raises(QuestionError, match="1023 fit"):
            await ask(engine, " ".join(facts))
        assert (await ask(engine, "Still there?")).finished.completion_tokens


async def test_the_answer_is_never_longer_than_asked_for(tiny: LlmEngine) -> None:
    asked = await ask(tiny, "Count from one to a hundred.", max_tokens=7)
    assert asked.finished.completion_tokens == 7
    assert asked.finished.reason == "length"


# ── models ────────────────────────────────────────────────────────────────────────────────


async def test_models_are_changed_on_demand(tiny: LlmEngine) -> None:
    settings_for("fast")
    assert tiny.loaded_profile == "tiny"
    answers = await asyncio.gather(
        *(
            ask(tiny, "What is the capital of France?", session_id=str(n), profile=profile)
            for n, profile in enumerate(("tiny", "fast", "tiny", "fast"))
        )
    )
    assert len({answer.text for answer in answers[1::2]}) == 1
    assert "Paris" in answers[1].text
    assert tiny.loaded_profile == "fast"
    await ask(tiny, "And you?")
    assert tiny.loaded_profile == "tiny"
    assert tiny.state == "ready"


async def test_a_model_that_is_not_there_costs_only_its_own_request(tmp_path: Path) -> None:
    async with running_engine("tiny", models_dir=_models(tmp_path)) as engine:
        with pytest.raises(ModelMissingError):
            await ask(engine, "Hello?", profile="quality")
        assert engine.loaded_profile == "tiny"
        assert engine.state == "ready"
        assert (await ask(engine, "Hello?")).text


async def test_a_damaged_file_is_a_clear_failure_that_can_be_mended(tmp_path: Path) -> None:
    models_dir = _models(tmp_path)
    file = model_path("tiny", models_dir)
    sound = file.read_bytes()
    file.unlink()
    file.write_bytes(sound[:5000] + bytes([sound[5000] ^ 1]) + sound[5001:])
    engine = LlmEngine(settings_for("tiny", models_dir=models_dir))
    with pytest.raises(EngineNotReadyError):
        await ask(engine, "Too early?")

    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    with pytest.raises(EngineNotReadyError) as waiting:
        await ask(engine, "Asked while it loads?")
    with pytest.raises(ModelDamagedError):
        await starting
    assert engine.state == "failed"
    assert engine.problem == str(waiting.value)
    assert "tiny" in engine.problem
    with pytest.raises(EngineNotReadyError):
        await ask(engine, "Asked after that?")

    file.write_bytes(sound)
    await engine.start()
    assert (engine.state, engine.problem) == ("ready", None)
    assert (await ask(engine, "Hello?")).text
    await engine.aclose()
    assert engine.state == "stopped"


async def test_questions_asked_while_it_loads_are_answered() -> None:
    engine = LlmEngine(settings_for("tiny"))
    starting = asyncio.create_task(engine.start())
    await asyncio.sleep(0)
    asked = await ask(engine, "Hello?")
    assert asked.places == (0,)
    assert asked.text
    await starting
    await engine.aclose()


# ── failures ──────────────────────────────────────────────────────────────────────────────


async def test_a_failure_costs_one_answer_and_the_engine_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = tmp_path / "faults.json"
    child = str(Path(llm_engines.__file__).with_name("faulty_child.py"))
    monkeypatch.setattr("engines.process.COMMAND", ("-P", child, str(faults)))
    async with running_engine("tiny") as engine:
        sound = await ask(engine, "Hello?")
        pid = engine.report().pid
        faults.write_text('{"llm": "error"}')
        with pytest.raises(GenerationError) as caught:
            await ask(engine, "Hello?")
        assert "llama_decode returned -3" in str(caught.value.__cause__)
        faults.write_text("{}")
        assert engine.state == "ready"
        again = await ask(engine, "Hello?")
        assert again.text == sound.text
        assert again.finished.cached_tokens == 0  # nothing is taken over from what failed
        assert engine.report().pid == pid


async def test_a_process_that_is_lost_costs_one_answer_and_comes_back_warm(
    tmp_path: Path,
) -> None:
    async with running_engine("tiny") as engine:
        warmed = await engine.warm((SYSTEM,))
        sound = await ask(engine, "Hello?")
        for signal in (SIGKILL, SIGSEGV, SIGILL):
            stream = engine.stream(request("Tell me a long story.", max_tokens=1500))
            await anext(stream)
            lost = engine.report().pid
            assert lost is not None
            waiting = asyncio.create_task(ask(engine, "Hello?", session_id="waits"))
            await asyncio.sleep(0)
            os.kill(lost, signal)
            with pytest.raises(GenerationError):
                async for _ in stream:
                    pass
            again = await waiting
            assert again.text == sound.text
            assert again.finished.cached_tokens >= warmed
            assert engine.report().pid != lost
        assert engine.report().restarts == 3


async def test_a_model_that_hangs_is_ended_and_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults = tmp_path / "faults.json"
    child = str(Path(llm_engines.__file__).with_name("faulty_child.py"))
    monkeypatch.setattr("engines.process.COMMAND", ("-P", child, str(faults)))
    async with running_engine("tiny", llm_stall_s=4) as engine:
        stuck = engine.report().pid
        faults.write_text('{"llm": "hang"}')
        asked = asyncio.create_task(ask(engine, "Hello?"))
        async with asyncio.timeout(PATIENCE_S):
            with pytest.raises(EngineStalledError):
                await asked
        faults.write_text("{}")
        assert (await ask(engine, "Hello?")).text
        assert engine.report().pid != stuck


async def test_counting_needs_no_model_and_does_not_wait() -> None:
    engine = LlmEngine(settings_for("tiny"))
    assert await engine.count_tokens(["", "Hello, world."]) == [0, 4]
    assert engine.state == "stopped"
    await engine.start()
    async for _ in engine.stream(request("Tell me a story.", max_tokens=400)):
        assert await engine.count_tokens(["Hello, world."], "tiny") == [4]
        assert not engine.idle
        break
    await engine.aclose()


async def test_closing_ends_what_runs_and_what_waits() -> None:
    engine = LlmEngine(settings_for("tiny"))
    await engine.start()
    asked = [asyncio.create_task(ask(engine, "Go on?", session_id=str(n))) for n in range(3)]
    running = engine.stream(request(FERRY, max_tokens=500))
    await anext(running)
    async with asyncio.timeout(PATIENCE_S):
        await engine.aclose()
        outcomes = await asyncio.gather(*asked, return_exceptions=True)
        with pytest.raises(EngineNotReadyError):
            async for _ in running:
                pass
    assert all(isinstance(o, EngineNotReadyError) or o.text for o in outcomes)  # type: ignore[union-attr]
    assert engine.loaded_profile is None
    await engine.start()
    assert (await ask(engine, "Back again?")).text
    await engine.aclose()


def _models(folder: Path) -> Path:
    """A models folder of its own with only the tiny model in it."""
    source = model_path("tiny", settings_for("tiny").models_dir)
    shutil.copytree(source.parent, folder / "models" / "tiny")
    return folder / "models"
