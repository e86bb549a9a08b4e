"""Source files: their own text, what they define as headings, and passages of whole lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from ingest.loaders import LoadedDocument, load_document
from ingest.splitter import split

PYTHON = '''"""A module. It says what it does."""

LIMIT = 3


@cached
def first(x):
    """Do it. Then stop."""
    return x | 1


# Comes before the class.
# In two lines.
class Pump(Base):
    """def not_this(): pass"""

    async def open(self) -> int:
        def inner():
            return 1

        return inner()
'''


def load(tmp_path: Path, text: str, name: str) -> LoadedDocument:
    path = tmp_path / "upload"
    path.write_text(text, encoding="utf-8")
    return load_document(path, name=name)


def outline(document: LoadedDocument) -> list[tuple[int, str]]:
    lines = document.text.split("\n")
    for heading in document.headings:
        assert heading.text in document.text[heading.start : heading.end]
        assert document.text[heading.start : heading.end] in lines
    return [(heading.level, heading.text) for heading in document.headings]


def count(texts: Sequence[str]) -> list[int]:
    return [len(text) // 4 for text in texts]


def test_a_source_file_is_its_own_text_with_what_it_defines(tmp_path: Path) -> None:
    document = load(tmp_path, PYTHON, "some_pump.py")
    assert document.text == PYTHON
    assert outline(document) == [(1, "first"), (1, "Pump"), (2, "open"), (3, "inner")]
    assert document.title == "some_pump.py (Python)"
    assert document.kind == "code"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "a.js",
            "export class A extends B {\n  async run(y) {\n    if (y) {}\n"
            "    return bar(y);\n  }\n}\n"
            "function foo(a) { return `function no(){}` }\n",
            [(1, "A"), (2, "run"), (1, "foo")],
        ),
        (
            "a.ts",
            "interface I { x: number }\nexport class A<T> {\n  run(y: string): void {\n  }\n}\n",
            [(1, "I"), (1, "A"), (2, "run")],
        ),
        (
            "A.java",
            "public class A extends B {\n  public int run(String y) throws E {\n"
            "    return foo(y);\n  }\n}\n",
            [(1, "A"), (2, "run")],
        ),
        (
            "a.c",
            "static int foo(struct x *a)\n{\n  return bar(a);\n}\nstruct P { int x; };\n"
            "struct P *make(int a)\n{\n}\nint baz(void);\n/* int no(int a) { */\n"
            "int main(int c) {\n  while (foo(1)) {\n  }\n}\n",
            [(1, "foo"), (1, "P"), (1, "make"), (1, "main")],
        ),
        (
            "a.cpp",
            "class A : public B {\n  int run(int x) const {\n    return y(x);\n  }\n};\n"
            "int A::go() {\n}\nclass Later;\n",
            [(1, "A"), (2, "run"), (1, "A::go")],
        ),
        (
            "a.go",
            "package x\n\nfunc foo(a int) int { return bar(a) }\nfunc (t *T) Run() {\n}\n"
            "type T struct {\n}\n",
            [(1, "foo"), (1, "Run"), (1, "T")],
        ),
        (
            "a.rs",
            "pub struct P { x: i32 }\nimpl P {\n    pub fn run(&self) -> i32 { foo(1) }\n}\n",
            [(1, "P"), (1, "P"), (2, "run")],
        ),
        (
            "a.rb",
            "module M\n  class A < B\n    def self.run(x)\n      foo(x)\n    end\n  end\nend\n",
            [(1, "M"), (2, "A"), (3, "self.run")],
        ),
        (
            "a.php",
            "<?php\nclass A {\n  public function run($x) { foo($x); }\n}\n",
            [(1, "A"), (2, "run")],
        ),
        ("a.sh", "foo() {\n  bar x\n}\nfunction baz {\n  echo 1\n}\n", [(1, "foo"), (1, "baz")]),
        ("a.pl", "package X;\nsub foo {\n  bar();\n}\n", [(1, "foo")]),
        ("a.el", "(defun foo-bar (x)\n  (bar x))\n", [(1, "foo-bar")]),
        ("a.sql", "CREATE TABLE IF NOT EXISTS person (id INT);\nSELECT 1;\n", [(1, "person")]),
        (
            "a.toml",
            "x = 1\n[tool]\na = 2\n[tool.ruff]\n[[bin]]\n",
            [(1, "tool"), (2, "tool.ruff"), (1, "bin")],
        ),
        (
            "a.yml",
            "name: x\non:\n  push:\n    - a\njobs: # all\n  build:\n",
            [(1, "on"), (1, "jobs")],
        ),
        ("a.tex", "\\section{One}\ntext\n\\subsection*{Two}\n", [(1, "One"), (2, "Two")]),
        ("a.xml", "<a><b>class Pump</b></a>\n", []),
    ],
)
def test_definitions_are_told_from_what_only_uses_them(
    tmp_path: Path, name: str, text: str, expected: list[tuple[int, str]]
) -> None:
    assert outline(load(tmp_path, text, name)) == expected


def test_passages_are_whole_lines_with_the_comments_above_a_definition(tmp_path: Path) -> None:
    document = load(tmp_path, PYTHON, "pump.py")
    chunks = split(document, chunk_tokens=24, count=count)
    lines = PYTHON.split("\n")
    for chunk in chunks:
        assert chunk.text == PYTHON[chunk.start : chunk.end]
        assert all(line in lines for line in chunk.text.split("\n"))
    found = {chunk.heading: chunk.text for chunk in reversed(chunks)}
    assert found["first"].startswith("@cached\ndef first(x):")
    assert found["Pump"].startswith("# Comes before the class.\n# In two lines.\nclass Pump")
    assert found["Pump › open › inner"].startswith("        def inner():")
    kept = "\n".join(chunk.text for chunk in chunks).split()
    assert [word for word in PYTHON.split() if word not in kept] == []


def test_bars_in_code_are_no_columns(tmp_path: Path) -> None:
    text = "a = b | c | d\ne = f | g | h\ni = j | k | l\n"
    (chunk,) = split(load(tmp_path, text, "a.py"), chunk_tokens=100, count=count)
    assert chunk.heading == ""


def test_sections_that_follow_one_another_are_each_one(tmp_path: Path) -> None:
    chunks = split(
        load(tmp_path, "[a]\n[a.b]\nx = 1\n[c]\n", "a.toml"), chunk_tokens=99, count=count
    )
    assert [chunk.heading for chunk in chunks] == ["a", "a › a.b", "c"]


def test_a_file_that_a_program_made_has_no_headings_and_takes_no_time(tmp_path: Path) -> None:
    minified = "function a(b){return b};" * 200_000
    document = load(tmp_path, minified, "all.min.js")
    assert document.headings == ()
    assert document.title == "all.min.js"
    assert document.text == minified


def test_what_a_grammar_takes_too_long_for_is_read_without_headings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pygments tries each row of words of a Java file as the head of a method."""
    monkeypatch.setattr("ingest.loaders.code._MAX_TIME_S", 0.2)
    words = ("a " * 40 + "\n") * 12_000
    document = load(tmp_path, words, "A.java")
    assert document.text == words
    assert document.headings == ()


def test_a_name_without_a_known_language_is_its_title(tmp_path: Path) -> None:
    assert load(tmp_path, "a = 1\n", "path/to\\x.conf").title.startswith("x.conf")
    assert load(tmp_path, "def f():\n", "\u200bx.py").title == "x.py (Python)"
