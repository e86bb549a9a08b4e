"""The command line on real models: ingest, ask, status, doctor, config."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from servers import Server, xoe

pytestmark = pytest.mark.integration


@pytest.fixture(autouse=True)
def _models(need_models) -> None:
    need_models("fast", "tiny", "embedder")


def test_ingest_takes_folders_files_and_globs_and_knows_them_again(
    tmp_path: Path, make_documents: ModuleType
) -> None:
    folder = tmp_path / "papers"
    (folder / "deep").mkdir(parents=True)
    (folder / "one.md").write_text("# One\n\nThe first paper is about tea.\n")
    (folder / "deep" / "two.txt").write_text("The second paper is about coffee.")
    (folder / "sums.xls").write_bytes(b"PK")
    (tmp_path / "three.html").write_text("<h1>Three</h1><p>The third is about cocoa.</p>")
    arguments = ("ingest", "papers", "*.html", "--data-dir", "data", "--json")
    first = xoe(*arguments, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    summary = json.loads(first.stdout)
    assert (summary["ready"], summary["failed"], summary["unchanged"]) == (3, 0, 0)
    assert summary["passed_over"] == {".xls": 1}
    names = sorted(document["name"] for document in summary["documents"])
    assert names == ["papers/deep/two.txt", "papers/one.md", "three.html"]
    again = json.loads(xoe(*arguments, cwd=tmp_path).stdout)
    assert (again["ready"], again["unchanged"], again["passages"]) == (0, 3, 0)


def test_a_changed_file_replaces_itself(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    for word in ("walnut", "hazelnut"):
        path.write_text(f"The cake is made with {word}s from the orchard.")
        assert xoe("ingest", "note.txt", "--data-dir", "data", cwd=tmp_path).returncode == 0
    status = json.loads(xoe("status", "--data-dir", "data", "--json", cwd=tmp_path).stdout)
    assert (status["documents"], status["chunks"]) == (1, 1)


def test_a_file_that_fails_is_named_and_the_exit_code_says_so(
    tmp_path: Path, make_documents: ModuleType
) -> None:
    (tmp_path / "good.txt").write_text("Everything in here can be read without trouble.")
    (tmp_path / "empty.pdf").write_bytes(b"")
    result = xoe(
        *("ingest", "good.txt", "empty.pdf", "no-such-file.txt", "--data-dir", "data", "--json"),
        cwd=tmp_path,
    )
    assert result.returncode == 1
    summary = json.loads(result.stdout)
    reasons = {d["name"]: d["reason"] for d in summary["documents"] if d["status"] == "failed"}
    assert summary["ready"] == 1
    assert set(reasons) == {"empty.pdf", "no-such-file.txt"}
    assert "empty" in reasons["empty.pdf"]


def test_two_files_of_one_name_are_both_kept(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "readme.txt").write_text(f"The folder {name} holds letters of {name}.")
        xoe("ingest", f"{name}/readme.txt", "--data-dir", "data", cwd=tmp_path)
    status = json.loads(xoe("status", "--data-dir", "data", "--json", cwd=tmp_path).stdout)
    assert status["documents"] == 2


def test_ask_answers_from_the_data_folder_with_one_json_object(tmp_path: Path) -> None:
    text = "The ferry to Hiddensee leaves Stralsund at 8:15 every morning except Sundays."
    (tmp_path / "ferry.txt").write_text(text)
    xoe("ingest", "ferry.txt", "--data-dir", "data", cwd=tmp_path)
    result = xoe(
        *("ask", "When does the ferry to Hiddensee leave?", "--data-dir", "data", "--json"),
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    answer = json.loads(result.stdout)
    assert "8:15" in answer["answer"]
    assert answer["citations"][0]["quote"] == text
    assert text[answer["citations"][0]["start"] : answer["citations"][0]["end"]] == text


def test_a_running_server_is_asked_and_sees_what_is_ingested_beside_it(tmp_path: Path) -> None:
    quick = {"XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny", "XOE_LLM_MAX_TOKENS": "32"}
    server = Server(tmp_path, quick)
    (server.library / "a.md").write_text("# Shop\n\nThe shop sells bread and butter.\n")
    (tmp_path / "lamp.txt").write_text("The lighthouse lamp in Dornbusch turns every 5 seconds.")
    with server.running():
        data = ("--data-dir", str(server.data_dir), "--json")
        assert xoe("ingest", "lamp.txt", *data, cwd=tmp_path).returncode == 0
        question = "How often does the lighthouse lamp in Dornbusch turn?"
        result = xoe("ask", question, *data, cwd=tmp_path)
        status = json.loads(xoe("status", *data, cwd=tmp_path).stdout)
    assert "5" in json.loads(result.stdout)["answer"]
    assert json.loads(result.stdout)["citations"][0]["source"] == "lamp.txt"
    assert status["server"]["url"] == server.url
    assert status["memory_mb"] > 0
    assert status["redis"]["state"] == "running"


def test_doctor_names_what_is_missing(tmp_path: Path) -> None:
    healthy = xoe("doctor", "--data-dir", "data", "--json", cwd=tmp_path, XOE_PORT="0")
    assert healthy.returncode == 0, healthy.stdout
    nothing = xoe(
        "doctor", "--data-dir", "data", "--json", cwd=tmp_path, XOE_MODELS_DIR=str(tmp_path)
    )
    assert nothing.returncode == 1
    broken = [f for f in json.loads(nothing.stdout)["findings"] if not f["ok"]]
    assert {f["what"] for f in broken} >= {"model fast", "model embedder"}


def test_doctor_proves_llama_cpp_when_asked(tmp_path: Path) -> None:
    proven = xoe("doctor", "--prove", "--data-dir", "data", "--json", cwd=tmp_path, XOE_PORT="0")
    assert proven.returncode == 0, proven.stdout
    (build,) = [
        f for f in json.loads(proven.stdout)["findings"] if f["what"] == "llama.cpp's build"
    ]
    assert "works on this processor" in build["detail"]


def test_an_unknown_setting_is_refused_with_the_nearest_named(tmp_path: Path) -> None:
    result = xoe("config", "--json", cwd=tmp_path, XOE_RETRIEVAL_PASAGES="3")
    assert result.returncode == 1
    assert "retrieval_passages" in json.loads(result.stdout)["error"]


def test_config_masks_secrets(tmp_path: Path) -> None:
    result = xoe("config", cwd=tmp_path, XOE_LLM_API_KEY="hunter2", XOE_REDIS_URL="redis://:pw@h")
    assert result.returncode == 0
    assert "hunter2" not in result.stdout
    assert ":pw@" not in result.stdout
