"""Which file a profile stands for, and how it is loaded."""

from __future__ import annotations

from pathlib import Path

import structlog

from chains.llm.generator import Generator
from chains.llm.runtime import RuntimeOptions
from chains.llm.vocabulary import Vocabularies, Vocabulary
from models.provision import ensure_present

log = structlog.get_logger(__name__)


class ModelLoader:
    """Loads profiles' models. Its methods block: call them in a thread."""

    def __init__(self, models_dir: Path, options: RuntimeOptions, *, cache_bytes: int) -> None:
        """``cache_bytes``: for the saved states of each loaded model."""
        self._models_dir = models_dir
        self._options = options
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
