"""The breakers as the rest of the house uses them, and what they do without Redis."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from core.errors import (
    CircuitOpenError,
    QuestionError,
    RedisError,
    TranscriptionError,
    TranscriptionLostError,
    XoeError,
)
from core.settings import Settings, load_settings
from state import breaker_failover
from state.breaker import BreakerConfig, Circuit, Outcome, Permit
from state.breaker_failover import FailoverStore
from state.breaker_memory import MemoryStore
from state.breaker_store import Decision
from state.breakers import BREAKER_NAMES, Breakers, breaker_configs
from state.redis import RedisConnection

TRANSIENT = (TranscriptionError, TimeoutError)


class Clock:
    """Seconds that only the test adds."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class House:
    """Breakers in memory, and what they told."""

    settings: Settings
    clock: Clock = field(default_factory=Clock)
    transitions: list[tuple[str, str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        def told(name: str, old: str, new: str) -> None:
            self.transitions.append((name, old, new))

        self.breakers = Breakers(self.settings, None, on_transition=told, clock=self.clock)

    async def call(self, error: BaseException | None = None, took_s: float = 0) -> None:
        async with self.breakers.guard("stt", transient=TRANSIENT):
            self.clock.now_s += took_s
            if error is not None:
                raise error

    async def fail(self, times: int = 1) -> None:
        for _ in range(times):
            with pytest.raises(TranscriptionError):
                await self.call(TranscriptionError("It broke."))

    async def until_due(self) -> None:
        while self.breakers.is_open("stt"):
            await asyncio.sleep(0.005)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(load_settings(data_dir=tmp_path, breaker_open_s=0.05, breaker_probes=2))


async def test_all_five_are_there_and_well(house: House) -> None:
    views = await house.breakers.views()
    assert tuple(views) == BREAKER_NAMES
    assert all(view.healthy and view.store == "memory" for view in views.values())
    assert views["stt"].calls == 0
    assert views["stt"].failure_rate == 0.0
    assert views["stt"].since > 1_700_000_000
    assert views["stt"].next_probe_at is None


async def test_an_engine_that_breaks_is_left_alone_after_three_calls(house: House) -> None:
    await house.fail(3)
    assert house.breakers.is_open("stt")
    ran = False
    with pytest.raises(CircuitOpenError) as caught:
        async with house.breakers.guard("stt", transient=TRANSIENT):
            ran = True
    assert not ran
    assert caught.value.name == "stt"
    assert 0 < caught.value.retry_after_s <= 0.05
    assert isinstance(caught.value, XoeError)
    assert "Speech recognition has failed several times" in str(caught.value)
    view = (await house.breakers.views())["stt"]
    assert (view.state, view.healthy, view.calls, view.failures) == ("open", False, 3, 3)
    assert view.failure_rate == 1.0
    assert view.opened_at == view.since
    assert view.next_probe_at == pytest.approx(view.since + 0.05)


async def test_after_a_good_hour_four_failures_are_enough(house: House) -> None:
    for _ in range(100):
        await house.call()
    await house.fail(3)
    assert not house.breakers.is_open("stt")
    await house.fail(1)
    assert house.breakers.is_open("stt")


async def test_one_breaker_says_nothing_of_another(house: House) -> None:
    await house.fail(3)
    assert not house.breakers.is_open("tts")
    async with house.breakers.guard("tts", transient=TRANSIENT):
        pass


async def test_errors_that_are_not_declared_count_as_neither(house: House) -> None:
    await house.fail(2)
    for _ in range(10):
        with pytest.raises(QuestionError):
            await house.call(QuestionError("The question is empty."))
    view = (await house.breakers.views())["stt"]
    assert (view.calls, view.failures) == (2, 2)


async def test_a_probe_that_fails_for_a_reason_of_its_own_gives_its_place_back(
    house: House,
) -> None:
    await house.fail(3)
    await house.until_due()
    for _ in range(5):
        with pytest.raises(QuestionError):
            await house.call(QuestionError("The question is empty."))
    await house.call()
    await house.call()
    assert (await house.breakers.views())["stt"].healthy


async def cancelled(work: Any) -> None:
    task = asyncio.create_task(work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_lost_process_counts_for_nothing_as_it_is_started_again_by_itself(
    house: House,
) -> None:
    for _ in range(5):
        with pytest.raises(TranscriptionLostError):
            async with house.breakers.guard("stt", transient=(TranscriptionError,)):
                raise TranscriptionLostError("lost")
    view = (await house.breakers.views())["stt"]
    assert (view.calls, view.healthy) == (0, True)


async def test_a_cancellation_counts_for_nothing_and_gives_a_probes_place_back(
    house: House,
) -> None:
    async def hang() -> None:
        async with house.breakers.guard("stt", transient=(BaseException,)):
            await asyncio.sleep(60)

    for _ in range(5):
        await cancelled(hang())
    assert (await house.breakers.views())["stt"].calls == 0
    await house.fail(3)
    await house.until_due()
    for _ in range(5):
        await cancelled(hang())
    await house.call()
    await house.call()
    assert (await house.breakers.views())["stt"].healthy


async def test_a_stream_that_is_left_early_counts_for_nothing(house: House) -> None:
    async def stream() -> AsyncIterator[int]:
        async with house.breakers.guard("stt", transient=(BaseException,)):
            yield 1
            yield 2

    async with aclosing(stream()) as numbers:
        async for _ in numbers:
            break
    assert (await house.breakers.views())["stt"].calls == 0


async def test_a_time_limit_inside_the_body_is_a_failure(house: House) -> None:
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with house.breakers.guard("stt", transient=TRANSIENT), asyncio.timeout(0):
                await asyncio.sleep(60)
    assert house.breakers.is_open("stt")


async def test_slow_calls_open_it(house: House) -> None:
    await house.call(took_s=9)
    for _ in range(3):
        await house.call(took_s=10)
    assert not house.breakers.is_open("stt"), "three of four are not yet 80 %"
    await house.call(took_s=10)
    assert house.breakers.is_open("stt")
    view = (await house.breakers.views())["stt"]
    assert (view.calls, view.failures, view.slow_calls, view.slow_rate) == (5, 0, 4, 0.8)


async def test_of_a_stream_only_the_time_to_its_first_token_counts(house: House) -> None:
    for _ in range(3):
        async with house.breakers.guard("stt", transient=TRANSIENT) as call:
            house.clock.now_s += 2
            call.done()
            house.clock.now_s += 60
            call.done()
    assert call.took_s == 2
    assert (await house.breakers.views())["stt"].slow_calls == 0


async def test_waiting_for_its_turn_does_not_make_a_call_slow(house: House) -> None:
    for _ in range(3):
        async with house.breakers.guard("stt", transient=TRANSIENT) as call:
            house.clock.now_s += 62
            call.done()
            call.waited(60)
    assert call.took_s == 2
    assert not house.breakers.is_open("stt")


async def test_it_closes_by_itself_and_each_transition_is_told_and_logged_once(
    house: House,
) -> None:
    with structlog.testing.capture_logs() as logs:
        await house.fail(3)
        await house.until_due()
        await asyncio.gather(house.call(), house.call())
        await house.call()
    told = [(line["name"], line["from"], line["to"], line["reason"]) for line in logs]
    assert told == [
        ("stt", "closed", "open", "failure_rate"),
        ("stt", "open", "half_open", "open_time_over"),
        ("stt", "half_open", "closed", "probes_succeeded"),
    ]
    assert {line["event"] for line in logs} == {"breaker.transition"}
    assert house.transitions == [(name, old, new) for name, old, new, _ in told]


async def test_what_is_due_for_a_probe_is_not_open(house: House) -> None:
    await house.fail(3)
    await house.until_due()
    assert (await house.breakers.views())["stt"].state == "open"
    await house.call()
    assert (await house.breakers.views())["stt"].state == "half_open"


def test_each_engine_has_its_own_idea_of_slow(tmp_path: Path) -> None:
    configs = breaker_configs(load_settings(data_dir=tmp_path, redis_timeout_s=3))
    slow = {name: config.slow_call_s for name, config in configs.items()}
    assert slow == {
        "llm-load": 30,
        "checker": 5,
        "rag-api": 5,
        "stt": 10,
        "tts": 10,
        "redis-connection": 3,
    }
    assert all(config.lease_ms >= 2000 * config.slow_call_s for config in configs.values())
    redis = configs["redis-connection"]
    assert redis.open_ms == redis.open_max_ms == 1000


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"breaker_window": 2}, "breaker_min_calls is not valid.*above breaker_window"),
        ({"breaker_open_s": 61}, "breaker_open_max_s is not valid.*below breaker_open_s"),
        ({"breaker_failure_rate": 0}, "breaker_failure_rate"),
    ],
)
def test_settings_with_which_it_would_not_work_are_refused(wrong: Any, said: str) -> None:
    with pytest.raises(XoeError, match=said):
        load_settings(**wrong)


async def test_before_redis_is_started_nobody_waits_for_it(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path)
    breakers = Breakers(settings, RedisConnection(settings))
    for _ in range(3):
        with pytest.raises(TranscriptionError):
            async with breakers.guard("stt", transient=TRANSIENT):
                raise TranscriptionError("It broke.")
    assert breakers.is_open("stt")
    views = await breakers.views()
    assert views["stt"].store == "memory"
    await breakers.aclose()


# Going over to memory and back, with a Redis that fails as told

CONFIG = BreakerConfig(
    window=8,
    min_calls=3,
    failure_rate=0.5,
    slow_rate=0.8,
    slow_call_s=1.0,
    open_ms=60_000,
    open_max_ms=60_000,
    probes=1,
    lease_ms=60_000,
)
OTHER = "other"


class FakeRedis(MemoryStore):
    """A shared store that is away, or hangs, when told."""

    def __init__(self) -> None:
        super().__init__({"stt": CONFIG, OTHER: CONFIG})
        self.away = False
        self.hangs = False
        self.asked = 0
        self.while_merging: list[Any] = []

    async def _reached(self) -> None:
        self.asked += 1
        if self.hangs:
            await asyncio.sleep(3600)
        if self.away:
            raise RedisError("Redis is away.")

    async def admit(self, name: str, lease_id: str) -> Decision:
        await self._reached()
        return await super().admit(name, lease_id)

    async def report(self, name: str, permit: Permit, outcome: Outcome) -> Decision:
        await self._reached()
        return await super().report(name, permit, outcome)

    async def release(self, name: str, permit: Permit) -> Decision:
        await self._reached()
        return await super().release(name, permit)

    async def read(self, name: str) -> Decision:
        await self._reached()
        return await super().read(name)

    async def merge(self, name: str, ours: Circuit, base_epoch: int) -> Decision:
        await self._reached()
        reply = await super().merge(name, ours, base_epoch)
        while self.while_merging:
            await self.while_merging.pop()()
        return reply


@dataclass
class Outage:
    """A store that fails over, the Redis behind it, and the transitions that nobody caused."""

    redis: FakeRedis
    store: FailoverStore
    told: list[Any]
    failed: bool = False

    async def fail(self, times: int) -> Decision:
        for _ in range(times):
            permit = (await self.store.admit("stt", "lease")).permit
            assert permit is not None
            reply = await self.store.report("stt", permit, Outcome.FAILED)
        return reply

    async def back(self) -> None:
        self.redis.away = self.redis.hangs = False
        async with asyncio.timeout(30):
            while not (self.store.in_redis("stt") and self.store.in_redis(OTHER)):
                await asyncio.sleep(0.001)
            while self.store._tasks:
                await asyncio.wait(set(self.store._tasks))


@asynccontextmanager
async def _no_guard() -> AsyncIterator[None]:
    yield


@pytest.fixture
async def outage(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Outage]:
    monkeypatch.setattr(breaker_failover, "_RETRY_S", 0.001)
    redis = FakeRedis()
    told: list[Any] = []
    store = FailoverStore(
        redis,
        {"stt": CONFIG, OTHER: CONFIG},
        timeout_s=0.02,
        failed=lambda: outage.failed,
        guard=_no_guard,
        told=lambda name, transition: told.append((name, transition)) if transition else None,
    )
    outage = Outage(redis, store, told)
    yield outage
    await store.aclose()


async def test_memory_goes_on_from_where_redis_was(outage: Outage) -> None:
    await outage.fail(2)
    outage.redis.away = True
    assert (await outage.fail(1)).circuit.state == "open"


async def test_what_opened_without_redis_is_open_in_redis_when_it_is_back(outage: Outage) -> None:
    await outage.fail(1)
    outage.redis.away = True
    opened = (await outage.fail(2)).circuit
    await outage.back()
    assert outage.redis.circuit("stt") == opened
    assert (await outage.store.admit("stt", "lease")).permit is None


async def test_what_others_did_meanwhile_is_taken_over(outage: Outage) -> None:
    outage.redis.away = True
    await outage.fail(2)
    newer = Circuit("open", 7, since_ms=outage.redis.now_ms(), until_ms=outage.redis.now_ms() + 999)
    outage.redis.put("stt", newer)
    await outage.back()
    assert outage.redis.circuit("stt") == newer
    assert outage.store.memory.circuit("stt") == newer


async def test_failures_counted_without_redis_are_counted_there_when_it_is_back(
    outage: Outage,
) -> None:
    await outage.fail(1)
    outage.redis.away = True
    await outage.fail(1)
    outage.redis.put("stt", Circuit(window="011"))
    await outage.back()
    assert outage.redis.circuit("stt").state == "open"
    assert [(name, transition.new) for name, transition in outage.told] == [("stt", "open")]


async def test_a_call_that_ends_after_the_outage_counts_in_its_own_epoch_only(
    outage: Outage,
) -> None:
    outage.redis.away = True
    before = (await outage.store.admit("stt", "lease")).permit
    assert before is not None
    await outage.fail(3)
    await outage.back()
    opened = outage.redis.circuit("stt")
    await outage.store.report("stt", before, Outcome.OK)
    assert outage.redis.circuit("stt") == opened


async def test_a_probe_admitted_without_redis_may_report_to_it(outage: Outage) -> None:
    await outage.fail(3)
    outage.redis.away = True
    due = outage.store.memory.circuit("stt").until_ms
    outage.store.memory.now_ms = outage.redis.now_ms = lambda: due
    probe = (await outage.store.admit("stt", "the probe")).permit
    assert probe is not None and probe.lease == "the probe"
    await outage.back()
    await outage.store.report("stt", probe, Outcome.OK)
    assert outage.redis.circuit("stt").state == "closed"


async def test_what_happens_while_it_is_merged_is_not_lost(outage: Outage) -> None:
    outage.redis.away = True
    await outage.fail(2)
    outage.redis.while_merging.append(lambda: outage.fail(1))
    await outage.back()
    assert outage.redis.circuit("stt").state == "open"
    assert outage.store.memory.circuit("stt").state == "open"


async def test_nothing_is_counted_twice_when_a_merge_is_repeated(outage: Outage) -> None:
    outage.redis.away = True
    opened = await outage.fail(3)
    outage.store.memory.put("stt", Circuit("closed", 5, since_ms=opened.now_ms))
    await outage.fail(1)
    outage.redis.while_merging.append(lambda: outage.fail(1))
    await outage.back()
    assert outage.redis.circuit("stt").window == "11"


async def test_a_redis_that_hangs_is_waited_for_once(outage: Outage) -> None:
    outage.redis.hangs = True
    await outage.store.admit("stt", "lease")
    assert outage.redis.asked == 1
    if outage.store._returning is not None:
        outage.store._returning.cancel()  # it asks as well, but nobody waits for it
    for _ in range(100):
        await outage.store.admit("stt", "lease")
        await outage.store.admit(OTHER, "lease")
        await outage.store.read("stt")
    assert outage.redis.asked == 1


async def test_a_redis_that_failed_somebody_else_is_not_waited_for(outage: Outage) -> None:
    outage.failed = True
    await outage.store.admit("stt", "lease")
    assert outage.redis.asked == 0
    await outage.back()
    assert outage.redis.asked > 0


async def test_a_redis_that_lost_what_it_knew_is_told(outage: Outage) -> None:
    opened = (await outage.fail(3)).circuit
    outage.redis.put("stt", Circuit())
    await outage.store.read("stt")
    while outage.store._tasks:
        await asyncio.wait(set(outage.store._tasks))
    assert outage.redis.circuit("stt") == opened


async def test_answers_that_have_changed_places_change_nothing(outage: Outage) -> None:
    await outage.fail(3)
    early = Decision(Circuit(), outage.redis.now_ms())
    outage.store._saw("stt", early)
    while outage.store._tasks:
        await asyncio.wait(set(outage.store._tasks))
    assert outage.redis.circuit("stt").state == "open"
    assert outage.store.memory.circuit("stt").state == "open"
