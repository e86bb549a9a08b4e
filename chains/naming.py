"""Which document a person means: by its file's name, as it is said or misspelt, or by its title.

Words of the request are compared with those of each document's name, title and folders. A word
that stands in few names tells more (BM25's weight). One that stands in none may be misspelt
(Ratcliff and Obershelp's similarity), run together or spoken ("heatpump", "twenty twenty-four").
"""

from __future__ import annotations

import difflib
import re
import unicodedata
from calendar import month_name
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import PurePath

from num2words import num2words

from chains import lexical
from ingest.store import DocumentInfo

GENERIC = frozenset(
    lexical.stem(word)
    for word in (
        "document file pdf docx doc word markdown md txt html htm csv text paper page upload "
        "uploaded attachment attached recording called named titled entitled thing item one "
        "content contents whole entire full latest last newest recent previous there dot dash "
        "underscore hyphen slash available listed list number total line sentence section chapter"
    ).split()
)
"""Words that say that a document is meant, not which."""

FITS = 0.6
"""Share of the request's weight that a document's name must hold."""
SURELY_FITS = 0.85
"""The same where a question may as well be about a fact."""
RIVAL = 0.1
"""As near as that to the best, another document fits as well."""
WHOLLY = 0.25
"""Of two that fit, one is meant where so much more of its own name was said."""
FOLDER_CREDIT = 0.5
TEXT_CREDIT = 0.7
"""A word that stands in the document, not in its name."""
UNKNOWN_WEIGHT = 1.0
LEAST_WEIGHT = 0.35
"""Of a word that is in nearly all names."""
TYPO_RATIO = 0.8
TYPO_LETTERS = 3
"""Shorter words are taken as they are."""

_WORD = re.compile(r"[^\W_]+")
_BORDER = re.compile(r"(?<=[a-zß-ÿ])(?=[A-ZÀ-Þ])|(?<=[^\W\d_])(?=\d)|(?<=\d)(?=[^\W\d_])")
_MONTHS = frozenset(lexical.stem(name.lower()) for name in month_name[1:] if name != "May")
_MONTH = re.compile(r"(?:19|20)\d\d[-_. ]?(0[1-9]|1[0-2])(?!\d)")


@dataclass(frozen=True)
class Name:
    """A document's own words, as stems."""

    words: frozenset[str]
    """Of its file's name and its title."""
    folders: frozenset[str]
    forms: tuple[frozenset[str], ...]
    """The file's name and the title, each by itself: who says all of one says which."""


@dataclass(frozen=True)
class Fit:
    """How well a document's name fits a request."""

    document: DocumentInfo
    share: float
    """Of the request's weight, 0 to 1."""
    own: float
    """Share of the document's own name that was said, 0 to 1."""
    numbers: bool
    """Whether all numbers of the request are known of the document."""


@dataclass(frozen=True)
class Meant:
    """The documents that a request can mean, the best first."""

    best: DocumentInfo | None = None
    """``None`` where several fit alike, or none does."""
    others: tuple[DocumentInfo, ...] = ()
    """What fits as well, or nearly."""


TextOf = Callable[[DocumentInfo], str]


def spoken_words(subject: str) -> list[str]:
    """Return the stems of ``subject`` that name something, in order."""
    words = (_folded(word) for word in _WORD.findall(_BORDER.sub(" ", subject)))
    stems = (lexical.stem(word) for word in words if lexical.content_stems(word))
    return [stem for stem in stems if stem not in GENERIC or stem in _number_words()]


@lru_cache(maxsize=20_000)
def name_of(source: str, title: str) -> Name:
    """Return the words by which a document is called."""
    path = PurePath(source.replace("\\", "/"))
    forms = tuple(frozenset(_stems(text)) for text in (path.stem, title))
    folders = frozenset(stem for part in path.parts[:-1] for stem in _stems(part))
    words = frozenset().union(*forms)
    return Name(words, folders - words, tuple(form for form in forms if form))


def meant(
    subject: str, documents: Sequence[DocumentInfo], text_of: TextOf, *, least: float = FITS
) -> Meant:
    """Return which of ``documents`` is meant by ``subject``; ``text_of`` reads one's text.

    ``least``: the share of the request's weight that a document must hold.
    """
    exact = [d for d in documents if _is_file_name(subject, d)]
    if exact:
        return Meant(_own_first(exact)[0])
    fits = [fit for fit in fits_of(subject, documents, text_of) if fit.share >= least]
    fits = [fit for fit in fits if fit.numbers]
    if not fits:
        return Meant()
    top = fits[0]
    rivals = [fit for fit in fits[1:] if fit.share >= top.share - RIVAL and not _same(fit, top)]
    if any(rival.own > top.own - WHOLLY for rival in rivals):
        return Meant(None, tuple(fit.document for fit in (top, *rivals)))
    return Meant(top.document, tuple(fit.document for fit in rivals))


def fits_of(subject: str, documents: Sequence[DocumentInfo], text_of: TextOf) -> list[Fit]:
    """Return how well each document that has a word of ``subject`` in its name fits, best first."""
    names = {document.id: name_of(document.name, document.title) for document in documents}
    counts: Counter[str] = Counter()
    for name in names.values():
        counts.update(name.words | name.folders)
    asked = _spelt(_as_digits(spoken_words(subject), counts), counts)
    if not asked:
        return []
    weights = _weights([group for group, _ in asked], counts, len(documents))
    total = sum(weights)
    found: list[Fit] = []
    for document in documents:
        name = names[document.id]
        credit_of = [credit * _credit(group, name) for group, credit in asked]
        share = sum(w * c for w, c in zip(weights, credit_of, strict=True)) / total
        if share <= 0:
            continue
        missing = [number for number, credit in enumerate(credit_of) if not credit]
        numbers = not any(_is_number(asked[i][0]) for i in missing)
        said = frozenset().union(*(group for group, _ in asked))
        own = max((len(form & said) / len(form) for form in name.forms), default=0.0)
        found.append(Fit(document, share, own, numbers))
    found.sort(key=lambda fit: (fit.share, fit.own, fit.document.id), reverse=True)
    return _with_texts(found, asked, weights, names, text_of)


TEXTS_READ = 6
"""The best documents whose texts are looked at for words that are not in their names."""


def _with_texts(
    fits: list[Fit],
    asked: list[tuple[frozenset[str], float]],
    weights: list[float],
    names: dict[int, Name],
    text_of: TextOf,
) -> list[Fit]:
    better = []
    for fit in fits[:TEXTS_READ]:
        name = names[fit.document.id]
        missing = [i for i, (group, _) in enumerate(asked) if not _credit(group, name)]
        if missing:
            held = vocabulary(text_of(fit.document))
            in_text = [i for i in missing if asked[i][0] & held]
            share = fit.share + TEXT_CREDIT * sum(weights[i] for i in in_text) / sum(weights)
            numbers = not any(_is_number(asked[i][0]) for i in missing if i not in in_text)
            fit = Fit(fit.document, share, fit.own, numbers)
        better.append(fit)
    better += fits[TEXTS_READ:]
    better.sort(key=lambda fit: (fit.share, fit.own, fit.document.id), reverse=True)
    return better


def vocabulary(text: str) -> frozenset[str]:
    """Return the stems of all words of ``text``."""
    return frozenset(_plain(lexical.stem(word)) for word in set(_WORD.findall(_folded(text))))


def _stems(text: str) -> list[str]:
    months = (month_name[int(month)] for month in _MONTH.findall(text))  # 2023-06 is said as June
    words = [_folded(word) for word in _WORD.findall(_BORDER.sub(" ", text))]
    words += [month.lower() for month in months]
    return [_plain(lexical.stem(word)) for word in words if lexical.content_stems(word)]


def _folded(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text.lower())
    return "".join(char for char in plain if not unicodedata.combining(char))


def _is_file_name(subject: str, document: DocumentInfo) -> bool:
    """Whether the file's name stands in the request to the letter, with its ending."""
    name = PurePath(document.name.replace("\\", "/")).name.lower()
    return re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w-])", subject.lower()) is not None


def _as_digits(stems: list[str], known: Counter[str]) -> list[str]:
    """Return ``stems`` with numbers in words as digits: as one number where a name has it."""
    found: list[str] = []
    values: list[str] = []
    for word in [*stems, ""]:
        value = _number_words().get(word)
        if value is not None:
            last = int(values[-1]) if values else 0
            if value in (100, 1000):
                values[-1:] = [str(max(last, 1) * value)]
            elif (last >= 100 and last % 100 == 0) or (  # "three hundred (and) five", …
                20 <= last < 100 and last % 10 == 0 and 0 < value < 10  # "twenty-four"
            ):
                values[-1] = str(last + value)
            else:
                values.append(str(value))
            continue
        while values:  # "twenty twenty-four" is 2024 where something is called so
            size = next(
                (n for n in range(len(values), 1, -1) if _plain("".join(values[:n])) in known), 1
            )
            found.append(_plain("".join(values[:size])))
            del values[:size]
        if word:
            found.append(_plain(word))
    return list(dict.fromkeys(found))


@cache
def _number_words() -> dict[str, int]:
    """Return the words of which numbers are made, as stems."""
    single = [*range(21), *range(30, 100, 10)]
    words = {num2words(n, to=kind): n for n in single for kind in ("ordinal", "cardinal")}
    return {lexical.stem(word): n for word, n in words.items()} | {
        "oh": 0,
        lexical.stem("hundred"): 100,
        lexical.stem("thousand"): 1000,
    }


def _plain(word: str) -> str:
    return (word.lstrip("0") or "0") if word.isdigit() else word


def _spelt(stems: list[str], known: Counter[str]) -> list[tuple[frozenset[str], float]]:
    """Return for each word the words of names that it can be, and how surely, 0 to 1."""
    found: list[tuple[frozenset[str], float]] = []
    skip = False
    for this, after in pairwise([*stems, ""]):
        if skip:
            skip = False
            continue
        if this in known:
            found.append((frozenset({this}), 1.0))
        elif after and this + after in known:  # said as two words
            found.append((frozenset({this + after}), 1.0))
            skip = True
        else:
            found.append(_misspelt(this, known))
    return found


def _misspelt(stem: str, known: Counter[str]) -> tuple[frozenset[str], float]:
    if stem.isdigit() or len(stem) < TYPO_LETTERS:
        return frozenset({stem}), 1.0
    pair = next(
        (
            {left, stem[len(left) :]}
            for left in known
            if stem.startswith(left) and len(left) > 2 and stem[len(left) :] in known
        ),
        None,
    )  # run together
    if pair is not None:
        return frozenset(pair), 1.0
    letters = set(stem)
    near = [
        word
        for word in known
        if abs(len(word) - len(stem)) <= 2 and len(letters & set(word)) >= 0.6 * len(letters)
    ]
    close = difflib.get_close_matches(stem, near, n=3, cutoff=TYPO_RATIO)
    if not close:
        return frozenset({stem}), 1.0
    ratio = difflib.SequenceMatcher(None, stem, close[0]).ratio()
    return frozenset({stem, close[0]}), ratio


def _credit(group: frozenset[str], name: Name) -> float:
    if group & name.words:
        return 1.0
    return FOLDER_CREDIT if group & name.folders else 0.0


def _weights(groups: Iterable[frozenset[str]], counts: Counter[str], total: int) -> list[float]:
    found = []
    for group in groups:
        known = [counts[word] for word in group if word in counts]
        if not known:
            found.append(UNKNOWN_WEIGHT)
            continue
        rare = 1 - min(known) / (total + 1)
        found.append(LEAST_WEIGHT + (1 - LEAST_WEIGHT) * rare)
    return found


def numbers_of(subject: str) -> frozenset[str]:
    """Return the numbers and months of a request, as ``vocabulary`` has them."""
    return frozenset(_plain(word) for word in spoken_words(subject) if _is_number({word}))


def _is_number(group: Collection[str]) -> bool:
    """Whether it is a number or a month: then one that is like it but for that is another one."""
    return all(word.isdigit() or word in _MONTHS for word in group)


def _same(one: Fit, other: Fit) -> bool:
    """Whether two are one file, shared and one's own."""
    return one.document.sha256 == other.document.sha256


def _own_first(documents: Sequence[DocumentInfo]) -> list[DocumentInfo]:
    return sorted(documents, key=lambda document: (document.origin != "upload", -document.id))
