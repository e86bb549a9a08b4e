"""Shows who is on while the app is shared, and sends guests out by one key."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from queue import Empty, Queue
from types import FrameType
from typing import Any, NoReturn

import httpx
from rich.console import Console
from rich.live import Live
from rich.text import Text

from core.errors import ShareError
from xoe import running
from xoe.cli.share_show import at, guest_lines, left

_OVER = ("off", "refused", "ended")
_POLL_S = 0.1
_READ_S = 60.0


def watch(server: running.RunningServer, console: Console) -> None:
    """Show the share until it ends; ending this ends the share. Raises ``ShareError``."""
    states: Queue[dict[str, Any] | None] = Queue()
    threading.Thread(target=_follow, args=(server, states.put), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    try:
        sentence = _show(server, console, states)
    except KeyboardInterrupt:
        _post(server, {})
        sentence = "Ended."
    console.print(f"{sentence} Nothing is shared any more.", markup=False, soft_wrap=True)


def _show(
    server: running.RunningServer,
    console: Console,
    states: Queue[dict[str, Any] | None],
) -> str:
    """Return why it ended."""
    last = ""
    with _keys() as pressed, Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            for key in pressed():
                _act(server, key)
            try:
                state = states.get(timeout=_POLL_S)
            except Empty:
                continue
            if state is None:
                return "The server has stopped."
            if state["state"] in _OVER:
                return str(state["sentence"])
            lines = _lines(state, with_keys=sys.stdin.isatty())
            if console.is_terminal:
                live.update(Text("\n".join(lines)), refresh=True)
            elif (news := "\n".join([lines[0], *guest_lines(state)])) != last:
                console.print(news, markup=False, soft_wrap=True)
                last = news


def _lines(state: dict[str, Any], *, with_keys: bool) -> list[str]:
    until = at(state["ends_at"])
    lines = [f"{state['sentence']} Until {until}, {left(state['ends_in_s'] or 0)}."]
    lines += guest_lines(state) or ["  No guest has come yet."]
    if with_keys:
        lines.append("  Keys: a guest's number sends that guest out, q ends it for all.")
    return lines


def _act(server: running.RunningServer, key: str) -> None:
    if key in "qa\x03\x04":
        raise KeyboardInterrupt
    if key.isdecimal() and key != "0":
        with contextlib.suppress(ShareError):  # there is no such guest
            _post(server, {"guest": key})


def _post(server: running.RunningServer, body: dict[str, Any]) -> None:
    try:
        with server.client(15.0) as client:
            answer = client.post("/share/end", json=body)
    except httpx.HTTPError as exc:
        raise ShareError("The server does not answer; it may have stopped.") from exc
    if answer.status_code != 200:
        raise ShareError(f"The server answered with {answer.status_code}.")


def _follow(server: running.RunningServer, tell: Callable[[dict[str, Any] | None], None]) -> None:
    """Hand on each state that the server tells, then ``None``."""
    try:
        with server.client(_READ_S) as client, client.stream("GET", "/share/events") as answer:
            for line in answer.iter_lines():
                if line.startswith("data: {"):
                    tell(json.loads(line.removeprefix("data: ")))
    except (httpx.HTTPError, ValueError):
        pass
    tell(None)


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Give what returns the keys pressed since the last call; none without a terminal."""
    if not sys.stdin.isatty():
        yield str
        return
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)

    def pressed() -> str:
        ready, _, _ = select.select([descriptor], [], [], 0)
        return os.read(descriptor, 32).decode("ascii", "ignore") if ready else ""

    tty.setcbreak(descriptor)
    try:
        yield pressed
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def _interrupt(_number: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
