"""Files inside of files become documents of their own: archives, and what is attached to mails."""

from __future__ import annotations

import io
import time
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from email.message import EmailMessage
from pathlib import Path

import documents
import numpy as np
import pytest

from core.errors import DocumentBusyError
from core.settings import Settings
from ingest.ingestor import DocumentReport, Ingestor
from ingest.loaders.document import ParseLimits
from ingest.parse_process import ParserProcess
from ingest.store import Fingerprint, Store
from ingest.vectors import DIMENSION, Encoded

OWNER = "library"


class Embedder:
    """What makes vectors is not what is tried here."""

    busy = False
    first_s = 0.0
    """How long the first text takes."""
    turns_busy = True
    """Whether it is busy after such a first one."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        if self.first_s:
            time.sleep(self.first_s)
            self.first_s, self.busy = 0.0, self.turns_busy
        elif self.busy:
            raise DocumentBusyError(512)
        return Encoded(np.ones((len(texts), DIMENSION), np.float32), [b"" for _ in texts])

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


class Desk:
    """A store, and files put into it."""

    def __init__(self, folder: Path, store: Store, parser: ParserProcess) -> None:
        self.folder = folder
        self.store = store
        self.parser = parser
        self.embedder = Embedder()
        self.settings = Settings(data_dir=folder / "data")
        self.ingestor = Ingestor(store, self.embedder, parser, self.settings)  # type: ignore[arg-type]

    async def take(self, name: str, data: bytes) -> dict[str, DocumentReport]:
        path = self.folder / "upload.tmp"
        path.write_bytes(data)
        reports: list[DocumentReport] = []
        from ingest.sources import SourceFile

        async for report in self.ingestor.ingest_many([SourceFile(path, name)], owner=OWNER):
            reports.append(report)
        assert reports[-1].name == name  # after what is inside of it
        return {report.name: report for report in reports}

    def names(self, owner: str = OWNER) -> list[str]:
        return [one.name for one in self.store.documents([owner])]

    def text(self, name: str) -> str:
        found = self.store.find_document(OWNER, name)
        assert found is not None
        return self.store.load_document(found.id).text

    def left_behind(self) -> list[Path]:
        return list((self.folder / "data" / "unpacking").iterdir())


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    data = folder / "data"
    data.mkdir()
    store = Store(data, Fingerprint("e", DIMENSION, "s"))
    parser = ParserProcess(Settings(data_dir=data))
    try:
        yield Desk(folder, store, parser)
    finally:
        await parser.aclose()
        store.close()


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as made:
        yield made


def packed(files: Mapping[str, bytes | str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def mail(attachments: Mapping[str, bytes], *, subject: str = "Offer") -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = "ida@example.org", "me@example.org", subject
    made["Date"], made["Message-ID"] = "Tue, 4 Jun 2024 09:00:00 +0200", "<1@example.org>"
    made.set_content("The boiler comes on Monday.")
    for name, data in attachments.items():
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return made


async def test_what_an_archive_packs_are_documents(desk: Desk) -> None:
    reports = await desk.take(
        "club.zip",
        packed(
            {
                "fees.md": "# Fees\n\nAdults pay 40 euros.",
                "rules/boats.txt": "Boats are cleaned on Sundays.",
                "report.docx": documents.docx(),
                "setup.exe": b"MZ",
                "__MACOSX/._fees.md": b"x",
                ".hidden.txt": "hidden",
                "folder/": b"",
            }
        ),
    )
    assert {name: report.status for name, report in reports.items()} == {
        "club.zip/fees.md": "ready",
        "club.zip/rules/boats.txt": "ready",
        "club.zip/report.docx": "ready",
        "club.zip": "ready",
    }
    assert desk.text("club.zip/fees.md").endswith("Adults pay 40 euros.")
    assert "- rules/boats.txt" in desk.text("club.zip")
    assert reports["club.zip"].reason == "Passed over, as it cannot be read: .exe."
    assert not desk.left_behind()


async def test_the_passages_of_what_is_inside_are_counted_with_an_archives_own(desk: Desk) -> None:
    path = desk.folder / "club.zip"
    path.write_bytes(packed({"a.txt": "One.", "b.txt": "Two."}))
    report = await desk.ingestor.ingest_file(path, name="club.zip", owner=OWNER)
    assert (report.name, report.status, report.passages) == ("club.zip", "ready", 3)


async def test_the_same_archive_is_not_read_again_and_another_replaces_it(desk: Desk) -> None:
    data = packed({"a.txt": "One.", "b.txt": "Two."})
    await desk.take("club.zip", data)
    again = await desk.take("club.zip", data)
    assert {name: report.status for name, report in again.items()} == {"club.zip": "unchanged"}
    changed = await desk.take("club.zip", packed({"a.txt": "One.", "c.txt": "Three."}))
    assert changed["club.zip/a.txt"].status == "unchanged"
    assert changed["club.zip/c.txt"].status == "ready"
    assert desk.names() == ["club.zip", "club.zip/a.txt", "club.zip/c.txt"]


async def test_with_an_archive_goes_what_was_in_it(desk: Desk) -> None:
    inner = packed({"deep.txt": "Deep down."})
    await desk.take("club.zip", packed({"a.txt": "One.", "inner.zip": inner}))
    await desk.take("club.zip.txt", b"Another one.")
    assert desk.text("club.zip/inner.zip/deep.txt") == "Deep down."
    found = desk.store.find_document(OWNER, "club.zip")
    assert found is not None
    assert desk.store.move_document(found.id, OWNER, "account:ida")
    assert desk.names() == ["club.zip.txt"]
    assert "club.zip/inner.zip/deep.txt" in desk.names("account:ida")
    assert desk.store.delete_document(found.id, "account:ida")
    assert desk.names("account:ida") == []


async def test_archives_in_archives_end_somewhere(desk: Desk) -> None:
    data = packed({"a.txt": "The innermost."})
    for number in range(6):
        data = packed({f"{number}.zip": data})
    reports = await desk.take("deep.zip", data)
    assert sum(name.endswith(".zip") for name in reports) == 4
    assert any("too deep" in (report.reason or "") for report in reports.values())


async def test_a_damaged_member_costs_only_itself(desk: Desk) -> None:
    data = bytearray(packed({"a.txt": "A" * 300 + "B" * 300, "b.txt": "Fine."}))
    at = data.index(b"a.txt") + 5
    data[at : at + 6] = b"\xff" * 6
    reports = await desk.take("club.zip", bytes(data))
    assert reports["club.zip/a.txt"].status == "failed"
    assert reports["club.zip/b.txt"].status == "ready"
    assert reports["club.zip"].reason == "1 of the 2 files in it could not be read."


@pytest.mark.parametrize(
    ("files", "limits", "why"),
    [
        ({"a.txt": b"x" * 3_000_000}, {"max_members_bytes": 2_000_000}, "MB together"),
        ({f"{n}.txt": b"x" for n in range(12)}, {"max_members": 10}, "more than 10 documents"),
    ],
)
async def test_a_bomb_is_refused_and_leaves_nothing(
    desk: Desk, files: dict[str, bytes], limits: dict[str, int], why: str
) -> None:
    desk.parser._limits = ParseLimits(**limits)
    reports = await desk.take("bomb.zip", packed(files))
    assert list(reports) == ["bomb.zip"]
    assert why in (reports["bomb.zip"].reason or "")
    assert not desk.left_behind()


async def test_a_member_over_the_limit_is_named(desk: Desk) -> None:
    desk.parser._limits = ParseLimits(max_member_bytes=1_000_000)
    reports = await desk.take("club.zip", packed({"a.txt": b"x" * 3_000_000, "b.txt": b"Fine."}))
    assert "larger than 1 MB" in (reports["club.zip/a.txt"].reason or "")
    assert reports["club.zip/b.txt"].status == "ready"


@pytest.mark.parametrize("name", ["../../etc/passwd.txt", "/etc/passwd.txt", "..\\passwd.txt"])
async def test_a_member_cannot_leave_its_archive(desk: Desk, name: str) -> None:
    await desk.take("club.zip", packed({name: "root"}))
    assert all(one.startswith("club.zip") and ".." not in one for one in desk.names())
    assert len(desk.names()) == 2


async def test_names_of_other_systems_are_read(desk: Desk) -> None:
    data = packed({"a\x81rger.txt": "Trouble."})
    # As Windows names it: no sign for UTF-8, and a byte of its code page.
    raw = data.replace("a\x81rger".encode(), b"a\x81\x81rger")
    plain = bytearray(raw.replace(b"a\x81\x81rger", b"aa\x81rger"))
    for sign in (b"PK\x03\x04", b"PK\x01\x02"):
        at = plain.index(sign) + (6 if sign == b"PK\x03\x04" else 8)
        plain[at : at + 2] = b"\0\0"
    await desk.take("club.zip", bytes(plain))
    assert "club.zip/aaürger.txt" in desk.names()


async def test_what_is_attached_to_a_mail_is_read(desk: Desk) -> None:
    forwarded = mail({"plan.md": b"# Plan\n\nDig on Tuesday."}, subject="Plan")
    letter = mail({"offer.txt": b"It costs 900 euros.", "logo.xyz": b"?"})
    letter.add_attachment(forwarded)
    reports = await desk.take("letter.eml", letter.as_bytes())
    assert {name: report.status for name, report in reports.items()} == {
        "letter.eml/offer.txt": "ready",
        "letter.eml/Plan.eml/plan.md": "ready",
        "letter.eml/Plan.eml": "ready",
        "letter.eml": "ready",
    }
    assert "Attachments: offer.txt, logo.xyz, Plan.eml" in desk.text("letter.eml")
    assert reports["letter.eml"].reason == "Attachments were not read: logo.xyz."
    assert desk.text("letter.eml/offer.txt") == "It costs 900 euros."


async def test_a_mail_with_too_much_attached_is_read_without(desk: Desk) -> None:
    desk.parser._limits = ParseLimits(max_members=3)
    letter = mail({f"{number}.txt": b"x" for number in range(5)})
    reports = await desk.take("letter.eml", letter.as_bytes())
    assert list(reports) == ["letter.eml"]
    assert "The boiler comes on Monday." in desk.text("letter.eml")
    assert "What is attached was not read." in (reports["letter.eml"].reason or "")


async def test_an_archive_comes_after_two_files_of_the_same_words(desk: Desk) -> None:
    desk.embedder.first_s = 0.5
    data = packed({"0.txt": "First.", "a.txt": "One.", "b.txt": "One."})
    path = desk.folder / "club.zip"
    path.write_bytes(data)
    desk.embedder.turns_busy = False
    report = await desk.ingestor.ingest_file(path, name="club.zip", owner=OWNER)
    assert (report.name, report.status, report.passages) == ("club.zip", "ready", 4)
    assert desk.text("club.zip/a.txt") == desk.text("club.zip/b.txt") == "One."


async def test_each_file_is_reported_also_where_two_are_the_same_and_none_is_taken(
    desk: Desk,
) -> None:
    desk.embedder.first_s = 1.0  # so that the others are read by then, and taken in together
    data = packed({"0.txt": "First.", "a.txt": "One.", "b.txt": "One."})
    reports = await desk.take("club.zip", data)
    assert {name: report.status for name, report in reports.items()} == {
        "club.zip/0.txt": "ready",
        "club.zip/a.txt": "failed",
        "club.zip/b.txt": "failed",
        "club.zip": "failed",
    }


async def test_what_was_put_off_is_read_another_time(desk: Desk) -> None:
    data = packed({"a.txt": "One.", "b.txt": "Two."})
    desk.embedder.busy = True
    reports = await desk.take("club.zip", data)
    assert reports["club.zip"].status == "failed"
    assert desk.names() == []
    desk.embedder.busy = False
    reports = await desk.take("club.zip", data)
    assert {report.status for report in reports.values()} == {"ready"}
    assert len(reports) == 3
