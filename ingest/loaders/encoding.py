"""Turns bytes into text, whatever the encoding, and tells text from binary data."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import CharsetMatch, from_bytes

from core.errors import DocumentTypeError
from ingest.language import known_words

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\r\f\x0b\x1a\x1b") | {127})
_SAMPLE_BYTES = 65_536
_MAX_CONTROL_SHARE = 0.005
_CANDIDATES = (
    *("cp1252", "cp1250", "iso8859_2", "cp1251", "koi8_r", "cp1253", "cp1254", "cp1255", "cp1256"),
    *("cp850", "mac_roman", "cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
"""Encodings in use for documents, the most common first; others make the guess worse."""
_NEAR_TIE = 0.03
_LATIN = "[a-zA-Z\u00c0-\u024f]"
_OTHER = r"(?![\x00-\u024f])[^\W\d_]"
_LETTER_IN_WORD = re.compile(
    # Next to a letter of its own kind; "20ｰC" is no word.
    f"(?<={_LATIN})[\u00c0-\u024f]|[\u00c0-\u024f](?={_LATIN})|{_OTHER}(?={_OTHER})"
)
_UTF8_SEQUENCE = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)


def decode(data: bytes, *, declared: str | None = None) -> str:
    """Decode a text file; ``declared`` is the encoding that the file itself names, if any.

    Never fails on a few bad bytes (they become U+FFFD). Raises ``DocumentTypeError`` when the
    data are no text at all.
    """
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return data.decode(encoding, errors="replace")
    if wide := _utf16_without_bom(data):
        return data.decode(wide, errors="replace")
    if _is_binary(data):
        raise DocumentTypeError(
            "It is binary data, not text; save it as text or PDF and try again."
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as exc:
        first_bad = exc.start
    if declared and (text := _as_declared(data, declared)) is not None:
        return text
    if _mostly_utf8(data):
        return data.decode("utf-8", errors="replace")
    return data.decode(_guess(data, first_bad), errors="replace")


def looks_like_text(head: bytes) -> bool:
    """Tell from a file's first bytes whether it is a text in some encoding."""
    if any(head.startswith(bom) for bom, _ in _BOMS):
        return True
    return _utf16_without_bom(head) is not None or not _is_binary(head)


def _is_binary(data: bytes) -> bool:
    for part in (data[:_SAMPLE_BYTES], data[-_SAMPLE_BYTES:]):
        controls = len(part) - len(part.translate(None, _CONTROL))
        if controls > max(2, len(part) * _MAX_CONTROL_SHARE):
            return True
    return False


def _utf16_without_bom(data: bytes) -> str | None:
    """Name the byte order when the NULs stand, as in UTF-16, all on one side of the pairs."""
    sample = data[:_SAMPLE_BYTES]
    sample = sample[: len(sample) // 2 * 2]
    even, odd = sample[::2].count(0), sample[1::2].count(0)
    if not even + odd or len(data) % 2:
        return None
    if odd > 20 * even:
        encoding = "utf-16-le"
    elif even > 20 * odd:
        encoding = "utf-16-be"
    else:
        return None
    # A surrogate pair cut in two by the sample's end is no reason to refuse.
    text = sample.decode(encoding, errors="ignore")
    plain = sum(char.isprintable() or char in "\t\n\r\f" for char in text)
    return encoding if plain >= 0.98 * len(sample) / 2 else None


def _as_declared(data: bytes, declared: str) -> str | None:
    try:
        # The Web's rule: who says Latin-1 means Windows-1252.
        name = codecs.lookup(declared).name
        name = "cp1252" if name in ("iso8859-1", "ascii") else name
        text = data.decode(name, errors="replace")
    except (LookupError, UnicodeError, ValueError):
        return None  # no such encoding, or one that is no text encoding
    return text if text.count("\ufffd") * 100 <= len(text) else None


def _mostly_utf8(data: bytes) -> bool:
    good = sum(1 for _ in _UTF8_SEQUENCE.finditer(data))
    bad = data.decode("utf-8", errors="replace").count("\ufffd")
    return good >= 4 * bad


def _guess(data: bytes, first_bad: int) -> str:
    """Guess an 8-bit or East Asian encoding from the text round the first byte that is no UTF-8.

    The detector leaves near ties between related code pages in an arbitrary order; they are
    settled by how many of the doubtful bytes become letters of words, then by how many words with
    an accent are known, then by its own measure of language and how common the encoding is.
    """
    start = max(0, first_bad - _SAMPLE_BYTES // 8)
    sample = data[start : start + _SAMPLE_BYTES]
    matches = list(from_bytes(sample, cp_isolation=list(_CANDIDATES)))
    if not matches:
        return _CANDIDATES[0]
    least = min(match.chaos for match in matches)

    def rank(match: CharsetMatch) -> tuple[float, float, float, int]:
        letters = sum(
            # A capital amid small letters is no letter of that word: "ÚtÚ" is "été" misread.
            not (found.group().isupper() and found.string[found.start() - 1].islower())
            for found in _LETTER_IN_WORD.finditer(str(match))
        )
        known = known_words(str(match))
        return -letters, -known, -round(match.coherence, 2), _commonness(match)

    best = min((m for m in matches if m.chaos <= least + _NEAR_TIE), key=rank)
    return _CANDIDATES[_commonness(best)]


def _commonness(match: CharsetMatch) -> int:
    """Return the place of the most common encoding that gives the same text."""
    names = [name for name in match.could_be_from_charset if name in _CANDIDATES]
    return min(_CANDIDATES.index(name) for name in names or [match.encoding])
