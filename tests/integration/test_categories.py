"""A question that asks only some folders of the library: nothing of another reaches its answer.

Documents, embedder and search are real. Where the words of an answer do not matter the model is the
smallest; where it matters what it was given to read, it is a script.
"""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import httpx
import pytest
import pytest_asyncio
from scripted import Script, scripted_chain, written
from servers import Server, read_events, xoe

from chains.answer import AnswerChain
from chains.prepared import PreparedTurn
from chains.types import LIBRARY_OWNER, LOOSE, OWN, SHARED, Answer, Done, Outcome, Question

pytestmark = pytest.mark.integration

ME = "visitor:me"
SHARED_FILES = {
    "house/roof.md": (
        "# The roof\n\nThe roof was laid by Jana Petrova in 2019. It is made of larch shingles.\n"
    ),
    "house/garden/shed.md": (
        "# The garden shed\n\nThe lawn mower's petrol tank holds 1.4 litres.\n"
    ),
    "club/rules.md": (
        "# Rules of the rowing club\n\nThe annual fee of the club is 90 euros. Boats are returned "
        "before sunset.\n"
    ),
    "club/boats.md": (
        "# The boats\n\nThe club has a boat called Heron and a boat called Plover.\n"
    ),
    "notice.md": "# Notice\n\nThe water is turned off on Friday the 13th of May.\n",
}
MINE = {"diary.md": "# Diary\n\nMy bicycle has the frame number WX-5517.\n"}
SOMEBODYS = {"secret.md": "# Secret\n\nThe safe of the rowing club opens with 4711.\n"}
ROOF = "Who laid the roof?"
FEE = "What is the annual fee of the club?"
BICYCLE = "What is the frame number of my bicycle?"


class Asker:
    """Asks one chain, whose model writes what it is told to."""

    def __init__(self, chain: AnswerChain, model: Script) -> None:
        self.chain = chain
        self.model = model

    def question(self, text: str, *categories: str, chat: str = "chat", **fields: Any) -> Question:
        return Question(text, chat, ME, categories=categories, **fields)

    async def ask(
        self, text: str, *categories: str, says: str = "", chat: str = "", **fields: Any
    ) -> Answer:
        self.model.says, self.model.read = says, []
        asked = self.question(text, *categories, chat=chat or f"{text}{categories}", **fields)
        events = [event async for event in self.chain.stream(asked)]
        last = events[-1]
        assert isinstance(last, Done)
        return last.answer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def asker(tmp_path_factory: pytest.TempPathFactory, need_models: Any) -> AsyncIterator[Asker]:
    need_models("embedder")
    home = tmp_path_factory.mktemp("categories")
    documents = {LIBRARY_OWNER: SHARED_FILES, ME: MINE, "visitor:other": SOMEBODYS}
    async with scripted_chain(home, documents) as (chain, model):
        yield Asker(chain, model)


def cited(answer: Answer) -> set[str]:
    return {citation.source for citation in answer.citations}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("question", "says", "categories", "source"),
    [
        (ROOF, "Jana Petrova laid the roof.", ["house"], "house/roof.md"),
        (ROOF, "Jana Petrova laid the roof.", [SHARED], "house/roof.md"),
        (ROOF, "Jana Petrova laid the roof.", ["house", "club", OWN], "house/roof.md"),
        (ROOF, "Jana Petrova laid the roof.", ["club"], None),
        (ROOF, "Jana Petrova laid the roof.", [OWN], None),
        (ROOF, "Jana Petrova laid the roof.", [LOOSE], None),
        (ROOF, "Jana Petrova laid the roof.", ["garden"], None),
        (FEE, "The annual fee is 90 euros.", ["club"], "club/rules.md"),
        (FEE, "The annual fee is 90 euros.", ["house", LOOSE, OWN], None),
        (BICYCLE, "The frame number is WX-5517.", [OWN], "diary.md"),
        (BICYCLE, "The frame number is WX-5517.", ["house", OWN], "diary.md"),
        (BICYCLE, "The frame number is WX-5517.", [SHARED], None),
        (BICYCLE, "The frame number is WX-5517.", ["house", "club", LOOSE], None),
        (
            "How much petrol does the lawn mower's tank hold?",
            "The petrol tank holds 1.4 litres.",
            ["house"],
            "house/garden/shed.md",
        ),
        ("When is the water turned off?", "The water is off on Friday.", [LOOSE], "notice.md"),
        ("When is the water turned off?", "The water is off on Friday.", ["house"], None),
    ],
)
async def test_a_question_finds_what_is_in_the_picked_folders_and_nothing_else(
    asker: Asker, question: str, says: str, categories: Sequence[str], source: str | None
) -> None:
    answer = await asker.ask(question, *categories, says=says)
    if source is None:
        assert answer.outcome is Outcome.ABSENT
        assert not answer.citations
        assert "Only this was searched: " in answer.text
    else:
        assert answer.outcome is Outcome.ANSWERED
        assert cited(answer) == {source}
        assert answer.note.startswith("Only this was searched: ")
    named = {name.split("/")[0] for name in SHARED_FILES if "/" in name} - set(categories)
    if SHARED not in categories:  # neither was the model given anything of other folders
        assert not any(f"{one}/" in text for one in named for _, text in asker.model.read)
        assert not any(f"{one}/" in answer.text for one in named)


@pytest.mark.asyncio(loop_scope="module")
async def test_nobody_reaches_what_is_anothers_by_any_category(asker: Asker) -> None:
    for categories in ([], [OWN], [SHARED], ["club"], ["visitor:other"], [OWN, SHARED, LOOSE]):
        answer = await asker.ask("What opens the safe of the rowing club?", *categories)
        assert "4711" not in answer.text
        assert not any("4711" in text for _, text in asker.model.read)


@pytest.mark.asyncio(loop_scope="module")
async def test_whole_documents_and_the_collection_are_those_of_the_picked_folders(
    asker: Asker,
) -> None:
    club = await asker.ask("How many documents do I have?", "club")
    assert "There are 2 documents in the library." in club.text
    assert "Only this was searched: club." in club.text
    listed = await asker.ask("Which documents do I have?", "club", OWN)
    assert "club/boats.md" in listed.text
    assert "diary.md" in listed.text
    assert "roof" not in listed.text
    about = await asker.ask("Which documents do I have about the roof?", "club")
    assert about.outcome is Outcome.ABSENT
    assert "2 documents" in about.text
    assert "roof.md" not in about.text
    there = await asker.ask("Which documents do I have about the roof?", "house")
    assert cited(there) == {"house/roof.md"}
    gone = await asker.ask("Summarise the document roof.md", "club")
    assert gone.outcome is Outcome.ABSENT
    assert "Jana" not in gone.text
    assert not any("Jana" in text for _, text in asker.model.read)
    outline = await asker.ask("Give me an outline of roof.md", "house")
    assert "The roof" in outline.text
    compared = await asker.ask("Compare the roof and the garden shed", "club")
    assert "larch" not in compared.text
    assert not cited(compared) & {"house/roof.md", "house/garden/shed.md"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_summary_that_was_made_is_not_told_to_who_asks_another_folder(
    asker: Asker,
) -> None:
    says = "The roof was laid by Jana Petrova in 2019."
    made = await asker.ask("Summarise the document roof.md", "house", says=says, chat="summed")
    assert "Jana Petrova" in made.text
    for chat in ("summed", "another"):
        later = await asker.ask("Summarise the document roof.md", "club", says=says, chat=chat)
        assert "Jana" not in later.text
        assert not later.citations
    this = await asker.ask("Summarise this document", "club", says=says, chat="summed")
    assert "Jana" not in this.text
    assert "house/roof.md" not in cited(this)


@pytest.mark.asyncio(loop_scope="module")
async def test_a_follow_up_after_the_folders_were_changed_finds_nothing_of_the_old(
    asker: Asker,
) -> None:
    says = "Jana Petrova laid the roof in 2019."
    first = await asker.ask(ROOF, says=says, chat="changing")
    assert cited(first) == {"house/roof.md"}
    assert first.note == ""
    later = await asker.ask("And what is it made of?", "club", says="Of larch.", chat="changing")
    assert "larch" not in later.text
    assert not later.citations
    again = await asker.ask("And what is it made of?", says="Of larch shingles.", chat="changing")
    assert "larch" in again.text


@pytest.mark.asyncio(loop_scope="module")
async def test_what_was_begun_for_other_folders_is_not_taken(asker: Asker) -> None:
    """What is being typed is prepared for; the panel may be changed before it is sent."""
    ahead = PreparedTurn(asker.chain)
    ahead.begin(asker.question(ROOF, chat="ahead"))
    assert await ahead.take_begun(asker.question(ROOF, "club", chat="ahead")) is None
    ahead.begin(asker.question(ROOF, "club", chat="ahead"))
    turn = await ahead.take_begun(asker.question(ROOF, "club", chat="ahead"))
    assert turn is not None
    assert all(passage.source.startswith("club/") for passage in turn.passages)
    ahead.drop()


@pytest.mark.asyncio(loop_scope="module")
async def test_a_spoken_question_asks_the_same_folders(asker: Asker) -> None:
    heard = await asker.ask(ROOF, "club", says="Jana Petrova laid it.", kind="spoken")
    assert heard.outcome is Outcome.ABSENT
    assert heard.text.endswith("Only this was searched: club.")


# ── over HTTP ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models: Any) -> Iterator[Server]:
    need_models("tiny", "embedder")
    environment = {"XOE_LLM_PROFILE": "tiny", "XOE_VOICE": "false", "XOE_LLM_MAX_TOKENS": "32"}
    server = Server(tmp_path_factory.mktemp("server"), environment)
    written(server.library, SHARED_FILES)
    with server.running():
        yield server


def test_a_program_names_the_folders(server: Server) -> None:
    club = server.ask(ROOF, categories=["club"])
    assert club["outcome"] == "not_in_library"
    assert club["answer"].endswith("Only this was searched: club.")
    house = server.ask(ROOF, categories=["house"])
    assert "Jana Petrova" in house["answer"]
    assert {citation["source"] for citation in house["citations"]} == {"house/roof.md"}
    assert house["note"] == "Only this was searched: house."
    assert "Jana Petrova" in server.ask(ROOF, categories=[])["answer"]
    assert server.ask(ROOF)["note"] == ""


def test_a_folder_that_is_not_there_is_refused_with_those_that_are(server: Server) -> None:
    for path in ("/query", "/query/stream"):
        body = {"question": ROOF, "categories": ["club", "cellar"]}
        refused = httpx.post(f"{server.url}{path}", json=body, trust_env=False, timeout=60)
        assert refused.status_code == 422, path
        assert refused.json()["detail"] == (
            "There is no category “cellar”. There are: club, house, :own, :shared, :loose."
        )


def test_a_streamed_answer_quotes_nothing_of_other_folders(server: Server) -> None:
    body = {"question": ROOF, "categories": ["club"]}
    streamed = httpx.post(f"{server.url}/query/stream", json=body, trust_env=False, timeout=300)
    events = read_events(streamed.text.replace("\r\n", "\n").split("\n"))
    assert [event for event, _ in events][-1] == "done"
    assert "Petrova" not in str(events)
    assert "house/" not in str(events)


def test_the_command_asks_the_folders_that_it_is_told(server: Server) -> None:
    def ask(*arguments: str) -> subprocess.CompletedProcess[str]:
        data = ("--data-dir", str(server.data_dir))
        return xoe("ask", ROOF, *arguments, *data, cwd=server.home)

    asked = ask("--category", "house", "--json")
    assert "house/roof.md" in asked.stdout
    asked = ask("--category", "club", "--category", ":own")
    assert "Petrova" not in asked.stdout
    assert "Only this was searched: :own" not in asked.stdout
    assert "your own documents, club" in " ".join(asked.stdout.split())
    wrong = ask("--category", "cellar")
    assert wrong.returncode != 0
    assert "no category “cellar”" in " ".join((wrong.stdout + wrong.stderr).split())
