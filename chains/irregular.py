"""The irregular verbs of English: a closed class, whose forms no stemmer brings together."""

from __future__ import annotations

from typing import Final

from ingest.terms import stem

_VERBS: Final = (
    "arise arose arisen|be am is are was were been|bear bore born borne|beat beaten"
    "|become became|begin began begun|bend bent|bind bound|bite bit bitten|bleed bled|blow blew "
    "blown|break broke broken|breed bred|bring brought|build built|buy bought|catch caught|choose "
    "chose chosen|come came|creep crept|deal dealt|dig dug|do did done|draw drew drawn|drink drank "
    "drunk|drive drove driven|eat ate eaten|fall fell fallen|feed fed|feel felt|fight fought|find "
    "found|flee fled|fly flew flown|forbid forbade forbidden|forget forgot forgotten|forgive "
    "forgave forgiven|freeze froze frozen|get got gotten|give gave given|go went gone|grind ground"
    "|grow grew grown|hang hung|have has had|hear heard|hide hid hidden|hold held|keep kept|know "
    "knew known|lay laid|lead led|leave left|lend lent|lie lay lain|light lit|lose lost|make made"
    "|mean meant|meet met|mistake mistook mistaken|oversee oversaw overseen|overthrow overthrew "
    "overthrown|pay paid|rebuild rebuilt|ride rode ridden|ring rang rung|rise rose risen|run ran"
    "|say said|see saw seen|seek sought|sell sold|send sent|sew sewn|shake shook shaken|shine shone"
    "|shoot shot|show shown|shrink shrank shrunk|sing sang sung|sink sank sunk|sit sat|sleep slept"
    "|speak spoke spoken|spend spent|spring sprang sprung|stand stood|steal stole stolen|stick "
    "stuck|strike struck|swear swore sworn|sweep swept|swim swam swum|take took taken|teach taught"
    "|tear tore torn|tell told|think thought|throw threw thrown|undergo underwent undergone"
    "|understand understood|undertake undertook undertaken|wake woke woken|wear wore worn|weave "
    "wove woven|win won|wind wound|withdraw withdrew withdrawn|write wrote written"
)
_FORMS: Final[dict[str, frozenset[str]]] = {}
"""By stem, the stems of all forms of the verbs that it may belong to."""
for _verb in _VERBS.split("|"):
    _stems = frozenset(stem(_form) for _form in _verb.split())
    for _one in _stems:
        _FORMS[_one] = _FORMS.get(_one, frozenset()) | _stems
_NONE: Final[frozenset[str]] = frozenset()


def other_forms(one: str) -> frozenset[str]:
    """Return the stems of the other forms of a verb; empty for a word that is no irregular one."""
    return _FORMS.get(one, _NONE)
