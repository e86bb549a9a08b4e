"""Speech to text: one engine, any number of sessions.

``Transcriber`` is the engine, ``TranscriptionSession`` one speaker's turn after turn,
``Transcript`` what comes out. ``voice.stt.whisper`` holds the engine that is used;
``voice.stt.recording`` transcribes files.
"""

from voice.stt.session import TranscriptionSession
from voice.stt.transcriber import Transcriber
from voice.stt.transcript import CallLanguage, DecodeRequest, Transcript

__all__ = [
    "CallLanguage",
    "DecodeRequest",
    "Transcriber",
    "Transcript",
    "TranscriptionSession",
]
