"""Makes files of any size of one markup, of the kinds that people write texts and slides in."""

from __future__ import annotations

import io
from collections.abc import Callable

import packed
from pptx import Presentation

Make = Callable[[int], bytes]

_SHAPE = (
    '<p:sp><p:nvSpPr><p:cNvPr id="9" name=""/><p:cNvSpPr/><p:nvPr/></p:nvSpPr><p:spPr/><p:txBody>'
    "<a:bodyPr/>{}</p:txBody></p:sp>"
)
_GROUP = "<p:grpSp><p:nvGrpSpPr/><p:grpSpPr/></p:grpSp>"
_LINE = "<a:p><a:r><a:t>The pump is open.</a:t></a:r></a:p>"
_SLIDE = (
    '<p:sld xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main">'
    "<p:cSld><p:spTree>{}</p:spTree></p:cSld></p:sld>"
)


def markups() -> dict[str, Make]:
    """Return for each file's name what makes a file of about so many bytes."""
    return {**_marked(), **_rich(), **_packed()}


def _many(unit: str, head: str = "", tail: str = "") -> Make:
    def make(size: int) -> bytes:
        count = size // len(unit)
        body = "".join(unit.replace("{n}", str(n)) for n in range(count))
        return f"{head}{body}{tail}".encode()

    return make


def _marked() -> dict[str, Make]:
    return {
        "sections.rst": _many("Head {n}\n=======\n\nSome *text* here.\n\n"),
        "items.rst": _many("* an item\n"),
        "directives.rst": _many(".. foo{n}:: x\n\n   words\n\n"),
        "stars.rst": _many("**a "),
        "headings.org": _many("* TODO Head {n} :tag:\n:PROPERTIES:\n:a: b\n:END:\ntext\n"),
        "openings.org": _many("#+begin_src\n:D:\n[[a\n"),
        "rows.org": _many("| a | b |\n"),
        "cues.srt": _many("{n}\n00:00:01,000 --> 00:00:02,000\nThe pump {n} is\n\n"),
        "numbers.vtt": _many("5\n", "WEBVTT\n\n00:01.000 --> 00:02.000\n"),
        "functions.py": _many("# About it.\ndef f{n}(x):\n    return x\n\n"),
        "comments.py": _many("# a\n", tail="def f():\n    pass\n"),
        "heads.c": _many("int f{n}(int a) {\n  return g(a);\n}\n"),
        "keys.yml": _many("key{n}:\n  a: b\n"),
    }


def _rich() -> dict[str, Make]:
    head, tail = r"{\rtf1\ansi ", "}"
    return {
        "paragraphs.rtf": _many(r"\pard\plain The pump is open.\par ", head, tail),
        "groups.rtf": _many("{}", f"{head}a", tail),
        "letters.rtf": _many(r"\'e4\u1234?", head, tail),
        "cells.rtf": _many(r"\intbl a\cell ", head, rf"\row{tail}"),
        "notes.rtf": _many(r"a{\footnote b}", head, tail),
        "fonts.rtf": _many(r"{\f1 x;}", rf"{head}{{\fonttbl", "}a}"),
    }


def _packed() -> dict[str, Make]:
    cell = "<table:table-cell><text:p>a</text:p></table:table-cell>"
    item = "<text:list-item><text:p>item</text:p></text:list-item>"
    frame = '<draw:frame svg:x="{n}cm" svg:y="1cm"><draw:text-box><text:p>a</text:p>'
    frame += "</draw:text-box></draw:frame>"
    return {
        "paragraphs.odt": _open("<text:p>The pump <text:span>is</text:span> open.</text:p>"),
        "wide_table.odt": _open(
            cell, "<table:table><table:table-row>", "</table:table-row></table:table>"
        ),
        "rows.odt": _open(
            f"<table:table-row>{cell}{cell}</table:table-row>", "<table:table>", "</table:table>"
        ),
        "items.odt": _open(item, "<text:list>", "</text:list>"),
        "frames.odp": _open(frame, "<draw:page>", "</draw:page>", kind="presentation"),
        "pages.odp": _open(
            "<draw:page/>", "<draw:page><text:p>a</text:p></draw:page>", kind="presentation"
        ),
        "shapes.pptx": _slide(_SHAPE.format(_LINE)),
        "lines.pptx": _slide(_LINE, *_SHAPE.split("{}")),
        "groups.pptx": _slide(
            "<p:grpSp><p:nvGrpSpPr/><p:grpSpPr/></p:grpSp>", _SHAPE.format(_LINE)
        ),
        "chapters.epub": lambda size: packed.book(
            {f"{n}.xhtml": "<h1>Head</h1><p>The pump is open.</p>" for n in range(size // 400)}
        ),
    }


def _open(unit: str, head: str = "", tail: str = "", *, kind: str = "text") -> Make:
    many = _many(unit, head, tail)
    return lambda size: packed.open_document(many(size).decode(), kind=kind)


def _slide(unit: str, head: str = "", tail: str = "") -> Make:
    deck = Presentation()
    deck.slides.add_slide(deck.slide_layouts[6])
    buffer = io.BytesIO()
    deck.save(buffer)
    many = _many(unit, head, tail)
    return lambda size: packed.replaced(
        buffer.getvalue(), {"ppt/slides/slide1.xml": _SLIDE.format(many(size).decode())}
    )
