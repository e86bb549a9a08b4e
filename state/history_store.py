"""Chats in Redis: reading one, and writes that are obeyed once however often they are sent.

Beside each history lies a hash, ``…:state``: for each server (``writer``) the number of its last
write, and ``version``, the count of all. A write that Redis has obeyed already, though its answer
was lost, changes nothing. A write that finds an older number than Redis has confirmed tells so
(Redis was started with old data, or none) and changes nothing either, until it is sent with what
to do about it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from state.history_buffer import Snapshot
from state.history_delta import EVERYTHING, Delta
from state.history_entry import state_key
from state.redis import RedisConnection

WRITERS_MAX: Final = 32
"""Servers whose numbers are kept for one chat."""

# A script, since a full Redis takes no command into a MULTI, not even one that reads.
_READ: Final = """
local list, state, writer, first = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
return {
  redis.call('HGET', state, writer) or '0',
  redis.call('HGET', state, 'version') or '0',
  redis.call('LLEN', list),
  redis.call('PTTL', list),
  redis.call('LRANGE', list, first, -1),
}
"""

# The first write of each path that adds to a chat is one that a full Redis refuses: after an
# allowed one, it would let the whole script pass.
_WRITE: Final = """
local list, state, writer = KEYS[1], KEYS[2], ARGV[1]
local seq, acked, version = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local lost, ttl_ms, state_ttl_ms = ARGV[5], ARGV[6], ARGV[7]
local drop, keep, max = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local first = 12 + tonumber(ARGV[11])
local seen = tonumber(redis.call('HGET', state, writer) or '0')
local now = tonumber(redis.call('HGET', state, 'version') or '0')

if seen >= seq then
  return {1, now, redis.call('LLEN', list)}
end
if seen < acked then
  if lost == 'ask' then
    return {0, now, redis.call('LLEN', list)}
  end
  if lost == 'restore' and now < version then
    redis.call('HSET', state, 'version', version, writer, acked)
    redis.call('DEL', list)
    for i = 12, first - 1 do
      redis.call('RPUSH', list, ARGV[i])
    end
    redis.call('PEXPIRE', list, ttl_ms)
    now = version
  end
end

local adds = #ARGV >= first
if drop > 0 then
  redis.call('LTRIM', list, 0, -drop - 1)
end
if keep == 0 then
  redis.call('DEL', list)
end
for i = first, #ARGV do
  redis.call('RPUSH', list, ARGV[i])
end
local length = #ARGV - first + 1
if keep > 0 and keep + length < max then
  redis.call('LTRIM', list, -keep - length, -1)
elseif adds then
  redis.call('LTRIM', list, -max, -1)
end
if adds then
  redis.call('PEXPIRE', list, ttl_ms)
end
if redis.call('HLEN', state) > tonumber('WRITERS_MAX') then
  redis.call('DEL', state)
end
redis.call('HSET', state, 'version', now + 1, writer, seq)
redis.call('PEXPIRE', state, state_ttl_ms)
return {1, now + 1, redis.call('LLEN', list)}
""".replace("WRITERS_MAX", str(WRITERS_MAX))


@dataclass(frozen=True)
class Write:
    """One write to one chat."""

    key: str
    seq: int
    acked: int
    """The last number that Redis has confirmed, and …"""
    version: int
    """… its count of writes then."""
    delta: Delta
    ttl_s: float
    """How long the chat is kept from now."""
    restore: bool | None = None
    """Where Redis is behind ``acked``: ``None`` asks, false goes on from what it has, true first
    puts ``base`` in the place of what is older than that."""
    base: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Obeyed:
    """What came of a write."""

    done: bool
    """False: Redis is behind what it has confirmed, and nothing was written."""
    version: int
    length: int


class HistoryStore:
    """Chats in Redis. Every method raises ``RedisError``."""

    def __init__(
        self, connection: RedisConnection, *, writer: str, max_entries: int, ttl_s: float
    ) -> None:
        """``writer`` names this server; its numbers only grow."""
        self._connection = connection
        self._writer = writer
        self._max_entries = max_entries
        self._ttl_s = ttl_s

    async def read(self, key: str, count: int) -> Snapshot:
        """Return the newest ``count`` entries (0: all) with what is noted about the chat."""

        async def command(client: Redis) -> list[Any]:
            arguments = (key, state_key(key), self._writer, -count if count else 0)
            return cast(list[Any], await client.eval(_READ, 2, *arguments))

        seen, version, length, ttl_ms, entries = await self._connection.run(command)
        return Snapshot(
            entries=tuple(entries),
            length=int(length),
            seen=int(seen),
            version=int(version),
            ttl_s=ttl_ms / 1000 if ttl_ms >= 0 else None,
        )

    async def write(self, writes: Sequence[Write]) -> list[Obeyed | ResponseError]:
        """Send writes to different chats in one go; what Redis refused stands in its place."""

        async def command(client: Redis) -> list[Any]:
            async with client.pipeline(transaction=False) as pipe:
                for write in writes:
                    pipe.eval(_WRITE, 2, write.key, state_key(write.key), *self._arguments(write))
                return await pipe.execute(raise_on_error=False)

        replies = await self._connection.run(command)
        return [
            reply
            if isinstance(reply, ResponseError)
            else Obeyed(bool(reply[0]), int(reply[1]), int(reply[2]))
            for reply in replies
        ]

    async def keys(self, prefix: str) -> set[str]:
        """Return the keys of all chats, also of empty ones, whose keys begin with ``prefix``."""

        async def command(client: Redis) -> set[str]:
            pattern = re.sub(r"([\\\[\]?*^])", r"\\\1", prefix) + "*"
            return {key.decode() async for key in client.scan_iter(pattern, count=1000)}

        found = await self._connection.run(command)
        return {f"{key.rpartition(':')[0]}:history" for key in found}

    async def delete(self, keys: Collection[str]) -> None:
        """Delete chats with what is noted about them.

        Whoever holds one of them in memory finds Redis behind what it has confirmed, and goes on.
        """

        async def command(client: Redis) -> None:
            for key in keys:
                await client.delete(key, state_key(key))

        await self._connection.run(command)

    def _arguments(self, write: Write) -> list[Any]:
        lost = "ask" if write.restore is None else "restore" if write.restore else "accept"
        base = write.base if write.restore else ()
        return [
            *(self._writer, write.seq, write.acked, write.version, lost),
            *(max(1, round(write.ttl_s * 1000)), round(self._ttl_s * 1000)),
            *(write.delta.drop, min(write.delta.keep, EVERYTHING), self._max_entries),
            *(len(base), *base, *write.delta.entries),
        ]
