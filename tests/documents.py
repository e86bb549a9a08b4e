"""Makes real documents for the tests, in memory. Everything returns the bytes of a file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import docx as python_docx
import pypdfium2
from fpdf import FPDF
from fpdf.enums import AccessPermission, EncryptionMethod
from PIL import Image

_MADE = datetime(2024, 5, 1, tzinfo=UTC)
"""In every PDF, so that the same call gives the same bytes."""


@dataclass(frozen=True)
class Section:
    """A heading and the paragraphs under it: a page of a PDF, a part of anything else."""

    heading: str
    paragraphs: tuple[str, ...]


HANDBOOK = (
    Section(
        "Inspection of the reactor",
        (
            "The reactor must be inspected every ninety days by a certified engineer. The result "
            "is written into the blue log book, which is kept in the control room.",
            "An inspection that is overdue by more than one week stops the plant. Only the plant "
            "manager may start it again, and only after the inspection has been made.",
        ),
    ),
    Section(
        "Handling of coolant",
        (
            "The coolant is a mixture of water and propylene glycol. It freezes at minus thirty "
            "four degrees and has to be replaced after four thousand hours of service.",
            "Spilled coolant is slippery. Cover it with sawdust, wait for ten minutes and sweep "
            "it into the yellow drum beside the workshop's door.",
        ),
    ),
    Section(
        "Emergency contacts",
        (
            "In an emergency call Mrs. Okafor in the safety office on extension 4471. At night "
            "the porter answers and wakes whoever is on duty.",
        ),
    ),
)
"""Three sections with facts that nobody can guess."""


class _Pdf(FPDF):
    def __init__(self, running_header: str, count_pages: bool) -> None:
        super().__init__()
        self.running_header = running_header
        self.count_pages = count_pages

    def header(self) -> None:
        if self.running_header:
            self.set_font("Helvetica", size=9)
            self.cell(0, 12, self.running_header, new_x="LMARGIN", new_y="NEXT")

    def footer(self) -> None:
        if self.count_pages:
            self.set_y(-15)
            self.set_font("Helvetica", size=8)
            self.cell(0, 10, f"Page {self.page_no()} of {{nb}}", align="C")


def pdf(
    pages: Iterable[Section] = HANDBOOK,
    *,
    title: str | None = None,
    running_header: str = "",
    count_pages: bool = False,
    password: str | None = None,
) -> bytes:
    """A PDF with one page for each section, its heading in large bold type."""
    document = _Pdf(running_header, count_pages)
    document.set_creation_date(_MADE)
    if title is not None:
        document.set_title(title)
    if password is not None:
        document.set_encryption(
            owner_password=password,
            user_password=password,
            encryption_method=EncryptionMethod.RC4,
            permissions=AccessPermission.none(),
        )
    for page in pages:
        document.add_page()
        if page.heading:
            document.set_font("Helvetica", "B", 18)
            document.multi_cell(0, 12, page.heading, new_x="LMARGIN", new_y="NEXT")
        document.set_font("Times", size=11)
        for paragraph in page.paragraphs:
            document.multi_cell(0, 6, paragraph, new_x="LMARGIN", new_y="NEXT")
            document.ln(4)
    return bytes(document.output())


def unicode_pdf(lines: Sequence[str], font_path: str) -> bytes:
    """A PDF of one page in a font of its own, for letters beyond Latin-1."""
    document = FPDF()
    document.add_page()
    document.add_font("own", fname=font_path)
    document.set_font("own", size=12)
    for line in lines:
        document.multi_cell(0, 8, line, new_x="LMARGIN", new_y="NEXT")
    return bytes(document.output())


def encrypted_pdf() -> bytes:
    """A PDF that opens with a password only."""
    return pdf(password="secret")


def picture_pdf(pages: int = 1) -> bytes:
    """A PDF whose pages hold a picture each, and no text: like a scan."""
    document = FPDF()
    for _ in range(pages):
        document.add_page()
        document.image(io.BytesIO(png()), w=100)
    return bytes(document.output())


def blank_pdf() -> bytes:
    """A PDF with an empty page."""
    document = FPDF()
    document.add_page()
    return bytes(document.output())


def truncated_pdf() -> bytes:
    """The first two thirds of a PDF, as an interrupted download leaves it."""
    whole = pdf()
    return whole[: len(whole) * 2 // 3]


def docx(
    sections: Iterable[Section] = HANDBOOK,
    *,
    title: str | None = None,
    rows: Sequence[Sequence[str]] = (),
    items: Sequence[str] = (),
) -> bytes:
    """A Word document with real heading styles, and a list and a table at its end."""
    document = python_docx.Document()
    document.core_properties.title = title or ""
    for section in sections:
        document.add_heading(section.heading, level=1)
        for paragraph in section.paragraphs:
            document.add_paragraph(paragraph)
    for item in items:
        document.add_paragraph(item, style="List Bullet")
    if rows:
        table = document.add_table(rows=0, cols=len(rows[0]))
        for row in rows:
            for cell, text in zip(table.add_row().cells, row, strict=True):
                cell.text = text
    return _saved(document)


def docx_bomb(megabytes: int = 400) -> bytes:
    """A small DOCX whose text unpacks to ``megabytes``."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx())) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for member in source.infolist():
            if member.filename != "word/document.xml":
                target.writestr(member, source.read(member))
        with target.open("word/document.xml", "w", force_zip64=True) as file:
            for _ in range(megabytes):
                file.write(b" " * 1024 * 1024)
    return buffer.getvalue()


def docx_with(member: str, content: bytes) -> bytes:
    """A DOCX one of whose parts is replaced."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(docx())) as source,
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
    ):
        for info in source.infolist():
            if info.filename != member:
                target.writestr(info, source.read(info))
        target.writestr(member, content)
    return buffer.getvalue()


def markdown(sections: Iterable[Section] = HANDBOOK, *, title: str | None = None) -> bytes:
    """A Markdown file."""
    parts = [f"# {title}"] if title else []
    for section in sections:
        parts += [f"{'##' if title else '#'} {section.heading}", *section.paragraphs]
    return ("\n\n".join(parts) + "\n").encode()


def text(sections: Iterable[Section] = HANDBOOK, *, encoding: str = "utf-8") -> bytes:
    """A plain text file."""
    parts = [part for section in sections for part in (section.heading, *section.paragraphs)]
    return ("\n\n".join(parts) + "\n").encode(encoding)


def html(
    sections: Iterable[Section] = HANDBOOK, *, title: str = "Handbook", body: str = ""
) -> bytes:
    """A web page with the navigation, script and style that such pages have."""
    content = "".join(
        f"<section><h2>{s.heading}</h2>"
        + "".join(f"<p>{p}</p>" for p in s.paragraphs)
        + "</section>"
        for s in sections
    )
    return (
        f"<!DOCTYPE html><html><head><meta charset='utf-8'><title>{title}</title>"
        "<style>p { color: red }</style></head><body>"
        "<nav><a href='/'>Home</a></nav><script>alert('hello')</script>"
        f"<main>{content}{body}</main></body></html>"
    ).encode()


def png() -> bytes:
    """A small picture."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (20, 90, 160)).save(buffer, "PNG")
    return buffer.getvalue()


def drawn_page(data: bytes, index: int = 0, *, dpi: int = 150) -> Image.Image:
    """A page of a PDF as a picture."""
    with pypdfium2.PdfDocument(data) as document:
        return document[index].render(scale=dpi / 72).to_pil().convert("RGB")


def scanned_pdf(pages: Iterable[Section] = HANDBOOK, *, turned: int = 0) -> bytes:
    """A PDF of pictures of pages, each turned by so many degrees against the clock."""
    data = pdf(pages)
    with pypdfium2.PdfDocument(data) as document:
        count = len(document)
    pictures = [drawn_page(data, n).rotate(turned, expand=True) for n in range(count)]
    buffer = io.BytesIO()
    pictures[0].save(buffer, "PDF", save_all=True, append_images=pictures[1:], resolution=150)
    return buffer.getvalue()


def saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file of that kind."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def archive(*names: str) -> bytes:
    """A ZIP archive with members of these names."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for name in names or ("notes.txt",):
            target.writestr(name, b"content")
    return buffer.getvalue()


def ole(part: str) -> bytes:
    """The head of an old Office file that names one of its parts."""
    head = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 504
    return head + part.encode("utf-16-le").ljust(1024, b"\0")


def _saved(document: python_docx.document.Document) -> bytes:
    buffer = io.BytesIO()
    document.save(buffer)
    return buffer.getvalue()


_WORD_SPACES = (
    'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" '
    'xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships" '
    'xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math" '
    'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006" '
    'xmlns:wp="http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing" '
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart" '
    'xmlns:v="urn:schemas-microsoft-com:vml" '
    'xmlns:w14="http://schemas.microsoft.com/office/word/2010/wordml"'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"


def word(body: str, **parts: str) -> bytes:
    """A DOCX out of what its parts hold, as Word's own XML without the outermost element.

    ``parts``: ``header1="<w:p/>"`` is ``word/header1.xml``, related as ``r:id="header1"``.
    """
    roots = {"header": "hdr", "footer": "ftr", "document": "document"}
    names = {name: name.rstrip("0123456789") for name in parts}
    relations = "".join(
        f'<Relationship Id="{name}" Type="{_OFFICE}/{kind}" Target="{name}.xml"/>'
        for name, kind in names.items()
    )
    space = "http://schemas.openxmlformats.org/package/2006/"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{space}content-types"/>')
        archive.writestr(
            "word/_rels/document.xml.rels",
            f'<Relationships xmlns="{space}relationships">{relations}</Relationships>',
        )
        for name, inside in {"document": f"<w:body>{body}</w:body>", **parts}.items():
            root = roots.get(names.get(name, name), names.get(name, name))
            archive.writestr(f"word/{name}.xml", f"<w:{root} {_WORD_SPACES}>{inside}</w:{root}>")
    return buffer.getvalue()


def drawn_pdf(
    texts: Sequence[tuple[float, float, str]],
    *,
    extras: Sequence[str] = (),
    turned: int = 0,
    font: str = "/Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding",
    letters: str = "",
) -> bytes:
    """A PDF of one page with each text where it is put, in the order given, and annotations.

    ``texts``: ``(x, y, text)`` in points from the lower left corner, in Helvetica of 11 points.
    ``extras``: the dictionaries of annotations; those with a ``/FT`` are a form's fields.
    ``letters``: what the font's codes stand for, as a file tells it in its ``/ToUnicode``.
    ``turned``: quarter turns against the clock of all text, round the middle of the page.
    """
    a, b = ((1, 0), (0, 1), (-1, 0), (0, -1))[turned]
    turn = f"1 0 0 1 306 396 cm {a} {b} {-b} {a} 0 0 cm 1 0 0 1 -306 -396 cm"
    drawing = "\n".join(f"BT /F1 11 Tf {x} {y} Td ({text}) Tj ET" for x, y, text in texts)
    content = f"{turn}\n{drawing}"
    first = 7
    fields = " ".join(f"{first + n} 0 R" for n, extra in enumerate(extras) if "/FT" in extra)
    notes = " ".join(f"{first + n} 0 R" for n in range(len(extras)))
    form = f"/AcroForm << /Fields [{fields}] /DA (/Helv 11 Tf 0 g) >>" if fields else ""
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {form} >>",
        "<< /Type /Pages /Count 1 /Kids [3 0 R] >>",
        "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 5 0 R "
        f"/Resources << /Font << /F1 4 0 R >> >> /Annots [{notes}] >>",
        f"<< /Type /Font {font} {'/ToUnicode 6 0 R' if letters else ''} >>",
        *(f"<< /Length {len(s)} >>\nstream\n{s}\nendstream" for s in (content, letters)),
        *(f"<< /Type /Annot /P 3 0 R {extra} >>" for extra in extras),
    ]
    pdf, places = "%PDF-1.7\n", []
    for number, inside in enumerate(objects, start=1):
        places.append(len(pdf))
        pdf += f"{number} 0 obj\n{inside}\nendobj\n"
    table = "".join(f"{place:010} 00000 n \n" for place in places)
    return (
        f"{pdf}xref\n0 {len(objects) + 1}\n0000000000 65535 f \n{table}"
        f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{len(pdf)}\n%%EOF\n"
    ).encode("latin-1")


def long_text(topic: str, days: int = 150) -> bytes:
    """Return a text in Markdown that takes many seconds to embed."""
    lines = (
        f"## Day {day} of the {topic}\n\nOn day {day} the {topic} was seen by {day + 7} people, of "
        f"whom {day % 5} stayed until {day % 12} o'clock to count the lanterns at pier {day}.\n"
        for day in range(days)
    )
    return "\n".join(lines).encode()
