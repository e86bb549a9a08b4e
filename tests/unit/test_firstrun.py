"""Who may ask what of the header's and the tour's routes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Receive, Scope, Send

from core.settings import Settings
from xoe.auth.identity import SCOPE_KEY, Identity, Role
from xoe.web import firstrun, preference


class LetIn:
    """Stands where the gate stands."""

    def __init__(self, app: ASGIApp, who: Identity) -> None:
        self.app, self.who = app, who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[SCOPE_KEY] = self.who
        await self.app(scope, receive, send)


def client(role: Role, **fields: Any) -> TestClient:
    app = FastAPI()
    app.include_router(firstrun.router)
    # The engines are still on their way.
    app.state.startup = SimpleNamespace(services=None, settings=Settings(voice=False))
    return TestClient(LetIn(app, Identity(f"{role}:one", role, "One", **fields)))


@pytest.mark.parametrize("role", ["user", "guest"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_only_an_operator_measures(role: Role, method: str) -> None:
    answer = client(role).request(method, firstrun.MEASUREMENT_PATH)
    assert answer.status_code == 403
    assert "Only the operator" in answer.json()["detail"]


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_operator_is_told_that_the_engines_load(method: str) -> None:
    answer = client("operator").request(method, firstrun.MEASUREMENT_PATH)
    assert answer.status_code == 503
    assert "still loading" in answer.json()["detail"]


def test_everybody_is_told_how_things_stand_for_them_and_no_more() -> None:
    told = client("guest", may_upload=False).get(firstrun.STANDING_PATH).json()
    assert told.pop("model") in ("Fast", "Quality", "Tiny", "")
    assert told.pop("who") not in ("", "guest:one")
    assert told == {
        "level": None,
        "reason": "",
        "documents": 0,
        "own": 0,
        "operator": False,
        "guest": True,
        "voice": False,
        "may_upload": False,
    }


def test_two_accounts_are_told_apart_without_their_names() -> None:
    one, two = (
        client(role).get(firstrun.STANDING_PATH).json()["who"] for role in ("user", "operator")
    )
    assert one != two
    assert len(one) == len(two) == 12


@pytest.mark.parametrize(
    ("cookie", "first"),
    [("tiny", "tiny"), ("TINY", "tiny"), ("huge", "fast"), ("", "fast"), ("quality" * 900, "fast")],
)
def test_a_browsers_own_model_comes_first_where_it_is_installed(cookie: str, first: str) -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend(preference.preferred_first(("fast", "tiny")))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    TestClient(
        preference.PreferredProfile(app), headers={"cookie": f"{preference.COOKIE}={cookie}"}
    ).get("/project/settings")
    assert seen[0] == first
    assert sorted(seen) == ["fast", "tiny"]
