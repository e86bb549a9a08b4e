"""Recordings of any length become text with times; what is no recording is told in a sentence."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest
from noises import hum, silence
from servers import xoe
from speech import RATE, Samples, shared_speech, wer

from core.errors import DocumentEmptyError, DocumentError, DocumentTypeError, TranscriptionError
from core.settings import load_settings
from voice.audio import to_pcm16
from voice.stt.recording import RecordedSegment, RecordingProgress, RecordingTranscriber
from voice.stt.sound_file import SoundFile

pytestmark = pytest.mark.integration

PCM, FLOAT = 1, 3


def wav(
    path: Path,
    data: bytes,
    *,
    kind: int = PCM,
    bits: int = 16,
    rate: int = RATE,
    channels: int = 1,
    claimed: int | None = None,
) -> Path:
    """Write a WAV file whose header says whatever is wanted."""
    frame = channels * bits // 8
    size = len(data) if claimed is None else claimed
    header = struct.pack("<HHIIHH", kind, channels, rate, rate * frame % 2**32, frame, bits)
    head = b"RIFF" + struct.pack("<I", (36 + size) % 2**32) + b"WAVEfmt "
    path.write_bytes(
        head + struct.pack("<I", 16) + header + b"data" + struct.pack("<I", size) + data
    )
    return path


def read(path: Path, seconds: float = 10) -> Samples:
    return np.concatenate(list(SoundFile(path).blocks(seconds)))


@pytest.fixture(scope="module")
def transcriber(need_models) -> RecordingTranscriber:
    need_models("stt")
    return RecordingTranscriber.load(load_settings().models_dir, language="en")


@pytest.fixture(scope="module")
def speech(shared_dir: Path) -> tuple[Samples, str]:
    """About a minute: the recordings, some silence between them, and what is said."""
    spoken = shared_speech(shared_dir) * 3
    pieces = [piece for one in spoken for piece in (one.audio, silence(0.8))]
    return np.concatenate(pieces), " ".join(one.text for one in spoken)


def test_a_recording_is_written_down_with_its_times(
    transcriber: RecordingTranscriber, speech: tuple[Samples, str], tmp_path: Path
) -> None:
    audio, text = speech
    path = wav(tmp_path / "talk.wav", to_pcm16(audio))
    told: list[RecordedSegment] = []
    progress: list[RecordingProgress] = []
    recording = transcriber.transcribe(path, on_segment=told.append, on_progress=progress.append)
    assert wer(text, recording.text) <= 0.15
    assert tuple(told) == recording.segments
    assert recording.duration_s == pytest.approx(len(audio) / RATE, abs=0.1)
    assert progress[-1].heard_s == pytest.approx(recording.duration_s)
    starts = [segment.start_s for segment in recording.segments]
    assert starts == sorted(starts)
    assert all(s.start_s < s.end_s <= recording.duration_s + 1 for s in recording.segments)


def test_a_long_recording_is_heard_in_blocks_and_no_word_is_cut(
    transcriber: RecordingTranscriber, speech: tuple[Samples, str], tmp_path: Path
) -> None:
    audio, text = speech
    path = wav(tmp_path / "talk.wav", to_pcm16(audio))
    recording = transcriber.transcribe(path, block_s=13)
    assert wer(text, recording.text) <= 0.15
    last = recording.segments[-1]
    assert last.end_s > recording.duration_s - 6, "the times of later blocks begin anew"


def test_a_recording_in_which_nobody_speaks_is_empty(
    transcriber: RecordingTranscriber, tmp_path: Path
) -> None:
    path = wav(tmp_path / "hum.wav", to_pcm16(np.concatenate([hum(3), silence(3)])))
    recording = transcriber.transcribe(path)
    assert (recording.segments, recording.language) == ((), "")
    assert recording.duration_s == pytest.approx(6)


def test_a_callback_may_stop_it(
    transcriber: RecordingTranscriber, speech: tuple[Samples, str], tmp_path: Path
) -> None:
    class EnoughError(Exception):
        pass

    def stop(segment: RecordedSegment) -> None:
        raise EnoughError

    path = wav(tmp_path / "talk.wav", to_pcm16(speech[0]))
    with pytest.raises(EnoughError):
        transcriber.transcribe(path, on_segment=stop)


def test_a_language_that_the_model_does_not_know_is_refused(need_models) -> None:
    need_models("stt-light")
    with pytest.raises(TranscriptionError, match="'de'"):
        RecordingTranscriber.load(load_settings().models_dir, model="stt-light", language="de")


def test_a_file_is_read_in_blocks_of_the_length_asked_for(tmp_path: Path) -> None:
    tone = (0.3 * np.sin(np.arange(5 * RATE) / 9)).astype(np.float32)
    path = wav(tmp_path / "tone.wav", to_pcm16(tone))
    blocks = list(SoundFile(path).blocks(2))
    assert [len(block) / RATE for block in blocks] == [2, 2, 1]
    assert np.concatenate(blocks) == pytest.approx(tone, abs=1e-3)


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44_100, 2), (48_000, 6)])
def test_any_rate_and_any_channels_become_mono_at_16_khz(
    tmp_path: Path, rate: int, channels: int
) -> None:
    t = np.arange(2 * rate) / rate
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    data = to_pcm16(np.repeat(tone, channels))
    heard = read(wav(tmp_path / "tone.wav", data, rate=rate, channels=channels))
    assert len(heard) == pytest.approx(2 * RATE, abs=RATE / 50)
    assert abs(int(np.abs(np.fft.rfft(heard[:RATE])).argmax()) - 440) <= 1


TONE = to_pcm16((0.3 * np.sin(np.arange(2 * RATE) / 9)).astype(np.float32))


@pytest.mark.parametrize("claimed", [0x7FFF0000, 0xFFFFFFFF, 4 * RATE + 1000, 1000])
def test_a_header_that_lies_about_the_length_is_not_believed(tmp_path: Path, claimed: int) -> None:
    heard = read(wav(tmp_path / "lie.wav", TONE, claimed=claimed))
    assert len(heard) == pytest.approx(2 * RATE, abs=600)


@pytest.mark.parametrize(
    "header",
    [
        {"rate": 0},
        {"rate": 1},
        {"rate": 4_000_000_000},
        {"channels": 0},
        {"channels": 999},
        {"bits": 255},
        {"kind": 0x1234},
    ],
)
def test_a_header_that_cannot_be_is_refused(tmp_path: Path, header: dict[str, int]) -> None:
    with pytest.raises(DocumentTypeError, match=r"lie\.wav"):
        read(wav(tmp_path / "lie.wav", TONE, **header))


def test_samples_that_are_no_numbers_are_refused_or_few_of_them_taken_for_silence(
    tmp_path: Path,
) -> None:
    samples = np.full(RATE, 0.25, dtype="<f4")
    samples[100:120] = np.nan
    samples[200:210] = 1e30
    path = wav(tmp_path / "nan.wav", samples.tobytes(), kind=FLOAT, bits=32)
    heard = read(path)
    assert np.isfinite(heard).all()
    assert np.abs(heard).max() <= 1
    assert heard[500:] == pytest.approx(0.25)
    samples[:] = np.nan
    with pytest.raises(DocumentTypeError, match="no numbers"):
        read(wav(path, samples.tobytes(), kind=FLOAT, bits=32))


def test_what_is_no_recording_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("This is no sound. " * 100)
    (tmp_path / "random.mp3").write_bytes(np.random.default_rng(0).bytes(50_000))
    wav(tmp_path / "header.wav", b"")
    expected = {
        "empty.wav": DocumentEmptyError,
        "header.wav": DocumentEmptyError,
        "text.wav": DocumentTypeError,
        "random.mp3": DocumentTypeError,
        "absent.wav": DocumentError,
        ".": DocumentTypeError,
    }
    for name, kind in expected.items():
        with pytest.raises(kind) as told:
            read(tmp_path / name)
        assert "\n" not in str(told.value)
        assert str(told.value).endswith(".")


def test_the_command_prints_one_json_object_and_fails_when_a_file_does(
    need_models, shared_dir: Path, tmp_path: Path
) -> None:
    need_models("stt")
    spoken = next(s for s in shared_speech(shared_dir) if "lamp" in s.text)
    (tmp_path / "bad.wav").write_text("no sound")
    done = xoe("transcribe", str(spoken.path), "bad.wav", "--json", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    result = json.loads(done.stdout)
    good, bad = result["files"]
    assert result["failed"] == 1
    assert wer(spoken.text, good["text"]) <= 0.2
    assert good["segments"][0].keys() == {"start", "end", "text"}
    assert good["language"] == "en"
    assert "bad.wav" in bad["error"]
    assert "bad.wav" in done.stderr


def test_the_command_prints_each_sentence_with_its_times(
    need_models, shared_dir: Path, tmp_path: Path
) -> None:
    need_models("stt-light")
    spoken = next(s for s in shared_speech(shared_dir) if "lamp" in s.text)
    done = xoe("transcribe", "--light", str(spoken.path), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[00:00.")
    assert "lamp" in done.stdout
