"""Does a question stand alone, and if not, what it is in full.

Rules, after the kinds that English has of leaning on what was said: pronouns, ellipsis ("and in
winter?", "why?"), a choice ("the second one"), a correction ("no, I meant the blue one"). Where the
rules see that a question leans but not on what, the question before stands beside it in brackets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from chains import lexical
from chains.antecedents import Antecedents, Said, bare, head, owner
from chains.clauses import (
    AUXILIARIES,
    DETERMINERS,
    MAX_WORDS,
    ORDINALS,
    PREPOSITIONS,
    QUESTION_WORDS,
    TOKEN,
    Clause,
    Phrase,
    is_capital,
    is_verb,
    lowered,
    names,
)
from chains.leaning import (
    ADVERBIAL,
    ALIKE,
    BARE,
    BOUND,
    CHOICE,
    COMMANDS,
    COMPLEMENT,
    DEFINITE,
    LEAD,
    NUMBERED,
    ONE,
    PLACED_ONE,
    POINTING,
    points_back,
)
from ingest.sentences import sentence_spans

__all__ = ["Said", "is_small_talk", "question_in", "stand_alone"]

LEANING_WORDS: Final = 40
"""A longer question says itself what it is about."""
LETTER_WORDS: Final = 40
"""A message with at least so many words before its last question is a pasted text."""
FRAGMENT_WORDS: Final = 4
"""A question mark after so few words without a verb, and with no "and" before, is an ellipsis."""
BESIDE_WORDS: Final = 24
"""Of the question before at most, in brackets: it must not drown the one that is asked."""
LOOKED_BACK: Final = 3
"""Turns in which a list, a person or a phrase is looked for; the rest was said in the last."""

_SMALL_TALK = re.compile(
    r"^\W*(?:hi|hello|hey|good (?:morning|afternoon|evening)|thanks?(?: you)?(?: very much)?"
    r"|thank you(?: very much)?|bye|goodbye|how are you(?: today)?)\W*$",
    re.IGNORECASE,
)


def stand_alone(question: str, earlier: Sequence[Said]) -> str:
    """Return the question so that it needs no turn before it; itself where it needs none.

    ``earlier``: the turns before, oldest first; their questions stand alone already.
    """
    text, letter = question_in(question)
    if letter:
        # What the question leans on stands in the letter, which is not taken apart.
        return text if _stands(text) else question
    if not earlier or len(TOKEN.findall(text)) > LEANING_WORDS:
        return text
    past = [Antecedents(said) for said in reversed(earlier[-LOOKED_BACK:])]
    plain = LEAD.sub("", text).strip() or text
    parted = _parted(plain)
    if parted is not None:
        about, asked = parted
        whole = _completed(about, past)
        bound = BOUND.sub(lambda _: whole, asked, count=1)
        return _sentence(_resolved(bound, past) if bound != asked else f"{asked[:-1]} ({whole})?")
    if _is_fragment(plain, led=plain != text.strip()):
        return _sentence(_merged(plain, past))
    resolved = _resolved(plain, past)
    return text if resolved == plain else _sentence(resolved)


def _stands(text: str) -> bool:
    if len(TOKEN.findall(text)) > LEANING_WORDS:
        return True
    pointing = any(points_back(text, match) for match in POINTING.finditer(text))
    return not (
        pointing or ONE.search(text) or CHOICE.search(text) or _is_fragment(text, led=False)
    )


def beside_previous(question: str, earlier: Sequence[Said]) -> str | None:
    """Return the question with the one before in brackets, in case it is meant to go on from it.

    For a question that does not lean by any word, of which nothing is found as it stands: "Which
    offer is cheaper?". ``None`` where it has a name or a number, and so says what it is about.
    """
    if not earlier or names(question) or any(char.isdigit() for char in question):
        return None
    return _beside(question.strip().rstrip("?.! "), Antecedents(earlier[-1]).asked)


def question_in(message: str) -> tuple[str, str]:
    """Return what a message asks, and the text that was pasted before it; empty where none was."""
    spans = sentence_spans(message)
    if len(spans) < 2 or not message.rstrip().endswith("?"):
        return message, ""
    first = len(spans) - 1
    while first > 1 and message[slice(*spans[first - 1])].endswith("?"):
        first -= 1
    start = spans[first][0]
    before = message[:start].strip()
    if len(before.split()) < LETTER_WORDS:
        return message, ""
    return message[start:].strip(), before


def is_small_talk(question: str) -> bool:
    """Tell whether this is a greeting or thanks, not a question to the library."""
    return _SMALL_TALK.match(question) is not None


def _parted(text: str) -> tuple[str, str] | None:
    """Return what "the old one, where is it?" speaks of, and what it asks."""
    about, comma, asked = text.partition(",")
    words = asked.split()
    if not comma or len(about.split()) > 5 or not words or words[0].lower() not in QUESTION_WORDS:
        return None
    first = about.split()[0].lower()
    is_phrase = first not in PREPOSITIONS and not first.endswith("ing")
    is_phrase &= not any(word.lower() in AUXILIARIES | QUESTION_WORDS for word in about.split())
    return (about.strip(), asked.strip()) if is_phrase else None


def _is_fragment(text: str, *, led: bool) -> bool:
    """Tell whether it has no verb of its own."""
    plain = text.rstrip("?.! ")
    if BARE.match(plain):
        return True
    low = lowered(list(TOKEN.finditer(plain)))
    if not low or any(word in AUXILIARIES for word in low) or low[0] in COMMANDS:
        return False
    if low[0] in QUESTION_WORDS:
        counts = low[1:3] in (["many", "of"], ["much", "of"])
        leans = counts or (len(low) > 1 and low[1] in PREPOSITIONS)
        return leans and not any(is_verb(word) for word in low)
    if led or low[0] in PREPOSITIONS or ONE.search(plain) or CHOICE.search(plain):
        return True
    return text.rstrip().endswith("?") and len(low) <= FRAGMENT_WORDS


def _merged(text: str, past: Sequence[Antecedents]) -> str:
    """Return the question before, with a fragment in the place of what it changes."""
    plain = text.rstrip("?.! ")
    asked = past[0].asked
    low = plain.lower().split()
    if BARE.match(plain):
        return _asked_anew(plain, past[0])
    if low[0] in QUESTION_WORDS:
        return _beside(_resolved(plain, past), asked)
    if low[0] in PREPOSITIONS:
        return _with_place(_completed(plain, past) if CHOICE.search(plain) else plain, asked)
    placed = PLACED_ONE.fullmatch(plain)
    if placed:
        return f"{asked.text} {placed.group(1)}?"
    whole = _completed(plain, past)
    owned = re.match(r"(?:his|her|its|their)\b", plain, re.IGNORECASE)
    target = _parallel(whole, asked, owned=owned is not None)
    if target is None:
        return f"{whole}?" if owned else _beside(whole, asked)
    whole = bare(whole) if target.text == asked.noun else whole
    return f"{asked.text[: target.start]}{whole}{asked.text[target.end :]}?"


def _asked_anew(word: str, last: Antecedents) -> str:
    """Return the question before with another question word: "Why?", "By whom?"."""
    asked = last.asked
    plain = re.sub(r"\s+(?:is|was|were|are)\s+(?:that|this|so)$", "", word, flags=re.IGNORECASE)
    opening = ADVERBIAL.match(asked.text)
    if opening:
        return f"{plain}{asked.text[opening.end() :]}?"
    support = re.search(r"\b(?:do|does|did)\b", asked.text)
    if support and asked.subject is not None and not asked.is_adverbial:
        named = [*last.names()[:1], *([f"the {asked.noun}"] if asked.noun else [])]
        if named:
            return f"{plain} {asked.text[support.start() :]} {named[0]}?"
    return _beside(plain, asked)


def _with_place(text: str, asked: Clause) -> str:
    """Return the question before with another "in …", "before …" or the like."""
    word, _, rest = text.partition(" ")
    group = ALIKE.get(word.lower())
    places = [
        match
        for match in re.finditer(r"\b[a-z]+\b", asked.text)
        if group is not None and ALIKE.get(match.group()) == group
    ]
    keeps = not rest or rest.lower() in ("it", "that", "this", "them", "him", "her")
    if not places:
        return _beside(text, asked) if keeps else f"{asked.text} {text[:1].lower()}{text[1:]}?"
    at = places[-1]
    if not keeps and _is_named(rest) != _is_named(asked.text[at.end() :]):
        return f"{asked.text} {text[:1].lower()}{text[1:]}?"
    if keeps:
        return f"{asked.text[: at.start()]}{word}{asked.text[at.end() :]}?"
    after = next(
        (
            match.start()
            for match in re.finditer(r"\b[a-z]+\b", asked.text[at.end() :])
            if match.group() in PREPOSITIONS - {"of"}
        ),
        None,
    )
    rest_of = "" if after is None else " " + asked.text[at.end() + after :]
    return f"{asked.text[: at.start()]}{text}{rest_of}?"


def _is_named(text: str) -> bool:
    """Whether its first word after a determiner is a name or a number."""
    words = [word for word in text.split() if word.lower() not in DETERMINERS]
    return bool(words) and (is_capital(words[0]) or words[0].isdigit())


def _completed(text: str, past: Sequence[Antecedents]) -> str:
    """Return a noun phrase without "one" and without pronouns."""
    owned = re.match(r"(?:his|her|its|their)\b", text, re.IGNORECASE)
    owners = past[0].owners() if owned else []
    if owned and owners:
        return f"{owners[0]}'s{text[owned.end() :]}"
    return _resolved(text, past)


def _chosen(text: str, past: Sequence[Antecedents]) -> str:
    """Return ``text`` with what "the second one" and "the blue one" stand for in their places."""
    choice = CHOICE.search(text)
    if choice:
        which = choice.group("which").lower()
        number = ORDINALS.get(which) or NUMBERED[which]
        found = (one.item(number, of_two=which in ("former", "latter")) for one in past)
        item = next((one for one in found if one), None)
        if item:
            return f"{text[: choice.start()]}{item}{text[choice.end() :]}"
    one = ONE.search(text)
    if one is None:
        return text
    kind = one.group(1)
    if kind is None:
        noun = next(iter(past[0].things(answered=True)), None)
    else:
        known = _head_of(past[0], kind)
        noun = f"the {kind} {known}" if known else None
    return f"{text[: one.start()]}{noun}{text[one.end() :]}" if noun else text


def _head_of(last: Antecedents, kind: str) -> str | None:
    """Return what "one" stands for: the noun, without what tells it from the others."""
    phrases = [phrase for phrase in last.asked.phrases if len(phrase.words) > 1]
    described = [phrase for phrase in phrases if len(_core(phrase)) > 1] or phrases
    if not described:
        return last.asked.noun or None
    chosen = described[-1] if last.asked.word in ("who", "what", "which") else described[0]
    words = _core(chosen)
    kept = words[1:] if len(words) > 1 and kind.lower() not in ORDINALS else words
    telling = [word for word in kept if word.lower() not in ORDINALS and not word.isdigit()]
    return " ".join(telling or kept)


def _core(phrase: Phrase) -> list[str]:
    words = COMPLEMENT.split(phrase.text)[0].split()
    return words[1:] if words[0].lower() in DETERMINERS else words


def _parallel(text: str, asked: Clause, *, owned: bool) -> Phrase | None:
    """Return the phrase of ``asked`` in whose place ``text`` steps: of its head, or its kind."""
    phrases = list(asked.phrases)
    if asked.noun and asked.word != "how":
        start = asked.text.find(asked.noun)
        phrases.insert(0, Phrase(asked.noun, start, start + len(asked.noun)))
    if owned:
        return next((one for one in phrases if re.search(r"['’]s?\s", one.text)), None)
    for phrase in phrases:
        if lexical.stem(head(phrase.text)) == lexical.stem(head(text)):
            return phrase
    if not Phrase(text, 0, len(text)).is_person:
        plain = [phrase for phrase in phrases if not phrase.is_person]
        return next(iter(plain or phrases), None)
    for phrase in phrases:  # a name for a name
        for name in reversed(names(phrase.text)):
            known = owner(name.text)
            return Phrase(known, phrase.start + name.start, phrase.start + name.start + len(known))
    return next(iter(phrases), None)


def _resolved(text: str, past: Sequence[Antecedents]) -> str:
    """Return ``text`` with what its pronouns stand for in their places."""
    chosen = _chosen(text, past)
    out, end, lost = "", 0, False
    taken: dict[str, str] = {}
    for match in POINTING.finditer(chosen):
        if not points_back(chosen, match):
            continue
        kind = str(match.lastgroup)
        before = chosen[: match.start()]
        found = [
            one
            for one in _antecedents(match, past)
            if taken.get(one, kind) == kind and one.rstrip(",") not in before
        ]
        if not found:
            lost |= not taken
            continue
        taken[found[0]] = kind
        out += chosen[end : match.start()] + _inflected(match, chosen, found[0])
        end = match.end()
    out += chosen[end:]
    if lost:
        return _beside(out.rstrip("?.! "), past[0].asked)
    return re.sub(r",(?=[?.!,]|$)", "", out) if out != text else _described(text, past)


def _antecedents(match: re.Match[str], past: Sequence[Antecedents]) -> list[str]:
    word, last = match.group().lower(), past[0]
    match match.lastgroup:
        case "person":
            female = word in ("she", "her", "hers")
            return [name for one in past for name in one.persons(female=female)]
        case "several":
            return last.several()
        case "place":
            return last.places()
        case "time":
            return last.times()
        case "kind":
            return [phrase for one in past for phrase in one.of_kind(word.split()[-1])]
        case "other":
            return last.things(answered=True)
    return last.things()


def _inflected(match: re.Match[str], text: str, phrase: str) -> str:
    """Return the phrase in the form of the pronoun: a possessive for "its", "in" for "there"."""
    word = match.group().lower()
    if match.lastgroup in ("time", "place"):
        return f"in {phrase}"
    after = re.match(r"\s+([^\W\d_]\w*)", text[match.end() :])
    follows = after.group(1).lower() if after else ""
    owns = word in ("its", "his", "their", "hers", "theirs") or (
        word == "her" and follows not in AUXILIARIES | PREPOSITIONS | {""}
    )
    if not owns:
        return phrase
    name = phrase.partition(",")[0]
    return f"{name}'" if name.endswith("s") else f"{name}'s"


def _described(text: str, past: Sequence[Antecedents]) -> str:
    """Return ``text`` with "the church" as it was called before, where nothing else names it."""
    if names(text):
        return text
    for match in DEFINITE.finditer(text):
        noun = match.group(2)
        meant = next((found[0] for one in past if (found := one.of_kind(noun))), None)
        if meant is None:
            continue
        complement = COMPLEMENT.search(meant)
        if match.group(1):
            if complement:
                return f"{text[: match.end()]}{meant[complement.start() :]}{text[match.end() :]}"
        elif lexical.content_stems(meant) > lexical.content_stems(noun):
            meant = meant[:1].lower() + meant[1:] if meant.startswith("The ") else meant
            return f"{text[: match.start()]}{meant}{text[match.end() :]}"
    return text


def _beside(text: str, asked: Clause) -> str:
    """Return ``text`` and, in brackets, what the question before was about."""
    about = asked.text
    if len(about.split()) > BESIDE_WORDS:
        about = ", ".join(phrase.text for phrase in asked.phrases if len(phrase.words) <= MAX_WORDS)
    return f"{text} ({' '.join(about.split()[:BESIDE_WORDS])})?"


def _sentence(text: str) -> str:
    plain = " ".join(text.split()).replace(",,", ",")
    return plain[:1].upper() + plain[1:]
