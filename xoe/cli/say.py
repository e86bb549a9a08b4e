"""``xoe say``: a text as sound, in a WAV file."""

from __future__ import annotations

import asyncio
import sys
import time
import wave
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from core.errors import SpeechError
from xoe.cli.common import AsJson, errors, print_json, reported, settings_for

if TYPE_CHECKING:
    from core.settings import Settings

STDIN = "-"


def say_command(
    text: Annotated[str, typer.Argument(help="What to say, in quotes; - reads standard input.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The WAV file to write.")],
    engine: Annotated[
        Literal["piper", "espeak"] | None, typer.Option(help="The voice's engine.")
    ] = None,
    voice: Annotated[
        str | None,
        typer.Option(help="A voice of 'xoe models list', a Piper .onnx file, or for espeak en-us."),
    ] = None,
    speaker: Annotated[
        str | None, typer.Option(help="Name or number, of a voice with several speakers.")
    ] = None,
    speed: Annotated[
        float | None, typer.Option(min=0.5, max=2.0, help="2 is twice as fast.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Speak a text into a WAV file, as an answer is spoken on the page."""
    with reported(as_json):
        settings = settings_for(quiet=True, tts_engine=engine, tts_speed=speed, tts_speaker=speaker)
        if voice is not None:
            field = "tts_espeak_voice" if settings.tts_engine == "espeak" else "tts_voice"
            settings = settings.model_copy(update={field: voice})
        written = sys.stdin.read() if text == STDIN else text
        result = asyncio.run(_say(settings, written, output))
        if as_json:
            print_json(result)
        else:
            errors.print(
                f"{result['seconds']:.1f} s of speech in {output}; "
                f"the first of it after {result['first_audio_ms']:.0f} ms.",
                markup=False,
            )


async def _say(settings: Settings, text: str, output: Path) -> dict[str, Any]:
    from voice.speakable.clauses import clauses_of
    from voice.tts.factory import create_synthesizer
    from voice.tts.page_audio import to_pcm

    synthesizer = create_synthesizer(settings)
    try:
        await synthesizer.start()
        spoken = [piece.spoken for piece in clauses_of(text, language=synthesizer.language)]
        if not any(spoken):
            raise SpeechError("There is nothing in this text that can be said.")
        begun, first_ms = time.perf_counter(), 0.0
        pcm = bytearray()
        for clause in filter(None, spoken):
            async for chunk in synthesizer.stream(clause):
                first_ms = first_ms or (time.perf_counter() - begun) * 1e3
                pcm += to_pcm(chunk.samples)
        _write(output, bytes(pcm), synthesizer.sample_rate)
        return {
            "output": str(output),
            "engine": synthesizer.name,
            "sample_rate": synthesizer.sample_rate,
            "seconds": len(pcm) / 2 / synthesizer.sample_rate,
            "first_audio_ms": first_ms,
        }
    finally:
        await synthesizer.aclose()


def _write(output: Path, pcm: bytes, rate: int) -> None:
    try:
        with output.open("wb") as file, wave.open(file, "wb") as sound:
            sound.setnchannels(1)
            sound.setsampwidth(2)
            sound.setframerate(rate)
            sound.writeframes(pcm)
    except OSError as exc:
        raise SpeechError(f"The file {output} cannot be written: {exc.strerror}.") from exc
