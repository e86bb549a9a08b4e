"""Which file a profile stands for, and how it is run on this machine."""

from __future__ import annotations

from pathlib import Path

import psutil
import structlog

from chains.llm.generator import Generator
from chains.llm.runtime import RuntimeOptions
from chains.llm.vocabulary import Vocabularies, Vocabulary
from models.provision import ensure_present
from xoe.settings import Settings

log = structlog.get_logger(__name__)

CACHE_BYTES = 128 * 2**20
"""Saved states: 10,000 tokens of the fast model's, 4,600 of the quality one's."""


class ModelLoader:
    """Loads profiles' models. Its methods block: call them in a thread."""

    def __init__(self, settings: Settings, *, cache_bytes: int = CACHE_BYTES) -> None:
        """``cache_bytes``: for the saved states of each loaded model."""
        self._models_dir = settings.models_dir
        self._options = RuntimeOptions(
            context_tokens=settings.llm_context_tokens,
            threads=settings.llm_threads or psutil.cpu_count(logical=False) or 1,
        )
        self._cache_bytes = cache_bytes
        self._vocabularies = Vocabularies(self._locate)

    def vocabulary(self, profile: str) -> Vocabulary:
        """Return the profile's tokenizer, whether or not its model is loaded.

        Raises ``ModelMissingError``, ``ModelDamagedError`` or ``ModelLoadError``.
        """
        return self._vocabularies.get(profile)

    def load(self, profile: str) -> Generator:
        """Load the profile's weights; raises like ``vocabulary``."""
        vocabulary = self.vocabulary(profile)
        path = self._locate(profile)
        log.info("llm.load", profile=profile, file=path.name, threads=self._options.threads)
        return Generator(path, vocabulary, self._options, cache_bytes=self._cache_bytes)

    def close(self) -> None:
        """Free the tokenizers."""
        self._vocabularies.close()

    def _locate(self, profile: str) -> Path:
        return ensure_present(profile, self._models_dir)
