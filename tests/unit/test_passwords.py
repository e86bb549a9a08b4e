"""Which passwords are refused and why; and that hashing is bounded and off the event loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from zxcvbn import matching

from core.errors import LoginThrottledError, WeakPasswordError
from xoe.auth.passwords import Passwords
from xoe.auth.strength import MAX_LENGTH, check

CHEAP = {"memory_kib": 64, "passes": 1}


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("", "too short"),
        ("nine char", "too short"),
        ("é" * 9, "too short"),
        ("aaaaaaaaaaaaaa", "same few characters"),
        ("abababababab", "same few characters"),
        ("wxkmqfwxkmqf", "one short piece repeated"),
        ("abcdefghijkl", "neighbouring"),
        ("9876543210987", "neighbouring"),
        ("qwertyuiop", "neighbouring"),
        ("QwertyUiop12", "neighbouring"),
        ("lkjhgfdsa!!", "neighbouring"),
        ("1qaz2wsx3edc", "neighbouring"),
        ("alexandra2026", "the account's name"),
        ("ALEXANDRA-alexandra", "the account's name"),
        ("ardnaxela!?2026", "the account's name"),
        ("alexandra-83920174655!", "the account's name"),
        ("4lexandr4!17", "the account's name"),
        ("Password2026!", "tried first"),
        ("P@ssw0rd12345", "tried first"),
        ("!!!letmein!!!", "tried first"),
        ("password1password2", "tried first"),
        ("correct horse battery staple", "tried first"),
        ("１２ｗｅｌｃｏｍｅ１２", "tried first"),
        ("Willkommen123", "tried first"),
        ("liverpool1892", "tried first"),
        ("19871204abcd", "a word, a name or a date"),
        ("2026-11-22-10", "no letters"),
        ("kettle\x00orbit", "control characters"),
        ("kettle orbit " * 30, "at most"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused_with_the_reason(
    password: str, why: str
) -> None:
    with pytest.raises(WeakPasswordError, match=why) as refused:
        check(password, name="alexandra")
    assert len(password) < 3 or password not in str(refused.value)


@pytest.mark.parametrize(
    "password",
    [
        "kettle orbit lantern",
        "my cat likes trains",
        "q7Kd92mPzx",
        "Tr0ub4dor&3xx",
        "пароль-для-дома",
        "我的猫喜欢坐火车去旅行",
        "3141592653589793238",
        "purple monkey dishwasher",
        "x" * 3 + "kettle orbit lantern",
    ],
)
def test_others_are_taken(password: str) -> None:
    check(password, name="alexandra")


def test_only_so_much_of_a_long_one_is_looked_at_as_it_takes_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lengths: list[int] = []
    guess = matching.omnimatch
    monkeypatch.setattr(
        matching, "omnimatch", lambda text, words: lengths.append(len(text)) or guess(text, words)
    )
    check("4@8({[</369&#!1/|0$5+7%2/" * 10, name="alexandra")
    assert lengths and max(lengths) <= 32


def test_the_lists_of_words_are_loaded_where_a_password_is_set_and_not_before() -> None:
    code = (
        "import sys, xoe.auth.users as users; assert 'zxcvbn' not in sys.modules;"
        "users.strength.check('kettle orbit lantern', name='ada'); assert 'zxcvbn' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_a_stranger_takes_the_same_work_as_a_wrong_password() -> None:
    """One hash each: counted, as a clock would make a test that fails by chance."""
    passwords = Passwords(**CHEAP)
    kept = await passwords.hash("kettle orbit lantern")
    looked_at: list[str] = []
    verify = passwords._verify
    passwords._verify = lambda kept, text: looked_at.append(kept) or verify(kept, text)
    assert not await passwords.matches(kept, "wrong")
    assert not await passwords.matches(None, "wrong")
    assert not await passwords.matches(None, "the password of nobody")
    assert not await passwords.matches(kept, "x" * (MAX_LENGTH + 1))
    assert len(looked_at) == 4
    costs = {one.rsplit("$", 2)[0] for one in looked_at}
    assert len(costs) == 1


async def test_at_most_two_hash_at_once_and_few_wait() -> None:
    passwords = Passwords(**CHEAP)
    running = most = 0
    gate = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_kept: str | None, _text: str) -> bool:
        nonlocal running, most
        running += 1
        most = max(most, running)
        asyncio.run_coroutine_threadsafe(gate.wait(), loop).result()
        running -= 1
        return False

    passwords._matches = slow
    waiting = [asyncio.create_task(passwords.matches(None, "x")) for _ in range(16)]
    await asyncio.sleep(0)
    with pytest.raises(LoginThrottledError, match="Many people are logging in") as refused:
        await passwords.matches(None, "x")
    assert refused.value.retry_after_s > 0
    gate.set()
    await asyncio.gather(*waiting)
    assert most <= 2
    assert not await passwords.matches(None, "x")  # and there is room again
    passwords.close()


@pytest.mark.parametrize("kept", ["", "not a hash", "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$"])
async def test_a_hash_that_is_damaged_matches_nothing(kept: str) -> None:
    assert not await Passwords(**CHEAP).matches(kept, "x")
