"""A prompt always fits; what it loses goes in a fixed order, and its beginning stays put."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.llm.budget import (
    FittedPrompt,
    PastTurn,
    TemplateCost,
    TokenCounter,
    estimate_tokens,
    fit_prompt,
)
from chains.llm.request import ChatTurn
from core.errors import QuestionError

COST = TemplateCost(base=13, per_turn=10)


def count_words(texts: Sequence[str]) -> list[int]:
    return [len(re.findall(r"\w+|[^\w\s]", text)) for text in texts]


def count_characters(texts: Sequence[str]) -> list[int]:
    return [-(-len(text) // 4) for text in texts]


def render(passages: Sequence[str], question: str) -> str:
    numbered = "".join(f"[{i}] {text}\n" for i, text in enumerate(passages, 1))
    return f"{numbered}Question: {question}"


def words(number: int, word: str = "word") -> str:
    return " ".join([word] * number)


def turn(number: int, size: int = 50) -> PastTurn:
    return PastTurn(f"turn {number} {words(size)}", f"answer {number}")


def fit(
    *,
    history: Sequence[PastTurn] = (),
    passages: Sequence[str] = (),
    question: str = "What is it?",
    max_tokens: int = 100,
    context_tokens: int = 1024,
    count: TokenCounter = count_words,
    system: str = "Answer from the passages.",
) -> FittedPrompt:
    return fit_prompt(
        system=system,
        history=history,
        passages=passages,
        question=question,
        render=render,
        max_tokens=max_tokens,
        context_tokens=context_tokens,
        count=count,
        cost=COST,
    )


def size_of(prompt: FittedPrompt, count: TokenCounter) -> int:
    turns = (len(prompt.messages) - 2) // 2
    texts = [message.content for message in prompt.messages]
    return sum(count(texts)) + COST.base + COST.per_turn * turns


text_sizes = st.integers(0, 600)


@settings(max_examples=300)
@given(
    history=st.lists(st.tuples(text_sizes, text_sizes), max_size=12),
    passages=st.lists(text_sizes, max_size=10),
    question=st.integers(0, 1500),
    system=st.integers(0, 200),
    max_tokens=st.integers(1, 4000),
    context_tokens=st.integers(1024, 4096),
    count=st.sampled_from([count_words, count_characters, estimate_tokens]),
)
def test_prompt_and_answer_never_overflow_the_context(
    history: list[tuple[int, int]],
    passages: list[int],
    question: int,
    system: int,
    max_tokens: int,
    context_tokens: int,
    count: TokenCounter,
) -> None:
    turns = [PastTurn(words(user), words(answer)) for user, answer in history]
    texts = [words(size, f"passage{number}") for number, size in enumerate(passages)]
    asked = words(question, "why")
    try:
        prompt = fit(
            history=turns,
            passages=texts,
            question=asked,
            system=words(system),
            max_tokens=max_tokens,
            context_tokens=context_tokens,
            count=count,
        )
    except QuestionError:
        alone = sum(count([words(system), render((), asked)])) + COST.base
        room = context_tokens - min(max_tokens, context_tokens // 2) - context_tokens // 64
        assert alone > room
        return
    assert size_of(prompt, count) + prompt.max_tokens <= context_tokens
    assert size_of(prompt, count) == prompt.prompt_tokens
    assert prompt.messages[0] == ChatTurn("system", words(system))
    assert prompt.messages[-1].content == render(prompt.passages, asked)
    assert list(prompt.history) == turns[len(turns) - len(prompt.history) :]
    whole = prompt.passages[:-1]
    assert list(whole) == texts[: len(whole)]
    if prompt.passages and prompt.passages[-1] != texts[len(whole)]:
        assert texts[len(whole)].startswith(prompt.passages[-1].removesuffix(" …"))


def test_what_fits_is_left_whole() -> None:
    history, passages = [turn(1), turn(2)], [words(40), words(30)]
    prompt = fit(history=history, passages=passages)
    assert list(prompt.history) == history
    assert list(prompt.passages) == passages
    assert [message.role for message in prompt.messages] == [
        "system",
        *("user", "assistant") * 2,
        "user",
    ]


def test_history_goes_before_any_passage_does() -> None:
    passages = [words(200), words(200), words(200)]
    prompt = fit(history=[turn(i) for i in range(20)], passages=passages)
    assert list(prompt.passages) == passages
    assert len(prompt.history) < 5


def test_the_last_passages_go_first_and_one_is_cut_between_words() -> None:
    passages = [words(300, "one"), words(300, "two"), words(300, "three"), words(300, "four")]
    prompt = fit(passages=passages)
    assert list(prompt.passages[:2]) == passages[:2]
    assert len(prompt.passages) == 3
    assert re.fullmatch(r"(three )+…", prompt.passages[2])
    assert size_of(prompt, count_words) > 1024 - 100 - 1024 // 64 - 8


def test_a_scrap_of_a_passage_is_left_out() -> None:
    room = 1024 - 100 - 1024 // 64 - COST.base - count_words(["Answer from the passages."])[0]
    first = words(room - 30)
    assert fit(passages=[first, words(100)]).passages == (first,)


def test_an_overlong_question_is_refused_with_a_reason_and_never_cut() -> None:
    with pytest.raises(QuestionError, match=r"too long: it has about 2006 tokens and \d+ fit"):
        fit(question=words(2004), passages=[words(10)])


def test_the_answer_gets_half_of_the_context_at_most() -> None:
    assert fit(max_tokens=5000, context_tokens=2048).max_tokens == 1024


def starts_of(prompts: list[FittedPrompt]) -> list[str]:
    return [prompt.messages[1].content.split(" word")[0] for prompt in prompts]


@pytest.mark.parametrize("hand_back_kept", [False, True])
def test_the_beginning_stays_the_same_for_several_turns(hand_back_kept: bool) -> None:
    history: list[PastTurn] = []
    prompts = []
    for number in range(60):
        passages = [words(40 + number * 7 % 30), words(30 + number * 11 % 40)]
        prompts.append(fit(history=history, passages=passages))
        history = [*(prompts[-1].history if hand_back_kept else history), turn(number)]
    starts = starts_of(prompts[1:])
    changes = sum(one != other for one, other in itertools.pairwise(starts))
    kept = max(len(prompt.history) for prompt in prompts)
    assert kept >= 6
    assert changes <= len(starts) // (kept // 2)


def test_half_of_the_historys_room_is_given_up_at_once() -> None:
    history: list[PastTurn] = []
    sizes = []
    for number in range(40):
        history.append(turn(number))
        sizes.append(len(fit(history=history).history))
    drops = [after - before for before, after in itertools.pairwise(sizes)]
    full = max(sizes)
    assert {drop for drop in drops if drop < 0} <= {-(full // 2) - 1, -(full // 2), 1 - full // 2}
    assert min(sizes[sizes.index(full) :]) >= full // 2 - 1


def test_an_estimate_is_never_below_a_token_for_three_bytes() -> None:
    assert estimate_tokens(["", "a", "four", "漢字"]) == [0, 1, 2, 2]
