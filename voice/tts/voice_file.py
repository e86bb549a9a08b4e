"""A Piper voice on disk: the graph and the JSON that belongs to it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from piper.config import PiperConfig

from core.errors import ModelLoadError, ModelMissingError, SettingsError
from models.integrity import sha256_of
from models.manifest import load_manifest
from models.provision import ensure_present


@dataclass(frozen=True)
class VoiceFile:
    """A voice that is there, with its configuration read."""

    path: Path
    sha256: str
    config: PiperConfig

    def speaker_id(self, speaker: str | None) -> int | None:
        """Return the number of ``speaker``; ``None`` for a voice that has only one.

        Raises ``SettingsError`` when the voice has no such speaker.
        """
        count = self.config.num_speakers
        if count <= 1:
            if speaker not in (None, "", "0"):
                raise SettingsError(
                    f"The voice {self.path.name} has one speaker only, so there is no speaker "
                    f"{speaker!r} to choose."
                )
            return None
        if speaker is None:
            return self.config.default_speaker_id
        if speaker in self.config.speaker_id_map:
            return self.config.speaker_id_map[speaker]
        if speaker.isdecimal() and int(speaker) < count:
            return int(speaker)
        names = ", ".join(list(self.config.speaker_id_map)[:8]) or f"0 to {count - 1}"
        raise SettingsError(
            f"The voice {self.path.name} has no speaker {speaker!r}. Choose a number from 0 to "
            f"{count - 1}, or one of: {names}."
        )


def open_voice(voice: str, models_dir: Path) -> VoiceFile:
    """Find ``voice``: the path of an ``.onnx`` file, or a name of the manifest.

    Raises ``ModelMissingError`` when a file is not there, ``ModelDamagedError`` when a voice of
    the manifest is not what it should be, ``ModelLoadError`` when the JSON makes no sense.
    """
    if voice.endswith(".onnx") or "/" in voice:
        path = Path(voice).expanduser().absolute()
        if not path.is_file():
            raise ModelMissingError(
                f"There is no voice file {path}. Give the path of a Piper voice (.onnx with its "
                ".onnx.json beside it) or the name of one that 'xoe models list' shows."
            )
    else:
        entry = load_manifest().entry(voice)
        if entry.kind != "tts":
            raise ModelMissingError(
                f"The model {voice!r} is no voice: it is for {entry.purpose}. The voices in "
                "'xoe models list' are those of the kind tts."
            )
        path = ensure_present(voice, models_dir)
    return VoiceFile(path, sha256_of(path), _read_config(path))


def _read_config(path: Path) -> PiperConfig:
    config = path.with_name(f"{path.name}.json")
    if not config.is_file():
        raise ModelMissingError(
            f"The voice {path.name} needs its configuration, {config.name}, in the same folder "
            f"({path.parent}), and it is not there. Piper's voices are published with it; "
            "please put it beside the voice."
        )
    try:
        return PiperConfig.from_dict(json.loads(config.read_text("utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelLoadError(
            f"The voice's configuration {config} cannot be used "
            f"({type(exc).__name__}: {exc}). Please fetch it again from where the voice came."
        ) from exc
