"""Kills a process at each step of what concerns several stores, and looks after the next start.

``python deletion_faults.py FOLDER DATABASE REDIS EVERY``, DATABASE a PostgreSQL's address or
``sqlite``. Each step of each operation, before and after whatever is committed, deleted or told to
Redis, is one try; EVERY 3 takes a third of them. With ``fault_shim.c`` preloaded a try is a write
to a file instead: killed before it, and half way through. All is done in forked children, which
have loaded the libraries already. Prints a JSON object for each operation.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from sqlalchemy import select, text
from store_model import FINGERPRINT, indexes_of, keys_of, passages, put, vector_of

from core.settings import Settings
from ingest.catalog import Catalog
from ingest.scope import Scope
from ingest.store import Store
from ingest.vector_index import VectorIndex
from state.history import ChatHistory
from state.redis import RedisConnection
from telemetry.logging import configure_logging
from xoe.auth.passwords import Passwords
from xoe.auth.users import Users
from xoe.chats.changes import Ask, Files, Keep
from xoe.chats.finishing import delete_owned_data
from xoe.chats.service import Chats
from xoe.chats.store import Threads
from xoe.chats.transfer import transfer
from xoe.chats.types import StoredFile, StoredMessage
from xoe.db import Database, tables
from xoe.db.database import FILE_NAME
from xoe.db.unfinished import unfinished

WORD = "xylograph"
"""Stands in what is to go, and nowhere else."""
KILL_BEFORE, KILL_MIDWAY = 3, 4

_shim: Any = ctypes.CDLL(os.environ["LD_PRELOAD"]) if "LD_PRELOAD" in os.environ else None
_steps = SimpleNamespace(seen=0, at=0)


def step() -> None:
    """One point at which a process may be killed."""
    _steps.seen += 1
    if _steps.seen == _steps.at:
        os.kill(os.getpid(), signal.SIGKILL)


def watch(owner: type, *names: str) -> None:
    """Have a step before and after each call of these methods."""
    for name in names:
        plain = getattr(owner, name)

        async def watched(*given: Any, _plain: Any = plain, **named: Any) -> Any:
            step()
            done = await _plain(*given, **named)
            step()
            return done

        setattr(owner, name, watched)


def watch_all() -> None:
    write = Database.write

    @contextlib.asynccontextmanager
    async def watched(self: Database) -> AsyncIterator[Any]:
        async with write(self) as connection:
            yield connection
            step()  # before the commit
        step()

    Database.write = watched  # type: ignore[method-assign]
    watch(Database, "scrub")
    watch(Catalog, "delete_named", "delete_document", "delete_owner", "move_document", "scrub")
    watch(ChatHistory, "delete", "delete_owner")


class House:
    """The stores of one data folder, wired as the server wires them."""

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, settings: Settings, name: str) -> AsyncIterator[House]:
        house = cls()
        house.settings = settings
        # Owners of this try alone: all tries share one Redis, and one PostgreSQL.
        house.mine, house.other, house.heir = f"user:{name}", f"user:{name}-b", f"user:{name}-c"
        house.account = name
        house.db = await Database.open(settings)
        house.threads = Threads(house.db)
        house.users = Users(house.db, Passwords(memory_kib=64, passes=1))
        house.store = Store(settings.data_dir, FINGERPRINT)
        house.indexes = indexes_of(house.store, settings.data_dir)
        house.catalog = Catalog(house.store, house.indexes)
        house.redis = RedisConnection(settings)
        await house.redis.start()
        house.history = ChatHistory(house.redis, settings)
        house.chats = Chats(house.threads, house.history, house.catalog, max_turns=5)
        yield house
        await house.chats.aclose()
        await house.history.aclose()
        await house.redis.aclose()
        house.store.close()
        house.users.close()
        await house.db.aclose()

    async def say(self, owner: str, thread: str, words: str, *files: str) -> None:
        """A turn, with documents dropped into it."""
        named = tuple(StoredFile(name, "ready") for name in files)
        question = StoredMessage(f"{thread}-q", "user", words, 1.0, files=named)
        answer = StoredMessage(f"{thread}-a", "assistant", words, 2.0, remembered=True)
        await self.threads.apply(Ask(owner, thread, question))
        for name in files:
            await asyncio.to_thread(put, self.store, name, passages(name, 0), owner)
        await self.threads.apply(Files(owner, thread, question.id, named))
        await self.threads.apply(Keep(owner, thread, question.id, answer))
        ids = (question.id, answer.id)
        await self.history.append(thread, owner, words, words, ids=ids)

    async def chat_ids(self, owner: str) -> set[str]:
        return {thread.id for thread in (await self.threads.page(owner, limit=50)).threads}

    async def uploads(self, owner: str, thread: str) -> set[str]:
        async with self.db.read() as connection:
            found = (
                select(tables.uploads.c.name)
                .join(tables.threads)
                .where(tables.threads.c.owner == owner, tables.threads.c.id == thread)
            )
            return set((await connection.execute(found)).scalars())

    async def redis_keys(self, owner: str) -> set[str]:
        async def command(client: Any) -> set[str]:
            return {key.decode() async for key in client.scan_iter("*")}

        prefix = f"xoe:v1:{{{owner.replace(':', '%3A')}:"
        return {key for key in await self.redis.run(command) if key.startswith(prefix)}

    def check_documents(self, owner: str, *names: str) -> None:
        """Exactly these are there: rows, words, vectors, saved vectors."""
        found = self.store.documents((owner,))
        assert {one.name for one in found} == set(names), f"{owner}: {found}"
        for name in ("alone", "both", "kept", "foreign"):
            for key in keys_of(passages(name, 0)):
                matches = self.store.match(f'"{key}"', Scope.of(owner), 10)
                assert bool(matches) == (name in names), f"{key} of {owner}: {matches}"
        expected = sum(one.chunks for one in found)
        probe = vector_of("probe")
        assert len(self.indexes.search(probe, Scope.of(owner), 10_000)) == expected

    def check_files(self) -> None:
        """No saved index holds a vector of what is not in the database."""
        kept = set(self.store.collection_ids())
        for folder in (self.settings.data_dir / "index").glob("collection-*"):
            number = int(folder.name.rpartition("-")[2])
            assert number in kept, f"{folder.name} is of nobody"
            options = {"dimension": FINGERPRINT.dimension, "embedder": FINGERPRINT.embedder}
            saved = VectorIndex.load(folder, exact_limit=1000, **options)
            assert saved is not None
            assert set(saved.ids.tolist()) <= set(self.store.chunk_rows(number)[:, 0].tolist())

    async def check_nothing_is_noted(self) -> None:
        async with self.db.read() as connection:
            left = [one for one in await unfinished(connection) if self.account in one.owner]
        assert left == []

    async def check_word(self, *, is_there: bool) -> None:
        """The word stands in the files of the database, or nowhere any more."""
        if self.db.dialect == "postgresql":
            async with self.db.read() as connection:
                found = await connection.execute(
                    text("SELECT text FROM thread_messages WHERE text LIKE :words"),
                    {"words": f"%{WORD} {self.account}%"},
                )
                assert bool(found.all()) == is_there
            return
        await self.db.scrub()
        raw = b"".join(p.read_bytes() for p in self.settings.data_dir.glob(f"{FILE_NAME}*"))
        assert (WORD.encode() in raw) == is_there


async def prepare(house: House) -> None:
    """Two chats with a document each and one together, and another's with its own."""
    await house.say(house.mine, "kept", "An ordinary question.", "kept", "both")
    await house.say(house.mine, "gone", f"A {WORD} {house.account}?", "alone", "both")
    await house.say(house.other, "gone", "Somebody else's.", "foreign")
    owners = (house.mine, house.other)
    await asyncio.to_thread(house.indexes.warm, owners)
    await asyncio.to_thread(house.indexes.save)


async def prepare_account(house: House) -> None:
    with contextlib.suppress(Exception):  # there is one already
        await house.users.add("root", "kettle orbit lantern")
    await house.users.add(house.account, "kettle orbit lantern")
    await prepare(house)


async def nothing(_house: House) -> None:
    """Begin without anything."""


async def delete_chat(house: House) -> None:
    assert await house.chats.delete(house.mine, "gone")


async def check_chat(house: House, acknowledged: bool) -> None:
    is_there = "gone" in await house.chat_ids(house.mine)
    assert not (acknowledged and is_there)
    assert await house.chat_ids(house.mine) >= {"kept"}
    names = {"kept", "both"} | ({"alone"} if is_there else set())
    house.check_documents(house.mine, *names)
    keys = await house.redis_keys(house.mine)
    assert any(":kept}" in key for key in keys)
    assert any(":gone}" in key for key in keys) == is_there
    await house.check_word(is_there=is_there)
    await check_other(house)


async def check_other(house: House) -> None:
    assert await house.chat_ids(house.other) == {"gone"}
    house.check_documents(house.other, "foreign")
    assert len(await house.redis_keys(house.other)) == 2


async def delete_owner(house: House) -> None:
    await house.chats.delete_owner(house.mine)


async def check_owner(house: House, acknowledged: bool) -> None:
    is_there = bool(await house.chat_ids(house.mine))
    assert not (acknowledged and is_there)
    house.check_documents(house.mine, *(("alone", "both", "kept") if is_there else ()))
    assert bool(await house.redis_keys(house.mine)) == is_there
    await house.check_word(is_there=is_there)
    await check_other(house)


async def remove_account(house: House) -> None:
    """As ``xoe user remove NAME --delete-data`` does where no server runs."""
    account = await house.users.remove(house.account, with_data=True)
    house.store.close()  # the command opens its own
    await delete_owned_data(account.id, house.db, house.settings)


async def check_account(house: House, acknowledged: bool) -> None:
    is_there = await house.users.find(house.account) is not None
    assert bool(await house.chat_ids(house.mine)) == is_there
    await check_owner(house, acknowledged)


async def take_over(house: House) -> None:
    await transfer(house.mine, house.heir, house.threads, house.catalog)


async def check_transfer(house: House, acknowledged: bool) -> None:
    is_moved = bool(await house.chat_ids(house.heir))
    assert is_moved or not acknowledged
    left, there = (house.mine, house.heir) if is_moved else (house.heir, house.mine)
    assert (await house.chat_ids(left), await house.chat_ids(there)) == (set(), {"kept", "gone"})
    house.check_documents(left)
    house.check_documents(there, "alone", "both", "kept")
    assert await house.uploads(there, "gone") == {"alone", "both"}
    await check_other(house)


async def drop_files(house: House) -> None:
    await house.say(house.mine, "gone", f"A {WORD} {house.account}?", "alone", "both")


async def check_upload(house: House, _acknowledged: bool) -> None:
    """What was read of the files belongs to the chat, and goes with it."""
    there = {one.name for one in house.store.documents((house.mine,))}
    assert there == await house.uploads(house.mine, "gone")
    if "gone" in await house.chat_ids(house.mine):
        assert await house.chats.delete(house.mine, "gone")
    house.check_documents(house.mine)
    await house.check_word(is_there=False)


Act = Callable[[House], Awaitable[None]]
OPERATIONS: dict[str, tuple[Act, Act, Callable[[House, bool], Awaitable[None]]]] = {
    "chat": (prepare, delete_chat, check_chat),
    "owner": (prepare, delete_owner, check_owner),
    "account": (prepare_account, remove_account, check_account),
    "transfer": (prepare, take_over, check_transfer),
    "upload": (nothing, drop_files, check_upload),
}


def in_child(settings: Settings, name: str, act: Act, at: int = 0, kind: int = 0) -> Any:
    """Run ``act`` in a child; return ``killed``, or how many steps it passed. Raises its errors."""
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        said = ""
        try:

            async def run() -> str:
                async with House.open(settings, name) as house:
                    if _shim is not None:
                        _shim.fault_arm(os.fsencode(settings.data_dir), at, kind)
                    _steps.seen, _steps.at = 0, at
                    await act(house)
                    _steps.at = 0
                    seen = _steps.seen if _shim is None else _shim.fault_seen()
                    if _shim is not None:
                        _shim.fault_arm(b"", 0, 0)
                    return str(seen)

            said = asyncio.run(run())
        except BaseException:  # noqa: BLE001 - told to the parent
            said = traceback.format_exc()
        os.write(write_end, said.encode()[-4000:])
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        said = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return "killed"
    if not said.isdecimal():
        raise AssertionError(said)
    return int(said)


def tries(points: int, every: int) -> Iterator[tuple[int, int]]:
    kinds = (0,) if _shim is None else (KILL_BEFORE, KILL_MIDWAY)
    for kind in kinds:
        for at in range(1 + every // 2, points + 1, every):
            yield at, kind


def run_all(folder: Path, operation: str, given: dict[str, Any], every: int) -> None:
    prepare_, act, check = OPERATIONS[operation]

    def attempt(name: str, at: int, kind: int) -> Any:
        settings = Settings(data_dir=folder / name, history_max_turns=5, **given)
        in_child(settings, name, prepare_)
        done = in_child(settings, name, act, at, kind)

        async def after_the_next_start(house: House) -> None:
            assert await house.chats.finisher.finish(nobody_reads=True) == 0
            await house.check_nothing_is_noted()
            await check(house, done != "killed")
            await asyncio.to_thread(house.indexes.save)
            house.check_files()

        in_child(settings, name, after_the_next_start)
        return done

    points = attempt(f"{operation}-0", 0, 0)
    problems, killed = [], 0
    for at, kind in tries(points, every):
        try:
            killed += attempt(f"{operation}-{at}-{kind}", at, kind) == "killed"
        except AssertionError as exc:
            said = str(exc).strip().splitlines()[-1]
            problems.append(f"{operation} {at} ({kind}): {said}")
    report = {"operation": operation, "points": points, "killed": killed, "problems": problems}
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    configure_logging("error")
    watch_all()
    where: dict[str, Any] = {"redis_url": sys.argv[3]}
    if sys.argv[2] != "sqlite":
        where["database_url"] = sys.argv[2]
    for wanted in OPERATIONS:
        run_all(Path(sys.argv[1]), wanted, where, int(sys.argv[4]))
