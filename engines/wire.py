"""Frames between the server and an engine's process: a head of JSON, and raw bytes behind it.

A frame is the two lengths, the head and the payload. Nothing is pickled, so a process that has
gone mad can send nonsense but no code. The head is ASCII: texts with broken characters survive.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from typing import Any, Final

LENGTHS: Final = struct.Struct("!II")
"""Bytes of the head and of the payload."""
MAX_HEAD_BYTES: Final = 64 * 2**20
"""The sentences whose tokens are counted at a time are the longest head there is."""
MAX_PAYLOAD_BYTES: Final = 64 * 2**20

Head = dict[str, Any]


@dataclass(frozen=True)
class Frame:
    """One message."""

    head: Head
    payload: bytes = field(default=b"", repr=False)


def pack(head: Head, payload: bytes | memoryview = b"") -> bytes:
    """Return a frame's bytes. Raises ``ValueError`` when it is too large."""
    text = json.dumps(head, separators=(",", ":")).encode("ascii")
    _refuse_oversized(len(text), len(payload))
    return b"".join((LENGTHS.pack(len(text), len(payload)), text, payload))


def lengths(data: bytes) -> tuple[int, int]:
    """Return the bytes of the head and of the payload; ``ValueError`` when they are no frame's."""
    head, payload = LENGTHS.unpack(data)
    _refuse_oversized(head, payload)
    return head, payload


def unpack(head: bytes, payload: bytes) -> Frame:
    """Return the frame; ``ValueError`` when the head is no JSON object."""
    parsed = json.loads(head)
    if not isinstance(parsed, dict):
        raise ValueError("the head of a frame is no object")
    return Frame(parsed, payload)


def _refuse_oversized(head: int, payload: int) -> None:
    if head > MAX_HEAD_BYTES or payload > MAX_PAYLOAD_BYTES:
        raise ValueError("a frame out of bounds")
