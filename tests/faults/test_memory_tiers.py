"""Short of memory, the house does with less and says so."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from servers import Server

pytestmark = pytest.mark.faults


def test_with_memory_nearly_used_up_passages_are_quoted_and_the_model_is_put_away(
    tmp_path: Path, need_models
) -> None:
    """The limit is less than the server takes without any model, so there is no way back."""
    need_models("tiny", "embedder")
    environment = {"XOE_LLM_PROFILE": "tiny", "XOE_VOICE": "false", "XOE_MEMORY_LIMIT_MB": "256"}
    server = Server(tmp_path, environment)
    (server.library / "shed.md").write_text("# Shed\n\nThe roof was laid by Ingrid in 2019.\n")
    with server.running():
        deadline = time.monotonic() + 60
        while server.health()["level"] != "extractive":
            assert time.monotonic() < deadline, server.health()
            time.sleep(0.2)
        assert "Memory is nearly used up" in server.health()["level_reason"]
        answer = server.ask("Who laid the roof of the shed?")
        assert "Ingrid" in answer["answer"]
        assert answer["level"] == "extractive"
        assert "Memory" in answer["note"]
        assert [citation["source"] for citation in answer["citations"]] == ["shed.md"]
