"""Reads saved e-mails: who wrote to whom and when, and what, without what is encoded in them."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage

from core.errors import DocumentError
from ingest.loaders import titles
from ingest.loaders.cleaning import clean, one_line, squeeze
from ingest.loaders.document import LoadedDocument, Member, PageSpan, Source, TextBuilder
from ingest.loaders.encoding import decode
from ingest.loaders.html import extract
from ingest.loaders.kinds import kind_named
from ingest.loaders.sniffing import MAIL_SEPARATOR

_SHOWN = ("From", "To", "Cc", "Date", "Subject")
_MAX_MAILS = 10_000
_MAX_PARTS = 10_000
_NAMED = 10
_QUOTED_SEPARATOR = re.compile(rb"^>(>*From )", re.MULTILINE)
_FORWARDED = "message/rfc822"


def load(source: Source) -> LoadedDocument:
    """Load the mails of a file, each with its number; of attachments the names."""
    builder = TextBuilder()
    subjects: list[str] = []
    pages: list[PageSpan] = []
    unread: list[str] = []
    mails = list(_mails(source.path.read_bytes()))
    for number, mail in enumerate(mails, start=1):
        start = builder.length
        subject = one_line(str(mail.get("Subject", "")))
        subjects.append(subject)
        if len(mails) > 1 and subject:
            builder.add(subject, level=1)
        attached = [name for name, _ in _attachments(mail)]
        fields = [f"{name}: {text}" for name in _SHOWN if (text := _field(mail, name))]
        if attached:
            fields.append(f"Attachments: {', '.join(attached)}")
        if fields:
            builder.add("\n".join(fields))
        if text := _body(mail):
            builder.add(text)
        pages.append(PageSpan(number, start, builder.length))
        unread += [name for name in attached if kind_named(name) is None]
    named = ", ".join(unread[:_NAMED]) + (" and more" if len(unread) > _NAMED else "")
    title = subjects[0] if len(mails) == 1 else None
    return LoadedDocument(
        text=builder.text(),
        title=titles.sensible(title) or titles.from_name(source.name),
        kind="mail",
        pages=tuple(pages) if len(mails) > 1 else (),
        headings=builder.headings(),
        warnings=(f"Attachments were not read: {named}.",) if unread else (),
    )


def members(source: Source) -> Iterator[Member]:
    """Yield what is attached to the mails and can be read, a forwarded mail as one of its own."""
    mails = list(_mails(source.path.read_bytes()))
    for number, mail in enumerate(mails, start=1):
        folder = f"{number}/" if len(mails) > 1 else ""
        for name, part in _attachments(mail):
            if kind_named(name) is not None:
                yield Member(folder + name, (_content(part),))


def _mails(data: bytes) -> Iterator[EmailMessage]:
    parts = [data]
    if MAIL_SEPARATOR.match(data.lstrip()):
        parts = [
            _QUOTED_SEPARATOR.sub(rb"\1", part)
            for part in MAIL_SEPARATOR.split(data)
            if part.strip()
        ]
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


def _attachments(mail: EmailMessage) -> Iterator[tuple[str, EmailMessage]]:
    """Yield each attachment under its name; what a forwarded mail brought is inside of that."""
    found = mail.get_body(("plain", "html"))
    waiting: list[EmailMessage] = [mail]
    seen = 0
    while waiting:
        part = waiting.pop()
        seen += 1
        if seen > _MAX_PARTS:
            raise DocumentError(f"It has more than {_MAX_PARTS:,} parts, so it is not read.")
        kind = part.get_content_type()
        if kind == _FORWARDED:
            yield _forwarded_name(part), part
        elif part.is_multipart():
            waiting += reversed([one for one in part.iter_parts() if isinstance(one, EmailMessage)])
        elif part is not found and _is_attached(part):
            yield one_line(part.get_filename() or kind), part


def _is_attached(part: EmailMessage) -> bool:
    """Tell what somebody attached from the body's other form and the pictures that it shows."""
    if part.get_content_disposition() == "attachment":
        return True
    kind = part.get_content_maintype()
    return kind != "text" and not (kind == "image" and "Content-ID" in part)


def _forwarded(part: EmailMessage) -> EmailMessage | None:
    inside = part.get_payload()
    first = inside[0] if isinstance(inside, list) and inside else None
    return first if isinstance(first, EmailMessage) else None


def _forwarded_name(part: EmailMessage) -> str:
    mail = _forwarded(part)
    subject = one_line(str(mail.get("Subject", ""))) if mail is not None else ""
    return f"{subject.replace('/', ' ') or 'forwarded'}.eml"


def _content(part: EmailMessage) -> bytes:
    if part.get_content_type() == _FORWARDED:
        mail = _forwarded(part)
        return mail.as_bytes() if mail is not None else b""
    raw = part.get_payload(decode=True)
    return raw if isinstance(raw, bytes) else b""
