"""What is asked about the assistant and the collection is answered from what it knows of itself."""

from __future__ import annotations

import pytest

from chains.introduction import LISTED, introduction, subject_of
from chains.types import LIBRARY_OWNER
from ingest.store import DocumentInfo


def document(name: str, owner: str = LIBRARY_OWNER, status: str = "ready") -> DocumentInfo:
    return DocumentInfo(
        1,
        name,
        "Title of it",
        owner,
        "text",
        None,
        1,
        status,
        None,
        "",
        1,
        "upload",  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("question", "subject"),
    [
        ("What can you do?", "itself"),
        ("Who are you?", "itself"),
        ("how can you help me", "itself"),
        ("Are you a robot?", "itself"),
        ("What is your name?", "itself"),
        ("How many documents do I have?", "how many documents"),
        ("How many files are there in my library?", "how many documents"),
        ("Which documents do I have?", "which documents"),
        ("What documents can you see?", "which documents"),
        ("List my files", "which documents"),
        ("What is in my library?", "which documents"),
        ("How many documents do I have about bees?", None),
        ("Which documents do I have about taxes?", None),
        ("Which files does the pump controller write?", None),
        ("Where do I file my documents?", None),
        ("Can you do it?", None),
        ("What do you know about the bridge?", None),
        ("How are you?", None),
        ("What can the caretaker do?", None),
        ("What does the library cost a year?", None),
    ],
)
def test_a_question_is_about_itself_when_all_its_words_are(
    question: str, subject: str | None
) -> None:
    assert subject_of(question) == subject


def test_the_collection_is_counted_own_and_shared() -> None:
    documents = [document("a.md"), document("b.md"), document("mine.pdf", "session:1")]
    documents.append(document("broken.pdf", "session:1", "failed"))
    text = introduction("how many documents", documents, with_voice=True, is_local=True).text
    assert text == (
        "You have added 1 document, and 2 documents in the library that is shared. "
        "1 document could not be read."
    )
    none = introduction("how many documents", [], with_voice=True, is_local=True).text
    assert none == "There are no documents to search yet."


def test_documents_are_named_own_ones_first_and_not_without_end() -> None:
    documents = [document(f"{number:03}.md") for number in range(LISTED + 5)]
    documents.append(document("mine [1].pdf", "session:1"))
    lines = introduction("which documents", documents, with_voice=True, is_local=True).text
    first, *_, last = [line for line in lines.splitlines() if line.startswith("- ")]
    assert first == "- **mine (1).pdf**, Title of it"
    assert last == "- and 6 more"


def test_it_says_of_itself_only_what_is_so() -> None:
    here = introduction("itself", [document("a.md")], with_voice=True, is_local=True).text
    assert "speak" in here
    assert "on this computer" in here
    assert "1 document in the library" in here
    away = introduction("itself", [], with_voice=False, is_local=False).text
    assert "speak" not in away
    assert "on this computer" not in away
