"""The process that an engine lives in: ``python -m engines.child FD PARENT MODULE:CLASS``.

Calls come in over the socket ``FD``, and events and results go back. It ends with whoever started
it: the kernel kills it when that thread is gone, and it ends by itself when the socket is closed.
What it knows comes over the socket, so nothing stands in the list of processes.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import os
import queue
import resource
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":  # structlog and asyncio load them where they are: 9 MB for nothing
    sys.modules.update({"rich": None, "ssl": None})  # type: ignore[dict-item] # a way to refuse

import structlog

from core.errors import XoeError
from engines.service import Call, Cancelled, Service
from engines.wire import LENGTHS, Frame, Head, lengths, pack, unpack

BEAT_S: Final = 0.5
"""How often it tells that it lives: also while the engine computes, as that holds no lock."""

_PR_SET_PDEATHSIG: Final = 1
_FIRST_TO_GO: Final = "500"
"""Of 1,000: where memory ends, the kernel takes an engine rather than the server."""
_NO_CORE: Final = (1, 1)
"""Bytes. A limit of 0 does not keep the kernel from piping a gigabyte to a crash reporter, for
which the process would linger; exactly 1 does (``do_coredump`` in Linux's ``fs/coredump.c``)."""

log = structlog.get_logger(__name__)


def main(descriptor: int, parent: int, name: str) -> None:
    """Serve until the socket is closed."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    resource.setrlimit(resource.RLIMIT_CORE, _NO_CORE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    channel = Channel(socket.socket(fileno=descriptor))
    _log_to(channel)
    module, _, kind = name.partition(":")
    options = channel.receive()
    if options is None:
        return
    service: Service = getattr(importlib.import_module(module), kind)(**options.head)
    channel.send({"ready": True})
    threading.Thread(target=_beat, args=(channel,), daemon=True, name="beat").start()
    _serve(service, channel)
    os._exit(0)  # whatever the engine's threads are at has nobody waiting for it


class Channel:
    """The socket. Any thread may send; one receives."""

    def __init__(self, connection: socket.socket) -> None:
        """Take the connected socket."""
        self._connection = connection
        self._reader = connection.makefile("rb")
        self._sending = threading.Lock()

    def send(self, head: Head, payload: bytes = b"") -> None:
        """Send a frame; without anybody to take it the process ends."""
        data = pack(head, payload)
        try:
            with self._sending:
                self._connection.sendall(data)
        except OSError:
            os._exit(0)

    def receive(self) -> Frame | None:
        """Return the next frame, ``None`` when there will be none."""
        try:
            begin = self._reader.read(LENGTHS.size)
            if len(begin) < LENGTHS.size:
                return None
            head_bytes, payload_bytes = lengths(begin)
            head, payload = self._reader.read(head_bytes), self._reader.read(payload_bytes)
        except OSError:  # the server is gone, and has not read all that it was sent
            return None
        if len(head) < head_bytes or len(payload) < payload_bytes:
            return None
        return unpack(head, payload)


class _Lane:
    """One thread, and the calls that wait for it."""

    def __init__(self, name: str, service: Service, channel: Channel) -> None:
        self._name = name
        self._service = service
        self._channel = channel
        self._waiting: queue.SimpleQueue[tuple[int, str, Call]] = queue.SimpleQueue()
        self.calls: dict[int, Call] = {}
        threading.Thread(target=self._run, daemon=True, name=name).start()

    def put(self, number: int, method: str, call: Call) -> None:
        self.calls[number] = call
        self._waiting.put((number, method, call))

    def _run(self) -> None:
        self._service.enter(self._name)
        while True:
            number, method, call = self._waiting.get()
            try:
                head, payload = _carry_out(self._service, method, call)
            finally:
                call.end()
                self.calls.pop(number, None)
            try:
                self._channel.send(head | {"call": number}, payload)
            except ValueError as exc:  # too large for a frame
                self._channel.send({"fault": str(exc), "call": number})


def _carry_out(service: Service, method: str, call: Call) -> tuple[Head, bytes]:
    """Return the frame that ends the call."""
    try:
        call.check()
        result: Any = getattr(service, method)(call)
    except Cancelled:
        return {"cancelled": True}, b""
    except XoeError as exc:
        return {"error": type(exc).__name__, "message": str(exc)}, b""
    except Exception as exc:
        if call.cancelled:  # it was torn off in the middle, and says so in its own way
            return {"cancelled": True}, b""
        log.exception("engine.call_failed", method=method)
        return {"fault": f"{type(exc).__name__}: {exc}"}, b""
    head, payload = result if isinstance(result, tuple) else (result or {}, b"")
    return {"result": head}, payload


def _serve(service: Service, channel: Channel) -> None:
    lanes = {name: _Lane(name, service, channel) for name in dict.fromkeys(service.LANES.values())}
    while (frame := channel.receive()) is not None:
        number = int(frame.head["call"])
        if frame.head.get("cancel"):
            for lane in lanes.values():
                if (call := lane.calls.get(number)) is not None:
                    call.cancel()
            continue
        method = str(frame.head["method"])

        def emit(head: Head, payload: bytes, number: int = number) -> None:
            channel.send({"call": number, "event": head}, payload)

        lanes[service.LANES[method]].put(
            number, method, Call(frame.head["arguments"], frame.payload, emit)
        )


def _beat(channel: Channel) -> None:
    pause = threading.Event()
    while True:
        channel.send({"beat": True})
        pause.wait(BEAT_S)


def _log_to(channel: Channel) -> None:
    """Send our own log lines to the server, which writes them into its log."""

    def send(_: object, level: str, event: structlog.typing.EventDict) -> str:
        name = str(event.pop("event"))
        fields = {key: _plain(value) for key, value in event.items()}
        channel.send({"log": level, "name": name, "fields": fields})
        raise structlog.DropEvent

    structlog.configure(processors=[structlog.processors.format_exc_info, send])


def _plain(value: object) -> object:
    return value if isinstance(value, (str, int, float, bool)) or value is None else str(value)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
