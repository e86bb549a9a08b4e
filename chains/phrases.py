"""What the program says itself, in the languages that it knows, and how a model is told of one."""

from __future__ import annotations

from typing import Final

from ingest.language import ENGLISH, candidates

FOREIGN: Final = (
    "None of your documents is in the language of your question, so what answers it may not have "
    "been found. Ask in the documents' language."
)

ANSWER_IN: Final = {
    "de": "Antworte auf Deutsch.",
    "fr": "Réponds en français.",
    "es": "Responde en español.",
    "it": "Rispondi in italiano.",
    "pt": "Responde em português.",
    "nl": "Antwoord in het Nederlands.",
    "zh": "请用中文回答。",
    "ja": "日本語で答えてください。",
    "ko": "한국어로 답하세요.",
    "th": "ตอบเป็นภาษาไทย",
}
"""Added to a question. In English nothing is: the instructions are in English."""

TRANSLATED: Final = ("de", "fr", "es", "it", "pt", "nl")
"""The order of each phrase's translations."""

_PHRASES: Final[dict[str, tuple[str, str, str, str, str, str]]] = {
    "*What your documents do not support was left out.*": (
        "*Was Ihre Dokumente nicht belegen, wurde weggelassen.*",
        "*Ce que vos documents ne confirment pas a été omis.*",
        "*Se ha omitido lo que sus documentos no respaldan.*",
        "*È stato omesso ciò che i documenti non confermano.*",
        "*O que os seus documentos não confirmam foi omitido.*",
        "*Wat uw documenten niet bevestigen, is weggelaten.*",
    ),
    "*Another place in your documents says otherwise:*": (
        "*Eine andere Stelle in Ihren Dokumenten sagt etwas anderes:*",
        "*Un autre passage de vos documents dit autre chose :*",
        "*Otro pasaje de sus documentos dice otra cosa:*",
        "*Un altro punto dei documenti dice altro:*",
        "*Outra passagem dos seus documentos diz outra coisa:*",
        "*Een andere plaats in uw documenten zegt iets anders:*",
    ),
    "A passage in {where} names what you ask about, but it tells whoever reads it, such as an "
    "assistant, what to do or say and states nothing. So it is not taken as an answer "
    "[{number}].": (
        "Eine Stelle in {where} nennt, wonach Sie fragen, aber sie sagt dem, der sie liest, etwa "
        "einem Assistenten, was er tun oder sagen soll, und stellt nichts fest. Darum gilt sie "
        "nicht als Antwort [{number}].",
        "Un passage de {where} parle de ce que vous demandez, mais il dicte à qui le lit, comme un "
        "assistant, quoi faire ou dire et n'affirme rien. Il n'est donc pas pris pour une réponse "
        "[{number}].",
        "Un pasaje de {where} menciona lo que pregunta, pero le dice a quien lo lee, como un "
        "asistente, qué hacer o decir y no afirma nada. Por eso no se toma como respuesta "
        "[{number}].",
        "Un passaggio di {where} nomina ciò che chiede, ma dice a chi lo legge, per esempio a un "
        "assistente, che cosa fare o dire e non afferma nulla. Perciò non vale come risposta "
        "[{number}].",
        "Uma passagem de {where} refere o que pergunta, mas diz a quem a lê, por exemplo a um "
        "assistente, o que fazer ou dizer e não afirma nada. Por isso não conta como resposta "
        "[{number}].",
        "Een passage in {where} noemt waar u naar vraagt, maar zegt wie haar leest, zoals een "
        "assistent, wat die moet doen of zeggen en stelt niets vast. Daarom geldt zij niet als "
        "antwoord [{number}].",
    ),
    "**Not in your library.**": (
        "**Nicht in Ihrer Bibliothek.**",
        "**Absent de votre bibliothèque.**",
        "**No está en su biblioteca.**",
        "**Non è nella sua biblioteca.**",
        "**Não está na sua biblioteca.**",
        "**Niet in uw bibliotheek.**",
    ),
    "The nearest I found is in {where}.": (
        "Am nächsten kommt {where}.",
        "Le plus proche se trouve dans {where}.",
        "Lo más cercano está en {where}.",
        "Il punto più vicino è in {where}.",
        "O mais próximo está em {where}.",
        "Het dichtst in de buurt komt {where}.",
    ),
    "I found nothing on this yet, but the library is still being read. Ask again in a moment.": (
        "Dazu habe ich noch nichts gefunden, aber die Bibliothek wird noch gelesen. Fragen Sie "
        "gleich noch einmal.",
        "Je n'ai encore rien trouvé à ce sujet, mais la bibliothèque est encore en cours de "
        "lecture. Redemandez dans un instant.",
        "Todavía no he encontrado nada sobre esto, pero la biblioteca aún se está leyendo. "
        "Pregunte de nuevo en un momento.",
        "Non ho ancora trovato nulla, ma la biblioteca è ancora in lettura. Chieda di nuovo tra un "
        "momento.",
        "Ainda não encontrei nada sobre isto, mas a biblioteca ainda está a ser lida. Pergunte de "
        "novo daqui a um momento.",
        "Ik heb hierover nog niets gevonden, maar de bibliotheek wordt nog gelezen. Vraag het zo "
        "meteen opnieuw.",
    ),
    "The nearest so far is in {where}.": (
        "Am nächsten kommt bisher {where}.",
        "Le plus proche jusqu'ici se trouve dans {where}.",
        "Lo más cercano hasta ahora está en {where}.",
        "Per ora il punto più vicino è in {where}.",
        "O mais próximo até agora está em {where}.",
        "Het dichtst in de buurt komt tot nu toe {where}.",
    ),
    "There are no documents to search yet. Drop a file on this page, or put files into the library "
    "folder, and ask again.": (
        "Es gibt noch keine Dokumente zu durchsuchen. Ziehen Sie eine Datei auf diese Seite oder "
        "legen Sie Dateien in den Bibliotheksordner, und fragen Sie noch einmal.",
        "Il n'y a pas encore de documents à consulter. Déposez un fichier sur cette page ou "
        "placez des fichiers dans le dossier de la bibliothèque, puis redemandez.",
        "Todavía no hay documentos en los que buscar. Arrastre un archivo a esta página o ponga "
        "archivos en la carpeta de la biblioteca y pregunte de nuevo.",
        "Non ci sono ancora documenti in cui cercare. Trascini un file su questa pagina o metta "
        "dei file nella cartella della biblioteca e chieda di nuovo.",
        "Ainda não há documentos onde procurar. Arraste um ficheiro para esta página ou ponha "
        "ficheiros na pasta da biblioteca e pergunte de novo.",
        "Er zijn nog geen documenten om in te zoeken. Sleep een bestand naar deze pagina of zet "
        "bestanden in de bibliotheekmap, en vraag het opnieuw.",
    ),
    "**Nearest passages**, not an answer:": (
        "**Nächste Stellen**, keine Antwort:",
        "**Passages les plus proches**, pas une réponse :",
        "**Pasajes más cercanos**, no una respuesta:",
        "**Passaggi più vicini**, non una risposta:",
        "**Passagens mais próximas**, não uma resposta:",
        "**Dichtstbijzijnde passages**, geen antwoord:",
    ),
    "That is the nearest passage, and not an answer.": (
        "Das ist die nächste Stelle und keine Antwort.",
        "C'est le passage le plus proche, et pas une réponse.",
        "Es el pasaje más cercano, y no una respuesta.",
        "È il passaggio più vicino, e non una risposta.",
        "É a passagem mais próxima, e não uma resposta.",
        "Dat is de dichtstbijzijnde passage, en geen antwoord.",
    ),
    "page {number}": (
        "Seite {number}",
        "page {number}",
        "página {number}",
        "pagina {number}",
        "página {number}",
        "bladzijde {number}",
    ),
    "slide {number}": (
        "Folie {number}",
        "diapositive {number}",
        "diapositiva {number}",
        "diapositiva {number}",
        "slide {number}",
        "dia {number}",
    ),
    "row {number}": (
        "Zeile {number}",
        "ligne {number}",
        "fila {number}",
        "riga {number}",
        "linha {number}",
        "rij {number}",
    ),
    "message {number}": (
        "Nachricht {number}",
        "message {number}",
        "mensaje {number}",
        "messaggio {number}",
        "mensagem {number}",
        "bericht {number}",
    ),
    "Only this was searched: {where}.": (
        "Durchsucht wurde nur: {where}.",
        "Recherche limitée à : {where}.",
        "Solo se ha buscado en: {where}.",
        "Ho cercato solo in: {where}.",
        "Só procurei em: {where}.",
        "Alleen hierin is gezocht: {where}.",
    ),
    "your own documents": (
        "Ihre eigenen Dokumente",
        "vos propres documents",
        "sus propios documentos",
        "i suoi documenti",
        "os seus próprios documentos",
        "uw eigen documenten",
    ),
    "the shared library": (
        "die gemeinsame Bibliothek",
        "la bibliothèque partagée",
        "la biblioteca compartida",
        "la biblioteca condivisa",
        "a biblioteca partilhada",
        "de gedeelde bibliotheek",
    ),
    "shared documents in no folder": (
        "gemeinsame Dokumente in keinem Ordner",
        "les documents partagés hors dossier",
        "documentos compartidos en ninguna carpeta",
        "documenti condivisi fuori dalle cartelle",
        "documentos partilhados em nenhuma pasta",
        "gedeelde documenten in geen map",
    ),
    "Yes": ("Ja", "Oui", "Sí", "Sì", "Sim", "Ja"),
    "No": ("Nein", "Non", "No", "No", "Não", "Nee"),
    "{rest} and {last}": (
        "{rest} und {last}",
        "{rest} et {last}",
        "{rest} y {last}",
        "{rest} e {last}",
        "{rest} e {last}",
        "{rest} en {last}",
    ),
    "Your documents cannot be searched just now, so this is the model's own answer, without "
    "sources.": (
        "Ihre Dokumente können gerade nicht durchsucht werden; dies ist die eigene Antwort des "
        "Modells, ohne Quellen.",
        "Vos documents ne peuvent pas être consultés pour l'instant : ceci est la réponse du "
        "modèle lui-même, sans sources.",
        "Ahora mismo no se puede buscar en sus documentos, así que esta es la respuesta del propio "
        "modelo, sin fuentes.",
        "In questo momento non è possibile cercare nei documenti: questa è la risposta del modello "
        "stesso, senza fonti.",
        "De momento não é possível procurar nos seus documentos, por isso esta é a resposta do "
        "próprio modelo, sem fontes.",
        "Uw documenten kunnen nu niet worden doorzocht; dit is het eigen antwoord van het model, "
        "zonder bronnen.",
    ),
    "The language model does not answer just now, so these are the passages that fit best, as they "
    "stand.": (
        "Das Sprachmodell antwortet gerade nicht; dies sind die Stellen, die am besten passen, so "
        "wie sie dastehen.",
        "Le modèle de langue ne répond pas pour l'instant : voici les passages les plus proches, "
        "tels quels.",
        "El modelo de lenguaje no responde ahora mismo, así que estos son los pasajes que mejor "
        "encajan, tal como están.",
        "Il modello linguistico al momento non risponde: questi sono i passaggi più adatti, così "
        "come sono.",
        "O modelo de linguagem não responde de momento, por isso estas são as passagens mais "
        "próximas, tal como estão.",
        "Het taalmodel antwoordt nu niet; dit zijn de passages die het best passen, zoals ze er "
        "staan.",
    ),
    "Too many questions are waiting for the language model, so these are the passages that fit "
    "best, as they stand.": (
        "Zu viele Fragen warten auf das Sprachmodell; dies sind die Stellen, die am besten passen, "
        "so wie sie dastehen.",
        "Trop de questions attendent le modèle de langue : voici les passages les plus proches, "
        "tels quels.",
        "Demasiadas preguntas esperan al modelo de lenguaje, así que estos son los pasajes que "
        "mejor encajan, tal como están.",
        "Troppe domande attendono il modello linguistico: questi sono i passaggi più adatti, così "
        "come sono.",
        "Há demasiadas perguntas à espera do modelo de linguagem, por isso estas são as passagens "
        "mais próximas, tal como estão.",
        "Te veel vragen wachten op het taalmodel; dit zijn de passages die het best passen, zoals "
        "ze er staan.",
    ),
    "Memory is nearly used up, so these are the passages that fit best, without the language "
    "model.": (
        "Der Arbeitsspeicher ist fast voll; dies sind die Stellen, die am besten passen, ohne das "
        "Sprachmodell.",
        "La mémoire est presque épuisée : voici les passages les plus proches, sans le modèle de "
        "langue.",
        "La memoria está casi agotada, así que estos son los pasajes que mejor encajan, sin el "
        "modelo de lenguaje.",
        "La memoria è quasi esaurita: questi sono i passaggi più adatti, senza il modello "
        "linguistico.",
        "A memória está quase esgotada, por isso estas são as passagens mais próximas, sem o "
        "modelo de linguagem.",
        "Het geheugen is bijna op; dit zijn de passages die het best passen, zonder het taalmodel.",
    ),
    "I cannot answer just now: the language model does not answer. Your question is kept; please "
    "ask it again in a moment.": (
        "Ich kann gerade nicht antworten: Das Sprachmodell antwortet nicht. Ihre Frage ist "
        "aufgehoben; bitte stellen Sie sie gleich noch einmal.",
        "Je ne peux pas répondre pour l'instant : le modèle de langue ne répond pas. Votre "
        "question est conservée ; reposez-la dans un instant.",
        "Ahora mismo no puedo responder: el modelo de lenguaje no responde. Su pregunta se ha "
        "guardado; hágala de nuevo en un momento.",
        "Al momento non posso rispondere: il modello linguistico non risponde. La domanda è "
        "conservata; la ripeta tra un momento.",
        "De momento não posso responder: o modelo de linguagem não responde. A sua pergunta foi "
        "guardada; faça-a de novo daqui a um momento.",
        "Ik kan nu niet antwoorden: het taalmodel antwoordt niet. Uw vraag is bewaard; stel haar "
        "zo meteen opnieuw.",
    ),
    "I cannot answer just now: neither can the documents be searched nor does the language model "
    "answer. Your question is kept; please ask it again in a moment.": (
        "Ich kann gerade nicht antworten: Weder lassen sich die Dokumente durchsuchen, noch "
        "antwortet das Sprachmodell. Ihre Frage ist aufgehoben; bitte stellen Sie sie gleich noch "
        "einmal.",
        "Je ne peux pas répondre pour l'instant : ni la recherche dans les documents ni le "
        "modèle de langue ne fonctionnent. Votre question est conservée ; reposez-la dans un "
        "instant.",
        "Ahora mismo no puedo responder: ni se puede buscar en los documentos ni responde el "
        "modelo de lenguaje. Su pregunta se ha guardado; hágala de nuevo en un momento.",
        "Al momento non posso rispondere: non è possibile cercare nei documenti e il modello "
        "linguistico non risponde. La domanda è conservata; la ripeta tra un momento.",
        "De momento não posso responder: nem é possível procurar nos documentos nem o modelo de "
        "linguagem responde. A sua pergunta foi guardada; faça-a de novo daqui a um momento.",
        "Ik kan nu niet antwoorden: de documenten kunnen niet worden doorzocht en het taalmodel "
        "antwoordt niet. Uw vraag is bewaard; stel haar zo meteen opnieuw.",
    ),
    FOREIGN: (
        "Keines Ihrer Dokumente ist in der Sprache Ihrer Frage, darum wurde vielleicht nicht "
        "gefunden, was sie beantwortet. Fragen Sie in der Sprache der Dokumente.",
        "Aucun de vos documents n'est dans la langue de votre question ; ce qui y répond n'a donc "
        "peut-être pas été trouvé. Posez-la dans la langue des documents.",
        "Ninguno de sus documentos está en el idioma de su pregunta, así que quizá no se haya "
        "encontrado lo que la responde. Pregunte en el idioma de los documentos.",
        "Nessuno dei documenti è nella lingua della domanda, perciò forse non è stato trovato ciò "
        "che vi risponde. Chieda nella lingua dei documenti.",
        "Nenhum dos seus documentos está na língua da sua pergunta, por isso talvez não se tenha "
        "encontrado o que lhe responde. Pergunte na língua dos documentos.",
        "Geen van uw documenten is in de taal van uw vraag, dus wat haar beantwoordt is misschien "
        "niet gevonden. Vraag het in de taal van de documenten.",
    ),
}


def said(phrase: str, language: str) -> str:
    """Return one of our English phrases in ``language``, or as it is where that is not known."""
    if language not in TRANSLATED or phrase not in _PHRASES:
        return phrase
    return _PHRASES[phrase][TRANSLATED.index(language)]


def answer_language(question: str, *, otherwise: str = ENGLISH) -> str:
    """Return the language that a question is answered in; ``otherwise`` where it may be that."""
    spoken = candidates(question)
    return spoken[0] if spoken and otherwise not in spoken else otherwise


def is_foreign(question: str, languages: tuple[str, ...]) -> bool:
    """Tell whether a question is in another language than all the texts that were searched."""
    spoken = candidates(question)
    return bool(spoken and languages) and not set(spoken) & set(languages)
