"""Chats in the database: the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import insert

from core.errors import ThreadLimitError
from core.settings import Settings
from xoe.chats import rows
from xoe.chats.changes import RECOVERED, Ask, Drop, Files, Forget, Found, Keep
from xoe.chats.deletion import delete_owner, delete_thread
from xoe.chats.judged import JudgedAnswer, judged_answers
from xoe.chats.remarks import Judge, Rename, TakeBackJudgement
from xoe.chats.store import PAGE_MAX, Threads
from xoe.chats.types import KeptTurn, StoredCitation, StoredFile, StoredMessage
from xoe.db import Database, tables
from xoe.db.database import FILE_NAME
from xoe.db.unfinished import Unfinished, unfinished

ANNA, BERT = "user:anna", "visitor:0123456789abcdef0123456789abcdef"
CITATION = StoredCitation(
    number=1,
    source="handbook.pdf",
    page=3,
    quote="every eight weeks",
    passage="Descale it every eight weeks or so.",
    start=11,
    end=28,
    title="The handbook",
    heading="Care › Descaling",
)


@pytest.fixture(params=["sqlite", "postgresql"])
async def threads(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Threads]:
    settings = Settings(data_dir=tmp_path)
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres").database(f"threads_{secrets.token_hex(6)}")
        settings = Settings(data_dir=tmp_path, database_url=url)
    db = await Database.open(settings)
    assert db.dialect == request.param
    yield Threads(db)
    await db.aclose()


def asked(message_id: str, text: str, at: float = 1.0) -> StoredMessage:
    return StoredMessage(message_id, "user", text, at)


def told(message_id: str, text: str, at: float = 2.0, **more: object) -> StoredMessage:
    return StoredMessage(message_id, "assistant", text, at, remembered=True, **more)


async def message(threads: Threads, owner: str, thread: str, message_id: str) -> StoredMessage:
    stored = await threads.get(owner, thread)
    assert stored is not None
    return next(message for message in stored.messages if message.id == message_id)


async def say(
    threads: Threads,
    owner: str,
    thread: str,
    turn: str,
    question: str,
    answer: str,
    at: float = 1.0,
) -> None:
    await threads.apply(Ask(owner, thread, asked(f"q{turn}", question, at)))
    kept = Keep(owner, thread, f"q{turn}", told(f"a{turn}", answer, at + 0.5), {"prompt": "P"})
    assert await threads.apply(kept)


async def texts(threads: Threads, owner: str, thread: str) -> list[str]:
    found = await threads.get(owner, thread)
    return [message.text for message in found.messages] if found else []


async def test_a_chat_comes_back_as_it_was_said(threads: Threads) -> None:
    answer = told(
        "a1",
        "Every eight weeks. [1]",
        note="Shorter.",
        level="extractive",
        outcome="nearest_passages",
        citations=(CITATION,),
    )
    await threads.apply(Ask(ANNA, "t1", asked("q1", "How often?"), "quality", '{"passages": 2}'))
    assert await threads.apply(Keep(ANNA, "t1", "q1", answer))
    thread = await threads.get(ANNA, "t1")
    assert thread is not None
    assert thread.name == "How often?"
    assert (thread.profile, thread.options) == ("quality", {"passages": 2})
    assert thread.messages == (replace(asked("q1", "How often?"), remembered=True), answer)
    cited = thread.messages[1].citations[0]
    assert cited.passage[cited.start : cited.end] == cited.quote


async def test_nobody_reaches_anothers_chat(threads: Threads) -> None:
    """Not by its id, by a message's, by feedback's, by an element's, by a search, nor by asking."""
    answer = told("a1", "The code is 4711.", citations=(CITATION,))
    await threads.apply(Ask(ANNA, "t1", asked("q1", "Which code?")))
    await threads.apply(Keep(ANNA, "t1", "q1", answer))
    assert await threads.apply(Judge(ANNA, "a1", True, "good", 3.0, id="f1"))
    assert await threads.get(BERT, "t1") is None
    assert await threads.get_element(BERT, "t1", "a1-citations") is None
    for odd in ("t9\0", "\ud800", "t1' OR '1'='1", "", "x" * 10_000):
        assert await threads.get(ANNA, odd) is None
        assert not await threads.apply(Rename(ANNA, odd, "Mine"))
        assert not await threads.apply(Judge(ANNA, odd, False, "", 4.0))
        assert not await threads.apply(TakeBackJudgement(ANNA, odd))
    assert (await threads.page(BERT, limit=10, search="code")).threads == ()
    assert (await threads.page(BERT, limit=10, after="t1")).threads == ()
    assert (await threads.page(BERT, limit=10, good=True)).threads == ()
    assert (await threads.standing(BERT, "t1", ["a1"], 10)).state == "absent"
    assert not await threads.apply(Rename(BERT, "t1", "Mine"))
    assert not await threads.apply(Judge(BERT, "a1", False, "", 4.0))
    assert not await threads.apply(TakeBackJudgement(BERT, "f1"))
    assert not await threads.apply(Keep(BERT, "t1", "q1", told("x", "Changed.")))
    assert not await threads.apply(Drop(BERT, "t1", "q1", 5.0))
    assert not await threads.apply(Forget(BERT, "t1"))
    assert await delete_thread(threads.db, BERT, "t1", 5.0) is None
    await threads.apply(Ask(BERT, "t1", asked("q1", "My own chat of the same id")))
    assert await texts(threads, ANNA, "t1") == ["Which code?", "The code is 4711."]
    assert await texts(threads, BERT, "t1") == ["My own chat of the same id"]
    found = await message(threads, ANNA, "t1", "a1")
    assert found.feedback is not None and found.feedback.good


async def test_a_question_asked_anew_takes_its_own_place_and_ends_what_followed(
    threads: Threads,
) -> None:
    for turn in ("1", "2", "3"):
        await say(threads, ANNA, "t", turn, f"Question {turn}", f"Answer {turn}")
    await threads.apply(Ask(ANNA, "t", asked("q2", "Question 2, better", 9.0)))
    assert await texts(threads, ANNA, "t") == ["Question 1", "Answer 1", "Question 2, better"]
    await threads.apply(Keep(ANNA, "t", "q2", told("a4", "Answer 4")))
    standing = await threads.standing(ANNA, "t", ["a1", "a2", "a3", "a4", "never"], 10)
    assert [turn.answer_id for turn in standing.turns] == ["a1", "a4"]
    assert standing.known == {"a1", "a2", "a3", "a4"}
    assert standing.turns[0].asked_extra == {"prompt": "P"}


async def test_an_answer_kept_twice_is_there_once(threads: Threads) -> None:
    await threads.apply(Ask(ANNA, "t", asked("q", "Q")))
    await threads.apply(Keep(ANNA, "t", "q", told("a", "All of it")))
    await threads.apply(Keep(ANNA, "t", "q", told("a", "What was heard")))
    await threads.apply(Ask(ANNA, "t", asked("q2", "Q2")))
    assert await texts(threads, ANNA, "t") == ["Q", "What was heard", "Q2"]


async def test_what_only_the_history_has_goes_where_it_was_said_and_once(threads: Threads) -> None:
    await say(threads, ANNA, "t", "1", "Q1", "A1")
    await say(threads, ANNA, "t", "3", "Q3", "A3")
    lost = Found(ANNA, "t", KeptTurn("q2", "a2", "Q2", "A2", 3.0, 4.0, {"prompt": "x"}), "a1")
    assert await threads.apply(lost)
    assert not await threads.apply(lost)
    earliest = Found(ANNA, "t", KeptTurn("q0", "a0", "Q0", "A0", 0.1, 0.2), "")
    assert await threads.apply(earliest)
    thread = await threads.get(ANNA, "t")
    assert thread is not None
    assert [m.text for m in thread.messages] == ["Q0", "A0", "Q1", "A1", "Q2", "A2", "Q3", "A3"]
    assert thread.messages[5].note == RECOVERED
    # Its question alone was written down before the crash.
    await threads.apply(Ask(ANNA, "t", asked("q4", "Q4")))
    assert await threads.apply(Found(ANNA, "t", KeptTurn("q4", "a4", "Q4", "A4", 5.0, 6.0), "a3"))
    assert (await texts(threads, ANNA, "t"))[-2:] == ["Q4", "A4"]


async def test_a_reset_chat_is_still_read_but_no_longer_told_to_the_model(threads: Threads) -> None:
    await say(threads, ANNA, "t", "1", "Q1", "A1")
    await threads.apply(Forget(ANNA, "t"))
    standing = await threads.standing(ANNA, "t", ["a1"], 10)
    assert (standing.turns, standing.known) == ((), {"a1"})
    assert await texts(threads, ANNA, "t") == ["Q1", "A1"]


async def test_a_late_answer_does_not_bring_a_deleted_chat_back(threads: Threads) -> None:
    await threads.apply(Ask(ANNA, "t", asked("q", "Q")))
    assert await delete_thread(threads.db, ANNA, "t", 2.0) == []
    assert not await threads.apply(Keep(ANNA, "t", "q", told("a", "A")))
    assert await threads.get(ANNA, "t") is None
    assert (await threads.standing(ANNA, "t", ["a"], 10)).state == "deleted"
    await threads.apply(Ask(ANNA, "t", asked("q2", "A new question in the open page")))
    assert (await threads.standing(ANNA, "t", ["a"], 10)).state == "kept"


async def test_the_list_goes_on_where_it_ended(threads: Threads) -> None:
    for place in range(7):
        await say(threads, ANNA, f"t{place}", "1", f"Question {place}", "A", at=float(place))
    await threads.apply(Ask(ANNA, "t2", asked("q9", "Later", 100.0)))
    seen: list[str] = []
    after = None
    while True:
        page = await threads.page(ANNA, limit=3, after=after)
        seen += [thread.id for thread in page.threads]
        after = page.next
        if after is None:
            break
    assert seen == ["t2", "t6", "t5", "t4", "t3", "t1", "t0"]
    assert len((await threads.page(ANNA, limit=10**9)).threads) == 7 <= PAGE_MAX


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("descal", {"t1"}),
        ("DESCALED machine", {"t1"}),
        ("machine café", set()),
        ("cafe", {"t2"}),
        ("Café", {"t2"}),
        ("handbook pdf", {"t2"}),
        ("3.5", {"t2"}),
        ("renamed", {"t3"}),
        ("Re%amed", set()),
        ('"', set()),
        ("NOT machine", set()),
        ("machine OR café", set()),
        ("text:machine", set()),
        ("machine*", {"t1"}),
        ("machine NEAR(", set()),
        ("') OR 1=1 --", set()),
        ("a" * 5000, set()),
        ("\0machine", {"t1"}),
        ("", {"t1", "t2", "t3"}),
        ("   ", {"t1", "t2", "t3"}),
    ],
)
async def test_a_search_finds_words_and_is_never_an_expression(
    threads: Threads, search: str, found: set[str]
) -> None:
    await say(threads, ANNA, "t1", "1", "About descaling", "The machine is descaled monthly.")
    await say(threads, ANNA, "t2", "1", "The café?", "See handbook.pdf, version 3.5.")
    await say(threads, ANNA, "t3", "1", "Something else", "Nothing.")
    await say(threads, BERT, "t4", "1", "A machine in a café, renamed", "3.5 handbook.pdf")
    await threads.apply(Rename(ANNA, "t3", "Renamed by hand"))
    page = await threads.page(ANNA, limit=10, search=search)
    assert {thread.id for thread in page.threads} == found


async def test_an_excerpt_shows_the_place_that_was_found(threads: Threads) -> None:
    long = "Word " * 50 + "the needle is here " + "word " * 50
    await say(threads, ANNA, "t", "1", "Q", long)
    (thread,) = (await threads.page(ANNA, limit=1, search="needle")).threads
    assert "needle" in thread.excerpt
    assert thread.excerpt.startswith("…") and thread.excerpt.endswith("…")


async def test_a_thumb_replaces_the_one_before_and_can_be_taken_back(threads: Threads) -> None:
    await say(threads, ANNA, "t", "1", "Q", "A")
    await threads.apply(Ask(ANNA, "t", asked("q2", "Not answered")))
    assert not await threads.apply(Judge(ANNA, "q2", True, "", 1.0))
    await threads.apply(Judge(ANNA, "q1", True, "By its question", 1.0, id="first"))
    await threads.apply(Judge(ANNA, "a1", False, "Wrong page", 2.0, id="second"))
    found = await message(threads, ANNA, "t", "a1")
    assert found.feedback is not None
    assert (found.feedback.good, found.feedback.reason) == (False, "Wrong page")
    assert [t.id for t in (await threads.page(ANNA, limit=5, good=False)).threads] == ["t"]
    assert (await threads.page(ANNA, limit=5, good=True)).threads == ()
    assert await threads.apply(TakeBackJudgement(ANNA, "second"))
    assert (await message(threads, ANNA, "t", "a1")).feedback is None


async def test_thumbs_are_read_with_what_was_asked_and_cited_but_not_those_of_users(
    threads: Threads,
) -> None:
    async with threads.db.write() as connection:
        rows = [("anna", "operator"), ("ben", "user"), ("gus", "guest")]
        values = [
            {"name": name, "shown": name, "role": role, "password": "x", "created_at": 1.0}
            for name, role in rows
        ]
        await connection.execute(
            insert(tables.users).values([{**v, "disabled": False} for v in values])
        )
    others = ("user:ben", "user:gus", "guest:1", "user:removed")
    for number, owner in enumerate((ANNA, BERT, *others)):
        await threads.apply(Ask(owner, "t", asked("q1", f"How often, {owner}?")))
        answer = told("a1", "Every eight weeks. [1]", citations=(CITATION,))
        await threads.apply(Keep(owner, "t", "q1", answer))
        await say(threads, owner, "t", "2", "Not judged?", "No.")
        await threads.apply(Judge(owner, "a1", owner == ANNA, "Why", 5.0 - number))
    found, left_out = await judged_answers(threads.db)
    answer_of = {"answer": "Every eight weeks. [1]", "citations": (CITATION,), "reason": "Why"}
    assert found == [
        JudgedAnswer(BERT, f"How often, {BERT}?", good=False, **answer_of),
        JudgedAnswer(ANNA, f"How often, {ANNA}?", good=True, **answer_of),
    ]
    assert left_out == len(others)


async def test_only_documents_that_came_by_no_other_chat_go_with_one(threads: Threads) -> None:
    def files(*lines: tuple[str, str]) -> tuple[StoredFile, ...]:
        return tuple(StoredFile(name, state) for name, state in lines)

    for thread in ("t1", "t2"):
        await threads.apply(Ask(ANNA, thread, asked("q", "Files")))
    here = files(("own.pdf", "ready"), ("both.pdf", "ready"), ("bad.pdf", "failed"))
    await threads.apply(Files(ANNA, "t1", "q", (*here, *files(("old.pdf", "unchanged")))))
    await threads.apply(Files(ANNA, "t2", "q", files(("both.pdf", "unchanged"))))
    await threads.apply(Ask(BERT, "t1", asked("q", "Files")))
    await threads.apply(Files(BERT, "t1", "q", files(("own.pdf", "ready"))))
    assert await delete_thread(threads.db, ANNA, "t1", 1.0) == ["own.pdf"]
    assert await delete_thread(threads.db, ANNA, "t2", 1.0) == ["both.pdf"]


async def left(threads: Threads) -> list[Unfinished]:
    async with threads.db.read() as connection:
        return await unfinished(connection)


async def drop_in(threads: Threads, thread: str, name: str, state: str) -> None:
    """Ask with a file, and tell what came of it."""
    file = StoredFile(name, "stopped")
    await threads.apply(Ask(ANNA, thread, replace(asked("q", "A file"), files=(file,))))
    await threads.apply(Files(ANNA, thread, "q", (StoredFile(name, state),)))


async def test_what_a_deleted_chat_leaves_elsewhere_is_noted_with_its_deletion(
    threads: Threads,
) -> None:
    await drop_in(threads, "t", "own.pdf", "ready")
    assert await left(threads) == []
    assert await delete_thread(threads.db, ANNA, "t", 2.0) == ["own.pdf"]
    history = Unfinished("history", ANNA, "t")
    assert set(await left(threads)) == {history, Unfinished("document", ANNA, name="own.pdf")}
    assert await delete_owner(threads.db, BERT) == 0
    assert Unfinished("owner", BERT) in await left(threads)


async def test_a_document_that_is_to_go_stays_when_it_is_dropped_into_another_chat(
    threads: Threads,
) -> None:
    await drop_in(threads, "t1", "own.pdf", "ready")
    await delete_thread(threads.db, ANNA, "t1", 2.0)
    await drop_in(threads, "t2", "own.pdf", "unchanged")
    assert await left(threads) == [Unfinished("history", ANNA, "t1")]
    assert await delete_thread(threads.db, ANNA, "t2", 3.0) == ["own.pdf"]


async def test_a_document_whose_chat_is_deleted_while_it_is_read_goes_too(
    threads: Threads,
) -> None:
    file = StoredFile("own.pdf", "stopped")
    await threads.apply(Ask(ANNA, "t", replace(asked("q", "A file"), files=(file,))))
    assert await left(threads) == [Unfinished("upload", ANNA, "t", "own.pdf")]
    assert await delete_thread(threads.db, ANNA, "t", 2.0) == []
    assert not await threads.apply(Files(ANNA, "t", "q", (StoredFile("own.pdf", "ready"),)))
    assert set(await left(threads)) == {
        Unfinished("history", ANNA, "t"),
        Unfinished("document", ANNA, name="own.pdf"),
    }
    # One that was never kept takes nothing along: what was read by it is its owner's.
    assert not await threads.apply(Files(ANNA, "no", "q", (StoredFile("x.pdf", "ready"),)))
    assert len(await left(threads)) == 2


async def test_what_redis_still_has_of_a_deleted_chat_is_not_found_again(threads: Threads) -> None:
    await say(threads, ANNA, "t", "1", "Q1", "A1")
    await delete_thread(threads.db, ANNA, "t", 2.0)
    await threads.apply(Ask(ANNA, "t", asked("q2", "A new question in the open page")))
    standing = await threads.standing(ANNA, "t", ["a1"], 10)
    assert (standing.state, standing.known) == ("kept", {"a1"})


@pytest.mark.parametrize("text", ["nul\0inside", "half \ud83d surrogate", "x" * 300_000, "", "🤖"])
async def test_whatever_was_said_can_be_kept(threads: Threads, text: str) -> None:
    await threads.apply(Ask(ANNA, "t", asked("q", text), options="{}"))
    cited = replace(CITATION, quote=text, passage=text)
    await threads.apply(Keep(ANNA, "t", "q", told("a", text, citations=(cited,)), {"prompt": text}))
    thread = await threads.get(ANNA, "t")
    assert thread is not None and len(thread.messages) == 2
    assert len(thread.messages[0].text) <= 100_000
    assert len(thread.name) <= 120


async def test_there_is_a_most_of_chats_and_of_turns(
    threads: Threads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "THREADS_MAX", 2)
    monkeypatch.setattr("xoe.chats.changes.TURNS_MAX", 3)
    for turn in range(5):
        await say(threads, ANNA, "t1", str(turn), f"Q{turn}", f"A{turn}")
    assert await texts(threads, ANNA, "t1") == ["Q2", "A2", "Q3", "A3", "Q4", "A4"]
    await threads.apply(Ask(ANNA, "t2", asked("q", "Q")))
    with pytest.raises(ThreadLimitError, match="2 chats"):
        await threads.apply(Ask(ANNA, "t3", asked("q", "Q")))
    await threads.apply(Ask(BERT, "t3", asked("q", "Q")))
    await threads.apply(Ask(ANNA, "t2", asked("q2", "Still")))


async def test_everything_of_an_owner_can_go(threads: Threads) -> None:
    for place in range(3):
        await say(threads, ANNA, f"t{place}", "1", "Q", "A")
    await say(threads, BERT, "t", "1", "Q", "A")
    assert await delete_owner(threads.db, ANNA) == 3
    assert (await threads.page(ANNA, limit=5)).threads == ()
    assert len((await threads.page(BERT, limit=5)).threads) == 1


async def test_nothing_of_a_deleted_chat_is_left_in_the_file(tmp_path: Path) -> None:
    """Neither in the database nor in its log, nor in the index of words."""
    db = await Database.open(Settings(data_dir=tmp_path))
    threads = Threads(db)
    for turn in range(60):
        await say(threads, ANNA, "keep", f"k{turn}", f"Ordinary question {turn}", "Answer " * 50)
        answer = f"Zebrafinken singen Quarzgesang {turn} " * 20
        await threads.apply(Ask(ANNA, "gone", asked(f"q{turn}", f"Geheimwort xylograph {turn}")))
        secret = replace(CITATION, passage="Vermouth quixotic passage", quote="quixotic")
        kept = told(f"a{turn}", answer, citations=(secret,))
        await threads.apply(Keep(ANNA, "gone", f"q{turn}", kept, {"prompt": "jabberwock prompt"}))
    await threads.apply(Judge(ANNA, "a3", False, "slithy reason", 1.0))
    secrets_told = (
        b"zebrafink",
        b"quarzgesang",
        b"xylograph",
        b"quixotic",
        b"jabberwock",
        b"slithy",
    )

    def raw() -> bytes:
        files = sorted(tmp_path.glob(f"{FILE_NAME}*"))
        return b"".join(path.read_bytes() for path in files).lower()

    assert all(secret in raw() for secret in secrets_told)
    await delete_thread(db, ANNA, "gone", 2.0)
    assert [secret for secret in secrets_told if secret in raw()] == []
    assert len(await texts(threads, ANNA, "keep")) == 120
    assert (await threads.page(ANNA, limit=5, search="ordinary")).threads
    await db.aclose()
    with sqlite3.connect(tmp_path / FILE_NAME) as plain:
        plain.execute("INSERT INTO thread_words(thread_words) VALUES ('integrity-check')")


async def test_chats_are_given_to_another_once_and_all_of_them(threads: Threads) -> None:
    await say(threads, BERT, "t1", "1", "Which code?", "The code is 4711.")
    await threads.apply(Files(BERT, "t1", "q1", (StoredFile("a.md", "ready"),)))
    await say(threads, BERT, "t2", "2", "Which door?", "The left one.")
    await say(threads, ANNA, "t2", "3", "Mine?", "Yours.")
    assert await threads.give(BERT, ANNA, without=["a.md"]) == 1
    assert await threads.give(BERT, ANNA) == 0
    assert (await threads.count(ANNA), await threads.count(BERT)) == (2, 1)
    assert await texts(threads, ANNA, "t1") == ["Which code?", "The code is 4711."]
    assert await texts(threads, ANNA, "t2") == ["Mine?", "Yours."]
    found = await threads.page(ANNA, limit=10, search="4711")
    assert [thread.id for thread in found.threads] == ["t1"]
    assert await delete_thread(threads.db, ANNA, "t1", 9.0) == [], "a.md was not given"
