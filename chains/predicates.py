"""What an English question says that somebody does or that happens, and who does it to whom.

A passage can name everything that a question names and tell of something else: "When was the house
sold?" beside "The house was opened in 1964", "Who conquered England?" beside "England conquered
Ireland". Rules over closed classes of words; what they cannot read, they let pass.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from chains import lexical
from chains.clauses import (
    AUXILIARIES,
    BE,
    DETERMINERS,
    TOKEN,
    Phrase,
    clause,
    is_capital,
    is_closed,
    is_verb,
    lowered,
)
from chains.irregular import other_forms
from ingest.sentences import sentence_spans

ROOT_LETTERS: Final = 5
"""So many letters at the head of two words make one derived from the other: "invent, inventor"."""

ALIKE: Final = 0.66
"""Likeness of two verbs, by the embedder's vectors, from which on one may stand for the other. Of
26 pairs that mean the same ("built, erected") 17 have it, of 26 that do not 5, four of which are
converses."""

SPELT: Final = 0.85
"""Likeness of two longer words from which on one is the other misspelt."""

_LIGHT: Final = frozenset(
    "be do have make take get give become use call name know hold mean place happen occur come go "
    "put keep set bring turn include contain consist need want say think believe consider cost "
    "live".split()
)
"""Verbs that many others stand for, in their first form."""
_CONVERSE: Final = tuple(
    frozenset(lexical.stem(verb) for verb in pair.split())
    for pair in (
        "bought buy buys buying purchase purchased sold sell sells",
        "sent send sends received receive receives",
        "hired hire hires fired fire fires dismissed dismiss",
        "opened open opens closed close closes",
        "lent lend lends borrowed borrow borrows",
        "won win wins lost lose loses",
    )
)
_JOINS: Final = DETERMINERS | frozenset("of and not never also then later soon all".split())
_MUTUAL: Final = frozenset(
    lexical.stem(word)
    for word in (
        "marry married divorce divorced meet met border bordered fight fought play played face "
        "faced resemble resembled equal equals match matched date dated "
        "ally allied touch touched cost costs mean means call called name named know known "
        "comprise comprised"
    ).split()
)
"""What one does to another, the other does to him; and what may stand bare for a passive: "a hill
called Ida"."""
_BARRIER: Final = frozenset(".,;:()—–")


@dataclass(frozen=True)
class Predicate:
    """A question's main verb and the phrases beside it, where they are told."""

    verb: str
    """In lower case, as it was asked."""
    agent: str = ""
    """Who does it; empty where that is asked for, or not told."""
    patient: str = ""
    """To whom it is done, likewise."""
    passive: bool = False


def predicate_of(question: str) -> Predicate | None:
    """Return what a question says; ``None`` where that is not told."""
    asked = clause(question)
    if asked.predicate and asked.subject is None:
        return _of_subject(asked.predicate)
    if asked.subject is None:
        return None
    return _of_object(asked.text, asked.subject, asked.is_adverbial)


def _of_subject(said: str) -> Predicate | None:
    """Return the predicate of "who conquered England", "what was sold by Anna"."""
    tokens = list(TOKEN.finditer(said))
    at, auxiliaries = _verb_after(tokens, 0)
    if at is None:
        return None
    verb = tokens[at].group().lower()
    if auxiliaries & BE:
        if not _is_participle(verb):
            return None
        by = _after(tokens, at, "by")
        return Predicate(verb, agent=by, passive=True)
    return Predicate(verb, patient=_object(tokens, at))


def _of_object(text: str, subject: Phrase, is_adverbial: bool) -> Predicate | None:
    """Return the predicate of "when did Anna sell the house", "whom did Anna meet"."""
    before = {word.lower() for word in re.findall(r"\w+", text[: subject.start])}
    tokens = list(TOKEN.finditer(text[subject.end :]))
    at, auxiliaries = _verb_after(tokens, 0)
    auxiliaries |= before & AUXILIARIES
    if at is None:
        return None
    verb = tokens[at].group().lower()
    if auxiliaries & BE:
        if not _is_participle(verb):
            return None
        by = _after(tokens, at, "by")
        return Predicate(verb, agent=by, patient=subject.text, passive=True)
    patient = _object(tokens, at) if is_adverbial else ""
    if is_adverbial and not patient:  # "when did the fair open": somebody may have opened it
        return Predicate(verb)
    return Predicate(verb, agent=subject.text, patient=patient)


def _verb_after(tokens: Sequence[re.Match[str]], first: int) -> tuple[int | None, set[str]]:
    """Return the place of the first word that is no auxiliary or adverb, and the auxiliaries."""
    auxiliaries: set[str] = set()
    for at in range(first, len(tokens)):
        word = tokens[at].group()
        low = word.lower()
        if low in AUXILIARIES or low.endswith(("n't", "n’t")):
            auxiliaries.add(low.removesuffix("n't").removesuffix("n’t"))
            continue
        if low.endswith("ly") or low in ("not", "also", "ever", "first", "originally"):
            continue
        is_word = word[0].isalpha() and not is_capital(word) and not is_closed(low)
        return (at if is_word else None), auxiliaries
    return None, auxiliaries


def _object(tokens: Sequence[re.Match[str]], verb: int) -> str:
    """Return the noun phrase right after a verb, up to a preposition other than "of"."""
    return _phrase(tokens, range(verb + 1, len(tokens)))


def _after(tokens: Sequence[re.Match[str]], verb: int, preposition: str) -> str:
    for at in range(verb + 1, len(tokens)):
        if tokens[at].group().lower() == preposition:
            return _phrase(tokens, range(at + 1, len(tokens)))
    return ""


def _phrase(tokens: Sequence[re.Match[str]], places: range) -> str:
    """Return the words at ``places``, in the text's order, until one that a phrase cannot hold."""
    words = []
    for at in places:
        word = tokens[at].group()
        low = lowered(tokens[at : at + 1])[0]
        if word[0] in _BARRIER or (is_closed(low) and low not in _JOINS):
            break
        words.append(word)
    return " ".join(words if places.step > 0 else reversed(words))


def is_kin(word: str, other: str) -> bool:
    """Tell whether two English words are forms of one, or one is derived from the other."""
    a, b = lexical.stem(word), lexical.stem(other)
    if a == b or b in other_forms(a):
        return True
    shared = min(len(a), len(b), ROOT_LETTERS)
    if shared >= ROOT_LETTERS - 1 and a[:shared] == b[:shared]:
        return True
    longest = max(len(word), len(other))
    return longest > ROOT_LETTERS and SequenceMatcher(None, word, other).ratio() >= SPELT


def is_of_another_act(
    question: str, passages: Sequence[str], best: str, alike: Callable[[str, str], float | None]
) -> bool:
    """Tell whether what was found says another thing of what is asked of, or exchanges the roles.

    ``passages``: their texts with headings; ``best``: the sentence that fits best. ``alike`` gives
    the likeness of two verbs, -1 to 1, or ``None`` where that cannot be told.
    """
    asked = predicate_of(question)
    if asked is None:
        return False
    if roles_exchanged(asked, best):
        others = (text[slice(*span)] for text in passages for span in sentence_spans(text))
        told = [one for one in others if _holds_form(asked.verb, one)]
        return all(roles_exchanged(asked, one) for one in told)
    # "When did Japan release a statement?": "Japan issued a statement" has all but the verb too.
    other, is_passive = ("", False) if asked.agent and not asked.passive else other_act(asked, best)
    if not other or any(_holds_kin(asked.verb, text) for text in passages):
        return False
    stems = {lexical.stem(word) for word in (asked.verb, other)}
    if any(stems <= pair for pair in _CONVERSE):  # who it "was sold to" has bought it
        return not re.search(r"\b(?:to|from)\b", best)
    if not is_passive:  # "what inspired the name", "he imposed the name": both may be
        return False
    light = {form for verb in _LIGHT for form in (lexical.stem(verb), *other_forms(verb))}
    if stems & light:
        return False
    likeness = alike(asked.verb, other)
    return likeness is not None and likeness < ALIKE


def _holds_kin(verb: str, text: str) -> bool:
    return any(is_kin(verb, word) for word in lexical.words(text))


def _holds_form(verb: str, text: str) -> bool:
    return any(_is_form(verb, word) for word in lexical.words(text))


def roles_exchanged(asked: Predicate, source: str) -> bool:
    """Tell whether ``source`` tells of the same act with another doing it to another.

    True only where what the question has as the one who acts is there as the one acted upon, or
    the other way round.
    """
    if lexical.stem(asked.verb) in _MUTUAL:
        return False
    tokens = list(TOKEN.finditer(source))
    found = []
    for at, token in enumerate(tokens):
        word = token.group()
        if not word[0].isalpha() or is_capital(word) or not _is_form(asked.verb, word.lower()):
            continue
        agent, patient = _sides(tokens, at)
        found.append(_is_exchanged(asked, agent, patient))
    return bool(found) and all(found)


def _is_form(verb: str, word: str) -> bool:
    a, b = lexical.stem(verb), lexical.stem(word)
    return a.rstrip("e") == b.rstrip("e") or b in other_forms(a)  # Porter has "sue" and "su"


def _is_participle(word: str) -> bool:
    return word.endswith("ed") or is_verb(word) or bool(other_forms(lexical.stem(word)))


def _sides(tokens: Sequence[re.Match[str]], verb: int) -> tuple[str, str]:
    """Return who does what the verb at ``verb`` says, and to whom; empty what is not told."""
    at = verb - 1
    auxiliaries = set()
    while at >= 0 and (
        (low := tokens[at].group().lower()) in AUXILIARIES or low.endswith("ly") or low == "not"
    ):
        auxiliaries |= {low} & AUXILIARIES
        at -= 1
    before = _phrase(tokens, range(at, -1, -1))
    follows_by = any(one.group().lower() == "by" for one in tokens[verb + 1 : verb + 2])
    if (auxiliaries & BE or follows_by) and _is_participle(tokens[verb].group().lower()):
        return _after(tokens, verb, "by"), before
    patient = _object(tokens, verb)
    if not patient and not auxiliaries:  # "water tank filled" may be said of either
        return "", ""
    return before, patient


def _is_exchanged(asked: Predicate, agent: str, patient: str) -> bool:
    def holds(phrase: str, wanted: str) -> bool:
        stems = lexical.content_stems(wanted)
        return bool(stems) and len(stems & lexical.held_stems(phrase)) * 2 >= len(stems)

    wrong = (holds(patient, asked.agent) and not holds(agent, asked.agent)) or (
        holds(agent, asked.patient) and not holds(patient, asked.patient)
    )
    right = holds(agent, asked.agent) or holds(patient, asked.patient)
    return wrong and not right


def states_exchanged(question: str, statement: str, source: str) -> bool:
    """Tell whether a statement has the question's act, with the roles of its source exchanged."""
    asked = predicate_of(question)
    if asked is None:
        return False
    tokens = list(TOKEN.finditer(statement))
    for at, token in enumerate(tokens):
        if token.group()[0].isalpha() and _is_form(asked.verb, token.group().lower()):
            agent, patient = _sides(tokens, at)
            if agent or patient:
                return roles_exchanged(Predicate(asked.verb, agent, patient), source)
    return False


def other_act(asked: Predicate, source: str) -> tuple[str, bool]:
    """Return the verb of what ``source`` says was done instead to what the question asks of.

    And whether it is passive. Empty where it says what is asked, in that word or one derived from
    it, or speaks of something else.
    """
    tokens = list(TOKEN.finditer(source))
    words = [token.group().lower() for token in tokens]
    if not asked.patient or any(is_kin(asked.verb, word) for word in words if word[0].isalpha()):
        return "", False
    for at, word in enumerate(words):
        if not word[0].isalpha() or is_capital(tokens[at].group()) or not _is_participle(word):
            continue
        agent, patient = _sides(tokens, at)
        if _is_of(asked.patient, patient) and (not asked.agent or _is_of(asked.agent, agent)):
            return word, bool(BE & set(words[max(0, at - 3) : at]))
    return "", False


def _is_of(wanted: str, phrase: str) -> bool:
    """Tell whether a phrase is of what is wanted: its head and half of its words are there."""
    stems = [one for word in wanted.split() for one in lexical.content_stems(word)]
    head = re.split(r"\s(?:of|in|to|at|for|from|that)\s", wanted)[0].split()[-1:]
    held = lexical.held_stems(phrase)
    is_headed = bool(head) and bool(lexical.content_stems(head[0]) & held)
    return is_headed and sum(one in held for one in stems) * 2 >= len(stems)
