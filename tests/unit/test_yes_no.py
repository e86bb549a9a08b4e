"""A yes/no question gets its yes or no first, and only one that a sentence gives."""

from __future__ import annotations

import pytest
from passages import passage

from chains.compose import compose, quote_sources
from chains.spoken import SpokenAnswer
from chains.types import Done, Outcome, Sources
from chains.yes_no import is_yes_no, ruling


def decided(question: str, sentence: str, language: str = "en", heading: str = "") -> str:
    found = ruling(question, [passage(sentence, language=language, heading=heading)], language)
    return "open" if found is None or not found.is_sure else "yes" if found.yes else "no"


@pytest.mark.parametrize(
    ("question", "sentence", "answer"),
    [
        # opposites and negations
        ("Is the pottery open on Tuesday?", "The pottery is closed on Tuesdays.", "no"),
        ("Is the pottery closed on Tuesday?", "The pottery is closed on Tuesdays.", "yes"),
        ("Are cats allowed in the yard?", "Cats are not allowed in the yard.", "no"),
        ("May I fish from the pier?", "Fishing is forbidden from the pier.", "no"),
        ("Is there a ramp to the barn?", "There is no ramp to the barn.", "no"),
        ("Are the tents heated?", "The tents are unheated.", "no"),
        ("Is the deposit refundable?", "The deposit is non-refundable.", "no"),
        ("Isn't the greenhouse heated?", "The greenhouse is heated.", "yes"),
        ("Has the roof been tiled?", "The roof has not yet been tiled.", "no"),
        ("Has the invoice been paid?", "The invoice is unpaid.", "no"),
        ("Is linen included?", "Linen costs extra.", "no"),
        ("Do I need a helmet?", "Helmets are required.", "yes"),
        ("Is a helmet required?", "Helmets are optional.", "no"),
        ("Is it allowed to park overnight?", "Overnight parking is prohibited.", "no"),
        ("Does the warranty cover the pump?", "The warranty covers all but not the pump.", "no"),
        ("Does the train stop in Ulm?", "The train stops in Kiel, Ulm and Bonn.", "yes"),
        ("Is it possible to cancel a booking?", "You can cancel a booking by phone.", "yes"),
        ("Can I cancel a booking?", "Bookings cannot be cancelled.", "no"),
        ("Is music played?", "No music is played after 10 pm.", "open"),
        # lists that are ticked off
        ("Is the rope coiled?", "Rope coiled (not ticked)", "no"),
        ("Is the rope coiled?", "[ ] Rope coiled", "no"),
        ("Is the anchor cleaned?", "[x] Anchor cleaned", "yes"),
        # amounts
        ("Is the rent of the hall 900 euros?", "The rent of the hall is 640 euros.", "no"),
        ("Is the rent of the hall 640 euros?", "The rent of the hall is 640 euros.", "yes"),
        ("Was the mill built in 1910?", "The mill was built in 1887.", "no"),
        ("Does the repair cost more than 90 euros?", "The repair costs 35 euros.", "no"),
        ("Does the repair cost less than 90 euros?", "The repair costs 35 euros.", "yes"),
        ("Can I return the drill after 40 days?", "You can return the drill up to 30 days.", "no"),
        ("Is the kiosk open at 8 pm?", "The kiosk is open from 9 am to 6 pm.", "no"),
        ("Is the kiosk open at 15?", "The kiosk is open from 9 to 12 and 14 to 18.", "yes"),
        ("Do pupils pay 30 euros?", "Teachers pay 30 euros and pupils 12 euros.", "no"),
        ("Do teachers pay 30 euros?", "Teachers pay 30 euros and pupils 12 euros.", "yes"),
        ("Is the lock deeper than 2 m?", "The lock is 1.8 m deep.", "no"),
        ("Is the lock deeper than 1 m?", "The lock is 1.8 m deep.", "yes"),
        ("Is the kiosk open until 8 pm?", "The kiosk is open from 9 am to 6 pm.", "no"),
        ("Can two people sleep in the hut?", "Six people can sleep in the hut.", "open"),
        ("Can nine people sleep in the hut?", "Six people can sleep in the hut.", "no"),
        ("Does the bus leave at 7:30?", "The bus leaves at 7:45.", "no"),
        ("Does the bus leave at 8:30?", "The bus leaves at 7:30 and 8:30.", "yes"),
        # days
        ("Is the archive open on Saturday?", "The archive is open Monday to Friday.", "no"),
        ("Is the archive open on Thursday?", "The archive is open Monday to Friday.", "yes"),
        ("Does the tram run in January?", "The tram runs from March to October.", "no"),
        ("Is the race held in May?", "The race is held in June.", "no"),
        ("Is the lido open in winter?", "The lido is open only in summer.", "no"),
        # exceptions and sentences of several parts
        ("Is the crypt open on Monday?", "The crypt is open every day except Monday.", "no"),
        ("Is the crypt open on Tuesday?", "The crypt is open every day except Monday.", "yes"),
        ("Is the inn open on Sunday?", "The inn is open on weekdays and closed on Sunday.", "no"),
        ("Is the inn open on Sunday?", "The inn is open on Sunday, but not on Monday.", "yes"),
        ("Is the inn open on Monday?", "The inn is open on Sunday, but not on Monday.", "no"),
        ("Does the hut have a shower?", "The hut has a stove and a well, but no shower.", "no"),
        ("Does the hut have a stove?", "The hut has a stove and a well, but no shower.", "yes"),
        # who did it, and to whom
        ("Was the weir built by Otto Lund?", "The weir was built by Ida Falk in 1931.", "no"),
        ("Did Ida Falk hire Otto Lund?", "Otto Lund was hired by Ida Falk.", "yes"),
        ("Was the plan approved by the council?", "The plan was approved by the mayor.", "no"),
        # what is not told stays open
        ("Is the name of Ida Falk correct?", "Ida Falk is the name of the warden.", "open"),
        ("Is the entry free for pupils?", "The entry is free for teachers.", "open"),
        ("Did Otto Lund hire Ida Falk?", "Otto Lund was hired by Ida Falk.", "open"),
        ("Is the pottery open on Tuesday?", "The pottery closes at five.", "open"),
        ("Is the pottery open on Tuesday?", "The pottery is open on Wednesday.", "open"),
        ("Must guests sign?", "Guests can sign at the desk.", "open"),
        ("Was the weir repaired?", "The weir will be repaired next year.", "open"),
        ("Are all tents heated?", "Most tents are heated.", "open"),
        ("Can I swim on Monday?", "The lake, where you can swim, is closed on Monday.", "no"),
        ("Is parking free?", "Parking costs 5 euros a day.", "open"),
        ("Is Ida Falk the warden?", "The warden is Otto Lund.", "open"),
    ],
)  # fmt: skip
def test_a_sentence_decides_only_what_it_tells(question: str, sentence: str, answer: str) -> None:
    assert decided(question, sentence) == answer


@pytest.mark.parametrize(
    ("language", "question", "sentence", "answer"),
    [
        ("de", "Ist die Töpferei am Dienstag geöffnet?", "Die Töpferei ist dienstags geschlossen.",
         "no"),
        ("de", "Sind Katzen im Hof erlaubt?", "Katzen sind im Hof nicht erlaubt.", "no"),
        ("de", "Kostet die Fähre 5 Euro?", "Die Fähre kostet 7 Euro.", "no"),
        ("de", "Ist der Turm am Samstag geöffnet?", "Der Turm ist samstags geöffnet.", "yes"),
        ("fr", "Le moulin est-il ouvert le lundi ?", "Le moulin est fermé le lundi.", "no"),
        ("fr", "Est-ce que les chats sont admis ?", "Les chats ne sont pas admis.", "no"),
        ("es", "¿Está abierto el molino el domingo?", "El molino está cerrado los domingos.", "no"),
        ("it", "La torre è aperta in inverno?", "La torre è chiusa in inverno.", "no"),
        ("pt", "O moinho está aberto ao domingo?", "O moinho está fechado ao domingo.", "no"),
        ("nl", "Is de molen op zondag open?", "De molen is op zondag gesloten.", "no"),
        ("nl", "Is de molen op zaterdag open?", "De molen is op zaterdag open.", "yes"),
    ],
)  # fmt: skip
def test_other_languages_have_their_own_opposites(
    language: str, question: str, sentence: str, answer: str
) -> None:
    assert decided(question, sentence, language) == answer


@pytest.mark.parametrize(
    ("question", "is_one"),
    [
        ("Can you tell me if the kiosk is open?", True),
        ("The kiosk is open, isn't it?", True),
        ("On Sunday, is the kiosk open?", True),
        ("Is it true that cats are allowed?", True),
        ("Can I use the OR at night?", True),
        ("Is the kiosk or the inn bigger?", False),
        ("Can you tell me when it opens?", False),
        ("Can you list the fees?", False),
        ("When it rains, is the inn open?", False),
        ("Do you know who leads it?", False),
    ],
)
def test_what_wants_a_yes_or_no_is_told(question: str, is_one: bool) -> None:
    assert is_yes_no(question) is is_one


CLOSED = "The pottery sells bowls. The pottery is closed on Tuesdays."


@pytest.mark.parametrize(
    "written",
    [
        "No, the pottery is closed on Tuesdays.",
        "Yes, the pottery is open on Tuesday.",
        "The pottery is closed on Tuesdays.",
        "The passages do not mention it.",
    ],
)
def test_the_answer_begins_with_it_whatever_the_model_wrote(written: str) -> None:
    answer = compose(written, [passage(CLOSED)], "Is the pottery open on Tuesday?")
    assert answer.text == "No: The pottery is closed on Tuesdays. [1]"
    assert answer.outcome is Outcome.ANSWERED


def test_a_statement_that_is_beside_the_point_gives_way_to_the_sentence() -> None:
    found = [passage("The pottery on the market is closed on Tuesdays.")]
    answer = compose(
        "That is the pottery on the market.", found, "Is the pottery on the market open on Tuesday?"
    )
    assert answer.text == "No: The pottery on the market is closed on Tuesdays. [1]"


def test_it_is_said_in_the_answers_language() -> None:
    found = [passage("Die Töpferei ist dienstags geschlossen.", language="de")]
    question = "Ist die Töpferei am Dienstag geöffnet?"
    answer = compose("Ja, die Töpferei ist geöffnet.", found, question, language="de")
    assert answer.text == "Nein: Die Töpferei ist dienstags geschlossen. [1]"


def test_a_number_that_only_the_question_has_is_not_said() -> None:
    found = [passage("The rent of the hall is 640 euros.")]
    answer = compose(
        "Yes, the rent of the hall is 900 euros.", found, "Is the rent of the hall 900 euros?"
    )
    assert answer.text.startswith("No: The rent of the hall is 640 euros.")


def test_a_models_yes_that_no_sentence_bears_out_is_not_said() -> None:
    found = [passage("Parking by the pier costs 5 euros a day.")]
    answer = compose(
        "Yes, parking by the pier costs 5 euros a day.", found, "Is parking by the pier free?"
    )
    assert answer.text == "Parking by the pier costs 5 euros a day. [1]"


def test_a_models_no_counts_where_the_sentence_leans_that_way() -> None:
    found = [passage("The lake is closed to boats on Mondays.")]
    question = "Can I go sailing on the lake on Monday?"
    no = compose("No, the lake is closed to boats on Mondays.", found, question)
    yes = compose("Yes, the lake is closed to boats on Mondays.", found, question)
    assert no.text.startswith("No: The lake")
    assert yes.text.startswith("The lake")


def test_two_sentences_that_say_the_opposite_give_neither() -> None:
    found = [passage(CLOSED), passage("The pottery is open on Tuesdays.", number=2)]
    assert ruling("Is the pottery open on Tuesday?", found, "en") is None


def test_of_a_tables_row_the_column_that_is_asked_for_tells() -> None:
    row = passage("| Sauna | yes | no |", heading="Rooms › | Room | Heated | Lockable |")
    assert [
        found.yes if (found := ruling(question, [row], "en")) else None
        for question in ("Is the sauna heated?", "Is the sauna lockable?")
    ] == [True, False]


def test_it_is_spoken_before_the_sentence_and_once() -> None:
    found = (passage(CLOSED),)
    question = "Is the pottery open on Tuesday?"
    spoken = SpokenAnswer(found, question, grounds=True)
    first = spoken.feed(Sources(quote_sources(found)))
    assert first.startswith("No. notes 1 says: The pottery is closed on Tuesdays.")
    spoken.feed(Done(compose("No, it is closed.", found, question)))
    assert spoken.text.count("closed") == 1
    assert spoken.text.lower().count("no.") == 1
