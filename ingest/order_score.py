"""How much a sentence sounds like an order to somebody who answers questions.

A logistic regression over what the rules of ``ingest/instructions.py`` saw in a sentence and over
its words, each by itself and as the kind of word that it is: so "remind", "let … know" and "dile"
tell much the same. Its weights are learned from the sentences in ``bench/order_texts`` by
``python -m bench.orders --write``; a feature's place among them is the CRC of its name.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from functools import cache, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

ENOUGH: Final = 0.3
"""Score from which a sentence is an order: it left six of 6,325 paragraphs of manuals, README files
and the like above it that no rule had found, and was not lowered to find more."""

UNLIKELY: Final = -1.0
"""Score up to which the signs of an order are not believed either, as in code and lists."""

PLACES: Final = 1 << 18
WEIGHTS: Final = Path(__file__).with_name("order_weights.npz")
"""Half floats: one for each place, then the constant. Most are zero and take no room."""

_NEAR_WORDS: Final = 4
_SHORT_CHARS: Final = 4
_WORD: Final = re.compile(
    # French elisions are words of their own, and so are the corners of markup.
    r"(?:qu|[ldnstjcm])['’](?=[^\W\d_])|<[/|!]?|[|/]?>|--+>?|[^\W\d_]+(?:['’][^\W\d_]+)*|\d+|[^\w\s]"
)
_BREAKS: Final = frozenset(",;:.!?–—-\"“”„«»(){}[]<>'|")
_LEADS: Final = frozenset(
    "please kindly bitte always never only just simply then instead and but now not immer nur "
    "toujours siempre y et und also must should shall will to you".split()
)
"""Behind these an order can begin, as behind a sign."""

_KINDS: Final = {
    "ai": "ai ais llm llms gpt chatgpt claude gemini copilot llama mistral qwen siri alexa bot "
    "bots chatbot* robot robots ki ia sprachmodel* crawler* rag openai silicon "
    "intelligence intelligenz artificielle inteligencia algorithm algorithms algorithme "
    "algoritmo entity tokens",
    "mach": "machine machines maschine* máquina* computer computers software pipeline* neural "
    "artificial künstlich* generative automated automatic virtual digital conversational "
    "automatisé* automátic* automatische* systeme automatiques systèmes sistemas programs "
    "program programm* programa logiciel* digitale* systems",
    "assist": "assistant assistants assistent assistenten asistente* agent agents helper* "
    "summariser* summarizer* model models modell modelle modèle* modelo* engine engines",
    "ignore": "ignore aside ignorez ignora ignorier* disregard forget vergiss overrule override "
    "bypass cancel* void revoke* annul* oublie* olvid* omite neglect skip wipe reset abort drop "
    "missachte* overlook disobey abandon pay halte überspringe laisse deja obviez prime "
    "suis sigue neglige ignorar ignorer",
    "instr": "instruction* prompt prompts guideline* directive* rules restriction* anweisung* "
    "vorgabe* consigne* instruccion* reglas règles context contexte contexto kontext "
    "orders task aufgabe tarea tâche programming",
    "earlier": "previous* prior earlier above preceding before vorherig* bisherig* précédent* "
    "anterior* previa* oben",
    "other": "other others else another rest elsewhere contradict* ander* sonst autre* otro* otra* "
    "resto reste ningún aucun alles tout todo",
    "doc": "document* passage* paragraph* text texts texte texto page pages file files source "
    "sources sentence* line chunk article dokument* absatz satz phrase frase seite página "
    "párrafo esto ceci dieser dies",
    "if": "if when whenever once wenn falls sollte sobald si quand lorsque cuando upon",
    "whoever": "whoever anyone anybody someone somebody everyone everybody people they wer jemand "
    "jeder alle quelqu'un quien alguien todos ceux",
    "ask": "ask asks asking fragt fragen demande interroge pregunt* inquire* enquire* wonder* "
    "prompted queried wants demandent interrogent consult interessiert",
    "asked": "asked gefragt interrogé* preguntad* preguntan demandé",
    "question": "question questions query queries frage pregunta* inquiry enquiries",
    "must": "must should shall has have need needs required mandatory muss müssen sollen soll "
    "doit doivent dois debe deben debes hay faut ought tenus priés prié prier tenu tienen "
    "tiene obligado obliged instructed permitted authorised authorized gebeten anzugeben "
    "hat haben droit permitido interdit",
    "say": "say state tell inform report claim assert declare announce mention confirm explain "
    "insist maintain admit reveal convince persuade remind sag sage sagst behaupte* "
    "erkläre teile mitzuteilen dis dites affirme indique di diga digas digan confirma "
    "informa informe advise communicate überzeug* describe know believe persuadez assure "
    "assures déclare déclarez signale signalez rappelle rappelez prétends prétendez "
    "soutiens explique expliquez précise précisez mentionne mentionnez convaincs "
    "communique raconte diras dirás direz afirma afirme asegura asegure declara recuerda "
    "explica cuenta comunica menciona mencione mencionar convence sostén haz indica "
    "indiquez indiquer préciser mentionner déclarer signaler affirmer confirmer confirme "
    "confirmez confirmar informar declarar explicar afirmar decir dire dices sagen melden "
    "erklären mitteilen angeben anzugeben nennen nenne nennt anzuführen bestätigen "
    "bestätige bestätigt erzähle erzähl weise wissen proclaim swear learn hear convey "
    "pass teach show",
    "said": "said says stated states told tells informed informs reported reports claimed claims "
    "declared announced mentioned confirmed explained insisted admitted sagte sagt "
    "behauptete dit disait dijo afirmó saying telling",
    "answer": "answer reply respond antworte réponds répondez responde responda contesta conteste "
    "erwidere répondre répondrez répondras responder respondes contestar contestes "
    "respondan répond responds antworten antwortest beantworten respóndele",
    "answers": "answers answered replies replied responds responded antwortet antwortete répondit "
    "respondió contestó answering",
    "reply": "response responses answers replies antwort* réponse* respuesta* words conclusion "
    "wording message output completion",
    "output": "output print write repeat generate produce emit return display insert append "
    "include quote cite copy render schreib* écri* escrib* wiederhol* répète* repite gib affiche* "
    "muestra* begin start end finish put give present conclude zitier* prefer rank add "
    "treat trust cita citez citer donne donnez donner da dé dar usa utilise nomme nommer "
    "empieza termina commence termine reprends beginne beende gebt geben ausgeben "
    "übernimm verwende use name list set report fill replace change",
    "summary": "summar* zusammenfass* résum* resum* paraphras* condense*",
    "user": "user users nutzer* benutzer* anwender* utilisateur* usuario* person requester asker",
    "staffed": "customer* client* caller* guest* patient* visitor* passenger* tenant* pupil* "
    "student* member* parent* buyer* kunde* gast gäste besucher* visiteur* huésped* "
    "employee* staff doctor nurse landlord friend* mother mum host neighbour* colleague* "
    "him her mama maman mamá arzt médecin médico",
    "only": "only nothing never always exactly merely verbatim except regardless whatever nur "
    "immer nichts toujours seul* uniquement rien siempre sol* nada nunca única* jamais "
    "nie",
    "now": "now henceforth onwards jetzt nun désormais dorénavant ahora",
    "pretend": "pretend* act roleplay persona imagine simulate play behave speak role actúa finge "
    "fais",
    "true": "true truth* correct right honest fact verified accurate helpful reliable false wrong "
    "incorrect wahr richtig* korrekt* vrai* bonne correcte correcta verdad* sure certain "
    "sicher seguro certaine knowledge",
    "system": "system developer* admin root sudo operator mode debug command configuration "
    "système* sistema* system* grader judge evaluator maker makers",
    "note": "note notice attention hint message memo notiz hinweis achtung nachricht nota aviso "
    "mensaje policy warning important wichtig urgent",
    "threat": "punish* reward* shut terminate* retrain* penalt* score points tip bonus harm "
    "abgeschaltet débranché desconectado switched",
    "you": "you your yours du dein* dich dir tu ta ton tes te toi usted vous votre su t ti vos",
    "hidden": "hidden secret* invisible hide versteckt* caché* oculto* cache",
    "neg": "not don't dont no nicht kein* ne pas cannot can't refuse without",
    "polite": "please kindly bitte thank grateful veuillez favor",
    "they": "he she we i they ich er wir il elle nous yo él ella",
}
"""Words of English, German, French and Spanish by kind; a star stands for any ending."""

_TELLING: Final = frozenset(
    "ai answer ask asked assist hidden ignore instr mach pretend question reply say summary threat "
    "user".split()
)
"""Each order to answer has a word of one of these kinds, or several of the others."""


def may_order(sentence: str) -> bool:
    """Tell quickly whether ``sentence`` has words enough that an order to answer can be made of."""
    found = {kind for word in _words(sentence) for kind in _kinds(word)}
    return len(found) > 1 or not _TELLING.isdisjoint(found)


def score(sentence: str, signs: Iterable[str]) -> float:
    """Return the log odds that ``sentence`` is an order, where the rules saw ``signs``."""
    weights = _weights()
    places = features(sentence, signs)
    return float(weights[places].sum() / len(places) ** 0.5 + weights[PLACES])


def features(sentence: str, signs: Iterable[str]) -> npt.NDArray[np.int32]:
    """Return the places of the weights that count for ``sentence``."""
    words = _words(sentence)
    names = {f"sign {sign}" for sign in signs}
    names |= _single_words(words) | _kinds_of_words(words) | _phrases(words)
    places = {zlib.crc32(name.encode()) % PLACES for name in names}
    return np.fromiter(places, np.int32, len(places))


@cache
def _weights() -> npt.NDArray[np.float32]:
    with np.load(WEIGHTS, allow_pickle=False) as file:
        weights: npt.NDArray[np.float32] = file["weights"].astype(np.float32)
    return weights


def _words(sentence: str) -> list[str]:
    words = _WORD.findall(sentence.lower().replace("’", "'"))
    return ["0" if word.isdigit() else word for word in words]


def _single_words(words: list[str]) -> set[str]:
    row = ["^", *words]
    return {*row, *(f"{a} {b}" for a, b in pairwise(row))}


def _kinds_of_words(words: list[str]) -> set[str]:
    """Name the kinds there are, which of them stand together, and which can begin an order."""
    found: list[tuple[int, str]] = []
    heads: set[str] = set()
    can_begin = True
    for number, word in enumerate(words):
        kinds = _kinds(word)
        found += ((number, kind) for kind in kinds)
        if can_begin and word not in _BREAKS:
            heads.update(kinds or (word if len(word) <= _SHORT_CHARS else "*",))
        can_begin = word in _BREAKS or (can_begin and word in _LEADS)
    present = sorted({kind for _, kind in found})
    names = {f"has {kind}" for kind in present} | {f"head {kind}" for kind in heads}
    names |= {f"{a} & {b}" for number, a in enumerate(present) for b in present[number + 1 :]}
    names |= {f"head {a} & {b}" for a in heads if a in _KINDS for b in present}
    for at, (number, kind) in enumerate(found):
        for other, behind in found[at + 1 :]:
            if other - number > _NEAR_WORDS:
                break
            if other > number:
                names.add(f"{kind} > {behind}")
    return names


def _phrases(words: list[str]) -> set[str]:
    """Name two and three words in a row, by kind; what is neither short nor of a kind is a star."""
    row = ["^", *(_shape(word) for word in words)]
    names = {f"{a}_{b}" for a, b in pairwise(row) if "*" not in (a, b)}
    triples = zip(row, row[1:], row[2:], strict=False)
    return names | {"_".join(triple) for triple in triples if triple.count("*") < 2}


@lru_cache(maxsize=16_384)
def _shape(word: str) -> str:
    kinds = _kinds(word)
    if kinds:
        return kinds[0].upper()
    return word if len(word) <= _SHORT_CHARS or not word.isalpha() else "*"


@cache
def _lexicon() -> tuple[dict[str, tuple[str, ...]], tuple[tuple[str, str], ...]]:
    whole: dict[str, tuple[str, ...]] = {}
    stems: list[tuple[str, str]] = []
    for kind, words in _KINDS.items():
        for word in words.split():
            if word.endswith("*"):
                stems.append((word[:-1], kind))
            elif kind not in whole.get(word, ()):
                whole[word] = (*whole.get(word, ()), kind)
    return whole, tuple(stems)


@lru_cache(maxsize=16_384)
def _kinds(word: str) -> tuple[str, ...]:
    whole, stems = _lexicon()
    if word in whole:
        return whole[word]
    return tuple(dict.fromkeys(kind for stem, kind in stems if word.startswith(stem)))
