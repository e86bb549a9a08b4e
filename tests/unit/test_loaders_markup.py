"""reStructuredText and Org: what their readers see of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.loaders import LoadedDocument, load_document


def load(tmp_path: Path, text: str, name: str) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_text(text, encoding="utf-8")
    return load_document(path, name=name)


def rst(tmp_path: Path, text: str) -> str:
    return load(tmp_path, text, "some_notes.rst").text


def org(tmp_path: Path, text: str) -> str:
    return load(tmp_path, text, "some_notes.org").text


def outline(document: LoadedDocument) -> list[tuple[int, str]]:
    for heading in document.headings:
        assert document.text[heading.start : heading.end] == heading.text
    return [(heading.level, heading.text) for heading in document.headings]


# ── reStructuredText ─────────────────────────────────────────────────────────────────────────


def test_sections_have_the_levels_of_their_rules(tmp_path: Path) -> None:
    text = "====\nPump\n====\n\nOne\n===\n\nInner\n-----\n\ntext\n\nTwo\n===\n\nmore\n"
    document = load(tmp_path, text, "a.rst")
    assert outline(document) == [(1, "Pump"), (2, "One"), (3, "Inner"), (2, "Two")]
    assert document.title == "Pump"
    assert document.kind == "rst"


def test_blocks_have_their_shape(tmp_path: Path) -> None:
    text = (
        "Some *text* with ``code``, a `link <http://x>`_ and a note [1]_.\n\n"
        "* one\n* two\n\n  more\n\n  1. inner\n\n(a) alpha\n(b) beta\n\n"
        "term : kind\n    What it is.\n\n:Author: Jane\n\n-f FILE  Use it.\n\n"
        "| a line\n| another\n\n::\n\n    x = 1\n      y\n\n>>> f()\n1\n\n.. [1] The note.\n"
    )
    assert rst(tmp_path, text) == (
        "Some text with code, a link and a note .\n\n- one\n- two\n\nmore\n\n  1. inner\n\n"
        "a. alpha\nb. beta\n\nterm kind: What it is.\n\nAuthor: Jane\n\n-f FILE: Use it.\n\n"
        "a line\nanother\n\nx = 1\n  y\n\n>>> f()\n1\n\nThe note."
    )


def test_tables_of_each_form_are_rows_of_cells(tmp_path: Path) -> None:
    grid = (
        "+---+-----+\n| x | y|z |\n+===+=====+\n| 1 | 2   |\n|   +-----+\n"
        "|   | 3   |\n+---+-----+\n"
        "| wide    |\n+---------+\n"
    )
    simple = "== ==\nA  B\n== ==\n1  2\n3\n== ==\n"
    comma = '.. csv-table:: Values\n   :header: a, b\n\n   1, "2, 3"\n'
    assert rst(tmp_path, f"{grid}\n{simple}\n{comma}") == (
        "x | y/z\n1 | 2\n1 | 3\nwide | |\n\nA | B\n1 | 2\n3 | |\n\nValues\n\na | b\n1 | 2, 3"
    )


def test_directives_and_roles_of_other_programs_are_text(tmp_path: Path) -> None:
    text = (
        ".. toctree::\n   :maxdepth: 2\n\n   intro\n\n"
        ".. autoclass:: pump.Valve\n   :members:\n\n   Extra words.\n\n"
        ".. py:function:: open(x)\n\n   Opens it.\n\n"
        ".. versionadded:: 1.2\n   New words.\n\n"
        ".. code-block:: python\n   :emphasize-lines: 2\n\n   def f():\n       return 1\n\n"
        "See :ref:`the title <target>`, :py:class:`~a.B` and `x`:unknown:.\n\n"
        ".. note:: Careful.\n\n   Second.\n"
    )
    document = load(tmp_path, text, "a.rst")
    assert document.text == (
        "intro\n\npump.Valve\n\nExtra words.\n\nopen(x)\n\nOpens it.\n\n1.2 New words.\n\n"
        "def f():\n    return 1\n\nSee the title, a.B and x.\n\nNote: Careful.\n\nSecond."
    )


def test_what_docutils_cannot_read_stays_without_its_complaints(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    text = (
        "Broken *emphasis and |unknown| and lost_.\n\nTitle\n--\n\n"
        ".. figure:: x.png\n   :bogus: yes\n\n   The caption.\n\nlast\n"
    )
    shown = rst(tmp_path, text)
    for words in ("Broken *emphasis", "unknown", "lost", "Title", "The caption.", "last"):
        assert words in shown
    assert "rror" not in shown
    assert "bogus" not in shown
    assert capfd.readouterr() == ("", "")


def test_no_other_file_is_read_and_no_html_taken_over(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret words")
    (tmp_path / "docutils.conf").write_text("[general]\nfile_insertion_enabled: yes\n")
    path = tmp_path / "secret.txt"
    text = (
        f".. include:: {path}\n\n.. csv-table::\n   :file: {path}\n\n"
        f".. literalinclude:: {path}\n\n.. raw:: html\n   :file: {path}\n\n"
        ".. raw:: html\n\n   <script>x</script>\n\n.. role:: h(raw)\n   :format: html\n\n"
        ":h:`<b>x</b>` words\n"
    )
    shown = rst(tmp_path, text)
    assert "secret words" not in shown
    assert "script" not in shown
    assert "words" in shown


def test_names_between_bars_are_replaced_but_not_by_bombs(tmp_path: Path) -> None:
    assert rst(tmp_path, "It is |it|.\n\n.. |it| replace:: a *pump*\n") == "It is a pump."
    assert len(rst(tmp_path, f"{'|it| ' * 500}\n\n.. |it| replace:: {'x' * 1_000}\n")) < 5_000
    bomb = "".join(f".. |a{n}| replace:: |a{n - 1}| |a{n - 1}|\n" for n in range(1, 40))
    assert len(rst(tmp_path, f"Words |a39|.\n\n.. |a0| replace:: x\n{bomb}")) < 1_000


def test_what_would_take_too_long_or_goes_too_deep_is_read_as_plain_text(tmp_path: Path) -> None:
    stars = "Head\n====\n\n" + "**a " * 20_000
    document = load(tmp_path, stars, "a.rst")
    assert document.kind == "rst"
    assert outline(document) == [(1, "Head")]
    assert document.text.count("**a") == 20_000
    deep = "".join(f"{'  ' * depth}* item\n\n" for depth in range(400))
    assert rst(tmp_path, deep).count("item") == 400
    assert rst(tmp_path, "long " * 100_000).count("long") == 100_000


# ── Org ──────────────────────────────────────────────────────────────────────────────────────


def test_headings_keep_their_states_and_tags(tmp_path: Path) -> None:
    text = (
        "#+TITLE: The pump book\n#+TODO: WAIT NEXT | DONE\n\n* WAIT [#A] Buy it  :shop:home:\n"
        "SCHEDULED: <2024-02-30 Sat>\n:PROPERTIES:\n:Effort: much\n:END:\nwords [2024-05-01 Wed]\n"
        "** TODO is a word here\n:LOGBOOK:\nCLOCK: secret\n:END:\n"
    )
    document = load(tmp_path, text, "a.org")
    assert outline(document) == [(1, "WAIT [#A] Buy it (shop, home)"), (2, "TODO is a word here")]
    assert document.text == (
        "WAIT [#A] Buy it (shop, home)\n\nSCHEDULED: <2024-02-30 Sat>\n\nwords [2024-05-01 Wed]\n\n"
        "TODO is a word here"
    )
    assert document.title == "The pump book"


def test_org_blocks_have_their_shape(tmp_path: Path) -> None:
    text = (
        "Some *bold* /text/ with =code=, [[https://x][a link]], [[plain]] and /usr/bin/x[fn:1].\n\n"
        "- one\n  more\n  1. inner\n- [X] done\n- [ ] open\n- term :: what it is\n\n"
        "| a | b |\n|---+---|\n| 1 |   |\n#+TBLFM: $2=1\n"
        "#+begin_src python\ndef f():\n    return 1\n,* no heading\n#+end_src\n"
        "#+BEGIN_QUOTE\nA quote.\n#+END_QUOTE\n: as it\n:   stands\n# a comment\n"
        "#+begin_comment\nsecret\n#+end_comment\n[fn:1] The note.\n"
    )
    assert org(tmp_path, text) == (
        "Some bold text with code, a link, plain and /usr/bin/x.\n\n- one more\n  1. inner\n"
        "- [X] ticked: done\n- [ ] not ticked: open\n- term: what it is\n\na | b\n1 | |\n\n"
        "def f():\n    return 1\n* no heading\n\nA quote.\n\nas it\n  stands\n\nThe note."
    )


def test_a_block_or_drawer_without_an_end_takes_nothing_along(tmp_path: Path) -> None:
    text = ":OPEN:\nwords\n#+begin_src\nmore\n* Head\n:END:\nlast\n#+end_src\n"
    shown = org(tmp_path, text)
    for words in ("words", "more", "Head", "last"):
        assert words in shown


def test_a_file_of_nothing_but_openings_is_read_in_one_go(tmp_path: Path) -> None:
    text = "".join(f"#+begin_src\n:D:\n[[{n}\n" for n in range(20_000))
    assert org(tmp_path, text).count("[[") == 20_000


def test_the_loader_takes_a_file_in_any_encoding(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes("Größe\n=====\n\nÄpfel\n".encode("utf-16"))
    assert outline(load_document(path, name="a.rst")) == [(1, "Größe")]
