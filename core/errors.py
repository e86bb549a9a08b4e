"""Every error that this project raises on purpose.

XoeError
├── SettingsError            a setting is unknown, of the wrong kind or out of range
├── CertificateError         the network's certificates are damaged, ended or cannot be made
├── ModelError
│   ├── ModelMissingError    a model file is not there and could not be fetched
│   ├── ModelDamagedError    a model file's SHA-256 is not the manifest's
│   └── ModelLoadError       an engine refused the file
├── DocumentError            a document cannot be read; the reason is for the user
│   ├── DocumentTooLargeError
│   ├── DocumentTypeError    not one of the kinds that can be read
│   ├── DocumentLockedError  encrypted
│   ├── DocumentBusyError    too many files wait to be read (a BusyError)
│   ├── WebPageError         a web page is not to be fetched, or cannot be
│   ├── OriginalMissingError the file of a document is not there, or not as it was read
│   ├── SourceError          a source of the settings file could not be read
│   ├── UploadBusyError      too much waits to be read already; ``retry_after_s`` tells when
│   └── DocumentEmptyError   nothing to read in it
├── StoreError
│   ├── StoreLockedError     another server owns the data folder
│   ├── StoreDamagedError    the database itself is damaged
│   ├── DiskFullError        no space is left for the data folder
│   ├── ThreadLimitError     there are as many chats as are kept
│   └── BackupError          a backup cannot be written, or is not one that can be restored
├── EngineError
│   ├── EngineBusyError      too many questions wait for the model (a BusyError)
│   ├── EngineNotReadyError  still loading, or failed to load
│   │   └── EngineOffError   a setting has switched it off
│   ├── EngineStalledError   the model does not go on with what it was given
│   ├── LlamaBuildError      no build of llama.cpp works on this processor, or none can be tried
│   └── GenerationError      the model failed while it was answering
│       └── GenerationLostError  its process was lost (a ProcessLostError too, as those below)
├── MeasuringError           the models cannot be measured now
├── EvaluationError          a file of questions cannot be read, or its questions cannot be asked
├── SpeechError              something about speaking
│   ├── SynthesisError       the voice failed, or was shut down, while it was speaking
│   │   └── SynthesisLostError
│   ├── SpeechBusyError      too many texts wait to be spoken (a BusyError)
│   └── CallBusyError        there are too many calls already
├── TranscriptionError       what was said could not be turned into text
│   ├── TranscriptionLostError
│   └── TranscriptionBusyError  too many pieces of speech wait (a BusyError)
├── RetrievalError           the documents cannot be searched
├── QuestionError            an empty or over-long question
├── InvitationError          an invitation cannot be made, or lets nobody in
├── ShareError               nothing can be shared now
├── LinkError                a read-only link to a chat cannot be made
├── TunnelError              a tunnel cannot be opened, or was lost
│   ├── TunnelOptionsError      it is asked for in a way in which none can be
│   └── HostKeyError         the far end's key is not the one that is trusted
│       └── HostKeyUnknownError  nobody has accepted it yet; ``fingerprint`` shows it
├── AccountError             an account cannot be made or changed as was asked
│   ├── WeakPasswordError    easy to guess; the message says why
│   └── LoginError           the name or the password is wrong, or the account is switched off
│       └── LoginThrottledError  too many attempts; ``retry_after_s`` tells how long to wait
├── BusyError                too much waits; ``retry_after_s`` tells when to come back
│   └── DrawingBusyError     too many pages wait to be drawn
├── ProcessLostError         an engine's process was lost; it is being started again by itself
├── CircuitOpenError         a part failed too often; ``retry_after_s`` tells how long it rests
├── StoppingError            the server is being stopped
└── RedisError               Redis cannot be reached or started

``str(error)`` is one sentence for a person: what happened and, where there is something,
what to do next. Library errors are kept as ``__cause__``.
"""

from __future__ import annotations

import math


class XoeError(Exception):
    """Base of all errors raised on purpose."""


class BusyError(XoeError):
    """As much waits as may wait: of one owner's, or of all together."""

    server = "The server"
    things = "requests"

    def __init__(self, waiting: int, retry_after_s: float = 1.0, *, own: bool = False) -> None:
        """Remember what was reached, and in how many seconds there may be room.

        ``own``: the owner has ``waiting`` of their own, else so many wait altogether.
        """
        wait_s = math.ceil(retry_after_s)
        when = f"in {wait_s} seconds" if wait_s > 1 else "in a moment"
        reached = (
            f"You have {waiting} {self.things} under way, as many as there is room for."
            if own
            else f"{self.server} is busy: {waiting} {self.things} are waiting already."
        )
        super().__init__(f"{reached} Please try again {when}.")
        self.waiting = waiting
        self.retry_after_s = retry_after_s
        self.own = own


class SettingsError(XoeError):
    """A setting is unknown, of the wrong kind or out of range."""


class CertificateError(XoeError):
    """The certificates for the network are damaged, have ended, or cannot be made."""


class ModelError(XoeError):
    """Something about a model file."""


class ModelMissingError(ModelError):
    """A model file is not there and could not be fetched."""


class ModelDamagedError(ModelError):
    """A model file's SHA-256 is not the one in the manifest."""


class ModelLoadError(ModelError):
    """The engine refused a model file."""


class DocumentError(XoeError):
    """A document cannot be read; the message is the reason shown to the user."""


class DocumentTooLargeError(DocumentError):
    """A document is over the size limit."""


class DocumentTypeError(DocumentError):
    """A document is not of a kind that can be read."""


class DocumentLockedError(DocumentError):
    """A document is encrypted."""


class DocumentEmptyError(DocumentError):
    """A document holds no text."""


class OriginalMissingError(DocumentError):
    """The file that a document was read from is not there any more, or not as it was."""


class DrawingBusyError(BusyError):
    """Too many pages wait to be drawn."""

    things = "pages"


class WebPageError(DocumentError):
    """A web page is not to be fetched, or cannot be."""


class DocumentBusyError(DocumentError, BusyError):
    """Too many files wait to be read."""

    server = "The reading of files"
    things = "files"


class SourceError(DocumentError):
    """A source of the settings file could not be read, or not wholly."""

    def __init__(self, message: str, detail: str = "") -> None:
        """``detail``: what its loader said, which may hold an address or a password."""
        super().__init__(message)
        self.detail = detail


class UploadBusyError(DocumentError):
    """Too many files wait to be read already, or they are too large."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        """``retry_after_s``: seconds until it is worth another try."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class StoreError(XoeError):
    """Something about the data folder or its database."""


class StoreLockedError(StoreError):
    """Another server owns the data folder."""


class StoreDamagedError(StoreError):
    """The database itself is damaged."""


class DiskFullError(StoreError):
    """No space is left where the data folder is."""


class ThreadLimitError(StoreError):
    """There are as many chats as are kept for one person, so this one is not."""


class BackupError(StoreError):
    """A backup cannot be written, or a file is not one that can be restored."""


class EngineError(XoeError):
    """Something about the language model's engine."""


class EngineBusyError(EngineError, BusyError):
    """Too many questions wait for the model."""

    server = "The model"
    things = "questions"


class EngineNotReadyError(EngineError):
    """The model is still loading, or could not be loaded."""


class EngineOffError(EngineNotReadyError):
    """A setting has switched the engine off: it does not come by itself."""


class EngineStalledError(EngineError):
    """The model does not go on with what it was given."""


class LlamaBuildError(EngineError):
    """No build of llama.cpp works on this processor, or none could be tried."""


class GenerationError(EngineError):
    """The model failed while it was answering."""


class ProcessLostError(XoeError):
    """The process that an engine lives in was lost.

    It counts for no circuit breaker and is not tried again: the process is started again by
    itself, with pauses of its own, and is left alone where that does not help.
    """


class GenerationLostError(GenerationError, ProcessLostError):
    """The model's process was lost while it was answering."""


class MeasuringError(XoeError):
    """The language models cannot be measured now; the sentence says why."""


class EvaluationError(XoeError):
    """A file of questions cannot be read, or its questions cannot be asked."""


class SpeechError(XoeError):
    """Something about speaking."""


class SynthesisError(SpeechError):
    """The voice failed, or was shut down, while it was speaking."""


class SynthesisLostError(SynthesisError, ProcessLostError):
    """The voice's process was lost while it was speaking."""


class SpeechBusyError(SpeechError, BusyError):
    """Too many texts wait to be spoken."""

    server = "The voice"
    things = "texts to be spoken"


class CallBusyError(SpeechError):
    """There are too many calls already, so no other one can begin."""

    def __init__(self, limit: int, *, own: int, is_beginning: bool = False) -> None:
        """``limit``: calls of all together; ``own``: those of who wants one more.

        ``is_beginning``: one is being made on the same page.
        """
        if is_beginning:
            sentence = "A call is being begun on this page already. Please wait a moment."
        elif own:
            calls = "a call" if own == 1 else f"{own} calls"
            sentence = (
                f"You are in {calls} already, which is the most for one person just now. Please "
                "end one first; typing works."
            )
        else:
            sentence = (
                f"Too many people are in a call just now ({limit} at most). Please try again in a "
                "moment; typing works."
            )
        super().__init__(sentence)


class TranscriptionError(XoeError):
    """What was said could not be turned into text."""


class TranscriptionLostError(TranscriptionError, ProcessLostError):
    """The process of speech recognition was lost while it was listening."""


class TranscriptionBusyError(TranscriptionError, BusyError):
    """Too many pieces of speech wait to be transcribed."""

    server = "Speech recognition"
    things = "pieces of speech"


class RetrievalError(XoeError):
    """The documents cannot be searched."""


class QuestionError(XoeError):
    """A question is empty or too long."""


class InvitationError(XoeError):
    """An invitation cannot be made, or lets nobody in; the message says why."""


class StoppingError(XoeError):
    """The server is being stopped, so there is no answer, or no more of it."""

    def __init__(self) -> None:
        """There is only one thing to say."""
        super().__init__(
            "The server is being stopped. Please ask again when it has been started again."
        )


class RedisError(XoeError):
    """Redis cannot be reached or started."""


class AccountError(XoeError):
    """An account cannot be made or changed as was asked."""


class WeakPasswordError(AccountError):
    """A password is easy to guess; the message says why."""


class LoginError(AccountError):
    """The name or the password is wrong, or the account is switched off."""


class LoginThrottledError(LoginError):
    """There were too many attempts to log in; this one was not looked at."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        """``retry_after_s``: seconds until the next attempt is looked at."""
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CircuitOpenError(XoeError):
    """A part of the system failed too often, and is left alone for a while."""

    def __init__(self, name: str, retry_after_s: float) -> None:
        """Remember the breaker's name and the seconds until a call may be tried: 0 or more."""
        part = {
            "llm-load": "The language model",
            "checker": "The check of answers",
            "rag-api": "The search of the library",
            "stt": "Speech recognition",
            "tts": "The voice",
            "redis-connection": "Redis",
        }.get(name, name)
        wait_s = math.ceil(retry_after_s)
        when = f"in {wait_s} seconds" if wait_s > 1 else "in a moment"
        super().__init__(f"{part} has failed several times and is tried again {when}.")
        self.name = name
        self.retry_after_s = retry_after_s


class ShareError(XoeError):
    """Nothing can be shared now."""


class LinkError(XoeError):
    """A read-only link to a chat cannot be made."""


class TunnelError(XoeError):
    """A tunnel to a public address cannot be opened, or was lost."""


class TunnelOptionsError(TunnelError):
    """A tunnel is asked for in a way in which there can be none; nothing was tried."""


class HostKeyError(TunnelError):
    """The far end of a tunnel shows a key that is not trusted; trying again would not help."""


class HostKeyUnknownError(HostKeyError):
    """The far end of a tunnel shows a key that nobody has accepted yet."""

    def __init__(self, sentence: str, fingerprint: str) -> None:
        """Remember the ``fingerprint``, ``SHA256:…``, by which the key can be accepted."""
        super().__init__(sentence)
        self.fingerprint = fingerprint
