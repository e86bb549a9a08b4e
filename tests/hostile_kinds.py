"""Documents that mean harm, of the kinds that people write texts, books and slides in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Literal

import packed
from pptx import Presentation

Expected = Literal["refused", "read", "either"]
_BOMB = b" " * 80_000_000
_RELATIONS = "ppt/slides/_rels/slide1.xml.rels"


def cases(here: str, fact: str) -> Iterator[tuple[str, Expected, bytes]]:
    """Yield each file's name, what may become of it, and its bytes.

    ``here``: where requests would be noticed. ``fact``: is to be read in spite of all else.
    """
    yield from _slides(here, fact)
    yield from _open_documents(here, fact)
    yield from _books(here, fact)
    yield from _rich(here, fact)
    yield from _marked(here, fact)


def _definitions(here: str) -> bytes:
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return (
        f'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "ha">{laughs}'
        f'<!ENTITY file SYSTEM "file:///etc/passwd"><!ENTITY net SYSTEM "{here}/xxe">]>'
        "<a>&l9;&file;&net;</a>"
    ).encode()


def _slides(here: str, fact: str) -> Iterator[tuple[str, Expected, bytes]]:
    deck = Presentation()
    slide = deck.slides.add_slide(deck.slide_layouts[5])
    slide.shapes.title.text = fact
    buffer = io.BytesIO()
    deck.save(buffer)
    whole = buffer.getvalue()
    layout = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    outside = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        f'<Relationship Id="rId1" Type="{layout}/slideLayout" '
        'Target="../slideLayouts/slideLayout6.xml"/>'
        f'<Relationship Id="rId8" Type="{layout}/image" Target="{here}/a.png" '
        'TargetMode="External"/></Relationships>'
    )
    yield "outside.pptx", "read", packed.replaced(whole, {_RELATIONS: outside})
    yield "bomb.pptx", "refused", packed.replaced(whole, {"ppt/slides/slide1.xml": _BOMB})
    yield "media.pptx", "read", packed.replaced(whole, {"ppt/media/a.png": _BOMB})
    for part in ("ppt/slides/slide1.xml", "ppt/presentation.xml", "docProps/core.xml"):
        name = f"entities-{part.rpartition('/')[2]}.pptx"
        yield name, "refused", packed.replaced(whole, {part: _definitions(here)})
    for number in range(1, 5):
        yield f"cut-{number}.pptx", "either", whole[: len(whole) * number // 5]


def _open_documents(here: str, fact: str) -> Iterator[tuple[str, Expected, bytes]]:
    image = f'<draw:frame><draw:image xlink:href="{here}/a.png"/></draw:frame>'
    whole = packed.open_document(f"<text:p>{fact}{image}</text:p>")
    yield "outside.odt", "read", whole
    yield "entities.odt", "refused", packed.replaced(whole, {"content.xml": _definitions(here)})
    yield "bomb.odt", "refused", packed.replaced(whole, {"styles.xml": _BOMB})
    yield "macro.odt", "read", packed.replaced(whole, {"Basic/Standard/a.xml": "<a>Shell</a>"})
    deep = "<text:section>" * 100_000 + "</text:section>" * 100_000
    yield "deep.odt", "refused", packed.open_document(deep)
    cells = 'table:number-columns-repeated="999999"><text:p>a</text:p></table:table-cell>'
    rows = f'<table:table-row table:number-rows-repeated="999999"><table:table-cell {cells}'
    table = f"<table:table>{rows}</table:table-row></table:table>"
    yield "repeated.odt", "read", packed.open_document(f"<text:p>{fact}</text:p>{table}")
    shown = f"<draw:page>{image}<text:p>{fact}</text:p></draw:page>"
    yield "outside.odp", "read", packed.open_document(shown, kind="presentation")
    for number in range(1, 5):
        yield f"cut-{number}.odt", "either", whole[: len(whole) * number // 5]


def _books(here: str, fact: str) -> Iterator[tuple[str, Expected, bytes]]:
    page = f"<img src='{here}/a.png'/><link rel=stylesheet href='{here}/a.css'/><p>{fact}</p>"
    whole = packed.book({"a.xhtml": page})
    yield "outside.epub", "read", whole
    yield "bomb.epub", "refused", packed.replaced(whole, {"OEBPS/a.xhtml": _BOMB})
    for part in ("META-INF/container.xml", "OEBPS/a.opf"):
        name = f"entities-{part.rpartition('/')[2]}.epub"
        yield name, "refused", packed.replaced(whole, {part: _definitions(here)})
    ncx = "<navPoint>" * 50_000
    yield "deep-ncx.epub", "read", packed.book({"a.xhtml": page}, ncx=ncx)
    yield "far.epub", "refused", packed.book({"a.xhtml": page}, spine='<itemref idref="no"/>')


def _rich(here: str, fact: str) -> Iterator[tuple[str, Expected, bytes]]:
    field = rf'{{\field{{\*\fldinst INCLUDEPICTURE "{here}/a.png"}}{{\fldrslt {fact}}}}}'
    bodies: dict[str, tuple[Expected, str]] = {
        "fields": ("read", field),
        "template": ("read", rf"{{\*\template {here}/a.dot}}{fact}"),
        "object": ("read", rf"{{\object\objupdate{{\*\objdata 0105}}}}{fact}"),
        "binary": ("read", rf"{fact}{{\pict\bin99999999 x}}"),
        "groups": ("refused", "{" * 2_000_000),
        "notes": ("refused", r"{\footnote a" * 200_000),
        "numbers": ("read", rf"\u-99999999 \uc999999999 \f99999999999 \ansicpg99999\par {fact}"),
    }
    for name, (expected, body) in bodies.items():
        yield f"{name}.rtf", expected, rf"{{\rtf1\ansi {body}}}".encode()


def _marked(here: str, fact: str) -> Iterator[tuple[str, Expected, bytes]]:
    texts: dict[str, str] = {
        "include.rst": ".. include:: /etc/passwd\n\n.. raw:: html\n   :url: {here}/raw\n\n{fact}\n",
        "table.rst": ".. csv-table::\n   :url: {here}/table\n\n"
        ".. image:: {here}/a.png\n   :scale: 5\n\n{fact}\n",
        "stars.rst": "{fact}\n\n" + "**a ``b |c `d " * 5_000,
        "bars.rst": "{fact}\n\n"
        + "".join(f".. |a{n}| replace:: |a{n - 1}| |a{n - 1}|\n" for n in range(1, 200)),
        "include.org": '#+INCLUDE: "/etc/passwd"\n#+SETUPFILE: {here}/a.org\n{fact}\n',
        "open.org": "{fact}\n" + "#+begin_src\n:D:\n" * 8_000,
        "minified.js": "/* {fact} */" + "function a(b)(return b);" * 6_000,
        "tags.vtt": "WEBVTT\n\n00:01.000 --> 00:02.000\n{fact}" + "<v " * 10_000,
        "times.srt": "1\n99999:99:99,999 --> 0:00:00,0\n{fact}\n",
    }
    for name, text in texts.items():
        yield name, "read", text.replace("{here}", here).replace("{fact}", fact).encode()
