"""``xoe transcribe``: recordings into text with times."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from core.errors import DocumentError, TranscriptionError
from xoe.cli.common import AsJson, errors, print_json, reported, settings_for

if TYPE_CHECKING:
    from voice.stt.recording import Recording, RecordingProgress, RecordingTranscriber


def transcribe_command(
    files: Annotated[list[Path], typer.Argument(help="Sound or video files.")],
    language: Annotated[
        str | None, typer.Option(help="A code such as en; found out if not given.")
    ] = None,
    light: Annotated[
        bool, typer.Option("--light", help="The smaller model, English only.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write down what is said in recordings, with the time of each sentence.

    The text goes to stdout as it is found, the progress to stderr. Nothing leaves this computer.
    """
    with reported(as_json):
        settings = settings_for(quiet=True, stt_language=language)
        from voice.stt.recording import RecordingTranscriber

        with errors.status("Loading the speech model …"):
            transcriber = RecordingTranscriber.load(
                settings.models_dir,
                model="stt-light" if light else settings.stt_model,
                language=settings.stt_language,
                threads=settings.stt_threads,
            )
        results = [
            _transcribe(transcriber, path, title=len(files) > 1, show=not as_json) for path in files
        ]
        failed = sum("error" in result for result in results)
        if as_json:
            print_json({"files": results, "failed": failed})
        if failed:
            raise typer.Exit(1)


def _transcribe(
    transcriber: RecordingTranscriber, path: Path, *, title: bool, show: bool
) -> dict[str, Any]:
    if title and show:
        _line(f"# {path}")
    begun = time.perf_counter()
    try:
        with _progress(path.name) as tell:
            recording = transcriber.transcribe(
                path,
                on_segment=lambda segment: (
                    _line(f"[{clock(segment.start_s)} → {clock(segment.end_s)}] {segment.text}")
                    if show
                    else None
                ),
                on_progress=tell,
            )
    except (DocumentError, TranscriptionError) as exc:
        errors.print(f"✗ {path}: {exc}", style="red", markup=False, soft_wrap=True)
        return {"file": str(path), "error": str(exc)}
    if show and not recording.segments:
        errors.print(f"Nobody speaks in {path}.", markup=False, soft_wrap=True)
    return _as_dict(path, recording, time.perf_counter() - begun)


def _as_dict(path: Path, recording: Recording, seconds: float) -> dict[str, Any]:
    return {
        "file": str(path),
        "language": recording.language or None,
        "language_probability": round(recording.language_probability, 3),
        "duration_s": round(recording.duration_s, 3),
        "seconds": round(seconds, 3),
        "text": recording.text,
        "segments": [
            {"start": segment.start_s, "end": segment.end_s, "text": segment.text}
            for segment in recording.segments
        ],
    }


def clock(seconds: float) -> str:
    """Return ``seconds`` as ``1:02:03.45``, without the hours where there are none."""
    minutes, rest = divmod(round(seconds * 100), 6000)
    hours, minutes = divmod(minutes, 60)
    head = f"{hours}:{minutes:02d}" if hours else f"{minutes:02d}"
    return f"{head}:{rest // 100:02d}.{rest % 100:02d}"


def _line(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


@contextmanager
def _progress(name: str) -> Iterator[Callable[[RecordingProgress], None]]:
    """Show seconds heard, the rate and the time left, on a terminal only."""
    console = errors if errors.is_terminal else Console(stderr=True, quiet=True)
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[clock]} · {task.fields[rate]:.1f}× real time"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    ) as progress:
        task = progress.add_task(name[-40:], total=None, clock=clock(0), rate=0.0)
        begun = time.monotonic()

        def tell(state: RecordingProgress) -> None:
            elapsed = max(time.monotonic() - begun, 1e-6)
            progress.update(
                task,
                completed=state.heard_s,
                total=state.claimed_s,
                clock=clock(state.heard_s),
                rate=state.heard_s / elapsed,
            )

        yield tell
