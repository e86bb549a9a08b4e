"""Every store of circuits keeps the same promises: one suite, in memory and in a real Redis."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest
from breaker_model import BreakerModel, Call, Rules
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from lengths import length

from core.errors import RedisError
from core.settings import load_settings
from state import breaker
from state.breaker import BreakerConfig, Circuit, Outcome, Permit
from state.breaker_memory import MemoryStore
from state.breaker_redis import (
    SCRIPT,
    SCRIPT_SHA1,
    RedisStore,
    circuit_key,
    decoded,
    encoded,
)
from state.breaker_store import BreakerStore, Decision
from state.redis import RedisConnection

pytestmark = pytest.mark.integration

T = 1_700_000_000_000
CONFIG = BreakerConfig(
    window=6,
    min_calls=3,
    failure_rate=0.5,
    slow_rate=0.8,
    slow_call_s=1.0,
    open_ms=1000,
    open_max_ms=3500,
    probes=3,
    lease_ms=500,
)
NAMES = itertools.count()
HISTORIES = length(2_000, 10_000)
AT_ONCE = 500
"""Histories that go on side by side, so that Redis is asked about all of them at once."""


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now_ms = T

    def __call__(self) -> int:
        return self.now_ms


@dataclass
class Bench:
    """A store, its clock, and the loop that its connection lives in."""

    store: BreakerStore
    clock: Clock
    runner: asyncio.Runner
    configs: dict[str, BreakerConfig]

    def new(self, config: BreakerConfig = CONFIG) -> str:
        """Return the name of a circuit that nobody has used."""
        name = f"circuit{next(NAMES)}"
        configs = {name: config}
        if isinstance(self.store, MemoryStore):
            self.store = MemoryStore(configs, clock_ms=self.clock)
        else:
            assert isinstance(self.store, RedisStore)
            self.store = RedisStore(self.store._connection, configs, clock_ms=self.clock)
        return name


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[asyncio.Runner, Any]]:
    with asyncio.Runner() as runner:
        folder = tmp_path_factory.mktemp("redis")
        connection = RedisConnection(load_settings(data_dir=folder, redis_timeout_s=30))
        runner.run(connection.start())
        yield runner, connection
        runner.run(connection.aclose())


@pytest.fixture(params=["memory", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    clock = Clock()
    if request.param == "memory":
        with asyncio.Runner() as runner:
            yield Bench(MemoryStore({}, clock_ms=clock), clock, runner, {})
    else:
        runner, connection = request.getfixturevalue("redis")
        yield Bench(RedisStore(connection, {}, clock_ms=clock), clock, runner, {})


def outcome(*, failed: bool, slow: bool) -> Outcome:
    return (Outcome.FAILED if failed else Outcome.OK) | (Outcome.SLOW if slow else Outcome.OK)


# The same decisions as the plain model


class Compared(RuleBasedStateMachine):
    """Do anything to a store and to the model, and compare all that can be seen."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.name = self.bench.new()
        self.bench.clock.now_ms = T
        self.model = BreakerModel(rules(CONFIG))
        self.calls: list[tuple[Permit, Call]] = []
        self.leases = itertools.count()
        self.transitions: list[tuple[str, str]] = []

    def ask(self, operation: Any) -> Decision:
        reply = self.bench.runner.run(operation)
        assert isinstance(reply, Decision)
        if reply.transition is not None:
            self.transitions.append((reply.transition.old, reply.transition.new))
        assert reply.now_ms == self.bench.clock.now_ms
        return reply

    @rule()
    def admit(self) -> None:
        reply = self.ask(self.bench.store.admit(self.name, f"lease{next(self.leases)}"))
        call = self.model.ask(self.bench.clock.now_ms)
        assert (reply.permit is not None) == (call is not None)
        if reply.permit is not None and call is not None:
            assert (reply.permit.lease is not None) == call.probe
            self.calls.append((reply.permit, call))
        self.compare(reply)

    @rule(failures=st.integers(1, 4))
    def several_fail(self, failures: int) -> None:
        for _ in range(failures):
            self.admit()
            if self.calls:
                self.end(-1, failed=True, slow=False)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 1000), failed=st.booleans(), slow=st.booleans())
    def end(self, which: int, failed: bool, slow: bool) -> None:
        permit, call = self.calls.pop(which % len(self.calls))
        how = outcome(failed=failed, slow=slow)
        reply = self.ask(self.bench.store.report(self.name, permit, how))
        self.model.end(call, self.bench.clock.now_ms, failed=failed, slow=slow)
        self.compare(reply)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 1000))
    def cancel(self, which: int) -> None:
        permit, call = self.calls.pop(which % len(self.calls))
        reply = self.ask(self.bench.store.release(self.name, permit))
        self.model.cancel(call)
        self.compare(reply)

    @rule(wait_ms=st.sampled_from([0, 1, 100, 499, 500, 999, 1000, 2000, 3500, 10**9]))
    def wait(self, wait_ms: int) -> None:
        self.bench.clock.now_ms += wait_ms

    @rule(back_ms=st.sampled_from([1, 600, 1000, 1001, 5000]))
    def set_the_clock_back(self, back_ms: int) -> None:
        self.bench.clock.now_ms -= back_ms

    @rule()
    def read(self) -> None:
        self.compare(self.ask(self.bench.store.read(self.name)))

    def compare(self, reply: Decision) -> None:
        circuit, model = reply.circuit, self.model
        assert (circuit.state, circuit.epoch) == (model.phase.state, len(model.transitions))
        assert circuit.since_ms == model.phase.began
        assert circuit.until_ms == (model.open_until if circuit.state == "open" else 0)
        assert circuit.calls == len(model.results)
        assert circuit.failures == sum(failed for failed, _ in model.results)
        assert circuit.slow_calls == sum(slow for _, slow in model.results)
        assert self.transitions == model.transitions


def rules(config: BreakerConfig) -> Rules:
    figures = asdict(config)
    figures.pop("slow_call_s")
    return Rules(**figures)


def test_whatever_happens_each_decision_is_the_models(bench: Bench) -> None:
    machine = type("ComparedHere", (Compared,), {"bench": bench})
    in_redis = isinstance(bench.store, RedisStore)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=30 if in_redis else 80,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


@dataclass
class History:
    """One circuit in memory, in Redis and in the model, and the calls that are under way."""

    name: str
    model: BreakerModel
    calls: list[tuple[Permit, Call]]
    now_ms: int = T
    forked: tuple[Circuit, int] | None = None
    merged: bool = False
    """The model knows nothing of merging: from then on the stores are compared with each other."""


def random_config(rng: random.Random) -> BreakerConfig:
    window = rng.randint(1, 12)
    open_ms = rng.choice([1, 100, 1000])
    return BreakerConfig(
        window=window,
        min_calls=rng.randint(1, window),
        failure_rate=rng.choice([0.1, 1 / 3, 0.5, 0.7, 1.0]),
        slow_rate=rng.choice([0.3, 0.5, 0.8, 1.0]),
        slow_call_s=1.0,
        open_ms=open_ms,
        open_max_ms=rng.choice([open_ms, 2500]) if open_ms < 2500 else open_ms,
        probes=rng.randint(1, 4),
        lease_ms=rng.choice([1, 300, 2000]),
    )


def next_step(rng: random.Random, history: History) -> tuple[str, tuple[Any, ...]]:
    """Return an operation and its arguments, after some time has gone by."""
    history.now_ms += rng.choice([0, 0, 0, 0, 1, 50, 300, 1000, 3000, -30, -1500])
    dice = rng.random()
    if history.calls and dice < 0.45:
        call = history.calls.pop(rng.randrange(len(history.calls)))
        how = outcome(failed=rng.random() < 0.5, slow=rng.random() < 0.4)
        return "report", (*call, how)
    if history.calls and dice < 0.55:
        return "release", history.calls.pop(rng.randrange(len(history.calls)))
    if history.forked is not None and dice < 0.62:
        ours, base_epoch = history.forked
        history.forked = None
        return "merge", (ours, base_epoch)
    return ("read", ()) if dice > 0.97 else ("admit", (f"lease{rng.getrandbits(40)}",))


def gone_on(rng: random.Random, circuit: Circuit, config: BreakerConfig, now_ms: int) -> Circuit:
    """Return what a process that cannot see Redis makes of a circuit meanwhile."""
    for _ in range(rng.randint(0, 8)):
        now_ms += rng.choice([0, 10, 1000])
        step = breaker.admit(circuit, config, now_ms=now_ms, lease_id=f"away{rng.getrandbits(40)}")
        circuit = step.circuit
        if step.permit is not None and rng.random() < 0.8:
            how = outcome(failed=rng.random() < 0.6, slow=False)
            circuit = breaker.report(circuit, config, step.permit, how, now_ms=now_ms).circuit
    return circuit


async def compare_histories(connection: RedisConnection, rng: random.Random, count: int) -> int:
    """Play ``count`` histories side by side; return how many transitions there were."""
    clock = Clock()
    configs = {f"history{next(NAMES)}": random_config(rng) for _ in range(count)}
    memory = MemoryStore(configs, clock_ms=clock)
    store = RedisStore(connection, configs, clock_ms=clock)
    histories = [History(name, BreakerModel(rules(configs[name])), []) for name in configs]
    transitions = 0
    for _ in range(rng.randint(20, 40)):
        steps = []
        pipe = connection.client.pipeline(transaction=False)
        for history in histories:
            operation, arguments = next_step(rng, history)
            steps.append((history, operation, arguments))
            clock.now_ms = history.now_ms
            plain = {
                "admit": lambda a: a,
                "read": lambda a: (),
                "report": lambda a: (a[0].epoch, a[0].lease or "", int(a[2])),
                "release": lambda a: (a[0].epoch, a[0].lease or ""),
                "merge": lambda a: (a[1], *encoded(a[0])),
            }[operation](arguments)
            pipe.execute_command(
                "EVALSHA", SCRIPT_SHA1, 1, *store.arguments(history.name, operation, *plain)
            )
        for (history, operation, arguments), raw in zip(steps, await pipe.execute(), strict=True):
            clock.now_ms = history.now_ms
            theirs = decoded(raw)
            ours = await play(memory, history, operation, arguments)
            assert theirs == ours, (history.name, operation, arguments)
            transitions += ours.transition is not None
            if history.forked is None and rng.random() < 0.05:
                config = configs[history.name]
                away = gone_on(rng, ours.circuit, config, history.now_ms)
                history.forked = (away, ours.circuit.epoch)
    return transitions


async def play(
    memory: MemoryStore, history: History, operation: str, arguments: tuple[Any, ...]
) -> Decision:
    """Do the same in memory and, until the first merge, in the model, and compare these two."""
    name, model, now_ms = history.name, history.model, history.now_ms
    if operation == "admit":
        reply = await memory.admit(name, *arguments)
        call = model.ask(now_ms) if not history.merged else Call(model.phase, probe=False)
        if not history.merged:
            assert (reply.permit is None) == (call is None)
        if reply.permit is not None and call is not None:
            history.calls.append((reply.permit, call))
    elif operation == "report":
        permit, call, how = arguments
        reply = await memory.report(name, permit, how)
        if not history.merged:
            failed, slow = Outcome.FAILED in how, Outcome.SLOW in how
            model.end(call, now_ms, failed=failed, slow=slow)
    elif operation == "release":
        permit, call = arguments
        reply = await memory.release(name, permit)
        model.cancel(call)
    elif operation == "merge":
        reply = await memory.merge(name, *arguments)
        history.merged = True
    else:
        reply = await memory.read(name)
    if not history.merged:
        assert reply.circuit.state == model.phase.state
        assert reply.circuit.epoch == len(model.transitions)
    return reply


def test_thousands_of_random_histories_are_decided_alike(
    redis: tuple[asyncio.Runner, RedisConnection],
) -> None:
    runner, connection = redis
    rng = random.Random(20261122)
    runner.run(connection.client.script_load(SCRIPT))
    transitions = 0
    for _ in range(HISTORIES // AT_ONCE):
        transitions += runner.run(compare_histories(connection, rng, AT_ONCE))
    assert transitions >= HISTORIES, "histories in which nothing happens compare nothing"


# What only a store can promise


def test_two_hundred_callers_at_half_open_are_exactly_the_probes(bench: Bench) -> None:
    name = bench.new()

    async def rush() -> list[Decision]:
        for _ in range(3):
            permit = (await bench.store.admit(name, "")).permit
            assert permit is not None
            await bench.store.report(name, permit, Outcome.FAILED)
        bench.clock.now_ms += CONFIG.open_ms
        asked = (bench.store.admit(name, f"lease{caller}") for caller in range(200))
        return await asyncio.gather(*asked)

    replies = bench.runner.run(rush())
    assert sum(reply.permit is not None for reply in replies) == CONFIG.probes
    assert sum(reply.transition is not None for reply in replies) == 1


def test_a_name_that_is_not_configured_is_an_error(bench: Bench) -> None:
    bench.new()
    with pytest.raises(KeyError):
        bench.runner.run(bench.store.admit("another", ""))


# What only Redis can promise


async def opened(store: RedisStore, name: str) -> Decision:
    for _ in range(CONFIG.min_calls):
        permit = (await store.admit(name, "")).permit
        assert permit is not None
        reply = await store.report(name, permit, Outcome.FAILED)
    return reply


async def test_an_open_circuit_is_kept_without_a_time_to_live_and_survives_a_restart(
    tmp_path: Path,
) -> None:
    connection = RedisConnection(load_settings(data_dir=tmp_path, redis_timeout_s=30))
    await connection.start()
    store = RedisStore(connection, {"stt": CONFIG})
    before = await opened(store, "stt")
    assert before.circuit.state == "open"
    assert await connection.client.pttl(circuit_key("stt")) == -1
    assert await connection.client.keys("*") == [b"xoe:v1:{breaker:stt}:circuit"]
    await connection.aclose()
    await connection.start()
    assert (await store.read("stt")).circuit == before.circuit
    await connection.aclose()


def test_a_circuit_that_is_well_costs_redis_no_writing(
    redis: tuple[asyncio.Runner, RedisConnection],
) -> None:
    runner, connection = redis
    name = f"circuit{next(NAMES)}"
    store = RedisStore(connection, {name: CONFIG})

    async def calls(count: int) -> None:
        for _ in range(count):
            permit = (await store.admit(name, "")).permit
            assert permit is not None
            await store.report(name, permit, Outcome.OK)

    async def changes() -> int:
        return int((await connection.client.info("persistence"))["rdb_changes_since_last_save"])

    runner.run(calls(CONFIG.window))
    before = runner.run(changes())
    runner.run(calls(20))
    assert runner.run(changes()) == before


def test_a_redis_that_has_never_seen_the_script_is_told_it(
    redis: tuple[asyncio.Runner, RedisConnection],
) -> None:
    runner, connection = redis
    name = f"circuit{next(NAMES)}"
    store = RedisStore(connection, {name: CONFIG})
    runner.run(connection.client.script_flush())
    assert runner.run(store.admit(name, "")).permit == Permit(0)


@pytest.mark.parametrize(
    "damage", [{"state": "ajar"}, {"epoch": "many"}, {"state": "open", "leases": "x="}]
)
def test_what_cannot_be_read_is_an_error_and_not_a_crash(
    redis: tuple[asyncio.Runner, RedisConnection], damage: dict[str, str]
) -> None:
    runner, connection = redis
    name = f"circuit{next(NAMES)}"
    store = RedisStore(connection, {name: CONFIG})
    runner.run(opened(store, name))
    runner.run(connection.client.hset(circuit_key(name), mapping=damage))
    if damage.get("leases"):  # what is no lease is none
        assert runner.run(store.read(name)).circuit.leases == ()
    else:
        with pytest.raises(RedisError):
            runner.run(store.read(name))


def test_redis_tells_the_time_where_no_test_does(
    redis: tuple[asyncio.Runner, RedisConnection],
) -> None:
    runner, connection = redis
    name = f"circuit{next(NAMES)}"
    store = RedisStore(connection, {name: CONFIG})

    async def times() -> tuple[int, int, int]:
        seconds, micros = await connection.client.time()
        before = int(seconds) * 1000 + int(micros) // 1000
        told = (await store.read(name)).now_ms
        seconds, micros = await connection.client.time()
        return before, told, int(seconds) * 1000 + int(micros) // 1000

    before, told, after = runner.run(times())
    assert before <= told <= after
