"""Which language a text is in, told from the commonest words of each and from its script.

Function words are a third to a half of any running text and of nearly any question, and are needed
as stop words anyway; so they tell the language without a model. What has none of them (a name, a
row of a table) is in the language of what stands round it, which the caller knows.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

ENGLISH: Final = "en"
"""What a text is taken for where nothing tells; languages are named by their ISO 639-1 codes."""

STOP_WORDS: Final[Mapping[str, frozenset[str]]] = {
    language: frozenset(listed.split())
    for language, listed in {
        "en": "a about above after again all also am an and any are as at be because been before "
        "being below between both but by can could did do does doing done down during each "
        "few for from further had has have having he her here hers him his how i if in into "
        "is it its itself just let me more most my no nor not of off on once only or other "
        "our out over own please same she should so some such tell than that the their them "
        "then there these they this those through to too under until up us very was we were "
        "what when where which while who whom whose why will with would you your yours give "
        "show explain describe name much many s t re ve ll d m",
        "de": "lang lange oft aber alle allem allen aller alles als also am an andere anderen "
        "auch auf aus bei beim bin bis bitte bist da dabei dafür damit dann darf darin das "
        "dass daß dein deine dem den denn der deren des dessen dich die dies diese diesem "
        "diesen dieser dieses dir doch dort du durch dürfen ein eine einem einen einer "
        "eines er es etwa etwas euch euer für gegen gibt hab habe haben hat hatte hatten "
        "hier hin hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede "
        "jedem jeden jeder jedes kann kannst kein keine keinem keinen keiner können könnte "
        "man mehr mein meine meinem meinen meiner mich mir mit muss müssen nein nach nicht "
        "noch nun nur ob oder ohne sehr sein seine seinem seinen seiner seit sich sie sind "
        "so soll sollen sollte sonst um und uns unser unsere unter viel viele vom von vor "
        "wann war waren warum was weil welche welchem welchen welcher welches wem wen wenn "
        "wer werde werden wessen wie wieso wieviel wird wo wofür woher wohin womit wurde "
        "wurden zu zum zur zwischen über während worüber wodurch wozu woran sag sage nenne "
        "erkläre beschreibe",
        "fr": "longtemps souvent à a ai ainsi alors après as au aucun aucune aussi autre autres "
        "aux avant avec avez avoir avons beaucoup c ce ceci cela celle celui ces cet cette "
        "ceux chaque chez ci combien comme comment d dans de depuis des doit doivent donc "
        "dont du elle elles en encore entre es est et étaient était été être eu eux faire "
        "fait faut fut hors ici il ils j je jusque l la le les leur leurs lorsque lui là m "
        "ma mais me même mes moi moins mon n ne ni non nos notre nous on ont ou où oui par "
        "parce pas pendant peu peut peuvent plus pour pourquoi pouvez puis qu quand que "
        "quel quelle quelles quels qui quoi s sa sans se sera seront ses si soit sommes son "
        "sont sous suis sur t ta te tes toi ton tous tout toute toutes très tu un une vers "
        "veut voici vos votre vous y explique décris dis donne",
        "es": "a al algo alguna algunas alguno algunos ante antes aquel aquella así aunque cada "
        "casi como cómo con contra cual cuál cuales cuáles cualquier cuando cuándo cuanta "
        "cuánta cuantas cuántas cuanto cuánto cuantos cuántos de debe deben del desde donde "
        "dónde dos durante e el él ella ellas ellos en entre era eran eres es esa esas ese "
        "eso esos esta está están estas este esto estos estar fue fueron ha había hace "
        "hacer han hasta hay he la las le les lo los más me mi mis mucha muchas mucho "
        "muchos muy nada ni no nos nosotros nuestra nuestro o os otra otras otro otros para "
        "pero poco por porque pueda puede pueden puedo que qué quien quién quienes quiénes "
        "se sea según ser será si sí sido sin sobre son soy su sus también tan tanto te "
        "tiene tienen tengo todo todos toda todas tu tus un una unas uno unos usted ustedes "
        "y ya yo explica describe dime cuéntame dame",
        "it": "a abbiamo ad agli ai al alla alle allo altra altre altri altro anche ancora avere "
        "c che chi ci cioè come con contro cosa cui d da dagli dai dal dalla dalle dallo "
        "degli dei del della delle dello deve devo devono di dopo dove e è ed era erano "
        "essere fa fino fra gli ha hai hanno ho i il in io l la le lei li lo loro lui ma me "
        "mi mia mie miei mio molta molte molti molto ne negli nei nel nella nelle nello noi "
        "non nostra nostro o ogni oppure per perché però più poi possa possiamo posso può "
        "possono prima qual quale quali quando quanta quante quanti quanto quel quella "
        "quelle quelli quello questa queste questi questo qui se sei senza si sia siamo sì "
        "solo sono sopra sotto sta stata state stati stato su sua sue sugli sui sul sulla "
        "sulle sullo suo suoi tra tu tua tue tuo tutta tutte tutti tutto un una uno vi "
        "viene vengono voi vostra vostro spiega descrivi dimmi dammi",
        "pt": "a à às ao aos aquela aquele aquilo as até cada com como contra da das de dela dele "
        "deles depois desde deve devem do dos durante e é ela elas ele eles em entre era "
        "eram essa essas esse esses esta está estão estar estas este estes eu foi foram "
        "fosse há isso isto já lhe lhes mais mas me mesmo meu meus minha minhas muita "
        "muitas muito muitos na não nas nem nenhum nenhuma no nos nós nossa nosso num numa "
        "o onde os ou outra outras outro outros para pela pelas pelo pelos pode podem posso "
        "por porque porquê pouco preciso qual quais qualquer quando quanta quantas quanto "
        "quantos que quê quem se sem sempre ser será seu seus si sido sim são só sob sobre "
        "sua suas também te tem têm tenho ter teu tinha toda todas todo todos tu tua um uma "
        "umas uns vai você vocês vos explica explique descreve descreva diga",
        "nl": "lang vaak aan al alle alleen alles als altijd andere ben bent bij daar dan dat de "
        "deze die dit doen doet door dus een eens elk elke en er had hadden hebben hebt "
        "heeft heel hem hen het hier hij hoe hoeveel hoelang hun iemand iets ik in is ja je "
        "jij jou jouw jullie kan kon kunnen kunt maar mag me meer men met mij mijn moet "
        "moeten na naar nee niet niets nog nu of om omdat onder ons onze ook op over per "
        "staat te tegen toch toe tot tussen uit uw u van vanaf veel via voor waar waarbij "
        "waarom waarin waarvoor waarmee wanneer want waren was wat we wel welk welke werd "
        "werden wie wij wil worden wordt zal ze zei zelf zich zij zijn zo zonder zou zullen "
        "leg beschrijf noem geef vertel",
    }.items()
}  # fmt: skip

ENOUGH: Final = 1.0
"""Score from which a language is believed: one word that no other language has."""

MARGIN: Final = 1.25
"""Times as much as the next language must have."""

SAMPLE_CHARS: Final = 8_000
"""Of a document that are looked at."""

_SCRIPT_SHARE: Final = 0.25
"""Of all letters, from which on a text is in the language of a script."""

_WORD = re.compile(r"[^\W\d_]+")
_SCRIPTS: Final = (
    # Japanese is written with Chinese characters too, so its own come first.
    ("ja", re.compile(r"[\u3041-\u30ff\uff66-\uff9f]"), 0.1),
    ("ko", re.compile(r"[\uac00-\ud7a3]"), _SCRIPT_SHARE),
    ("th", re.compile(r"[\u0e00-\u0e7f]"), _SCRIPT_SHARE),
    ("zh", re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"), _SCRIPT_SHARE),
)
_SIGNS: Final = {
    # Letters and endings that are at home in few of the languages, each as much as half a word.
    sign: tuple(languages.split())
    for signs, languages in (
        ("ß ä ö ung ungen heit keit lich", "de"),
        ("ü", "de es"),
        ("ñ ¿ ¡ ción ciones dad", "es"),
        ("ã õ ção ções dade", "pt"),
        ("í ó á ú", "es pt"),
        ("ç", "fr pt"),
        ("ê", "fr pt"),
        ("œ î û ë ù eux", "fr"),
        ("é", "fr es pt"),
        ("è à", "fr it"),
        ("ò ì zione zioni tà", "it"),
        ("heid", "nl"),
    )
    for sign in signs.split()
}
_SIGN = re.compile(
    "|".join(rf"{sign}\b" if len(sign) > 1 else sign for sign in sorted(_SIGNS, key=len)[::-1])
)
_SIGN_WEIGHT: Final = 0.5


def fold(text: str) -> str:
    """Return ``text`` in lower case and without accents."""
    if text.isascii():
        return text.lower()
    apart = unicodedata.normalize("NFD", text.lower().replace("ß", "ss"))
    return unicodedata.normalize("NFC", "".join(c for c in apart if not unicodedata.combining(c)))


def _languages_by_word() -> dict[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for language, listed in STOP_WORDS.items():
        for word in listed:
            found.setdefault(word, []).append(language)
    # Somebody who leaves accents out writes other languages' words at times: "e" for "é".
    for language, listed in STOP_WORDS.items():
        for word in listed:
            if (bare := fold(word)) != word and bare not in found:
                found[bare] = [language]
    return {word: tuple(languages) for word, languages in found.items()}


_LANGUAGES_BY_WORD: Final = _languages_by_word()


@lru_cache(maxsize=512)
def candidates(text: str) -> tuple[str, ...]:
    """Return the languages that ``text`` may be in, the likeliest first; none where nothing tells.

    A question of five words may be in either of two languages that share them.
    """
    sample = text[:SAMPLE_CHARS]
    if not sample.isascii():
        letters = sum(map(str.isalpha, sample))
        for language, script, share in _SCRIPTS:
            if len(script.findall(sample)) > share * letters:
                return (language,)
    scores = dict.fromkeys(STOP_WORDS, 0.0)
    # "IT", "IS" and "OR" among small letters are abbreviations, of no language.
    shouted = sample.isupper()
    for found in _WORD.findall(sample):
        if len(found) > 1 and found.isupper() and not shouted:
            continue
        word = found.lower()
        speakers = _LANGUAGES_BY_WORD.get(word, ())
        for language in speakers:
            scores[language] += 1 / len(speakers)
    for sign in _SIGN.findall(sample.lower()):
        speakers = _SIGNS[sign]
        for language in speakers:
            scores[language] += _SIGN_WEIGHT / len(speakers)
    ranked = sorted(scores, key=lambda language: scores[language], reverse=True)
    best = scores[ranked[0]]
    if not best:
        return ()
    likely = tuple(language for language in ranked if MARGIN * scores[language] > best)
    # One sign that is shared by many tells little, even where no other language has another.
    return likely if best >= ENOUGH or len(likely) > 1 else ()


def language_of(text: str) -> str | None:
    """Return the language of ``text``, or ``None`` where nothing tells it."""
    found = candidates(text)
    return found[0] if len(found) == 1 else None


def known_words(text: str) -> int:
    """Return how many of the words with an accent are function words of a language."""
    found = (word for word in _WORD.findall(text.lower()) if not word.isascii())
    return sum(word in _LANGUAGES_BY_WORD for word in found)


def passage_language(text: str, document: str) -> str:
    """Return the language of a passage; where it does not tell, that of its document."""
    return language_of(text) or language_of(document[:SAMPLE_CHARS]) or ENGLISH
