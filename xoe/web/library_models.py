"""What the library's routes take and give."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ingest.shelf import MAX_LISTED, MAX_TAG_CHARS, MAX_TAGS

MAX_ID = 2**63 - 1

DocumentId = Annotated[int, Field(ge=0, le=MAX_ID)]
_Tag = Annotated[str, Field(max_length=MAX_TAG_CHARS)]


class LibraryEntry(BaseModel):
    """A document of the library."""

    id: int
    name: str = Field(description="A path inside the library, or the name of an uploaded file.")
    title: str
    kind: str | None
    bytes: int = Field(description="Of the file.")
    passages: int
    pages: int | None
    unit: str = Field(description="What pages counts: page, slide, row, message …")
    language: str = Field(description="ISO 639-1; empty where there is no text.")
    added_at: str = Field(description="When it was read last, in UTC.")
    state: Literal["ready", "failed"]
    reason: str | None = Field(description="Why it failed, or what of it could not be read.")
    own: bool
    tags: list[str]
    removable: bool
    kept_because: str = Field(description="Why it cannot be deleted; empty where it can.")
    with_file: bool = Field(description="Deleting it deletes its file in the library's folder.")
    movable: bool
    original: bool = Field(description="Whether its file is there to be read again.")
    found: Literal["", "name", "content"] = Field(
        "", description="Where what was looked for stands."
    )


class KindTotal(BaseModel):
    """What there is of one kind of file."""

    documents: int
    bytes: int


class DayTotal(KindTotal):
    """What came on one day."""

    day: str


class FolderTotal(BaseModel):
    """What lies right in one folder."""

    own: bool
    folder: str
    documents: int


class LibraryTotals(BaseModel):
    """What there is altogether."""

    documents: int
    passages: int
    bytes: int
    failed: int
    by_kind: dict[str, KindTotal]
    added: list[DayTotal]
    tags: dict[str, int]
    folders: list[FolderTotal]


class LibraryPage(BaseModel):
    """One page of the list."""

    documents: list[LibraryEntry]
    matched: int = Field(description="How many there are, on all pages.")
    may_add: bool = Field(description="Whether one may add documents of one's own.")
    may_share: bool = Field(description="Whether one may add and change shared documents.")
    may_add_pages: bool = Field(description="Whether web pages may be added by their address.")
    totals: LibraryTotals


class HeadingEntry(BaseModel, from_attributes=True):
    """A heading of a document."""

    level: int
    text: str
    start: int


class PassageEntry(BaseModel):
    """A passage, as it is searched."""

    id: int
    start: int
    end: int
    heading: str


class PageEntry(BaseModel, from_attributes=True):
    """A page of a document, in its text."""

    number: int
    start: int
    end: int


class LibraryDetail(LibraryEntry):
    """A document and what it is made of."""

    origin: str = Field(description="folder, upload, or where it came from.")
    characters: int
    headings: list[HeadingEntry]
    passages_in_order: list[PassageEntry]


class TextPart(BaseModel):
    """A part of a document's text."""

    text: str
    start: int
    end: int
    characters: int = Field(description="Of the whole text.")
    pages: list[PageEntry] = Field(description="The pages that stand in this part.")


class TagsRequest(BaseModel):
    """The tags that a document is to have."""

    model_config = ConfigDict(extra="forbid")

    tags: Annotated[list[_Tag], Field(max_length=MAX_TAGS)]


class MoveRequest(BaseModel):
    """Where a document is to go."""

    model_config = ConfigDict(extra="forbid")

    to: Literal["shared", "own"]


class DeleteRequest(BaseModel):
    """Which documents are to be deleted."""

    model_config = ConfigDict(extra="forbid")

    ids: Annotated[list[DocumentId], Field(min_length=1, max_length=MAX_LISTED)]


class ChangeRequest(DeleteRequest, TagsRequest):
    """Which documents are to get more tags, or are to go elsewhere."""

    tags: Annotated[list[_Tag], Field(max_length=MAX_TAGS)] = []
    to: Literal["shared", "own"] | None = None


class AddRequest(BaseModel):
    """A web page that is to be added."""

    model_config = ConfigDict(extra="forbid")

    address: Annotated[str, Field(min_length=1, max_length=2000)]


class Refused(BaseModel):
    """A document with which that cannot be done."""

    id: int
    reason: str


class ChangeResponse(BaseModel):
    """What was changed."""

    changed: list[int]
    refused: list[Refused]


class DeleteResponse(BaseModel):
    """What was deleted."""

    deleted: list[int]
    refused: list[Refused]
    undo: str = Field(description="For POST /library/undo; empty where nothing was deleted.")
    seconds: int = Field(description="So long it can be undone.")


class UndoRequest(BaseModel):
    """What is to be undone."""

    model_config = ConfigDict(extra="forbid")

    undo: Annotated[str, Field(min_length=1, max_length=64)]


class UndoResponse(BaseModel):
    """What is back."""

    restored: list[int]
