"""All settings, their defaults and the reason for each.

They come, in this order, from arguments, ``XOE_*`` environment variables, ``xoe.toml`` (in the
working folder, or where ``XOE_CONFIG`` points) and the defaults below. An unknown key is refused
and the nearest known one is named.
"""

from __future__ import annotations

import difflib
import math
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from core.errors import SettingsError
from core.source_settings import MAX_SOURCES, SourceSettings, refuse_open_file

ENV_PREFIX = "XOE_"
CONFIG_ENV = "XOE_CONFIG"
PEOPLE_FILE = "people.sqlite"
"""The database of chats and accounts in the data folder, where no URL names another."""
SHARED_ENV = "XOE_SHARED_DIR"
"""Where tests and benches find evaluation data that is not part of the project."""

_SOURCES = "sources"
_CHECKOUT = Path(__file__).resolve().parent.parent


def site_root() -> Path:
    """Return the folder with ``app.py``, ``public`` and ``.chainlit``.

    It is the checkout's root or, where the project was installed as a wheel, ``xoe/site``.
    """
    return _CHECKOUT if (_CHECKOUT / "pyproject.toml").is_file() else _CHECKOUT / "xoe" / "site"


def _default_models_dir() -> Path:
    if site_root() == _CHECKOUT:
        return _CHECKOUT / "models"
    return Path.home() / ".local" / "share" / "xoe-novai" / "models"


LlmProfile = Literal["fast", "quality", "tiny"]


class Settings(BaseSettings):
    """The effective settings. Frozen: a change needs a new object and new services."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    # Where things are
    data_dir: Path = Field(Path("data"), description="database, index, Redis file and logs")
    library_dir: Path = Field(Path("library"), description="the shared documents' folder")
    folders: str = Field(
        "", description="more folders with shared documents, kept in step; colons between"
    )
    # Off, nothing outside is ever asked for a document.
    web_pages: bool = Field(
        False, description="let operators add web pages by their address, which are fetched then"
    )
    sources: tuple[SourceSettings, ...] = Field(
        (), max_length=MAX_SOURCES, description="LangChain loaders whose documents are shared"
    )
    models_dir: Path = Field(
        default_factory=_default_models_dir, description="the model files' folder"
    )

    # What the project promises to stay within; a container's own limit counts where it is lower.
    memory_limit_mb: int = Field(
        6144, ge=256, description="memory of which smaller models are used from 85 % on"
    )

    # Server. Any other address than loopback needs an account first.
    host: str = Field("127.0.0.1", description="address to listen on")
    allowed_hosts: str = Field(
        "", description="more names by which browsers may ask, e.g. of a proxy; commas between"
    )
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    uds: Path | None = Field(None, description="a Unix socket (mode 0600) to listen on instead")
    # Others on the network come in over TLS: without it browsers give them no microphone.
    lan: bool = Field(False, description="let others on the local network in, as xoe serve --lan")
    lan_port: int = Field(8443, ge=0, le=65535, description="port for them; 0 takes a free one")
    lan_http_port: int = Field(
        8080, ge=0, le=65535, description="plain HTTP that leads there; taken: one of the next nine"
    )
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    # Traces stay here unless a collector is named. They hold times and names, no text.
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://[^\s/]+(/\S*)?$",
        description="send traces to this OpenTelemetry collector, e.g. http://localhost:4318",
    )

    # The model. 4,096 tokens hold the prompt, three passages and some turns, and cost 50 MB.
    llm_profile: LlmProfile = Field("fast", description="the model that a new chat starts with")
    llm_context_tokens: int = Field(4096, ge=1024, le=32768)
    # When old turns are dropped the rest is read anew: more than this takes a dozen seconds.
    llm_prompt_tokens: int = Field(
        2048, ge=512, le=32768, description="length at which a chat's old turns leave the prompt"
    )
    llm_max_tokens: int = Field(256, ge=16, le=2048, description="length of an answer, at most")
    llm_threads: int = Field(0, ge=0, le=64, description="0: one for each physical core")
    llm_queue_limit: int = Field(128, ge=1, le=1024, description="questions that may wait")
    # A batch of the prompt takes 2 to 6 s on slow cores; a person waits no longer than 15 s.
    llm_stall_s: float = Field(
        10, ge=1, le=600, description="time without progress after which the model counts as stuck"
    )
    checker_fetch: bool = Field(
        True, description="fetch the model quality (1.1 GB) behind the page, to check answers with"
    )
    llm_base_url: str | None = Field(None, description="an OpenAI-compatible server instead")
    llm_remote_timeout_s: float = Field(
        12, ge=1, le=600, description="longest wait for the next piece of that server's answer"
    )
    llm_api_key: SecretStr | None = None
    llm_model: str | None = Field(None, description="the model's name on that server")

    # Retrieval. Measured on SQuAD 2.0 and on reworded questions (docs/answers.md).
    retrieval_passages: int = Field(2, ge=1, le=10, description="passages that the model reads")
    retrieval_timeout_s: float = Field(5, gt=0, le=120, description="time to search the documents")
    retrieval_dense_weight: float = Field(
        0.6, ge=0, le=1, description="0: BM25 only, 1: dense only"
    )
    retrieval_exact_limit: int = Field(
        150_000, ge=1_000, description="vectors up to which the search is exact; HNSW above"
    )

    # Documents
    chunk_tokens: int = Field(200, ge=32, le=250, description="the embedder reads 256 at most")
    upload_max_mb: int = Field(50, ge=1, le=1024)
    upload_max_files: int = Field(50, ge=1, le=500, description="files in one message")
    parse_timeout_s: float = Field(
        60, gt=0, le=600, description="time to read one document, or one page of a scan"
    )
    parse_memory_mb: int = Field(
        1024, ge=256, le=8192, description="address space that reading one document may take"
    )
    parse_max_pages: int = Field(10_000, ge=1, le=100_000, description="pages of one PDF, at most")
    # Recordings are large, and a block of two minutes at a time is in memory.
    recording_max_mb: int = Field(1024, ge=1, le=8192, description="size of one recording")
    recording_max_h: float = Field(12, gt=0, le=48, description="hours of one recording, at most")
    recording_memory_mb: int = Field(
        2048, ge=1024, le=8192, description="address space that transcribing may take"
    )

    # Rates of one session; half of a minute's may come at once. A person stays far below them.
    limit_questions: int = Field(60, ge=1, le=1_000_000, description="questions a minute")
    limit_uploads: int = Field(240, ge=1, le=1_000_000, description="files a minute")
    limit_audio: int = Field(
        20, ge=1, le=1_000_000, description="calls and dictations begun in a minute"
    )

    # Of one guest, whatever pages they have open. They share the model with whoever invited them.
    limit_guest_questions: int = Field(
        12, ge=1, le=1_000_000, description="questions a minute of a guest"
    )
    limit_guest_uploads: int = Field(
        20, ge=1, le=1_000_000, description="files a minute of a guest"
    )
    limit_guest_audio: int = Field(
        6, ge=1, le=1_000_000, description="calls and dictations a minute of a guest"
    )

    # Sharing by a link
    share_owner: str | None = Field(
        None, max_length=80, description="whose computer guests are told this is"
    )
    share_ssh_config: Path | None = Field(
        None, description="OpenSSH's settings for tunnels, instead of ~/.ssh/config"
    )

    # History: bounded in turns, characters and time
    history_max_turns: int = Field(100, ge=1, le=10_000)
    history_max_chars: int = Field(2000, ge=100, le=20_000)
    history_ttl_s: int = Field(3600, ge=60)
    question_max_chars: int = Field(4000, ge=100, le=20_000)

    # Redis: without a URL the server starts one of its own on a Unix socket
    redis_url: SecretStr | None = Field(None, description="an external Redis")
    redis_timeout_s: float = Field(2.0, gt=0, le=30)

    # Chats and accounts: without a URL in people.sqlite in the data folder
    database_url: SecretStr | None = Field(
        None, description="a PostgreSQL that several servers share, e.g. postgresql://me@host/xoe"
    )

    # Circuit breakers. One person asks little, so few calls must be enough: out of a window of
    # eight, three failures open a circuit after a start and four after a good hour; in a window of
    # twenty ten questions would fail first. A slow answer is still an answer, hence the higher
    # rate. One good probe closes the circuit, so that the next question is served in full again.
    breaker_window: int = Field(8, ge=1, le=1000, description="calls that a breaker looks at")
    breaker_min_calls: int = Field(3, ge=1, le=1000, description="fewer calls open nothing")
    breaker_failure_rate: float = Field(
        0.5, gt=0, le=1, description="share of failed calls that opens a circuit"
    )
    breaker_slow_rate: float = Field(
        0.8, gt=0, le=1, description="share of slow calls that opens a circuit"
    )
    # Ten seconds are enough for a server to be started again; a minute, for one that stays away.
    breaker_open_s: float = Field(
        10, ge=0.01, le=3600, description="time without calls; doubled when a probe fails"
    )
    breaker_open_max_s: float = Field(
        60, ge=0.01, le=3600, description="time without calls, at the most"
    )
    breaker_probes: int = Field(
        1, ge=1, le=100, description="calls that try whether a part works again"
    )
    breaker_lease_s: float = Field(
        30,
        ge=0.01,
        le=3600,
        description="time after which a probe that does not report is given up; "
        "twice what is slow, if that is longer",
    )
    # Slow is what a person takes for broken. The model's time counts until its first token.
    breaker_llm_slow_s: float = Field(30, gt=0, le=600)
    breaker_rag_slow_s: float = Field(5, gt=0, le=600)
    breaker_stt_slow_s: float = Field(10, gt=0, le=600)
    breaker_tts_slow_s: float = Field(10, gt=0, le=600)

    # Voice calls. Five of them keep two cores busy. Six frames of speech, and what the detector
    # lags behind, are 200 ms: more than a cough has.
    voice: bool = Field(True, description="talk to it: needs the models stt, stt-light and tts")
    voice_max_calls: int = Field(5, ge=1, le=100, description="calls at a time")
    voice_barge_in_ms: int = Field(
        192, ge=96, le=2000, description="speech that interrupts the reply"
    )

    # Speech to text. Two threads: base int8 gains little from more for a few seconds of speech.
    stt_model: Literal["stt", "stt-light"] = Field(
        "stt", description="Whisper base, or Whisper tiny for English only"
    )
    # A net for an engine that hangs. The light one comes after it: both within 15 s.
    stt_timeout_s: float = Field(8, ge=1, le=60, description="time to transcribe one turn")
    stt_language: str = Field(
        "auto", pattern="^(auto|[a-z]{2,3})$", description="a code such as en; auto: found out once"
    )
    stt_threads: int = Field(2, ge=1, le=64, description="cores that one transcription uses")
    stt_floor_frames: int = Field(
        700, ge=600, le=3000, description="shortest window that Whisper hears, in 10 ms"
    )
    stt_hints: bool = Field(
        True, description="tell Whisper the documents' titles, so that it writes names right"
    )
    stt_window_s: float = Field(
        10, ge=2, le=30, description="speech after which a pause settles what was said so far"
    )
    vad_start_threshold: float = Field(0.5, gt=0, lt=1, description="speech begins above")
    vad_end_threshold: float = Field(0.35, gt=0, lt=1, description="speech ends below")
    vad_min_speech_ms: int = Field(128, ge=32, le=1000, description="speech that begins a turn")
    endpoint_pause_ms: int = Field(
        192, ge=160, le=1000, description="silence after which an answer is prepared"
    )
    endpoint_hangover_min_ms: int = Field(
        384, ge=160, le=5000, description="silence that ends a turn which sounds finished"
    )
    endpoint_hangover_ms: int = Field(
        704, ge=160, le=5000, description="silence that ends a turn of which nothing is known"
    )
    endpoint_hangover_max_ms: int = Field(
        1408, ge=160, le=10_000, description="silence that ends a turn which sounds unfinished"
    )
    endpoint_long_silence_ms: int = Field(
        60_000, ge=1000, le=600_000, description="silence after which a call ends"
    )
    endpoint_max_turn_s: int = Field(120, ge=10, le=3600, description="longest turn")

    # Text to speech. One thread: the model is writing the answer meanwhile on all the cores.
    tts_engine: Literal["piper", "espeak"] = Field("piper", description="the voice's engine")
    tts_voice: str = Field(
        "tts", min_length=1, description="a voice of 'xoe models list', or a Piper .onnx file"
    )
    tts_speaker: str | None = Field(
        None, description="name or number, of a voice with several speakers"
    )
    tts_speed: float = Field(1.0, ge=0.5, le=2.0, description="2: twice as fast")
    tts_threads: int = Field(1, ge=1, le=64, description="cores that the voice uses")
    tts_timeout_s: float = Field(4, ge=0.5, le=60, description="wait for the next piece of sound")
    tts_espeak_voice: str = Field("en-us", min_length=1, description="the second engine's language")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then ``xoe.toml``."""
        toml = TomlConfigSettingsSource(settings_cls, toml_file=config_path())
        return init_settings, env_settings, toml

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_nan(cls, value: Any) -> Any:
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError("must be a finite number")
        return value

    @field_validator("breaker_min_calls")
    @classmethod
    def _min_calls_fit(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("breaker_window", value):
            raise ValueError("must not be above breaker_window, or a circuit would never open")
        return value

    @field_validator("breaker_open_max_s")
    @classmethod
    def _open_max_fits(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("breaker_open_s", value):
            raise ValueError("must not be below breaker_open_s")
        return value

    @field_validator("sources")
    @classmethod
    def _names_differ(cls, value: tuple[SourceSettings, ...]) -> tuple[SourceSettings, ...]:
        if len({source.name.lower() for source in value}) < len(value):
            raise ValueError("two have the same name")
        return value

    @field_validator("data_dir", "library_dir", "models_dir", "uds", "share_ssh_config")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return None if value is None else value.expanduser().absolute()


def config_path() -> Path:
    """Return the path of ``xoe.toml``, whether or not it exists."""
    return Path(os.environ.get(CONFIG_ENV, "xoe.toml"))


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; arguments that are ``None`` count as not given.

    Raises ``SettingsError`` with one line for each thing that is wrong.
    """
    given = {key: value for key, value in overrides.items() if value is not None}
    problems = [_unknown(key, f"{ENV_PREFIX}{key.upper()}") for key in _unknown_environment()]
    if f"{ENV_PREFIX}{_SOURCES.upper()}" in os.environ:
        problems.append(f"Sources are named in {config_path()}, not in the environment.")
    if problems:
        raise SettingsError("\n".join(problems))
    try:
        settings = Settings(**given)
    except ValidationError as exc:
        raise SettingsError("\n".join(_explain(error) for error in exc.errors())) from exc
    except ValueError as exc:  # tomllib.TOMLDecodeError
        raise SettingsError(f"{config_path()} is not valid TOML: {exc}") from exc
    if settings.sources:
        refuse_open_file(config_path())
    return settings


def masked(settings: Settings) -> dict[str, Any]:
    """Return the effective values, JSON-ready, with secrets shown as ``**********``."""
    return settings.model_dump(mode="json")


def _unknown_environment() -> list[str]:
    others = (CONFIG_ENV, SHARED_ENV)
    known = {*Settings.model_fields, *(name.removeprefix(ENV_PREFIX).lower() for name in others)}
    names = (key[len(ENV_PREFIX) :].lower() for key in os.environ if key.startswith(ENV_PREFIX))
    return sorted(name for name in names if name not in known)


def _unknown(key: str, shown: str) -> str:
    near = difflib.get_close_matches(key, Settings.model_fields, n=1, cutoff=0.0)
    return (
        f"There is no setting {shown}; the nearest one is {near[0]}. 'xoe config' lists them all."
    )


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    is_source = error["loc"][:1] == (_SOURCES,)  # which may hold a password
    if error["type"] == "extra_forbidden" and not is_source:
        return _unknown(key, repr(key))
    if isinstance(error.get("input"), SecretStr) or is_source:
        return f"The setting {key} is not valid: {error['msg']}."
    return f"The setting {key} is not valid: {error['msg']} (it is {error['input']!r})."
