"""What the evidence does not bear out is not said, with the real search and a weak model."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import pytest
import pytest_asyncio

from chains.types import LIBRARY_OWNER, Answer, Done, Outcome, Question
from core.settings import load_settings
from xoe.services import Services

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ASKER = "session:asker"
FILES = {
    "pottery.md": "# Pottery\n\nThe pottery sells bowls and jugs. The pottery is closed on "
    "Tuesdays. A course of six evenings costs 95 euros. The kiln was repaired by Ida Falk in "
    "2016. Ida Falk hired Otto Lund in 2019.\n",
    "staff.md": "# Staff\n\nThe IT is led by Nora Behn. The canteen is led by Per Dahl.\n",
    "toepferei.md": "# Töpferei\n\nDie Töpferei am Markt ist montags geschlossen. Ein Kurs kostet "
    "dort 80 Euro.\n",
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(
    tmp_path_factory: pytest.TempPathFactory, need_models: Callable[..., None]
) -> AsyncIterator[Services]:
    need_models("tiny", "embedder")
    folder = tmp_path_factory.mktemp("grounds")
    for name, text in FILES.items():
        Path(folder, name).write_text(text, encoding="utf-8")
    settings = load_settings(
        data_dir=folder / "data", voice=False, llm_profile="tiny", llm_stall_s=600
    )
    services = await Services.create(settings, sync_library=False, with_voice=False)
    try:
        for name in FILES:
            report = await services.ingestor.ingest_file(
                folder / name, name=name, owner=LIBRARY_OWNER
            )
            assert report.status == "ready", report
        await services.model_ready()
        yield services
    finally:
        await services.aclose()


async def ask(services: Services, text: str) -> Answer:
    question = Question(text, text, ASKER, max_tokens=40)
    async with aclosing(services.answers.stream(question)) as events:
        (done,) = [event async for event in events if isinstance(event, Done)]
    return done.answer


@pytest.mark.parametrize(
    ("question", "begins", "holds"),
    [
        ("Is the pottery open on Tuesday?", "No: ", "closed"),
        ("Does a course of six evenings cost 120 euros?", "No: ", "95"),
        ("Does a course of six evenings cost 95 euros?", "Yes: ", "95"),
        ("Ist die Töpferei am Markt am Montag geöffnet?", "Nein: ", "geschlossen"),
    ],
)
async def test_a_yes_or_no_comes_first(
    services: Services, question: str, begins: str, holds: str
) -> None:
    answer = await ask(services, question)
    assert answer.text.startswith(begins)
    assert holds in answer.text
    assert answer.grounded


@pytest.mark.parametrize(
    "question",
    [
        "When was the kiln of the pottery inspected?",
        "Who hired Ida Falk?",
        "Whom did Otto Lund hire?",
    ],
)
async def test_another_act_or_exchanged_roles_are_the_nearest(
    services: Services, question: str
) -> None:
    turn = await services.answers.prepare(Question(question, question, ASKER))
    assert turn.settled is not None
    assert turn.settled.outcome is not Outcome.ANSWERED


async def test_the_it_is_a_department(services: Services) -> None:
    answer = await ask(services, "Who leads the IT?")
    assert "Nora Behn" in answer.text
    assert answer.grounded
