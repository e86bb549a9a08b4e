"""Measures against values worked out by hand, and what holds of them whatever the texts are."""

from __future__ import annotations

import json
import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.evaluation import cases, metrics, results
from chains.evaluation.cases import Case, Thumb
from chains.evaluation.intervals import bootstrap, paired_shares, wilson
from chains.evaluation.measures import MEASURES, differences, figures, regressions
from chains.evaluation.replies import CaseResult
from core.errors import EvaluationError

DOCUMENTS = ("a", "b", "c", "d", "e", "f")
rankings = st.permutations(DOCUMENTS)
relevant = st.sets(st.sampled_from(DOCUMENTS), min_size=1)


# ── one answer ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The Duke, of  a Normandy!", "duke of normandy"),
        ("well-known (1,000 $)", "wellknown 1000"),
        ("an Ananas theatre", "ananas theatre"),  # articles are whole words
        ("“1990–1995”", "19901995"),
        ("Müller's Straße", "müllers straße"),
        ("北京 2008年", "北 京 2008 年"),
        ("the", ""),
    ],
)
def test_words_are_compared_as_squad_and_mlqa_compare_them(text: str, words: str) -> None:
    assert " ".join(metrics.tokens(text)) == words


@pytest.mark.parametrize(
    ("answer", "text", "exact", "f1", "contained"),
    [
        ("in the 11th century", "In 11th century.", 1, 1, 1),
        # 2 words in common, of 2 and of 4: precision 1/2, recall 1.
        ("Denis Papin", "It was Denis Papin", 0, 2 / 3, 1),
        # 1 in common, of 2 and of 3: precision 1/3, recall 1/2.
        ("Denis Papin", "Papin invented it", 0, 0.4, 0),
        # A word counts as often as it stands in both.
        ("to be or not to be", "to be be", 0, 2 * 1 * 0.5 / 1.5, 0),
        ("150", "about 1500 people", 0, 0, 0),
        ("Paris", "", 0, 0, 0),
        ("the", "", 1, 1, 0),  # nothing is left of either
        ("北京", "它在北京举行", 0, 2 * (2 / 6) / (1 + 2 / 6), 1),
    ],
)
def test_an_answer_is_worth_what_squad_says(
    answer: str, text: str, exact: float, f1: float, contained: float
) -> None:
    assert metrics.exact([answer], text) == exact
    assert metrics.f1([answer], text) == pytest.approx(f1)
    assert metrics.contained([answer], text) == contained


def test_the_answer_that_fits_best_counts() -> None:
    answers = ("Normandy", "the Duchy of Normandy")
    assert metrics.exact(answers, "Duchy of Normandy") == 1
    assert metrics.f1(answers, "Duchy of Normandy") == 1
    assert metrics.f1((), "Duchy of Normandy") == 0
    assert metrics.contained((), "Duchy of Normandy") == 0


@given(st.text(), st.text())
def test_f1_is_symmetric_and_between_0_and_exact(answer: str, text: str) -> None:
    f1 = metrics.f1([answer], text)
    assert 0 <= metrics.exact([answer], text) <= f1 <= 1 or f1 < 1
    assert f1 == pytest.approx(metrics.f1([text], answer))
    assert metrics.f1([text], text) == 1


@given(st.text(), st.text(), st.text())
def test_a_text_contains_what_stands_in_it_as_words(left: str, answer: str, right: str) -> None:
    assert metrics.contained([answer], f"{left} {answer} {right}") == bool(metrics.tokens(answer))


# ── one ranking ──────────────────────────────────────────────────────────────────────────────────


def test_a_ranking_with_one_right_document() -> None:
    ranking = ("x", "y", "right", "z")
    assert [metrics.recall(["right"], ranking, k) for k in (1, 2, 3, 5)] == [0, 0, 1, 1]
    assert metrics.reciprocal_rank(["right"], ranking, 10) == 1 / 3
    assert metrics.reciprocal_rank(["right"], ranking, 2) == 0
    assert metrics.ndcg(["right"], ranking, 10) == pytest.approx(1 / math.log2(4))
    assert metrics.ndcg(["right"], ranking, 2) == 0


def test_a_ranking_with_several_right_documents() -> None:
    ranking, right = ("b", "x", "a"), ("a", "b", "c")
    assert metrics.recall(right, ranking, 3) == pytest.approx(2 / 3)
    assert metrics.reciprocal_rank(right, ranking, 10) == 1
    gain, best = 1 + 1 / 2, 1 + 1 / math.log2(3) + 1 / 2
    assert metrics.ndcg(right, ranking, 10) == pytest.approx(gain / best)
    # Where only so many are looked at, the best ranking has no more either.
    assert metrics.ndcg(right, ("b",), 1) == 1


@given(relevant, rankings, st.integers(1, 7))
def test_no_ranking_is_better_than_the_best_or_worse_than_none(
    right: set[str], ranking: list[str], k: int
) -> None:
    best = sorted(ranking, key=lambda name: name not in right)
    for score in (metrics.recall, metrics.reciprocal_rank, metrics.ndcg):
        assert 0 == score(right, (), k) <= score(right, ranking, k) <= score(right, best, k) <= 1
    assert metrics.ndcg(right, best, k) == pytest.approx(1)


@given(relevant, rankings)
def test_more_is_found_among_more(right: set[str], ranking: list[str]) -> None:
    found = [metrics.recall(right, ranking, k) for k in range(1, 7)]
    assert found == sorted(found)
    assert found[-1] == 1


# ── intervals ────────────────────────────────────────────────────────────────────────────────────


def test_wilsons_interval_is_the_one_of_the_textbooks() -> None:
    # Newcombe 1998 (Statistics in Medicine 17:857), table I, method 3.
    for hits, count, low, high in (
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ):
        interval = wilson(hits, count)
        assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    assert wilson(20, 20).high == 1


@given(st.integers(1, 500), st.data())
def test_wilsons_interval_holds_the_share(count: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, count))
    interval = wilson(hits, count)
    assert 0 <= interval.low <= hits / count <= interval.high <= 1
    other = wilson(count - hits, count)
    assert (other.low, other.high) == pytest.approx((1 - interval.high, 1 - interval.low))


def test_the_interval_of_a_paired_difference_adds_a_pair_on_each_side() -> None:
    # 40 questions, of which 4 are lost and none is won: (0 + 1 - 4 - 1) / 42 ± z·√…
    before, after = np.ones(40), np.array([0.0] * 4 + [1.0] * 36)
    interval = paired_shares(before, after, 0.95)
    half = 1.959964 * math.sqrt((6 / 42 - (4 / 42) ** 2) / 42)
    assert (interval.low, interval.high) == pytest.approx((-4 / 42 - half, -4 / 42 + half))
    assert interval.high > 0  # four of forty may be chance: McNemar's exact test gives .125
    assert paired_shares(before, np.array([0.0] * 12 + [1.0] * 28)).high < 0


def test_the_same_replies_are_no_difference() -> None:
    interval = paired_shares(np.ones(40), np.ones(40))
    assert interval.low == pytest.approx(-interval.high)


def test_a_bootstrap_is_the_same_each_time_and_agrees_with_the_normal_interval() -> None:
    values = np.random.default_rng(7).normal(5, 2, 400)

    def mean(drawn: np.ndarray) -> np.ndarray:
        return drawn @ values / drawn.sum(axis=1)

    interval = bootstrap(mean, 400, 0.95)
    assert interval == bootstrap(mean, 400, 0.95)
    half = 1.96 * values.std() / math.sqrt(400)
    assert interval.low == pytest.approx(values.mean() - half, abs=0.03)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.03)


# ── many replies ─────────────────────────────────────────────────────────────────────────────────

ANSWERABLE = Case("1", "Where?", ("Paris", "in Paris"), ("right.txt",))
UNANSWERABLE = Case("2", "Who?")
LIKED = Case("3", "When?", thumb=Thumb(True, ("It was in May.",)))
DISLIKED = Case("4", "Why?", thumb=Thumb(False, ("Because it rained.",)))


def reply(case: Case, text: str, *quotes: str, grounded: bool = True, **more: object) -> CaseResult:
    return CaseResult(case, text, grounded, quotes, more.pop("ranking", ()), 1000.0, **more)  # type: ignore[arg-type]


REPLIES = [
    reply(ANSWERABLE, "It is in Paris.", "He lives in Paris.", "x", ranking=("right.txt",)),
    reply(replace(ANSWERABLE, id="5"), "It is in Rome.", "Rome.", ranking=("y", "right.txt")),
    reply(replace(ANSWERABLE, id="6"), "Not said; Paris is near.", grounded=False),
    reply(UNANSWERABLE, "Thomas did it.", "Thomas."),
    reply(replace(UNANSWERABLE, id="7"), "Not in your library.", grounded=False),
    reply(LIKED, "In May.", "It was in  May!"),
    reply(replace(LIKED, id="8"), "Not in your library.", grounded=False),
    reply(DISLIKED, "It rained.", "Because it rained."),
    reply(replace(DISLIKED, id="9"), "It was cold.", "It was cold."),
]


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("r@1", 1 / 3, 3),
        ("r@3", 2 / 3, 3),
        ("r@5", 2 / 3, 3),
        ("mrr@10", (1 + 1 / 2 + 0) / 3, 3),
        ("ndcg@10", (1 + 1 / math.log2(3) + 0) / 3, 3),
        ("exact", 0, 3),
        ("f1", (2 * 2 / 6 + 2 * 1 / 6 + 0) / 3, 3),  # "in Paris" and "in" of two and four words
        ("contained", 1 / 3, 3),  # what is not given as an answer holds none
        ("abstention_recall", 1 / 2, 2),
        ("abstention_precision", 1 / 2, 2),
        ("wrongly_refused", 1 / 3, 3),
        ("citation_precision", 1 / 2, 2),
        ("citation_recall", 1, 1),
        ("quote_precision", 1 / 3, 3),
        ("cited", 1, 6),
        ("grounded_wrong", 2 / 5, 5),  # of those whose answer is known: Rome, and Thomas
        ("thumbs_up_kept", 1 / 2, 2),
        ("thumbs_down_changed", 1 / 2, 2),
    ],
)
def test_each_measure_counts_the_replies_that_it_is_of(name: str, value: float, count: int) -> None:
    figure = figures(REPLIES)[name]
    assert figure.value == pytest.approx(value, abs=1e-3)
    assert figure.count == count
    assert figure.interval.low <= figure.value <= figure.interval.high


def test_a_right_answer_may_rest_on_a_sentence_that_does_not_hold_it() -> None:
    backed = reply(ANSWERABLE, "It is in Paris.", "x", "In Paris.")
    unbacked = reply(replace(ANSWERABLE, id="5"), "It is in Paris.", "x")
    uncited = reply(replace(ANSWERABLE, id="6"), "It is in Paris.")
    found = figures([backed, unbacked, uncited])
    assert (found["citation_precision"].value, found["citation_precision"].count) == (1 / 2, 2)
    assert (found["citation_recall"].value, found["citation_recall"].count) == (1 / 3, 3)
    assert (found["quote_precision"].value, found["quote_precision"].count) == (1 / 3, 3)
    assert found["cited"].value == 2 / 3


def test_a_measure_of_nothing_has_no_figure() -> None:
    found = figures([reply(UNANSWERABLE, "Not in your library.", grounded=False)])
    assert set(found) == {
        *("abstention_recall", "abstention_precision", "grounded_wrong"),
        *("total_p50_ms", "total_p95_ms"),
    }


def test_quantiles_are_of_the_times_that_there_are() -> None:
    times = [10.0, 40.0, 20.0, 30.0]
    asked = [reply(UNANSWERABLE, "", first_token_ms=time) for time in times]
    asked.append(reply(UNANSWERABLE, ""))
    found = figures(asked)
    assert (found["first_token_p50_ms"].value, found["first_token_p50_ms"].count) == (20, 4)
    assert found["first_token_p95_ms"].value == 40
    assert "sources_p50_ms" not in found


def many(right: int, count: int, *, first: int = 0) -> list[CaseResult]:
    """Replies to ``count`` questions; ``right`` of them, from ``first`` on, are right."""
    return [
        reply(
            replace(ANSWERABLE, id=str(number)),
            "It is in Paris." if first <= number < first + right else "It is in Rome.",
            "A quote.",
        )
        for number in range(count)
    ]


def test_what_is_worse_beyond_chance_is_a_regression_and_nothing_else_is() -> None:
    before = many(60, 100)
    assert regressions(differences(before, before)) == ()
    assert regressions(differences(before, many(57, 100))) == ()  # three may be chance
    assert regressions(differences(before, many(75, 100))) == ()  # better
    worse = differences(before, many(40, 100))
    assert set(regressions(worse)) == {"f1", "contained", "grounded_wrong"}
    assert worse["contained"].value == pytest.approx(-0.2)
    assert worse["grounded_wrong"].value == pytest.approx(0.2)
    # Other ones right, and as many: no difference, however many have changed.
    assert regressions(differences(before, many(60, 100, first=40))) == ()


def test_a_slower_run_is_no_regression() -> None:
    before = many(60, 100)
    slower = [replace(one, total_ms=9000.0) for one in before]
    found = differences(before, slower)
    assert found["total_p50_ms"].value == 8000
    assert regressions(found) == ()


def test_equal_runs_seldom_differ() -> None:
    """Two builds that are right equally often: the interval leaves 0 out once in a hundred."""
    chance = random.Random(3)
    outside = 0
    for _ in range(400):
        before, after = (
            np.array([chance.random() < 0.7 for _ in range(120)], dtype=float) for _ in range(2)
        )
        interval = paired_shares(before, after)
        outside += not interval.low <= 0 <= interval.high
    assert outside <= 12


def test_the_measures_have_the_names_that_scripts_read() -> None:
    names = [measure.name for measure in MEASURES]
    assert len(set(names)) == len(names)
    assert {
        *("r@1", "r@3", "r@5", "mrr@10", "ndcg@10", "exact", "f1", "contained"),
        *("abstention_recall", "wrongly_refused", "citation_precision", "cited"),
        "grounded_wrong",
    } <= set(names)


# ── files ────────────────────────────────────────────────────────────────────────────────────────

SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Nor/mans",
            "paragraphs": [
                {
                    "context": "Rollo was a Viking.",
                    "qas": [
                        {
                            "id": "q1",
                            "question": " Who was a Viking? ",
                            "answers": [{"text": "Rollo", "answer_start": 0}] * 2,
                            "is_impossible": False,
                        },
                        {
                            "id": "q2",
                            "question": "Who was a Saxon?",
                            "answers": [{"text": "Rollo", "answer_start": 0}],
                            "plausible_answers": [{"text": "Rollo", "answer_start": 0}],
                            "is_impossible": True,
                        },
                    ],
                },
                {"context": "He had a fleet.", "qas": []},
            ],
        },
        {"title": "Other", "paragraphs": [{"context": "Nothing is asked here.", "qas": []}]},
    ],
}


def test_each_paragraph_of_squad_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "squad.json"
    path.write_text(json.dumps(SQUAD))
    data = cases.read(path)
    assert dict(data.documents) == {
        "mans/001.txt": "Rollo was a Viking.",
        "mans/002.txt": "He had a fleet.",
        "Other/001.txt": "Nothing is asked here.",
    }
    known, unknown = data.cases
    assert known == Case("q1", "Who was a Viking?", ("Rollo",), ("mans/001.txt",))
    assert unknown.unanswerable and unknown.sources == ()


def table(tmp_path: Path, text: str) -> tuple[Case, ...]:
    path = tmp_path / "mine.csv"
    path.write_text(text, encoding="utf-8")
    data = cases.read(path)
    assert not data.documents
    return data.cases


def test_a_table_has_questions_answers_and_sources(tmp_path: Path) -> None:
    known, unknown = table(
        tmp_path,
        "\ufeffQuestion;Answer;Source;Remark\n"
        '"When, and where?";May | the "fifth" month;a.pdf|b.md;mine\n'
        ";;;\n"
        "Who?;;a.pdf;\n",
    )
    assert known.question == "When, and where?"
    assert known.answers == ("May", 'the "fifth" month')
    assert known.sources == ("a.pdf", "b.md")
    assert unknown.unanswerable and unknown.sources == ()
    assert known.id != unknown.id


def test_a_thumb_counts_while_there_is_no_answer(tmp_path: Path) -> None:
    up, down, answered = table(
        tmp_path,
        "question,answer,source,thumb,quote,said,reason,owner\n"
        '"Q1",,a.pdf,up,"One.\nTwo.",S,,user:anna\n'
        '"Q2",,a.pdf,down,One.,S,wrong,\n'
        '"Q2",May,a.pdf,down,One.,S,wrong,visitor:1\n',
    )
    assert up.thumb == Thumb(True, ("One.", "Two."))
    assert (up.owner, up.sources) == ("user:anna", ("a.pdf",))
    assert down.thumb == Thumb(False, ("One.",))
    assert down.sources == () and not down.unanswerable
    assert answered.thumb is None and answered.answerable


def test_what_is_written_for_a_spreadsheet_is_read_again(tmp_path: Path) -> None:
    rows = [
        {"question": "=1+1, or what?", "thumb": "up", "quote": '-One "a".\nTwo.', "said": "+S"},
        {"question": "'quoted'", "thumb": "down", "owner": "visitor:1"},
    ]
    text = cases.to_csv(rows)
    assert "\n=" not in text and ",-" not in text and ",+" not in text
    first, second = table(tmp_path, text)
    assert first.question == "=1+1, or what?"
    assert first.thumb == Thumb(True, ('-One "a".', "Two."))
    assert second.question == "'quoted'"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"question,solution\nQ,A\n", "names no column answer"),
        ("a.csv", b"question,answer\n,A\n", "line 2: there is no question"),
        ("a.csv", b"question,answer\n", "asks nothing"),
        ("a.csv", b'question,answer\n"Q,A\n', "line 2"),
        ("a.csv", b"question,answer,thumb\nQ,,maybe\n", "a thumb is up or down, not 'maybe'"),
        ("a.csv", b"question,answer\nQ,A\nQ,B\n", "asks 2 times: Q"),
        ("a.csv", b"\xff\xfe\x00", "not text in UTF-8"),
        ("a.json", b'{"data": [{"paragraphs": [{}]}]}', "not of SQuAD's format"),
        ("a.json", b'{"data": ', "not of SQuAD's format"),
        ("a.json", b'{"data": []}', "asks nothing"),
        ("", b"", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_asked_says_why(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    path = tmp_path / name
    if name:
        path.write_bytes(content)
    with pytest.raises(EvaluationError, match=said):
        cases.read(path)


def test_a_sample_is_always_the_same_and_of_all_kinds() -> None:
    all_of_them = [Case(f"a{n}", f"A{n}", ("x",)) for n in range(60)]
    all_of_them += [Case(f"u{n}", f"U{n}") for n in range(30)]
    picked = cases.sample(all_of_them, 30)
    assert picked == cases.sample(all_of_them[::-1], 30)
    assert picked[:12] == cases.sample(all_of_them, 12)
    assert abs(sum(case.answerable for case in picked) - 20) <= 1
    assert abs(sum(case.answerable for case in picked[:12]) - 8) <= 1
    assert sorted(case.id for case in cases.sample(all_of_them)) == sorted(
        case.id for case in all_of_them
    )


# ── what is kept ─────────────────────────────────────────────────────────────────────────────────


def test_a_kept_run_gives_the_same_figures_again(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    timed = [replace(one, sources_ms=5.0, first_token_ms=7.5) for one in REPLIES]
    results.keep(path, results.summary(timed), timed)
    again = results.kept(path, [one.case for one in timed])
    assert again == timed
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text())["contained"] == 0.3333


def test_runs_are_compared_over_the_questions_that_both_have(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    results.keep(path, {}, many(10, 20))
    asked = many(5, 10)
    before = results.kept(path, [one.case for one in asked])
    found = results.compare("now", before, asked[::-1])
    assert found.questions == 10
    assert found.differences["contained"].value == pytest.approx(-0.5)
    assert (found.before["contained"].value, found.after["contained"].value) == (1, 0.5)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"format": "other", "version": 1}'])
def test_another_file_is_no_kept_run(tmp_path: Path, content: str) -> None:
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(EvaluationError, match="no file that 'xoe eval --keep' has written"):
        results.kept(path, [ANSWERABLE])


def test_a_kept_run_of_other_questions_is_no_baseline(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    results.keep(path, {}, many(1, 3))
    with pytest.raises(EvaluationError, match="no reply to any of these questions"):
        results.kept(path, [replace(ANSWERABLE, id="another")])
