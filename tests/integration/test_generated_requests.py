"""Nothing that a client sends makes an error of the server's: requests made of its own description.

Schemathesis makes them, fitting and not, of the OpenAPI descriptions of our routes and Chainlit's,
which are read from the app itself; beside them go bytes that no client would send. Both come from
an operator and from nobody. ``make long`` sends 20,000.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import psutil
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from lengths import length
from schemathesis import GenerationMode
from servers import Server

from xoe.auth.identity import COOKIE

pytestmark = pytest.mark.integration

GENERATED, RAW = length(300, 20_000), length(200, 10_000)
"""Requests of either kind at most: of what takes little, there is no more to be made."""
PASSWORD = "kettle orbit lantern"
ENDLESS = "/share/events"
"""Goes on until whoever asks goes away; it takes nothing."""
LOGOUT = "/logout"
"""Does what it is there for: whoever has asked it is nobody from then on."""
NOT_FROM_HERE = {
    ("/share/start", 502): "the other end of a tunnel cannot be reached",
}
"""What is true of something else than this server."""
PATIENCE_S = 60
WARM = length(150, 2000)
"""Requests after which libraries are loaded, and caches and pools of threads mostly filled."""
POOL_THREADS = 8
MAX_GROWTH_BYTES = 64 << 20


@dataclass
class Asked:
    """What was sent, and what was wrong with the answers."""

    server: Server
    cookie: str
    before: tuple[int, int] = (0, 0)
    """Its size when it was warm."""
    statuses: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def size(self) -> tuple[int, int]:
        """The server's threads and its resident bytes."""
        assert self.server.process is not None
        process = psutil.Process(self.server.process.pid)
        return process.num_threads(), process.memory_info().rss

    def judge(self, what: str, path: str, status: int, kind: str, body: bytes) -> None:
        """Every answer that refuses holds a sentence; none is an error of the server's."""
        self.statuses[status] += 1
        if self.statuses.total() == WARM:
            self.before = self.size()
        if status < 400 or (path, status) in NOT_FROM_HERE:
            return
        is_told = kind.startswith("text/html") or what.startswith("HEAD ") or sentence_of(body)
        fault = status >= 500 or not is_told
        if fault:
            self.wrong.append(f"{what}: {status} {body[:200]!r}")


def sentence_of(body: bytes) -> str:
    """Return the sentence that an error's JSON holds; an empty one where there is none."""
    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        return ""
    return detail if isinstance(detail, str) and detail.endswith(".") else ""


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Asked]:
    """A server whose model is elsewhere and away, so that it answers at once."""
    need_models("embedder")
    environment = {
        "XOE_VOICE": "false",
        "XOE_LLM_BASE_URL": "http://127.0.0.1:9/v1",
        "XOE_LLM_MODEL": "none",
        **{f"XOE_LIMIT_{kind}": "1000000" for kind in ("QUESTIONS", "UPLOADS", "AUDIO")},
    }
    server = Server(tmp_path_factory.mktemp("generated"), environment)
    server.add_account("ada", PASSWORD, "operator")
    with server.running():
        yield Asked(server, log_in(server))


def log_in(server: Server) -> str:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE_S) as client:
        form = client.get("/login", headers={"accept": "text/html"}).text
        token = re.search(r'name="token" value="([^"]*)"', form)
        data = {"name": "ada", "password": PASSWORD, "token": token[1] if token else ""}
        client.post("/login", data=data, headers={"accept": "text/html"})
        return client.cookies[COOKIE]


def each(count: int, strategy: st.SearchStrategy[Any], check: Any) -> None:
    """Check ``count`` examples of ``strategy``; what is wrong is collected, and nothing shrunk."""
    bounded = settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    with contextlib.suppress(Unsatisfiable):  # what takes nothing can be given nothing wrong
        seed(time.time_ns())(bounded(given(strategy)(check)))()


def test_requests_made_of_the_description(ways: dict[str, Any], asked: Asked) -> None:
    operations = [
        found.ok()
        for description in ways["described"]
        for found in schemathesis.openapi.from_dict(description).get_all_operations()
    ]
    operations = [one for one in operations if one.path != ENDLESS]
    modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    count = max(1, GENERATED // (len(operations) * len(modes) * 2))
    session = requests.Session()
    session.trust_env = False

    def send(case: Any) -> None:
        for cookie in ("" if case.path == LOGOUT else asked.cookie, ""):
            # A tunnel leads to this computer alone.
            if case.path == "/share/start" and isinstance(case.body, dict):
                case.body = {**case.body, "service": "ssh", "target": "127.0.0.1:9"}
            headers = {"Cookie": f"{COOKIE}={cookie}"} if cookie else {}
            answer = case.call(
                base_url=asked.server.url, session=session, headers=headers, timeout=PATIENCE_S
            )
            kind = (answer.headers.get("content-type") or [""])[0]
            what = f"{case.method} {case.formatted_path} {case.query!r} {case.body!r}"[:300]
            asked.judge(what, case.path, answer.status_code, kind, answer.content)

    for operation in operations:
        for mode in modes:
            strategy = operation.as_strategy(generation_mode=mode)
            each(count, strategy, send)
    report(asked)


def test_what_is_switched_off_is_no_error_of_the_server(asked: Asked) -> None:
    with httpx.Client(base_url=asked.server.url, trust_env=False) as client:
        client.cookies[COOKIE] = asked.cookie
        answer = client.post("/voice/dictation", content=b"", timeout=PATIENCE_S)
    assert answer.status_code == 404, answer.text
    assert "Voice is switched off here" in answer.json()["detail"]
    assert "retry-after" not in answer.headers


# ── bytes ────────────────────────────────────────────────────────────────────────────────────


METHODS = (*"GET POST PUT DELETE PATCH HEAD OPTIONS TRACE CONNECT PRI get FOO".split(), "X" * 300)
ODD = (
    *("%00", "%ff%fe", "..%2f..%2fetc%2fpasswd", "%2e%2e", "a" * 300, "9" * 400, "-1", "NaN"),
    *("%ED%A0%80", "%F0%9F%92%A9", "{x}", "%", "%zz", "//", "/", "\\", ";", "'", "%0d%0a", "~"),
)
COOKIES = (
    *(
        b"=",
        b";;;",
        b"a",
        b"xoe_session=\xff\xfe",
        b"xoe_session=" + b"x" * 9000,
        b"xoe_visitor=%00",
    ),
    *(b"xoe_visitor=\xed\xa0\x80", b"access_token=x.y.z", b"access_token_0=e30", b'a="\\777"'),
    *(b"X-Chainlit-Session-id=../..", b"X-Chainlit-Session-id=\x01", b"__Host-x=\xc3"),
)
HEADERS = (
    *(b"Content-Type: \xff", b"Content-Type: application/json; charset=utf-16", b"Content-Type: ;"),
    *(b"Content-Type: multipart/form-data", b"Content-Type: multipart/form-data; boundary=x"),
    *(b"Content-Type: application/x-www-form-urlencoded", b"Content-Type: application/json"),
    *(b"Content-Length: -1", b"Content-Length: 1e3", b"Content-Length: " + b"9" * 40),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Expect: 100-continue"),
    *(b"Range: bytes=-1", b"Range: bytes=5-1", b"Range: bytes=" + b"9" * 40 + b"-", b"Range: x"),
    *(b"Range: bytes=0-1," + b"1-2," * 500 + b"7-8", b"If-Range: \xff", b"If-None-Match: \xff"),
    *(b"If-Modified-Since: Thu, 99 Foo 99999", b"Accept: \xff", b"Accept-Language: \xff\x00"),
    *(b"Authorization: Bearer \xff", b"Authorization: Bearer", b"Authorization: Basic ////"),
    *(
        b"Origin: http://[",
        b"Origin: \xff",
        b"Origin: null",
        b"Referer: http://[::",
        b"X: " + b"y" * 9000,
    ),
    *(b"X-Request-ID: \xff", b"X-Forwarded-For: \xff", b"traceparent: 00-0-0-0", b"Bad Header"),
    *(b"Upgrade: websocket\r\nConnection: Upgrade", b"Upgrade: h2c\r\nConnection: Upgrade"),
    *(b"Sec-WebSocket-Key: x", b"Sec-WebSocket-Version: 13", b"Accept-Encoding: \xff, gzip;q=x"),
)
UNFINISHED = (b"Transfer-Encoding:", b"Content-Length: 9", b"Upgrade:")
DEEP = 5000
BODIES = (
    *(b"", b"{", b"{}", b"[]", b"null", b"\xff\xfe{", bytes(64), b"NaN", b"1e400", b"-Infinity"),
    *(b'"\\ud800"', b'{"question": "\\udfff", "a": NaN}', b'{"\\ud800": 1e400}', b"a=b&a=%ff&%00"),
    *(b"[" * DEEP, b'{"a":' * DEEP, b"1" * 5000, b"--x\r\n\r\n", b"5\r\nhello\r\nzz\r\n"),
    b'--x\r\nContent-Disposition: form-data; name="file"; filename="\x00"\r\n\r\nx\r\n--x--',
)


def bytes_for(ways: dict[str, Any], cookie: str) -> st.SearchStrategy[tuple[str, bytes]]:
    """Return a strategy for requests that are somehow wrong: the path asked, and all of it."""
    routes = [(m, p) for m, p in ways["routes"] if m not in ("*", "WEBSOCKET") and p != ENDLESS]

    @st.composite
    def made(draw: st.DrawFn) -> tuple[str, bytes]:
        method, path = draw(st.sampled_from(routes))
        odd = st.sampled_from(ODD)
        target = re.sub(r"\{[^}]*\}", lambda _: draw(odd), path)
        if draw(st.integers(0, 3)) == 0:
            target += draw(odd)
        if draw(st.booleans()):
            names = st.sampled_from(
                ["session_id", "limit", "next", "language", "code", "transport"]
            )
            pairs = draw(st.lists(st.tuples(names, odd), max_size=3))
            target += "?" + "&".join(f"{name}={value}" for name, value in pairs)
        if draw(st.integers(0, 5)) == 0:
            method = draw(st.sampled_from(METHODS))
        lines = [b"Host: 127.0.0.1", b"Connection: close"]
        lines += draw(st.lists(st.sampled_from(HEADERS), max_size=3))
        is_known = path != LOGOUT and draw(st.booleans())
        known = [f"{COOKIE}={cookie}".encode()] if is_known else []
        cookies = [*known, *draw(st.lists(st.sampled_from(COOKIES), max_size=1))]
        lines += [b"Cookie: " + b"; ".join(cookies)] if cookies else []
        body = draw(st.sampled_from(BODIES) | st.binary(max_size=40))
        framed = (b"content-length", b"transfer-encoding")
        if not any(line.lower().startswith(framed) for line in lines):
            lines.append(b"Content-Length: %d" % len(body))
        head = f"{method} {target} HTTP/1.1".encode()
        return path, b"\r\n".join([head, *lines, b"", body])

    return made()


def test_bytes_that_no_client_would_send(ways: dict[str, Any], asked: Asked) -> None:
    def send(request: tuple[str, bytes]) -> None:
        path, sent = request
        came = exchanged(asked.server.port, sent)
        came = came.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
        head, _, body = came.partition(b"\r\n\r\n")
        found = re.match(rb"HTTP/1\.1 (\d+)", head)
        kind = re.search(rb"(?i)content-type: (.*)", head)
        if b"websocket" in sent.lower() or sent.startswith(b"HEAD ") or not found:
            kind, body = (
                None,
                b'{"detail": "."}',
            )  # told by the websocket's own library, or not at all
        status = int(found[1]) if found else 0
        asked.judge(repr(sent[:300]), path, status, kind[1].decode() if kind else "", body)

    each(RAW, bytes_for(ways, asked.cookie), send)
    report(asked)


def exchanged(port: int, sent: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes the connection."""
    came = b""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            if any(line in sent for line in UNFINISHED):
                connection.shutdown(socket.SHUT_WR)  # it is not waited for what will not come
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1 << 16):
                came += piece
    return came


# ── and afterwards ───────────────────────────────────────────────────────────────────────────


def test_the_server_is_as_it_was(asked: Asked) -> None:
    """After all of the above."""
    (threads, resident), (threads_now, resident_now) = asked.before, asked.size()
    print(f"\nthreads {threads} -> {threads_now}")
    print(f"resident {resident >> 20} MiB -> {resident_now >> 20} MiB")
    assert threads_now <= threads + POOL_THREADS
    assert resident_now <= resident + MAX_GROWTH_BYTES
    assert asked.server.health()["live"]
    with httpx.Client(trust_env=False, cookies={COOKIE: asked.cookie}) as client:
        assert client.get(f"{asked.server.url}/status", timeout=PATIENCE_S).status_code == 200
    failures = [line for line in asked.server.log.splitlines() if '"exception": ' in line]
    assert not failures, (
        len(failures),
        [json.loads(one)["exception"][-1]["exc_value"] for one in failures],
    )


def report(asked: Asked) -> None:
    print(f"\n{sum(asked.statuses.values())} requests: {dict(sorted(asked.statuses.items()))}")
    assert not asked.wrong, "\n".join(asked.wrong[:40])
