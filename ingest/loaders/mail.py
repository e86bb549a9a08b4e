"""Reads saved e-mails: who wrote to whom and when, and what, without what is encoded in them."""

from __future__ import annotations

import email
import email.policy
from collections.abc import Iterator
from email.message import EmailMessage

from core.errors import DocumentError
from ingest.loaders import titles
from ingest.loaders.cleaning import clean, one_line, squeeze
from ingest.loaders.document import LoadedDocument, Source, TextBuilder
from ingest.loaders.encoding import decode
from ingest.loaders.html import extract
from ingest.loaders.sniffing import MAIL_SEPARATOR

_SHOWN = ("From", "To", "Cc", "Date", "Subject")
_MAX_MAILS = 10_000
_NAMED = 10


def load(source: Source) -> LoadedDocument:
    """Load the mails of a file; their attachments are named, not read."""
    builder = TextBuilder()
    attached: list[str] = []
    subjects: list[str] = []
    mails = list(_mails(source.path.read_bytes()))
    for mail in mails:
        subject = one_line(str(mail.get("Subject", "")))
        subjects.append(subject)
        if len(mails) > 1 and subject:
            builder.add(subject, level=1)
        if fields := [f"{name}: {text}" for name in _SHOWN if (text := _field(mail, name))]:
            builder.add("\n".join(fields))
        if body := _body(mail):
            builder.add(body)
        attached += _attachments(mail)
    named = ", ".join(attached[:_NAMED]) + (" and more" if len(attached) > _NAMED else "")
    title = subjects[0] if len(mails) == 1 else None
    return LoadedDocument(
        text=builder.text(),
        title=titles.sensible(title) or titles.from_name(source.name),
        kind="mail",
        headings=builder.headings(),
        warnings=(f"Attachments were not read: {named}.",) if attached else (),
    )


def _mails(data: bytes) -> Iterator[EmailMessage]:
    parts = [data]
    if MAIL_SEPARATOR.match(data.lstrip()):
        parts = [part for part in MAIL_SEPARATOR.split(data) if part.strip()]
    if len(parts) > _MAX_MAILS:
        raise DocumentError(
            f"It holds {len(parts):,} mails and at most {_MAX_MAILS:,} are read; split it and "
            "try again."
        )
    for part in parts:
        mail = email.message_from_bytes(part.lstrip(b"\xef\xbb\xbf"), policy=email.policy.default)
        assert isinstance(mail, EmailMessage)  # noqa: S101 - the default policy makes them
        yield mail


def _field(mail: EmailMessage, name: str) -> str:
    return one_line(str(mail.get(name, "")))


def _body(mail: EmailMessage) -> str:
    found = mail.get_body(("plain", "html"))
    if found is None:
        return ""
    raw = found.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return ""
    text = decode(raw, declared=found.get_content_charset()) if raw.strip() else ""
    if found.get_content_subtype() == "html":
        return extract(text)[0].text()
    return squeeze(clean(text).replace("\r\n", "\n"))


def _attachments(mail: EmailMessage) -> Iterator[str]:
    for part in mail.walk():
        if part.get_content_disposition() == "attachment" or (
            part.get_content_maintype() not in ("text", "multipart", "message")
        ):
            yield one_line(part.get_filename() or part.get_content_type())
