"""How a share is shown in a terminal: the link, its QR code, the guests."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
import time
from io import StringIO
from typing import Any

import segno
from rich.console import Console

_COPIERS = (
    ("WAYLAND_DISPLAY", ["wl-copy"]),
    ("DISPLAY", ["xclip", "-selection", "clipboard"]),
    ("DISPLAY", ["xsel", "--clipboard", "--input"]),
)
_COPY_S = 2.0


def print_link(console: Console, state: dict[str, Any]) -> None:
    """Print the link, its QR code and what the operator should know."""
    link = str(state["link"])
    console.print("\n  Guests come in by this link:\n")
    # A link that is broken into lines could not be copied or clicked.
    sys.stdout.write(f"{link}\n\n")
    if sys.stdout.isatty():
        code = StringIO()
        segno.make(link, micro=False).terminal(code, border=2, compact=True)
        sys.stdout.write(code.getvalue() + "\n")
    sys.stdout.flush()
    may = "ask, and upload documents" if state["scope"] == "upload" else "ask"
    console.print(
        f"  Up to {state['max_guests']} guests may {may}, until {at(state['ends_at'])}.",
        markup=False,
    )
    for note in state["notes"]:
        console.print(f"  {note}", style="yellow", markup=False, soft_wrap=True)


def print_state(console: Console, state: dict[str, Any]) -> None:
    """Print what is shared, and the guests."""
    console.print(state["sentence"], markup=False, soft_wrap=True)
    if state["link"]:
        sys.stdout.write(f"{state['link']}\n")
        sys.stdout.flush()
    if state["ends_at"] and state["ends_in_s"] is not None:
        console.print(f"Until {at(state['ends_at'])} ({left(state['ends_in_s'])}).", markup=False)
    for line in guest_lines(state):
        console.print(line, markup=False)
    if state["max_guests"] is not None and not state["guests"]:
        console.print("No guest has come yet.")


def guest_lines(state: dict[str, Any]) -> list[str]:
    """Return a line for each guest."""
    lines = []
    for guest in state["guests"]:
        how = "is out" if guest["is_ended"] else "is here" if guest["is_here"] else "is away"
        lines.append(
            f"  {guest['number']}  Guest {guest['number']} {how}, since {at(guest['came_at'])}"
        )
    return lines


def at(unix_s: float) -> str:
    """Return a time of day, with the date when that is not today's."""
    then, now = time.localtime(unix_s), time.localtime()
    is_today = then[:3] == now[:3]
    return time.strftime("%H:%M" if is_today else "%Y-%m-%d %H:%M", then)


def left(seconds: int) -> str:
    """Return how much time is left."""
    if seconds < 120:
        return f"{seconds} s left"
    hours, minutes = divmod(seconds // 60, 60)
    return f"{hours} h {minutes} min left" if hours else f"{minutes} min left"


def copy_to_clipboard(text: str) -> bool:
    """Try to copy; return whether something took it. Never raises."""
    for variable, command in _COPIERS:
        program = shutil.which(command[0])
        if not os.environ.get(variable) or program is None:
            continue
        try:
            done = subprocess.run(
                [program, *command[1:]],
                input=text.encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=_COPY_S,
                start_new_session=True,
                check=False,
            )
        except (OSError, subprocess.SubprocessError):
            continue
        if done.returncode == 0:
            return True
    if sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        # OSC 52: most terminals copy it, over SSH too; the others show nothing of it.
        sys.stdout.write(f"\x1b]52;c;{base64.b64encode(text.encode()).decode()}\x07")
        sys.stdout.flush()
        return True
    return False
