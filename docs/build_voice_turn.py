"""Draws ``docs/images/voice-turn.svg`` from ``docs/voice-turn.json``: the times of a spoken turn.

The numbers are those that the page shows under "Times of the last turn" in a call.
Run it after a change of them: ``uv run python docs/build_voice_turn.py``
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
SOURCE = DOCS / "voice-turn.json"
TARGET = DOCS / "images" / "voice-turn.svg"

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 760, 170, 120, 50, 34, 20
BEFORE_MS = 400
"""How much of the speech is drawn."""
GRID_MS = 500


@dataclass(frozen=True)
class Turn:
    """One turn, in milliseconds; what the page shows, and what was asked on which machine."""

    question: str
    machine: str
    date: str
    pause: float
    """Silence after which the transcript was made and the answer prepared."""
    endpoint: float
    stt: float
    retrieval: float
    first_token: float
    first_audio: float


@dataclass(frozen=True)
class Span:
    """A bar of the picture; the end of the speech is at 0 ms."""

    label: str
    from_ms: float
    to_ms: float
    colour: str
    note: str


def spans(turn: Turn) -> tuple[Span, ...]:
    """Return the bars from top to bottom."""
    over = turn.endpoint + turn.stt
    token = over + turn.first_token
    prepared = f"made at the pause, {turn.retrieval:.0f} ms of it retrieval"
    return (
        Span("You speak", -BEFORE_MS, 0, "#7c8a93", ""),
        Span("Silence waited for", 0, turn.endpoint, "#c9d2d6", f"{turn.endpoint:.0f} ms"),
        Span("Transcript and passages", turn.pause, over, "#2f8f83", prepared),
        Span("The quote is voiced", over, turn.first_audio, "#e0a93b", "Piper's first window"),
        Span("The answer sounds", turn.first_audio, token + BEFORE_MS, "#0f5c55", ""),
        Span("The model reads on", turn.pause, token, "#9bb7d4", f"first word at {token:.0f} ms"),
    )


def draw(turn: Turn) -> str:
    """Return the picture as SVG."""
    bars = spans(turn)
    end = max(bar.to_ms for bar in bars)
    scale = (WIDTH - LEFT - RIGHT) / (end + BEFORE_MS)
    height = TOP + ROW * len(bars) + 60

    def x(ms: float) -> float:
        return LEFT + (ms + BEFORE_MS) * scale

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="13" fill="#1f2a30">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="20" font-weight="bold">“{escape(turn.question)}”</text>',
    ]
    bottom = TOP + ROW * len(bars)
    for ms in range(0, int(end) + 1, GRID_MS):
        at = f"{x(ms):.1f}"
        parts += [
            f'<line x1="{at}" y1="{TOP - 8}" x2="{at}" y2="{bottom}" stroke="#d9dfe2"/>',
            f'<text x="{at}" y="{bottom + 16}" text-anchor="middle" font-size="11">{ms} ms</text>',
        ]
    for row, bar in enumerate(bars):
        y = TOP + ROW * row
        wide = max(2.0, (bar.to_ms - bar.from_ms) * scale)
        parts.append(
            f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{escape(bar.label)}</text>'
            f'<rect x="{x(bar.from_ms):.1f}" y="{y}" width="{wide:.1f}" height="{BAR}" rx="4" '
            f'fill="{bar.colour}"/>'
            f'<text x="{x(bar.to_ms) + 6:.1f}" y="{y + 15}" font-size="11">'
            f"{escape(bar.note)}</text>"
        )
    sound = x(turn.first_audio)
    parts.append(
        f'<line x1="{sound:.1f}" y1="{TOP - 14}" x2="{sound:.1f}" y2="{bottom}" stroke="#b3261e" '
        'stroke-width="1.5" stroke-dasharray="4 3"/>'
        f'<text x="{sound + 4:.1f}" y="{TOP - 14}" fill="#b3261e" font-size="12">'
        f"first sound: {turn.first_audio:.0f} ms after the speech</text>"
        f'<text x="{LEFT}" y="{height - 12}" font-size="11" fill="#5b6a72">'
        f"{escape(turn.machine)}, {escape(turn.date)}</text></svg>"
    )
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(draw(Turn(**json.loads(SOURCE.read_text("utf-8")))), "utf-8")
