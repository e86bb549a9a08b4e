"""Thirty documents named in thirty ways, with the real search and a real model."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path

import documents as files
import httpx
import pytest
import pytest_asyncio
from documents import Section
from page_client import open_page
from servers import Server

from chains.types import LIBRARY_OWNER, Answer, AnswerEvent, Done, Progress, Question
from core.settings import load_settings
from ingest.folders import Folder, sync_folder
from xoe.services import Services

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

ASKER = "session:asker"
SENTENCES = itertools.count(4)
"""Another summary each time: one that was written is kept."""

NAMED: tuple[tuple[str, str, str, str], ...] = (
    # file, title, text, what is asked
    ("agreement.md", "Contract on garage 7", "Garage 7 is let to Ms Ott for 61 euros a month. The "
     "gate is repaired by the owner.", "Summarise the garage agreement in one line"),
    ("lease-garage-8.md", "Contract on garage 8", "Garage 8 is let to Mr Falk for 58 euros a "
     "month. It has a socket.", "Give me a one-line summary of the contract on garage 8"),
    ("heat_pump-manual.md", "Vario 300", "The Vario 300 is bled at the upper valve. It needs a "
     "pressure of 1.5 bar.", "One-line summary of the heat pump manual, please"),
    ("boilerManual2021.txt", "", "The boiler is swept each October. The flame must burn blue.",
     "What is the boiler manual of twenty twenty-one about, in one sentence?"),
    ("minutes-2023-05.md", "Minutes", "The board bought a lawn mower. Ms Reuter keeps the key.",
     "Summarise the minutes of May 2023 in one sentence"),
    ("minutes-2023-06.md", "Minutes", "The board sold the old piano. Mr Lang wrote the advert.",
     "Sum up the minutes from June in one line"),
    ("offer-hof.md", "Offer of Hof & Co", "Hof & Co builds the fence for 4,250 euros.",
     "In one sentence, what is the offer of Hof and Co about?"),
    ("offer-lenz.md", "Offer of Bau Lenz", "Bau Lenz builds the fence for 4,800 euros.",
     "TL;DR the Bau Lens offer in one line"),
    ("dog-park.html", "Rules of the dog park", "Dogs are kept on a lead until the meadow. The pond "
     "is closed to dogs.", "Give me the dogpark rules in one sentence"),
    ("scan-0012.txt", "", "Bees live in hives. A hive of bees makes 20 kilograms of honey a year.",
     "One sentence summary of the document about bees and honey"),
    ("scan-0013.txt", "", "Swallows fly to Africa in autumn. They return in April to their nests.",
     "Summarise the text on swallows flying to Africa in one sentence"),
    ("IMG_4711.md", "Passport renewal", "A passport is renewed at the town hall. Bring a photo.",
     "What's the passport renewal paper about, in one line?"),
    ("apple cake.md", "Apple cake", "Peel six apples. Bake the cake for 45 minutes.",
     "the aple cake in one line"),
    ("cake-of-aunt-ida.md", "Nut cake of aunt Ida", "Grind 200 g of nuts. Bake at 170 degrees.",
     "summarize the nut cake recipe of Aunt Ida in one sentence"),
    ("travel/rome.md", "Rome in March", "The train to Rome leaves at 7:40. The hotel is at the "
     "Tiber.", "My Rome trip in one sentence, please"),
    ("travel/oslo.md", "Oslo in July", "The ferry to Oslo takes twenty hours. The cabin has a "
     "window.", "Sum up travel/oslo.md in one line"),
    ("water-meter-letter.docx", "", "The water meter is read on 9 July. Please clear the cellar.",
     "what does the letter about the water meter say in one sentence"),
    ("insurance.docx", "Household insurance", "The insurance covers theft up to 9,000 euros. Glass "
     "is not covered.", "Give me the gist of the household insurance in a sentence"),
    ("rowing_club.docx", "Rowing club", "The rowing club meets on Thursdays. Oars are lent out.",
     "Give me a one sentence overview of the rowing-club file"),
    ("lighthouse.pdf", "The lighthouse of Norrhamn", "The lighthouse was built by Rasmus Holt. Its "
     "lamp shines 20 miles.", "Summarise the pdf on the lighthouse in one line"),
    ("camping.pdf", "Camping site", "Tents are pitched by 20:00. A place costs 18 euros a night.",
     "Key points of camping dot pdf in one sentence"),
    ("bike.pdf", "Bicycle repair", "The chain is oiled every month. The brakes are set by a screw.",
     "How would you sum up the bicycle repair document in one sentence?"),
    ("choir.html", "Choir of St Anne", "The choir rehearses on Mondays. Basses are wanted.",
     "Please summarise the choir of saint anne page in one sentence"),
    ("allotments.html", "Allotment garden rules", "Hedges are cut in March. Fires are forbidden.",
     "One-line summary: allotment garden rules"),
    ("vaccination.txt", "", "The cat is vaccinated against flu. The next date is 3 May.",
     "give me one line on what the vaccination file is about"),
    ("router-setup.md", "Setting up the router", "The router is reset with a pin. The light turns "
     "green.", "Condense the router set-up notes into one sentence"),
    ("solar.md", "Solar panels on the barn", "The panels give 9 kilowatts. The inverter hangs in "
     "the barn.", "What are the main points of the solar pannels document, in one line?"),
    ("school-trip.md", "School trip to the mine", "The bus leaves at eight. Each child needs "
     "boots.", "summary of the school trip in 1 sentence"),
    ("tax2022.md", "Tax return 2022", "The refund is 412 euros. It comes in August.",
     "sum up my tax return for twenty twenty two in one line"),
    ("tax2023.md", "Tax return 2023", "An extra payment of 77 euros is due in May.",
     "sum up my tax return for 2023 in one line"),
)  # fmt: skip


def _file(name: str, title: str, text: str) -> bytes:
    sections = (Section(title, (text,)),)
    match name.rsplit(".", 1)[-1]:
        case "md":
            return f"# {title}\n\n{text}\n".encode()
        case "docx":
            return files.docx((Section(title or "Letter", (text,)),), title=title)
        case "pdf":
            return files.pdf(sections, title=title)
        case "html":
            return files.html((), title=title, body=f"<h1>{title}</h1><p>{text}</p>")
    return f"{text}\n".encode()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def services(
    tmp_path_factory: pytest.TempPathFactory, need_models: Callable[..., None]
) -> AsyncIterator[Services]:
    need_models("tiny", "embedder")
    folder = tmp_path_factory.mktemp("whole")
    settings = load_settings(
        data_dir=folder / "data", voice=False, llm_profile="tiny", llm_stall_s=600
    )
    services = await Services.create(settings, sync_library=False, with_voice=False)
    try:
        for number, (name, title, text, *_) in enumerate(NAMED):
            path = folder / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_file(name, title, text))
            if number % 3 == 0:
                report = await services.ingestor.ingest_file(path, name=name, owner=ASKER)
                assert report.status == "ready", report
                path.unlink()
        async for report in sync_folder(
            services.bench.store,
            services.ingestor,
            Folder(folder / "files", LIBRARY_OWNER, is_library=True),
        ):
            assert report.status == "ready", report
        await services.model_ready()
        yield services
    finally:
        await services.aclose()


async def ask(services: Services, text: str, chat: str = "chat") -> list[AnswerEvent]:
    async with aclosing(services.answers.stream(Question(text, chat, ASKER))) as events:
        return [event async for event in events]


def answer_of(events: list[AnswerEvent]) -> Answer:
    (done,) = [event for event in events if isinstance(event, Done)]
    return done.answer


async def test_a_one_line_summary_is_of_the_document_that_was_named(services: Services) -> None:
    """Thirty summaries by a real model: it reads and writes for half a minute or two."""
    wrong = []
    for number, (name, _, _, question) in enumerate(NAMED):
        answer = answer_of(await ask(services, question, f"chat-{number}"))
        cited = {citation.source.rsplit("/", 1)[-1] for citation in answer.citations}
        right = cited == {name.rsplit("/", 1)[-1]} and answer.grounded
        if not right:
            wrong.append((question, sorted(cited), answer.text[:200]))
    assert not wrong


@pytest.mark.parametrize(
    "question",
    [
        "Summarise the contract on garage 9 in one line",
        "Give me a one-line summary of the swimming pool manual",
        "Summarise the minutes of July 2023",
    ],
)
async def test_a_document_that_is_not_there_is_not_summed_up(
    services: Services, question: str
) -> None:
    answer = answer_of(await ask(services, question))
    assert not answer.grounded
    assert not answer.citations


async def test_the_second_summary_is_kept(services: Services) -> None:
    question = f"Summarise the lighthouse document in {next(SENTENCES)} sentences"
    first = await ask(services, question, "one")
    second = await ask(services, question, "two")
    assert any(isinstance(event, Progress) for event in first)
    assert not any(isinstance(event, Progress) for event in second)
    assert answer_of(first).text == answer_of(second).text


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("insects that make honey", {"scan-0012.txt"}),
        ("garages", {"agreement.md", "lease-garage-8.md"}),
        ("fences", {"offer-hof.md", "offer-lenz.md"}),
    ],
)
async def test_documents_about_something_are_found_by_what_they_say(
    services: Services, topic: str, expected: set[str]
) -> None:
    answer = answer_of(await ask(services, f"Which documents do I have about {topic}?"))
    assert expected <= {citation.source for citation in answer.citations}
    assert len(answer.citations) <= len(expected) + 2


MANUAL = "# Manual of the plant\n\n" + "\n\n".join(
    f"## The {name}\n\n"
    + " ".join(f"Valve {number} of the {name} is opened by hand at noon." for number in range(14))
    for name in ("boiler", "pump", "turbine", "cooler")
)


async def test_page_and_programs_are_told_which_part_is_read_and_stop_ends_it(
    tmp_path: Path, need_models: Callable[..., None]
) -> None:
    """It starts a server, and the model reads parts of a long document."""
    need_models("tiny", "embedder")
    server = Server(
        tmp_path,
        {"XOE_LLM_PROFILE": "tiny", "XOE_VOICE": "false", "XOE_LLM_STALL_S": "300"},
    )
    (server.library / "plant.md").write_text(MANUAL)
    await asyncio.to_thread(server.start)
    try:
        async with open_page(server.url) as page:
            await page.type("Summarise the manual of the plant")

            def told() -> str:
                return json.dumps([data for event, data in page.events if "message" in event])

            await page.until(lambda: "Reading part 2 of" in told())
            await page.socket.emit("stop")
            await page.until(lambda: "Stopped." in page.answers[-1])
            whole = await page.ask("Summarise the manual of the plant")
            assert "Manual of the plant" in whole
            assert "The turbine" in whole
            assert "Reading part" not in whole
        async with httpx.AsyncClient(base_url=server.url, timeout=300, trust_env=False) as client:
            body = {"question": "Summarise plant.md in one sentence"}
            response = await client.post("/query/stream", json=body)
        assert '"part":1,"parts":1' in response.text
        assert '"grounded":true' in response.text
    finally:
        await asyncio.to_thread(server.stop)
