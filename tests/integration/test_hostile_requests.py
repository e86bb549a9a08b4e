"""Whatever is sent to any route is answered with JSON that every parser reads, and a sentence.

The routes, and the schemas of what they take, are read from the app itself (``tests/ways_in.py``),
so that a new one is covered.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any, NoReturn

import httpx
import pytest
from fuzzing import fuzz
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from page_client import open_page
from servers import Server

from chains.generation import _events
from chains.types import Token
from xoe.web.api import _frame

pytestmark = pytest.mark.integration

ENDLESS = "GET /share/events"
"""Goes on until whoever asks goes away; it takes nothing."""
WITHOUT_SCHEMA = {
    "POST /links": {"thread": "x", "message": "x", "days": 1.5},
    "POST /set-session-cookie": {"session_id": "x"},
}
"""JSON that is read without a model. All other routes without one read no JSON."""

DEEP = 900  # nearly as deep as Python parses
VALUES = (
    *("NaN", "Infinity", "-Infinity", "-1e999", "[NaN]", '{"a": [Infinity]}'),
    *('"\\ud800"', '{"\\udfff": "\\udc00\\ud800"}', '"\\u0000\\u202e\\ufeff"'),
    *(f"1{'0' * 4000}", f"1{'0' * 5000}", f"-1.{'7' * 400}e308"),
    *("[" * DEEP + "]" * DEEP, '{"a":' * DEEP + "NaN" + "}" * DEEP),
    *("null", "true", "1.5", '""', '"a"', "[]", "{}"),
)
BODIES = (
    *(
        b"",
        b"\xff\xfe\x00{",
        b"\x00" * 64,
        b"{",
        b'{"a": 1, "a": ',
        b'{"question": "\xed\xa0\x80"}',
    ),
    *(b"[" * 100_000, b'{"a":' * 40_000, b'"' + b"\\ud800" * 1000 + b'"', b"1" * 100_000),
    *(value.encode() for value in VALUES),
    b'{"\\ud800": NaN}',
)
KINDS = (
    *("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""),
    *("multipart/form-data", "multipart/form-data; boundary=x", "\u00ff/\u00fe"),
)
ODD = ("\ud800", "\x00", "\u202e", "..", "9" * 400, "NaN", "%ff", "%00", "a" * 300)
"""In addresses."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, need_models) -> Iterator[Server]:
    """A server whose model is elsewhere and away, so that it is there soon and answers at once."""
    need_models("embedder")
    home = tmp_path_factory.mktemp("hostile")
    elsewhere = {"XOE_LLM_BASE_URL": "http://127.0.0.1:9/v1", "XOE_LLM_MODEL": "none"}
    without_limits = {"XOE_LIMIT_QUESTIONS": "100000", "XOE_LIMIT_AUDIO": "100000"}
    server = Server(home, {**elsewhere, **without_limits})
    with server.running():
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client:
        yield client


def tried(ways: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Each way, its method and its path with something in its braces."""
    for method, path in ways["routes"]:
        way = f"{method} {path}"
        if method not in ("*", "WEBSOCKET") and way != ENDLESS:
            yield way, method, re.sub(r"\{[^}]*\}", "x", path)


def example(schema: dict[str, Any], whole: dict[str, Any] | None = None) -> Any:
    """Return something that fits a JSON schema, with all that is optional."""
    whole = whole or schema
    if "$ref" in schema:
        return example(whole["$defs"][schema["$ref"].rpartition("/")[2]], whole)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], whole)
    if "enum" in schema or "const" in schema:
        return (schema.get("enum") or [schema["const"]])[0]
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: example(part, whole) for name, part in fields.items()}
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return []
    return "x"


def mutations(value: Any) -> Iterator[str]:
    """Yield the JSON of ``value`` with one hostile value in each place of it, one after another."""
    for hostile in VALUES:
        for place in places(value):
            marked = json.dumps(put(value, place, "\0here"))
            yield marked.replace('"\\u0000here"', hostile)


def places(value: Any, at: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield at
    if isinstance(value, dict):
        for name, part in value.items():
            yield from places(part, (*at, name))


def put(value: Any, place: tuple[str, ...], what: Any) -> Any:
    if not place:
        return what
    return {**value, place[0]: put(value[place[0]], place[1:], what)}


def refuse(constant: str) -> NoReturn:
    raise AssertionError(f"{constant} is no JSON")


def problem_of(answer: httpx.Response, *, is_ours: bool) -> str | None:
    """Return what is wrong with an answer; 502 and 503 are of what the server itself asks."""
    if answer.status_code < 400 or answer.headers.get("content-type", "").startswith("text/html"):
        return None
    try:
        said = json.loads(answer.content.decode(), parse_constant=refuse)
        sentence = said["detail"]
        sentence.encode()
    except (AssertionError, ValueError, KeyError, TypeError, AttributeError) as exc:
        return f"{answer.status_code} {exc!r}: {answer.text[:200]}"
    is_sentence = sentence.endswith(".") and (" " in sentence or not is_ours)
    is_told = answer.status_code < 500 or answer.status_code in (502, 503)
    return None if is_sentence and is_told else f"{answer.status_code} {answer.text[:200]}"


def test_every_route_takes_any_body_and_says_in_a_sentence_what_is_wrong(
    ways: dict[str, Any], client: httpx.Client
) -> None:
    wrong, sent = [], 0
    for way, method, path in tried(ways):
        if method == "GET":
            continue
        whole = WITHOUT_SCHEMA.get(way) or example(ways["schemas"][way])
        bodies = [*BODIES, *(body.encode() for body in mutations(whole))]
        requests = [("application/json", body) for body in bodies]
        requests += [(kind, body) for kind in KINDS for body in (b"", b"\xff\xfe", b"{}", b"a=b")]
        for kind, body in requests:
            headers = {b"content-type": kind.encode("latin-1")}
            answer = client.request(method, path, content=body, headers=headers)
            sent += 1
            if told := problem_of(answer, is_ours=way in ways["ours"]):
                wrong.append(f"{way} {kind} {body[:80]!r}: {told}")
    assert sent > 2000
    assert not wrong, "\n".join(wrong[:40])


def test_every_route_takes_any_address(ways: dict[str, Any], client: httpx.Client) -> None:
    wrong = []
    for method, path in ways["routes"]:
        way = f"{method} {path}"
        if method in ("*", "WEBSOCKET") or way == ENDLESS:
            continue
        for odd in ODD:
            raw = httpx.QueryParams({"x": odd.encode("utf-8", "replace").decode()})
            filled = re.sub(r"\{[^}]*\}", lambda _: str(raw)[2:], path)  # noqa: B023
            names = ("limit", "session_id", "language", "theme", "code", "next", "chat_profile")
            query = "&".join(f"{name}={str(raw)[2:]}" for name in names)
            answer = client.request(method, f"{filled}?{query}")
            if told := problem_of(answer, is_ours=way in ways["ours"]):
                wrong.append(f"{way} {odd[:40]!r}: {told}")
    assert not wrong, "\n".join(wrong[:40])


def test_a_body_without_end_is_refused_by_every_route(
    ways: dict[str, Any], client: httpx.Client
) -> None:
    """While it arrives: it says nowhere how long it is."""
    wrong, refused = [], 0
    for way, method, path in tried(ways):
        if method != "GET":
            pieces = (b"[" * 64_000 for _ in range(8))
            headers = {"content-type": "application/json"}
            try:
                answer = client.request(method, path, content=pieces, headers=headers)
            except httpx.TransportError:  # answered unread, and closed while it was being sent
                continue
            refused += answer.status_code == 413
            if told := problem_of(answer, is_ours=way in ways["ours"]):
                wrong.append(f"{way}: {told}")
            elif answer.status_code >= 500:
                wrong.append(f"{way}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)
    assert refused > 5


def test_random_json_is_told_in_json(ways: dict[str, Any], client: httpx.Client) -> None:
    """As above with what nobody thought of."""
    wanted = ("POST /query", "POST /share/start", "PUT /feedback", "POST /project/action")
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
    surrogates = st.text(st.characters(categories=["Cs", "Cc", "Cf"]), max_size=4)
    values = st.recursive(
        leaves | surrogates,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(max_size=8) | surrogates, inner, max_size=3)
        ),
        max_leaves=8,
    )

    def check(way: str, value: Any, place: int) -> None:
        whole = example(ways["schemas"][way])
        there = list(places(whole))
        body = json.dumps(put(whole, there[place % len(there)], value))
        method, _, path = way.partition(" ")
        headers = {"content-type": "application/json"}
        answer = client.request(method, path, content=body.encode(), headers=headers)
        assert problem_of(answer, is_ours=True) is None

    fuzz(check, st.sampled_from(wanted), values, st.integers(0, 50), examples=200)


@pytest.mark.parametrize("field", ["max_tokens", "use_library", "colour"])
def test_a_question_with_a_number_that_is_none_is_refused_by_name(
    client: httpx.Client, field: str
) -> None:
    for path in ("/query", "/query/stream"):
        body = f'{{"question": "Why?", "{field}": NaN}}'
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 422
        assert answer.json()["detail"].startswith(f"{field}: ")


def test_a_model_that_writes_half_a_character_does_not_break_the_stream() -> None:
    """A server's JSON can bring half of a surrogate pair, which no byte of an answer can hold."""
    (token,) = _events(AIMessageChunk("half \ud83d here"))
    assert isinstance(token, Token)
    data = _frame(token).encode().decode().partition("data: ")[2]
    assert json.loads(data, parse_constant=refuse) == {"text": "half ? here"}


def test_a_share_that_cannot_be_is_the_asker_s_mistake(client: httpx.Client) -> None:
    """Nothing was tried, so it is not the other end that failed."""
    for body in ({}, {"target": "a b"}, {"target": "me@example.org", "public_url": "ftp://x"}):
        answer = client.post("/share/start", json=body)
        assert answer.status_code == 422, answer.text
        assert answer.json()["detail"].endswith((".", ")"))


def test_no_error_echoes_what_was_sent(client: httpx.Client) -> None:
    """A password in the wrong field would come back, and stand in a program's log."""
    answer = client.post("/query", json={"question": ["a secret word"], "max_tokens": "a secret"})
    assert answer.status_code == 422
    assert "secret" not in answer.text


async def test_a_page_takes_anything_by_its_socket_and_goes_on(server: Server) -> None:
    async with open_page(server.url, visitor=uuid.uuid4().hex) as page:
        await page.until(lambda: bool(page.elements))
        nan = float("nan")
        odd = [None, nan, [nan], "\ud800", {"a": "\udfff"}, 10**400, {}, [], "x"]
        for event in ("client_message", "edit_message", "chat_settings_change", "audio_chunk"):
            for value in odd:
                await page.socket.emit(event, value)
                await page.socket.emit(event, {"message": value, "fileReferences": value})
        for value in odd:
            await page.socket.emit("window_message", value)
        assert await page.ask("What is half \ud83d of a pair?")
        assert await page.ask("Which file types can I add?")
    # Half a character is no failure of an engine: it would count against everybody's.
    assert server.health()["level"] in ("full", "extractive")


@pytest.mark.parametrize("part", ["bytes=5-1", "x", "bytes=99999999999999999999-"])
def test_a_part_of_a_file_that_cannot_be_is_told_in_a_sentence(
    client: httpx.Client, part: str
) -> None:
    answer = client.get("/favicon", headers={"range": part})
    assert answer.status_code in (400, 416)
    assert answer.json()["detail"].endswith(".")
