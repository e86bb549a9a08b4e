"""The sample library answers the questions that a newcomer asks first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from chains.gate import is_answerable
from chains.types import LIBRARY_OWNER
from core.settings import load_settings
from ingest.folders import Folder, sync_folder
from ingest.scope import Scope
from xoe.workbench import Workbench

pytestmark = pytest.mark.integration

LIBRARY = Path(__file__).resolve().parents[2] / "library"

QUESTIONS = [
    ("Which file types can I add?", "PDF, Word (.docx), PowerPoint, Excel, OpenDocument"),
    ("How large may a document be?", "50 MB"),
    ("How do I switch the model?", "/model quality"),
    ("How large is the Quality model?", "1,117 MB"),
    ("Is my data private?", "stay on this computer"),
    ("Where is my data stored?", "data folder"),
    ("How long is a conversation remembered?", "kept until you delete it"),
    ("Can it read scanned PDFs?", "are read by text recognition"),
    ("How do I remove a document?", "/library"),
    ("What does /reset do?", "forgets the conversation"),
    ("How do I back up the data folder?", "xoe backup FILE"),
    ("How do I start and stop the server?", "make run"),
    ("How do I use another port?", "PORT"),
    ("What happens when Redis cannot be reached?", "everything else works"),
    ("What does the health endpoint return?", "503"),
    ("How much memory does it need?", "2 GB of memory"),
    ("How can I use vLLM or llama-server?", "XOE_LLM_BASE_URL"),
    ("Why was my PDF refused?", "encrypted PDF is refused"),
    ("What do the numbers in square brackets mean?", "citation"),
    ("Does it work without the internet?", "works without the internet"),
    ("Do I need a graphics card?", "graphics card is not used"),
    ("Which language models are there?", "Qwen2.5-Coder"),
    ("How do I install it?", "make run"),
    ("Who can see the documents that I drop on the page?", "nobody else"),
    ("What is the size limit of an upload?", "50 MB"),
    ("What is in the data folder?", "xoe.sqlite"),
    ("What does xoe doctor do?", "what is missing"),
    ("How do I start a call?", "sound wave"),
    ("How do I end a call?", "ends the call"),
    ("How can I interrupt the answer when it is speaking?", "just start talking"),
    ("How do I press and hold to talk?", "space bar"),
    ("How do I dictate a question?", "dictation button"),
    ("Can it read an answer aloud?", "reads it aloud"),
    ("Can I add audio files?", "recordings"),
    ("How long may a recording be?", "12 hours"),
    ("Which languages can I speak?", "Whisper base"),
    ("How do I change the voice?", "XOE_TTS_VOICE"),
    ("Why does the microphone not work?", "Allow the microphone"),
    ("Does the microphone work over the network?", "https"),
    ("How do I switch voice off?", "XOE_VOICE=false"),
    ("How much memory does voice take?", "0.4 GB"),
    ("What does the bar of a call show?", "words understood so far"),
]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workbench]:
    settings = load_settings(data_dir=tmp_path_factory.mktemp("data"))

    async def fill() -> Workbench:
        bench = await asyncio.to_thread(Workbench.build, settings)
        async for report in sync_folder(
            bench.store, bench.ingestor, Folder(LIBRARY, LIBRARY_OWNER, is_library=True)
        ):
            assert report.status == "ready", report
        return bench

    with asyncio.Runner() as runner:
        bench = runner.run(fill())
        yield bench
        runner.run(bench.aclose())


@pytest.mark.parametrize(("question", "answer"), QUESTIONS)
def test_the_answer_is_among_the_passages(bench: Workbench, question: str, answer: str) -> None:
    result = bench.search.search(question, Scope.of(LIBRARY_OWNER), limit=3)
    texts = [" ".join(passage.text.split()) for passage in result.passages]
    assert is_answerable(result), texts
    assert any(answer.lower() in text.lower() for text in texts), texts
