"""A library in eleven languages, searched and answered with the real engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from language_texts import ABSENT, TEXTS

from chains.gate import is_answerable
from chains.phrases import FOREIGN, said
from chains.types import LIBRARY_OWNER, Answer, Done, Question
from core.settings import load_settings
from ingest.folders import Folder, sync_folder
from ingest.language import language_of
from ingest.scope import Scope
from xoe.services import Services
from xoe.workbench import Workbench

pytestmark = pytest.mark.integration

GUIDE = Path(__file__).resolve().parents[2] / "library"
QUESTIONS = [
    (language, question, answer)
    for language, content in TEXTS.items()
    for question, answer in content.questions
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    """The shipped library, and beside it one document in each of the languages."""
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"))
    folder = tmp_path_factory.mktemp("library")
    for language, content in TEXTS.items():
        (folder / f"{language}.md").write_text(f"# {content.title}\n\n{content.text}\n", "utf-8")

    async def fill() -> Workbench:
        bench = await asyncio.to_thread(Workbench.build, settings)
        async for report in sync_folder(
            bench.store, bench.ingestor, Folder(GUIDE, LIBRARY_OWNER, is_library=True)
        ):
            assert report.status == "ready", report
        async for report in sync_folder(
            bench.store, bench.ingestor, Folder(folder, "texts", is_library=True)
        ):
            assert report.status == "ready", report
        return bench

    with asyncio.Runner() as runner:
        bench = runner.run(fill())
        yield bench
        runner.run(bench.aclose())


async def test_answers_and_notes_are_in_the_questions_language(
    tmp_path: Path, need_models: Callable[..., None]
) -> None:
    """A model of half a billion parameters writes in German when it is told to."""
    need_models("fast", "embedder")
    settings = load_settings(
        data_dir=tmp_path / "data", voice=False, llm_profile="fast", llm_stall_s=600
    )
    services = await Services.create(settings, sync_library=False, with_voice=False)
    path = tmp_path / "verein.md"
    path.write_text(f"# {TEXTS['de'].title}\n\n{TEXTS['de'].text}\n", "utf-8")

    async def ask(text: str) -> Answer:
        question = Question(text, f"chat-{text}", "session:a")
        async with aclosing(services.answers.stream(question)) as events:
            (done,) = [event async for event in events if isinstance(event, Done)]
        return done.answer

    try:
        await services.model_ready()
        await services.ingestor.ingest_file(path, name=path.name, owner="session:a")
        answered = await ask("In welchem Monat wird der Wasserhahn abgestellt?")
        assert answered.grounded and "November" in answered.text
        assert language_of(answered.text) == "de"
        silent = await ask("Wer ist der Bürgermeister von Kopenhagen?")
        assert not silent.grounded and language_of(silent.text) == "de"
        foreign = await ask("Quel est le prix du chauffage pour les serres du club ?")
        assert not foreign.grounded and language_of(foreign.text) == "fr"
        assert foreign.note == said(FOREIGN, "fr")
        assert not silent.note
    finally:
        await services.aclose()


@pytest.mark.parametrize(("language", "question", "answer"), QUESTIONS)
def test_a_question_finds_what_other_forms_of_its_words_say(
    bench: Workbench, language: str, question: str, answer: str
) -> None:
    result = bench.search.search(question, Scope.of(LIBRARY_OWNER, "texts"), limit=3)
    texts = [" ".join(passage.text.split()) for passage in result.passages]
    assert any(answer in text for text in texts), texts
    assert result.passages[0].language == language
    assert is_answerable(result), texts


def test_most_questions_that_no_text_answers_are_stopped(bench: Workbench) -> None:
    """The embedder knows English alone: by its cosines half of them would pass."""
    asked = [question for questions in ABSENT.values() for question in questions]
    passed = [
        question
        for question in asked
        if is_answerable(bench.search.search(question, Scope.of(LIBRARY_OWNER, "texts"), limit=3))
    ]
    assert len(passed) <= len(asked) / 4, passed
