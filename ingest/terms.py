"""The terms of a text, as the full-text index holds them: stems of words, and pairs of characters.

Words are stemmed by their language's Snowball algorithm and stand without accents. Chinese,
Japanese, Korean and Thai are written without spaces, or with endings that no space cuts off, so
their runs become overlapping pairs of characters (as Lucene's CJK analyser does), and Chinese
characters also stand alone: many are words.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache, lru_cache
from itertools import pairwise
from typing import Any, Final

import snowballstemmer

from ingest.language import ENGLISH, fold

MAX_STEMMED_CHARS: Final = 40
"""What is longer is no word of any language, and costs the stemmer much."""

PORTER_MIN_CHARS: Final = 3
"""SQLite's Porter stemmer leaves shorter words as they are."""

_STEMMERS: Final = {
    # English is stemmed as SQLite's own tokenizer does it.
    "en": "porter",
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
}
_HAN: Final = r"\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED: Final = rf"[{_HAN}\u3041-\u309f\u30a0-\u30fa\u30fc-\u30ff\uac00-\ud7a3\u0e00-\u0e7f]"
"""Chinese, hiragana, katakana, hangul, Thai."""

_RUN = re.compile(f"{_UNSPACED}+")
_WORD = re.compile(r"[^\W_]+")
_WORD_OR_RUN = re.compile(rf"{_UNSPACED}+|(?:(?!{_UNSPACED})[^\W_])+")
_PORTUGUESE_PLURAL = re.compile("[õã]es$")
_IS_HAN = re.compile(f"[{_HAN}]")

# What has no meaning of its own in a question or statement: particles, endings, question words.
_GRAMMAR = re.compile(
    r"请问|什么|怎么样|怎么|怎样|如何|为什么|多少|几个|几点|多久|多长|哪里|哪个|哪些|哪儿|哪|谁|何时|是否"
    r"|可以|能够|能|应该|需要|以及|关于|对于|我们|你们|他们|这个|那个|[的了是吗呢吧么和与或在就都也我你他她它们这那请几有会]"
    r"|何ですか|何時|何|誰|いくらですか|いくら|いくつ|どこですか|どこ|どの|どれ|どう|だれ|いつですか|いつ|なぜ"
    r"|ですか|ますか|ましたか|でしょうか|でした|です|ました|ません|ます|ください|教えて|について|という"
    r"|(?:して|され|でき)?(?:いる|いた|います|いました)|あります|ありません|ありました|から|まで|より|ては|でも|には|では|とは"
    r"|(?<![\u3041-\u309f])[はがをにでとのもへや](?![\u3041-\u309f])|(?<=[^\u3041-\u309f])[はがをにでとのもへや]"
    r"|무엇입니까|무엇인가요|무엇을|무엇|얼마입니까|얼마인가요|얼마|언제입니까|언제|어디입니까|어디에서|어디에|어디"
    r"|누구입니까|누가|누구|어떻게|어떤|왜|몇|입니까|습니까|합니까|합니다|입니다|습니다|인가요|나요|하는|있는"
    r"|(?<=[\uac00-\ud7a3]{2})(?:은|는|이|가|을|를|의|에서|에|으로|로|와|과|도)$"
    r"|อะไร|เท่าไหร่|เท่าไร|เมื่อไร|เมื่อไหร่|ที่ไหน|ใคร|อย่างไร|ทำไม|กี่|ไหม|หรือไม่|ครับ|ค่ะ|และ|หรือ|ของ|ที่|เป็น|คือ"
)


@cache
def _stemmer(language: str) -> Any:
    return snowballstemmer.stemmer(_STEMMERS.get(language, _STEMMERS[ENGLISH]))


@lru_cache(maxsize=50_000)
def stem(word: str, language: str = ENGLISH) -> str:
    """Return the stem of a lower-case word, without accents; a run's pieces are stems already."""
    if _RUN.match(word):
        return word
    if len(word) > MAX_STEMMED_CHARS:
        return fold(word)
    if language == "pt":
        # "inscrição, inscrições": Snowball gives the two different stems.
        word = _PORTUGUESE_PLURAL.sub("ão", word)
    elif language not in _STEMMERS or language == ENGLISH:
        word = fold(word)
        if len(word) < PORTER_MIN_CHARS:
            return word
    stemmed: str = _stemmer(language).stemWord(word)
    return fold(stemmed)


def words(text: str) -> list[str]:
    """Return the words of ``text`` in lower case, in order; runs without spaces in pieces.

    Of a run, grammar is left out, and what is between it becomes pairs of characters.
    """
    found: list[str] = []
    for word in _words_and_runs(text):
        if _RUN.match(word):
            for piece in _GRAMMAR.split(word):
                found += _pairs(piece)
        else:
            found.append(word)
    return found


def held_terms(text: str, language: str) -> list[str]:
    """Return all terms of a passage in order: what a search can find it by."""
    if text.isascii():
        return [stem(word, language) for word in _WORD.findall(text.lower())]
    terms: list[str] = []
    for word in _words_and_runs(text):
        if _RUN.match(word):
            terms += _IS_HAN.findall(word)
            terms += _pairs(word)
            continue
        term = stem(word, language)
        terms.append(term)
        if language != ENGLISH and not word.isascii():
            # Somebody may type it without its accents, which the stemmer goes by.
            bare = stem(fold(word), language)
            if bare != term:
                terms.append(bare)
    return terms


def search_terms(text: str, language: str) -> str:
    """Return the terms of a passage as the full-text index takes them: with spaces between."""
    return " ".join(held_terms(text, language))


def _words_and_runs(text: str) -> list[str]:
    """Return words and runs without spaces in lower case, each letter in its usual form."""
    if text.isascii():
        return _WORD.findall(text.lower())
    normal = unicodedata.normalize("NFKC", text).lower()
    return (_WORD_OR_RUN if _RUN.search(normal) else _WORD).findall(normal)


def _pairs(run: str) -> list[str]:
    if len(run) < 2:
        return [run] if run and _IS_HAN.match(run) else []
    return [f"{a}{b}" for a, b in pairwise(run)]
