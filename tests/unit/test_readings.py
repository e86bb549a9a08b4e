"""What is to be read aloud is fetched once, by who asked for it."""

from __future__ import annotations

from xoe.page.reading import Readings


def test_a_text_is_its_askers_alone_and_once() -> None:
    readings = Readings()
    token = readings.add("the answer", "user:ada")
    assert readings.take(token, "user:ben") is None
    assert readings.take(token, "") is None
    assert readings.take("unknown", "") is None
    assert readings.take(token, "user:ada") == "the answer"
    assert readings.take(token, "user:ada") is None


def test_few_texts_wait() -> None:
    readings = Readings()
    tokens = [readings.add(str(n), "user:ada") for n in range(100)]
    kept = [readings.take(token, "user:ada") for token in tokens]
    assert kept[-1] == "99"
    assert sum(text is not None for text in kept) == 64
