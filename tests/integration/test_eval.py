"""``xoe eval`` with a real model: documents of its own or one's own, and settings side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from servers import Server, xoe

pytestmark = pytest.mark.integration

QUICK = {"XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny", "XOE_LLM_MAX_TOKENS": "24"}
PARAGRAPHS = {
    "The lighthouse at Dornbusch was built in 1888 and is 28 metres high.": (
        ("When was the lighthouse at Dornbusch built?", "1888"),
        ("Who painted the lighthouse at Dornbusch red?", None),
    ),
    "The ferry to Hiddensee leaves Stralsund at 8:15 every morning.": (
        ("When does the ferry to Hiddensee leave Stralsund?", "8:15"),
    ),
    "Sea buckthorn is picked on the island in September.": (
        ("In which month is sea buckthorn picked?", "September"),
    ),
}


@pytest.fixture(autouse=True)
def _models(need_models) -> None:
    need_models("tiny", "embedder")


def squad() -> str:
    paragraphs = []
    for context, asked in PARAGRAPHS.items():
        qas = [
            {
                "id": question,
                "question": question,
                "answers": [{"text": answer, "answer_start": context.find(answer)}] * 2
                if answer
                else [],
                "is_impossible": answer is None,
            }
            for question, answer in asked
        ]
        paragraphs.append({"context": context, "qas": qas})
    return json.dumps({"version": "v2.0", "data": [{"title": "Isle", "paragraphs": paragraphs}]})


def test_a_file_brings_its_documents_along_and_settings_are_compared(tmp_path: Path) -> None:
    """It takes as long as two sides take to start, each with a model of its own."""
    (tmp_path / "squad.json").write_text(squad())
    arguments = ("squad.json", "--compare", "retrieval_passages=1", "--keep", "run.json")
    done = xoe("eval", *arguments, "--data-dir", "data", "--json", cwd=tmp_path, **QUICK)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["questions"], told["answerable"], told["unanswerable"]) == (4, 3, 1)
    assert (told["r@1"], told["mrr@10"], told["ndcg@10"]) == (1, 1, 1)
    assert told["contained"] == 1  # where the model fails, the sentence is quoted
    assert told["comparisons"][0]["questions"] == 4
    assert told["total_p50_ms"] > 0
    assert not (tmp_path / "data").exists()  # nothing of it is one's own
    replies = json.loads((tmp_path / "run.json").read_text())["replies"]
    (ferry,) = [reply for reply in replies if "ferry" in reply["question"]]
    assert ferry["ranking"][0] == "Isle/002.txt"
    assert "8:15" in ferry["quotes"][0]


def test_ones_own_documents_are_asked_beside_the_server_and_nothing_is_kept(tmp_path: Path) -> None:
    """It takes as long as a server and two commands take to start."""
    server = Server(tmp_path, QUICK)
    for number, context in enumerate(PARAGRAPHS):
        (server.library / f"note-{number}.txt").write_text(context)
    rows = [
        f"{question},{answer or ''}" for asked in PARAGRAPHS.values() for question, answer in asked
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["question,answer,source", *rows]))
    (tmp_path / "gone.csv").write_text("question,answer,source\nWhen?,1888,gone.txt\n")
    data = ("--data-dir", str(server.data_dir), "--json")
    with server.running():
        done = xoe("eval", "mine.csv", *data, cwd=tmp_path, **QUICK)
        assert done.returncode == 0, done.stderr
        gone = xoe("eval", "gone.csv", *data, cwd=tmp_path, **QUICK)
        turns = json.loads(xoe("trace", *data, cwd=tmp_path).stdout or "{}")
    assert json.loads(done.stdout)["contained"] == 1
    assert "There is no document gone.txt" in json.loads(gone.stdout)["error"]
    assert "turns" not in turns or turns["turns"] == []
