"""Tells recordings by their first bytes.

By hand, since puremagic gives several answers for the containers that sound shares with pictures
and films (RIFF, ISO media), and none for an MP3 without a tag.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_HEAD_BYTES = 16_384
_FILM_BRANDS = (
    *(b"M4A", b"M4B", b"M4P", b"M4V", b"iso", b"mp4", b"avc", b"qt  ", b"3g", b"dash", b"f4"),
    *(b"MSNV", b"mmp4", b"cmf"),
)
"""Of ISO media files; pictures (HEIC, AVIF, JPEG 2000) have others."""
_MARKS = (
    *(b"OggS\0", b"fLaC\0", b"fLaC\x80", b"\x1a\x45\xdf\xa3", b"caff\0\1"),
    *(b"ID3\2", b"ID3\3", b"ID3\4"),
)
"""Each with its version, since a text may begin with the letters."""
_BITRATES_KBIT = {
    # (version 1?, layer): by the four bits of the header; 0 is free or forbidden.
    (True, 1): (0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448, 0),
    (True, 2): (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 0),
    (True, 3): (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    (False, 1): (0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256, 0),
    (False, 2): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
    (False, 3): (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
_RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def is_recording(path: Path) -> bool:
    """Return whether the file at ``path`` begins as a sound file or a film does. Blocking."""
    with path.open("rb") as file:
        return has_sound_head(file.read(_HEAD_BYTES))


def has_sound_head(head: bytes) -> bool:
    """Return whether ``head``, a file's beginning, is that of a sound file or a film.

    WAV, AVI, MP3, AAC, FLAC, Ogg, WebM and Matroska, AIFF, CAF, MP4 with its kin.
    """
    if head[:4] in (b"RIFF", b"RF64"):
        return head[8:12] in (b"WAVE", b"AVI ")
    if head[4:8] == b"ftyp":
        return head[8:].startswith(_FILM_BRANDS)
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    if head.startswith(_MARKS):
        return True
    return _frames_follow(head, _mpeg_frame_bytes) or _frames_follow(head, _adts_frame_bytes)


def _frames_follow(head: bytes, frame_bytes: Callable[[bytes], int]) -> bool:
    """Return whether three frames stand one behind the other: two bytes occur in anything."""
    place = 0
    for _ in range(3):
        length = frame_bytes(head[place : place + 6])
        if not length:
            return False
        place += length
    return True


def _mpeg_frame_bytes(header: bytes) -> int:
    """Return the length of the MPEG audio frame with this header; 0 if it is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    rate = header[2] >> 2 & 3
    if version == 1 or layer == 4 or rate == 3:
        return 0
    bits = _BITRATES_KBIT[version == 3, layer][header[2] >> 4] * 1000
    padding = header[2] >> 1 & 1
    hertz = _RATES_HZ[version][rate]
    if layer == 1:
        return (12 * bits // hertz + padding) * 4 if bits else 0
    samples = 72 if layer == 3 and version != 3 else 144
    return samples * bits // hertz + padding if bits else 0


def _adts_frame_bytes(header: bytes) -> int:
    """Return the length of the AAC frame with this header; 0 if it is none."""
    if len(header) < 6 or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:
        return 0
    length = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    return length if length >= 7 else 0
