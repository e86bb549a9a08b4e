"""A library in eleven languages, searched and answered with the real engines."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from language_texts import TEXTS

from chains.gate import is_answerable
from chains.types import LIBRARY_OWNER
from core.settings import load_settings
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
        async for report in bench.ingestor.sync_folder(GUIDE, owner=LIBRARY_OWNER):
            assert report.status == "ready", report
        async for report in bench.ingestor.sync_folder(folder, owner="texts"):
            assert report.status == "ready", report
        return bench

    with asyncio.Runner() as runner:
        bench = runner.run(fill())
        yield bench
        runner.run(bench.aclose())


@pytest.mark.parametrize(("language", "question", "answer"), QUESTIONS)
def test_a_question_finds_what_other_forms_of_its_words_say(
    bench: Workbench, language: str, question: str, answer: str
) -> None:
    result = bench.search.search(question, (LIBRARY_OWNER, "texts"), limit=3)
    texts = [" ".join(passage.text.split()) for passage in result.passages]
    assert any(answer in text for text in texts), texts
    assert result.passages[0].language == language
    assert is_answerable(result), texts
