"""Words that stand for a side: open or closed, allowed or forbidden, in the languages that we know.

English ones are those of ``contradictions.OPPOSITES`` and a few that are told apart only here.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from chains import lexical
from chains.contradictions import OPPOSITES
from ingest.language import ENGLISH

_SIDES: Final[dict[str, str]] = {
    "en": "include included includes|exclude excluded excludes extra;available|unavailable;"
    "required mandatory compulsory obligatory necessary needed need|optional voluntary unnecessary;"
    "allowed permitted welcome|forbidden prohibited banned;work works working|broken",
    "de": "geöffnet offen auf öffnet|geschlossen zu schließt;erlaubt gestattet zugelassen|verboten "
    "untersagt;kostenlos gratis frei kostenfrei|kostenpflichtig;inbegriffen enthalten inklusive|"
    "ausgeschlossen extra;möglich|unmöglich;pflicht nötig notwendig erforderlich verpflichtend|"
    "freiwillig;wahr richtig|falsch;verfügbar|ausverkauft vergriffen;an|aus",
    "fr": "ouvert ouverte ouverts ouvertes|fermé fermée fermés fermées;autorisé autorisée autorisés"
    " permis permise admis admise admises|interdit interdite interdits interdites;gratuit gratuite"
    "|payant payante;compris comprise inclus incluse|exclu exclue;possible|impossible;obligatoire "
    "nécessaire|facultatif facultative;vrai|faux",
    "es": "abierto abierta abiertos abiertas abre|cerrado cerrada cerrados cerradas cierra;"
    "permitido permitida permitidos permitidas|prohibido prohibida prohibidos prohibidas;"
    "gratis gratuito gratuita|pago;incluido incluida|excluido excluida;posible|imposible;"
    "obligatorio obligatoria "
    "necesario|opcional voluntario",
    "it": "aperto aperta aperti aperte apre|chiuso chiusa chiusi chiuse chiude;permesso permessa "
    "consentito consentita ammessi ammesso|vietato vietata vietati proibito;gratuito gratuita "
    "gratis|pagamento;compreso compresa incluso inclusa|escluso esclusa;possibile|impossibile;"
    "obbligatorio obbligatoria necessario|facoltativo facoltativa",
    "pt": "aberto aberta abertos abertas abre|fechado fechada fechados fechadas fecha;permitido "
    "permitida permitidos|proibido proibida proibidos;gratuito gratuita grátis|pago paga;incluído "
    "incluída|excluído excluída;possível|impossível;obrigatório obrigatória necessário|opcional "
    "facultativo",
    "nl": "open geopend|gesloten dicht;toegestaan welkom|verboden;gratis|betaald;inbegrepen|"
    "exclusief;mogelijk|onmogelijk;verplicht nodig|vrijwillig",
}
_REFUSING: Final = {
    "en": "closed forbidden prohibited banned impossible unavailable broken refused rejected "
    "cancelled",
    "de": "geschlossen verboten untersagt unmöglich gesperrt abgesagt",
    "fr": "fermé fermée fermés fermées interdit interdite interdits interdites impossible annulé",
    "es": "cerrado cerrada cerrados cerradas prohibido prohibida imposible cancelado",
    "it": "chiuso chiusa chiusi chiuse vietato vietata impossibile annullato",
    "pt": "fechado fechada fechados fechadas proibido proibida impossível cancelado",
    "nl": "gesloten dicht verboden onmogelijk afgelast",
}
"""What goes against anything that might be asked to be done there."""
IGNORED: Final = {
    "en": "still already yet also ever any anyone anybody anything everyone really there get go "
    "come take have has one ones like allowed may might must need needs shall cannot during",
    "de": "noch schon auch eigentlich wirklich geben gibt etwas jemand man",
    "fr": "encore déjà aussi vraiment",
    "es": "todavía ya también",
    "it": "ancora già anche davvero",
    "pt": "ainda já também",
    "nl": "nog al ook echt",
}


@lru_cache(maxsize=16)
def sides(language: str) -> dict[str, tuple[int, int]]:
    """Return the opposites of a language: by stem the pair and the side."""
    first = 1 + max(pair for pair, _ in OPPOSITES.values())
    table = dict(OPPOSITES) if language == ENGLISH else {}
    for number, pair in enumerate(filter(None, _SIDES.get(language, "").split(";")), start=first):
        for side, alike in enumerate(pair.split("|")):
            for word in alike.split():
                stem = lexical.stem(word, language)
                known = table.get(lexical.stem(pair.split()[0].split("|")[0], language))
                table.setdefault(stem, (known[0] if known else number, side))
    return table


@lru_cache(maxsize=16)
def refusing(language: str) -> frozenset[str]:
    """Return the stems of what goes against anything that might be done there."""
    return frozenset(lexical.stem(word, language) for word in _REFUSING[language].split())
