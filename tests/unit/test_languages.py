"""Documents in other languages than English: told apart, found, cited and answered in them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from language_texts import TEXTS
from store_model import FINGERPRINT, first_schema, vector_of

from chains import compose, degraded, lexical
from chains.citations import find_support
from chains.contradictions import contradicts
from chains.phrases import ANSWER_IN, FOREIGN, TRANSLATED, answer_language, is_foreign, said
from chains.prompt import asked
from chains.types import LIBRARY_OWNER, Answer, Passage, Question
from ingest.language import STOP_WORDS, language_of, passage_language
from ingest.loaders import LoadedDocument
from ingest.scope import Scope
from ingest.sentences import sentence_spans
from ingest.splitter import Chunk
from ingest.store import DATABASE_NAME, Store
from ingest.terms import search_terms, stem

SPACED = ("de", "fr", "es", "it", "pt", "nl")
ENGLISH_TEXT = (
    "The club house is open from May. Its members pay a yearly fee, and whoever borrows a boat "
    "writes it down in the log book."
)


def passage(text: str, *, language: str = "en", page: int | None = None) -> Passage:
    first = sentence_spans(text)[0]
    place = {"source": "a.md", "title": "", "heading": "", "page": page, "language": language}
    return Passage(
        1, 1, text=text, start=0, best_start=first[0], best_end=first[1], score=1.0, **place
    )


def put(store: Store, name: str, text: str) -> None:
    """Store a text, each paragraph a passage."""
    chunks, position = [], 0
    for part in text.split("\n\n"):
        chunks.append(Chunk(position, position + len(part), part, ""))
        position += len(part) + 2
    store.put_document(
        LIBRARY_OWNER,
        name,
        origin="upload",
        sha256=name,
        size_bytes=len(text),
        document=LoadedDocument(text, name, "text"),
        chunks=chunks,
        vectors=np.stack([vector_of(chunk.text) for chunk in chunks]),
    )


def best(store: Store, question: str) -> str:
    """Return the passage that the words of a question find first."""
    owners = [LIBRARY_OWNER]
    terms = lexical.query_terms(question, store.languages(Scope.of(*owners)))
    forms = [form for several in terms.values() for form in several]
    matches = store.match(lexical.match_expression(forms), Scope.of(*owners), 5) if forms else []
    return store.chunks([matches[0][0]], owners)[matches[0][0]].text if matches else ""


@pytest.fixture
def library(tmp_path: Path, language: str) -> Iterator[Store]:
    """A library in English and one other language."""
    store = Store(tmp_path, FINGERPRINT)
    put(store, "english", ENGLISH_TEXT)
    put(store, language, TEXTS[language].text)
    yield store
    store.close()


# --- which language it is


@pytest.mark.parametrize("language", TEXTS)
def test_a_text_is_known_by_its_commonest_words_or_its_script(language: str) -> None:
    assert language_of(TEXTS[language].text) == language
    assert language_of(ENGLISH_TEXT) == "en"


@pytest.mark.parametrize("language", TEXTS)
def test_a_question_is_never_taken_for_one_in_another_language(language: str) -> None:
    told = [language_of(question) for question, _ in TEXTS[language].questions]
    assert set(told) <= {language, None}
    assert told.count(language) > len(told) / 2


def test_a_passage_that_does_not_tell_is_in_its_documents_language() -> None:
    assert language_of("Kassel 45") is None
    assert passage_language("Kassel 45", TEXTS["de"].text) == "de"
    assert passage_language("Kassel 45", "Kassel 45") == "en"
    assert passage_language(ENGLISH_TEXT, TEXTS["de"].text) == "en"


# --- found by inflected words


@pytest.mark.parametrize("language", SPACED)
def test_other_forms_of_a_questions_words_find_the_passage(library: Store, language: str) -> None:
    for question, answer in TEXTS[language].questions:
        assert answer in best(library, question), question


@pytest.mark.parametrize("language", [name for name in TEXTS if name not in SPACED])
def test_texts_without_spaces_are_found(library: Store, language: str) -> None:
    for question, answer in TEXTS[language].questions:
        assert answer in best(library, question), question


@pytest.mark.parametrize(
    ("language", "written", "typed"),
    [
        ("fr", "Les places réservées restent libres pour vous.", "reservees"),
        ("es", "Los años de espera no son para todos.", "anos"),
        ("pt", "As inscrições não são para os visitantes.", "inscricoes"),
        ("de", "Die Straßen werden im Winter nicht geräumt.", "Strassen"),
        ("de", "Die Wohnungstüren sind nachts zu schließen.", "Wohnungstueren"),
        ("it", "La città è nella valle.", "citta"),
        ("nl", "De coördinator van het gebouw is ziek.", "coordinator"),
    ],
)
def test_words_are_found_without_their_accents(language: str, written: str, typed: str) -> None:
    assert language_of(written) == language
    assert stem(typed.lower(), language) in search_terms(written, language).split()


def test_portuguese_plurals_have_the_stem_of_their_singular() -> None:
    for singular, plural in (("inscrição", "inscrições"), ("pão", "pães"), ("sócio", "sócios")):
        assert stem(singular, "pt") == stem(plural, "pt")


def test_english_is_indexed_as_before() -> None:
    """SQLite's own tokenizer is the measure: the same terms, so the same ranking."""
    with sqlite3.connect(":memory:") as db:
        db.execute(
            "CREATE VIRTUAL TABLE t USING fts5(text,"
            " tokenize='porter unicode61 remove_diacritics 2')"
        )
        db.execute("CREATE VIRTUAL TABLE terms USING fts5vocab('t', 'instance')")
        texts = (ENGLISH_TEXT, "Don't re-use the café's résumés: running_late, 3.5 ponies!")
        for row, text in enumerate(texts, 1):
            db.execute("INSERT INTO t(rowid, text) VALUES (?, ?)", (row, text))
            theirs = db.execute("SELECT term FROM terms WHERE doc = ? ORDER BY offset", (row,))
            assert search_terms(text, "en").split() == [term for (term,) in theirs]


def test_what_is_removed_is_found_no_more_in_any_language(tmp_path: Path) -> None:
    store = Store(tmp_path, FINGERPRINT)
    put(store, "a", TEXTS["de"].text)
    put(store, "a", TEXTS["zh"].text)
    assert best(store, "Wer genehmigt eine Laube?") == ""
    assert "王丽" in best(store, "谁是馆长？")
    assert store.languages(Scope.of(LIBRARY_OWNER)) == ("zh",)
    assert not store.check().full_text_rebuilt
    store.close()


def test_a_library_of_an_older_version_is_found_in_its_languages(tmp_path: Path) -> None:
    first_schema(tmp_path)
    with sqlite3.connect(tmp_path / DATABASE_NAME) as db:
        db.execute("UPDATE documents SET text = ? WHERE id = 1", (TEXTS["nl"].text,))
        db.execute("UPDATE chunks SET text = ? WHERE id = 1", (TEXTS["nl"].text[:200],))
        db.execute("INSERT INTO chunk_fts(chunk_fts) VALUES ('rebuild')")
    db.close()
    store = Store(tmp_path, FINGERPRINT)
    assert "heggen" in best(store, "Hoe hoog mag een heg zijn?").lower()
    assert "nl" in store.languages(Scope.of(LIBRARY_OWNER))
    assert not store.check().full_text_rebuilt
    store.close()


# --- sentences


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("会员费每年120元。怎么交？用现金！", ["会员费每年120元。", "怎么交？", "用现金！"]),
        ("休みです｡火曜は開きます。", ["休みです｡", "火曜は開きます。"]),
        (
            "Am 3. Oktober öffnet er. Es gibt z. B. 40 Plätze.",
            ["Am 3. Oktober öffnet er.", "Es gibt z. B. 40 Plätze."],
        ),
        ("Mme Aubry paie 4 euros. À midi, M. Petit ferme.", None),
        ("Cuesta 3 euros. ¿Y después? La Sra. Ibarra avisa.", None),
    ],
)
def test_sentences_end_where_they_do_in_other_languages(
    text: str, sentences: list[str] | None
) -> None:
    found = [text[start:end] for start, end in sentence_spans(text)]
    if sentences is None:
        assert len(found) == (3 if "¿" in text else 2)
    else:
        assert found == sentences


# --- cited


def german(text: str) -> Passage:
    return passage(text, language="de")


def test_a_statement_is_supported_by_other_forms_of_its_words() -> None:
    source = german("Neue Mitglieder zahlen 35 Euro. Die Hecken werden im Herbst geschnitten.")
    question = "Wann schneidet man die Hecke?"
    found = find_support("Eine Hecke wird im Herbst geschnitten.", [source], question)
    assert found is not None and "Herbst" in found.text


def test_yes_and_no_are_told_apart_in_each_language() -> None:
    for language, yes, no in (
        ("de", "Katzen sind erlaubt.", "Katzen sind nicht erlaubt."),
        ("fr", "Les chats sont admis.", "Les chats ne sont pas admis."),
        ("es", "Los gatos están permitidos.", "Los gatos no están permitidos."),
        ("it", "I gatti sono ammessi.", "I gatti non sono ammessi."),
        ("pt", "Os gatos são permitidos.", "Os gatos não são permitidos."),
        ("nl", "Katten zijn toegestaan.", "Katten zijn niet toegestaan."),
        ("zh", "允许养猫。", "不允许养猫。"),
        ("ja", "猫は飼えます。", "猫は飼えません。"),
    ):
        source = passage(no, language=language)
        assert find_support(yes, [source], yes) is None, language
        assert find_support(no, [source], yes) is not None, language
        assert contradicts(yes, no, yes, language=language), language


def test_a_german_noun_is_no_name() -> None:
    one, other = "Die Laube kostet im Jahr eine Gebühr.", "Die Laube kostet im Jahr eine Abgabe."
    assert not contradicts(one, other, "Was kostet die Laube?", language="de")


def test_a_small_letter_with_an_accent_begins_no_name() -> None:
    one, other = "La clé reste toujours à l'école.", "La clé reste toujours à l'épicerie."
    assert not contradicts(one, other, "Où reste la clé ?", language="fr")
    source = passage(
        "La piscine ouvre en juin, ferme en septembre et coûte 4 euros.", language="fr"
    )
    claim = "La piscine ouvre en juin, ferme en septembre et coûte également 4 euros."
    assert find_support(claim, [source], "Quand ouvre la piscine ?") is not None


def test_a_chinese_claim_about_somebody_else_is_not_supported() -> None:
    source = passage("王丽是馆长。", language="zh")
    assert find_support("王丽是馆长。", [source], "谁是馆长？") is not None
    assert find_support("李明是馆长。", [source], "谁是馆长？") is None


# --- answered in the question's language


@pytest.mark.parametrize("language", SPACED)
def test_all_that_the_program_says_itself_is_in_the_questions_language(language: str) -> None:
    text = TEXTS[language].text
    sentences = [text[start:end] for start, end in sentence_spans(text)]
    found = [passage(sentences[0], language=language, page=3)]

    def replies(spoken: str) -> list[Answer]:
        first = found[0].best_sentence
        return [
            compose.nearest_passages(found, first, language=spoken),
            compose.compose(f"{first} Qwerty asdf.", found, first, language=spoken),
            compose.compose("", found, "Qwerty asdf?", found, language=spoken),
            compose.not_in_library(found, language=spoken),
            compose.still_reading(found, language=spoken),
            compose.empty_library(language=spoken),
            degraded.extractive(found, degraded.WITHOUT_MODEL, language=spoken),
            degraded.extractive(found, degraded.MODEL_BUSY, language=spoken),
            degraded.extractive(found, degraded.MEMORY_SHORT, language=spoken),
            degraded.labelled_direct(Answer("", (), None), language=spoken),
            degraded.template(library_lost=True, language=spoken),
            degraded.template(library_lost=False, language=spoken),
        ]

    for ours, english in zip(replies(language), replies("en"), strict=True):
        words = set(f"{english.text} {english.note}".split()) - set(text.split())
        left = words & set(f"{ours.text} {ours.note}".split()) & STOP_WORDS["en"]
        assert not left - STOP_WORDS[language], english.text
        assert ours.text != english.text or not english.text
        assert ours.note != english.note or not english.note
    assert said(FOREIGN, language) != FOREIGN
    assert said(compose.OTHERWISE, language) != compose.OTHERWISE


def test_each_language_has_each_phrase_with_the_same_places_to_fill() -> None:
    assert set(TRANSLATED) < set(ANSWER_IN)
    for language in TRANSLATED:
        ordered = said(compose.ORDERED, language).format(where="a.md", number=7)
        assert "a.md" in ordered and "[7]" in ordered


def test_the_model_is_told_in_which_language_to_answer() -> None:
    question = Question("Wer genehmigt eine Laube?", session_id="s", owner="o")
    assert asked(question, "de").endswith("\nAntworte auf Deutsch.")
    english = Question("Who approves a shed?", session_id="s", owner="o")
    assert asked(english, answer_language(english.text)) == english.text


def test_a_question_that_does_not_tell_is_answered_in_the_documents_language() -> None:
    assert answer_language("Laube Kassel", otherwise="de") == "de"
    assert answer_language("Qui choisit un conférencier ?", otherwise="fr") == "fr"
    assert answer_language("Who approves a Laube?", otherwise="de") == "en"


def test_a_question_in_a_language_of_no_document_is_known() -> None:
    assert is_foreign("Wer genehmigt eine Laube?", ("en", "fr"))
    assert not is_foreign("Wer genehmigt eine Laube?", ("en", "de"))
    assert not is_foreign("Kassel 45", ("fr",))
    assert not is_foreign("Wer genehmigt eine Laube?", ())
