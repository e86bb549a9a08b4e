"""The login and the account's page, authenticated for real: nothing of them needs a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from authenticated import GOOD, PAGE, Authenticated, authenticated_client, call, field, log_in, said
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from xoe.auth.identity import COOKIE, identity_of
from xoe.serve import install as web
from xoe.web import account, forms, login

OTHER = "saddle pillow fourteen"


async def who(request: Request) -> PlainTextResponse:
    return PlainTextResponse(identity_of(request.scope).id)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[tuple[TestClient, Authenticated]]:
    app = Starlette(routes=[*web.account_routes(), Route("/{path:path}", who)])
    with authenticated_client(app, tmp_path) as (client, authenticated):
        app.state.startup = authenticated
        call(client, authenticated, lambda auth: auth.users.add("ada", GOOD))
        call(client, authenticated, lambda auth: auth.users.add("ben", GOOD))
        yield client, authenticated


def test_a_login_leads_to_where_one_wanted_to_go(house: tuple[TestClient, Authenticated]) -> None:
    client, _ = house
    refused = client.get("/some/chat?a=1", headers=PAGE, follow_redirects=False)
    assert refused.status_code == 303
    page = client.get(refused.headers["location"], headers=PAGE)
    assert page.headers["referrer-policy"] == "same-origin"
    assert "script" not in page.headers["content-security-policy"]
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert "<script" not in page.text
    form = {"name": " ADA ", "password": GOOD, "token": field(page.text, "token")}
    form["next"] = field(page.text, "next")
    origin = {**PAGE, "origin": "http://127.0.0.1:8000"}
    done = client.post("/login", data=form, headers=origin, follow_redirects=False)
    assert (done.status_code, done.headers["location"]) == (303, "/some/chat?a=1")
    assert client.get("/some/chat").text == "user:ada"
    cookies = [c for c in done.headers.get_list("set-cookie") if c.startswith(COOKIE)]
    assert "HttpOnly" in cookies[0]
    assert "samesite=lax" in cookies[0].lower()


def test_what_is_wrong_is_said_and_the_password_not_sent_back(
    house: tuple[TestClient, Authenticated],
) -> None:
    client, authenticated = house
    wrong = log_in(client, "ada", "not it <b>at all</b>")
    assert wrong.status_code == 401
    assert said(wrong.text) == "The name or the password is wrong."
    assert "not it" not in wrong.text
    nobody = log_in(client, '"><script>x</script>', "not it at all")
    assert (nobody.status_code, said(nobody.text)) == (401, said(wrong.text))
    assert "<script>" not in nobody.text
    call(client, authenticated, lambda auth: auth.users.set_disabled("ben", True))
    off = log_in(client, "ben", GOOD)
    assert (off.status_code, "switched off" in said(off.text)) == (401, True)
    assert "switched off" not in said(log_in(client, "ben", "not it at all").text)
    assert client.get("/", headers=PAGE, follow_redirects=False).status_code == 303


def test_the_sixth_attempt_waits_and_says_how_long(house: tuple[TestClient, Authenticated]) -> None:
    client, _ = house
    statuses = [log_in(client, "ada", f"wrong number {n}").status_code for n in range(7)]
    assert statuses == [401] * 5 + [429] * 2
    late = log_in(client, "ada", GOOD)
    assert late.status_code == 429
    assert "was not looked at" in said(late.text)
    assert 1 <= int(late.headers["retry-after"]) <= 2
    assert log_in(client, "ben", GOOD).status_code == 303


@pytest.mark.parametrize(
    "headers", [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}]
)
def test_another_sites_form_logs_nobody_in(
    house: tuple[TestClient, Authenticated], headers: dict[str, str]
) -> None:
    client, _ = house
    page = client.get("/login", headers=PAGE)
    form = {"name": "ada", "password": GOOD, "token": field(page.text, "token"), "next": "/"}
    refused = client.post("/login", data=form, headers={**PAGE, **headers})
    assert refused.status_code == 403
    assert COOKIE not in client.cookies


def test_a_form_without_its_cookie_logs_nobody_in(house: tuple[TestClient, Authenticated]) -> None:
    client, _ = house
    page = client.get("/login", headers=PAGE)
    form = {"name": "ada", "password": GOOD, "token": field(page.text, "token"), "next": "/"}
    client.cookies.clear()
    for token in (form["token"], "", "é"):
        refused = client.post("/login", data={**form, "token": token}, headers=PAGE)
        assert (refused.status_code, "try again" in said(refused.text)) == (403, True)
    assert client.post("/login", json=form, headers=PAGE).status_code == 403
    assert COOKIE not in client.cookies


@pytest.mark.parametrize(
    ("wanted", "target"),
    [
        ("/chat/1?a=b", "/chat/1?a=b"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("https://evil.example/", "/"),
        ("javascript:alert(1)", "/"),
        ("/login?next=/x", "/"),
        ("/é", "/"),
        ("", "/"),
        ("/" + "a" * 2000, "/"),
        ("/[", "/["),
        ("http://[", "/"),
    ],
)
def test_a_login_leads_nowhere_else(wanted: str, target: str) -> None:
    assert forms.local_path(wanted) == target


def test_a_login_ends_the_one_before_and_a_planted_cookie_is_worth_nothing(
    house: tuple[TestClient, Authenticated],
) -> None:
    client, _ = house
    client.cookies.set(COOKIE, "A" * 43, domain="127.0.0.1")
    assert log_in(client, "ada", GOOD).status_code == 303
    first = client.cookies[COOKIE]
    assert first != "A" * 43
    client.cookies.delete(COOKIE, domain="127.0.0.1")
    client.cookies.set(COOKIE, first, domain="127.0.0.1")
    page = client.get("/login", headers=PAGE, follow_redirects=False)
    assert page.status_code == 303
    client.cookies.clear()
    fresh = client.get("/login", headers=PAGE)
    client.cookies.set(COOKIE, first, domain="127.0.0.1")
    form = {"name": "ben", "password": GOOD, "token": field(fresh.text, "token"), "next": "/"}
    assert client.post("/login", data=form, headers=PAGE, follow_redirects=False).is_redirect
    client.cookies.clear()
    client.cookies.set(COOKIE, first, domain="127.0.0.1")
    assert client.get("/").status_code == 401


def test_logging_out_ends_the_login_itself(house: tuple[TestClient, Authenticated]) -> None:
    client, _ = house
    log_in(client, "ada", GOOD)
    kept = client.cookies[COOKIE]
    assert client.post("/logout").json() == {"success": True}
    client.cookies.set(COOKIE, kept, domain="127.0.0.1")
    assert client.get("/").status_code == 401
    log_in(client, "ada", GOOD)
    away = client.post("/logout", headers=PAGE, follow_redirects=False)
    assert (away.status_code, away.headers["location"]) == (303, "/login")


def change(client: TestClient, current: str, new: str, again: str | None = None):
    page = client.get(account.PATH, headers=PAGE)
    form = {"current": current, "new": new, "again": again or new}
    form["token"] = field(page.text, "token")
    return client.post(account.PASSWORD_PATH, data=form, headers=PAGE)


def test_a_password_is_changed_by_who_knows_it(house: tuple[TestClient, Authenticated]) -> None:
    client, _ = house
    log_in(client, "ada", GOOD)
    elsewhere = client.cookies[COOKIE]
    client.cookies.clear()
    log_in(client, "ada", GOOD)
    assert "not your password" in said(change(client, "not this one", OTHER).text)
    assert "not the same" in said(change(client, GOOD, OTHER, OTHER + "x").text)
    weak = change(client, GOOD, "ada2026!ada")
    assert (weak.status_code, "account's name" in said(weak.text)) == (422, True)
    done = change(client, GOOD, OTHER)
    assert (done.status_code, said(done.text)) == (200, "The password is changed.")
    assert client.get("/").text == "user:ada"
    client.cookies.clear()
    client.cookies.set(COOKIE, elsewhere, domain="127.0.0.1")
    assert client.get("/").status_code == 401
    client.cookies.clear()
    assert log_in(client, "ada", GOOD).status_code == 401
    assert log_in(client, "ada", OTHER).status_code == 303


def test_ones_own_logins_are_listed_and_ended_and_nobody_elses(
    house: tuple[TestClient, Authenticated],
) -> None:
    client, authenticated = house
    log_in(client, "ben", GOOD)
    of_ben = client.cookies[COOKIE]
    (bens,) = call(client, authenticated, lambda auth: auth.sessions.of("user:ben"))
    client.cookies.clear()
    log_in(client, "ada", GOOD)
    other = client.cookies[COOKIE]
    client.cookies.clear()
    log_in(client, "ada", GOOD)
    page = client.get(account.PATH, headers=PAGE)
    assert page.text.count("<li>") == 2
    assert page.text.count("This browser") == 2  # as a text, and in its button's label
    token = field(page.text, "token")
    theirs = client.post(account.END_PATH, data={"token": token, "login": bens.id}, headers=PAGE)
    assert theirs.status_code == 404
    forged = client.post(account.END_PATH, data={"token": "x", "login": "all"}, headers=PAGE)
    assert forged.status_code == 403
    everywhere = {"token": token, "login": "all"}
    ended = client.post(account.END_PATH, data=everywhere, headers=PAGE, follow_redirects=False)
    assert ended.headers["location"] == login.LOGIN_PATH
    for cookie, status in ((other, 401), (of_ben, 200)):
        client.cookies.clear()
        client.cookies.set(COOKIE, cookie, domain="127.0.0.1")
        assert client.get("/").status_code == status


def test_a_programs_token_is_its_accounts(house: tuple[TestClient, Authenticated]) -> None:
    client, authenticated = house

    async def make(auth):
        ada = await auth.users.get("ada")
        return await auth.sessions.create(ada.identity(), ttl_s=60, address="program:notes")

    token = call(client, authenticated, make)
    bearer = {"authorization": f"Bearer {token}"}
    assert client.get("/", headers=bearer).text == "user:ada"
    assert "A program: notes" in client.get(account.PATH, headers={**PAGE, **bearer}).text
    assert client.get("/", headers={"authorization": f"Bearer {token[:-1]}"}).status_code == 401
    call(client, authenticated, lambda auth: auth.sessions.revoke_all("user:ada"))
    assert client.get("/", headers=bearer).status_code == 401
