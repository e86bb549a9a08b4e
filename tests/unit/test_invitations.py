"""Logins and invitations, on a real database."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from itsdangerous import URLSafeSerializer

from core.errors import InvitationError, StoreError
from core.settings import Settings
from xoe.auth.identity import Identity
from xoe.auth.invitations import Invitations
from xoe.auth.secret import server_secret
from xoe.auth.sessions import Sessions
from xoe.db import Database

HOUR = 3600.0


@dataclass
class Clock:
    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class House:
    clock: Clock
    db: Database
    sessions: Sessions
    invitations: Invitations


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    clock = Clock()
    db = await Database.open(Settings(data_dir=tmp_path))
    sessions = Sessions(db, clock=clock)
    yield House(clock, db, sessions, Invitations(db, sessions, "key" * 20, clock=clock))
    await db.aclose()


def somebody(name: str = "ada") -> Identity:
    return Identity(f"user:{name}", "user", name)


async def invite(house: House, *, guests: int = 2, scope: str = "ask"):
    return await house.invitations.create(scope, ttl_s=HOUR, max_guests=guests, made_by="user:op")


async def found(house: House, token: str) -> Identity:
    identity = await house.sessions.find(token)
    assert isinstance(identity, Identity)
    return identity


async def test_a_cookie_finds_its_identity_and_the_database_does_not_hold_it(
    house: House, tmp_path: Path
) -> None:
    token = await house.sessions.create(somebody(), ttl_s=HOUR)
    identity = await found(house, token)
    assert (identity.id, identity.role, identity.ends_at) == ("user:ada", "user", None)
    held = b"".join(path.read_bytes() for path in tmp_path.glob("people.sqlite*"))
    assert b"user:ada" in held
    assert token.encode() not in held


async def test_why_a_cookie_is_refused(house: House) -> None:
    token = await house.sessions.create(somebody(), ttl_s=HOUR)
    assert await house.sessions.find(token[:-1] + ("A" if token[-1] != "A" else "B")) == "unknown"
    assert await house.sessions.find("") == "unknown"
    assert await house.sessions.find("x" * 5000) == "unknown"
    house.clock.now += HOUR
    assert await house.sessions.find(token) == "expired"


async def test_a_clock_that_was_set_back_lengthens_no_login(house: House) -> None:
    token = await house.sessions.create(somebody(), ttl_s=HOUR)
    house.clock.now -= 2 * HOUR
    assert await house.sessions.find(token) == "expired"


async def test_revoking_takes_hold_at_once_and_wakes_whoever_watches(house: House) -> None:
    token = await house.sessions.create(somebody(), ttl_s=HOUR)
    other = await house.sessions.create(somebody("bob"), ttl_s=HOUR)
    identity = await found(house, token)
    watching = asyncio.create_task(house.sessions.wait_for_change())
    await asyncio.sleep(0)
    assert identity.login is not None
    await house.sessions.revoke(identity.login)
    await asyncio.wait_for(watching, 1)
    assert await house.sessions.find(token) == "ended"
    assert (await found(house, other)).id == "user:bob"


async def test_many_requests_of_one_cookie_ask_the_database_once(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await house.sessions.create(somebody(), ttl_s=HOUR)
    asked, look_up = [], house.sessions._look_up

    async def counted(hashed: str):
        asked.append(hashed)
        return await look_up(hashed)

    monkeypatch.setattr(house.sessions, "_look_up", counted)
    all_of_them = await asyncio.gather(*(found(house, token) for _ in range(200)))
    assert {one.id for one in all_of_them} == {"user:ada"}
    assert len(asked) == 1
    before = asyncio.gather(*(house.sessions.find(token) for _ in range(3)))
    await house.sessions.revoke_all("user:ada")
    await before
    assert await house.sessions.find(token) == "ended"


async def test_all_logins_can_be_ended(house: House) -> None:
    tokens = [await house.sessions.create(somebody(), ttl_s=HOUR) for _ in range(3)]
    assert await found(house, tokens[1])
    await house.sessions.revoke_all("user:ada")
    assert {await house.sessions.find(token) for token in tokens} == {"ended"}
    assert not await house.sessions.of("user:ada")


async def test_logins_of_one_account_are_bounded(house: House) -> None:
    tokens = []
    for _ in range(55):
        house.clock.now += 1
        tokens.append(await house.sessions.create(somebody(), ttl_s=HOUR))
    assert len(await house.sessions.of("user:ada")) == 50
    assert await house.sessions.find(tokens[0]) == "unknown"
    assert (await found(house, tokens[-1])).id == "user:ada"


async def test_an_invitation_lets_in_as_many_as_it_says(house: House) -> None:
    invitation = await invite(house)
    first = await house.invitations.redeem(invitation.token)
    second = await house.invitations.redeem(invitation.token)
    assert first.id != second.id
    assert (first.role, first.may_upload, first.ends_at) == ("guest", False, invitation.ends_at)
    with pytest.raises(InvitationError, match="for 2 guests"):
        await house.invitations.redeem(invitation.token)
    names = [guest.identity_id for guest in await house.invitations.guests(invitation.id)]
    assert names == [first.id, second.id]


async def test_all_guests_of_one_invitation_count_as_one_owner(house: House) -> None:
    invitation, other = await invite(house), await invite(house)
    owners = []
    for link in (invitation, invitation, other):
        guest = await house.invitations.redeem(link.token)
        came_in = await found(house, await house.sessions.create(guest, ttl_s=HOUR))
        assert came_in.share_owner == guest.share_owner
        owners.append(came_in.share_owner)
    assert owners[0] == owners[1] == f"invitation:{invitation.id}"
    assert owners[2] == f"invitation:{other.id}"
    user = await found(house, await house.sessions.create(somebody(), ttl_s=HOUR))
    assert user.share_owner == "user:ada"


async def test_guests_who_come_at_once_do_not_share_a_place(house: House) -> None:
    invitation = await invite(house, guests=3)
    came = await asyncio.gather(
        *(house.invitations.redeem(invitation.token) for _ in range(12)), return_exceptions=True
    )
    assert sum(isinstance(one, Identity) for one in came) == 3
    assert sum(isinstance(one, InvitationError) for one in came) == 9


async def test_a_guest_ends_with_the_invitation(house: House) -> None:
    invitation = await invite(house, scope="upload")
    guest = await house.invitations.redeem(invitation.token)
    assert guest.may_upload
    token = await house.sessions.create(guest, ttl_s=100 * HOUR)
    house.clock.now += HOUR
    assert await house.sessions.find(token) == "expired"
    with pytest.raises(InvitationError, match="has ended"):
        await house.invitations.redeem(invitation.token)


async def test_a_revoked_invitation_sends_its_guests_out(house: House) -> None:
    invitation = await invite(house)
    guest = await house.invitations.redeem(invitation.token)
    token = await house.sessions.create(guest, ttl_s=HOUR)
    ended = await house.invitations.revoke(invitation.id)
    assert [one.identity_id for one in ended] == [guest.id]
    assert await house.sessions.find(token) == "ended"
    with pytest.raises(InvitationError, match="taken back"):
        await house.invitations.redeem(invitation.token)
    assert (await house.invitations.list())[0].is_revoked


async def test_a_guest_who_was_sent_out_leaves_no_place_free(house: House) -> None:
    invitation = await invite(house, guests=1)
    guest = await house.invitations.redeem(invitation.token)
    await house.invitations.end_guest(guest.id.removeprefix("guest:"))
    with pytest.raises(InvitationError, match="for one guest"):
        await house.invitations.redeem(invitation.token)


@pytest.mark.parametrize(
    "change", ["scope", "until", "guests", "id", "key", "cut", "empty", "long"]
)
async def test_a_changed_link_lets_nobody_in(house: House, change: str) -> None:
    invitation = await invite(house)
    signer = URLSafeSerializer("key" * 20, salt="invitation")
    claim = signer.loads(invitation.token)
    forged = {
        # Signed with the right key even, as somebody who had it could: the database disagrees.
        "scope": lambda: signer.dumps({**claim, "scope": "upload"}),
        "until": lambda: signer.dumps({**claim, "until": claim["until"] + 10**6}),
        "guests": lambda: signer.dumps({**claim, "guests": 50}),
        "id": lambda: signer.dumps({**claim, "id": "0" * 32}),
        "key": lambda: URLSafeSerializer("other", salt="invitation").dumps(claim),
        "cut": lambda: invitation.token[:-3],
        "empty": lambda: "",
        "long": lambda: "A" * 10_000,
    }[change]()
    with pytest.raises(InvitationError):
        await house.invitations.redeem(forged)
    assert await house.invitations.guests(invitation.id) == ()


@pytest.mark.parametrize(
    ("ttl_s", "guests"), [(10, 1), (10**9, 1), (HOUR, 0), (HOUR, 51), (float("nan"), 1)]
)
async def test_limits_of_an_invitation(house: House, ttl_s: float, guests: int) -> None:
    with pytest.raises(InvitationError, match="An invitation"):
        await house.invitations.create("ask", ttl_s=ttl_s, max_guests=guests, made_by="x")


async def test_the_secret_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    made = await asyncio.gather(*(asyncio.to_thread(server_secret, tmp_path) for _ in range(8)))
    assert len(set(made)) == 1
    assert stat.S_IMODE((tmp_path / "secret.key").stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["secret.key"]
    (tmp_path / "secret.key").write_text(made[0][:10])
    with pytest.raises(StoreError, match="damaged"):
        server_secret(tmp_path)
