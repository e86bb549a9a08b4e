"""The process that transcribes one recording: a request on its input, lines of JSON on its output.

Started by ``voice.stt.recording_process`` as ``python -m voice.stt.recording_worker MEMORY_MB``.
It holds no secrets, may write no files, and ends when its input does.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO

from core.errors import DocumentError, DocumentTooLargeError, ModelError, TranscriptionError
from voice.stt.recording import Recording, RecordingProgress, RecordingTranscriber

NICENESS = 10
"""Answers to questions come before recordings, and so do documents."""
_MB = 1024 * 1024


def main(memory_mb: int) -> None:
    """Serve one request."""
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # Whatever a library prints must not end up among the replies.
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_AS, (memory_mb * _MB, memory_mb * _MB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    line = requests.readline()
    if not line:
        return
    threading.Thread(target=_end_with, args=(requests,), daemon=True).start()
    _say(replies, _outcome(json.loads(line), replies))
    os._exit(0)  # the engines' threads have nothing to finish


def _outcome(request: dict[str, Any], replies: BinaryIO) -> dict[str, Any]:
    try:
        recording = _transcribe(request, replies)
    except (DocumentError, ModelError, TranscriptionError) as exc:
        return _failure(exc)
    except MemoryError:
        return _failure(
            DocumentTooLargeError(
                "Transcribing it takes more memory than is allowed; split it and try again."
            )
        )
    return {
        "event": "done",
        "recording": {
            "language": recording.language,
            "language_probability": recording.language_probability,
            "duration_s": recording.duration_s,
        },
    }


def _transcribe(request: dict[str, Any], replies: BinaryIO) -> Recording:
    transcriber = RecordingTranscriber.load(
        Path(request["models_dir"]),
        model=request["model"],
        language=request["language"],
        threads=request["threads"],
    )
    # From here on there is nothing to write: the model's check has noted what it found.
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    max_s = float(request["max_s"])

    def tell(progress: RecordingProgress) -> None:
        if progress.heard_s > max_s:
            raise DocumentTooLargeError(
                f"It is longer than {max_s / 3600:g} hours, the most that is transcribed; split "
                "it and try again."
            )
        _say(
            replies,
            {"event": "heard", "heard_s": progress.heard_s, "claimed_s": progress.claimed_s},
        )

    return transcriber.transcribe(
        Path(request["path"]),
        name=request["name"],
        on_segment=lambda segment: _say(
            replies,
            {"event": "segment", "segment": [segment.start_s, segment.end_s, segment.text]},
        ),
        on_progress=tell,
    )


def _failure(error: Exception) -> dict[str, Any]:
    cause = error.__cause__
    return {
        "event": "failed",
        "error": type(error).__name__,
        "message": str(error),
        "cause": repr(cause) if cause else type(error).__name__,
    }


def _say(replies: BinaryIO, message: dict[str, Any]) -> None:
    replies.write(json.dumps(message).encode("ascii") + b"\n")
    replies.flush()


def _end_with(requests: BinaryIO) -> None:
    """End this process when nobody holds the other end of its input any more."""
    requests.read()
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
