"""A real redis-server of our own: how it starts, ends, and what outlives it."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
from redis.asyncio import Redis

from core.errors import RedisError
from core.settings import Settings, load_settings
from state.redis import RedisConnection
from state.redis_server import SOCKET_PATH_MAX_BYTES, RedisServer

pytestmark = pytest.mark.integration


def settings_for(folder: Path, **more: object) -> Settings:
    return load_settings(data_dir=folder, **more)


@pytest.fixture
async def connection(tmp_path: Path) -> AsyncIterator[RedisConnection]:
    connection = RedisConnection(settings_for(tmp_path, redis_timeout_s=30))
    await connection.start()
    yield connection
    await connection.aclose()


async def until_up(connection: RedisConnection) -> None:
    async with asyncio.timeout(60):
        while not connection.is_up:
            await asyncio.sleep(0.02)


async def until_gone(pid: int) -> None:
    async with asyncio.timeout(30):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            await asyncio.sleep(0.02)


async def test_it_listens_on_a_private_socket_and_on_no_port(
    connection: RedisConnection, tmp_path: Path
) -> None:
    folder = tmp_path / "redis"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "redis.sock").stat().st_mode) == 0o700
    assert connection.server_pid is not None
    process = psutil.Process(connection.server_pid)
    assert process.net_connections("inet") == []
    config = await connection.client.config_get("*")
    assert config["appendonly"] == "yes"
    assert config["save"] == ""
    assert config["appendfsync"] == "no", "everysec holds acknowledged writes back on a slow disk"
    assert config["maxmemory"] == str(128 * 1024 * 1024)
    assert connection.describe().startswith("own redis-server ")
    assert connection.describe().endswith(": ready")


async def test_it_always_has_time_outs(connection: RedisConnection) -> None:
    assert load_settings().redis_timeout_s == 2.0
    kwargs = connection.client.connection_pool.connection_kwargs
    assert kwargs["socket_timeout"] == 30.0
    assert kwargs["socket_connect_timeout"] == 30.0


async def test_closing_leaves_no_process_and_no_socket(tmp_path: Path) -> None:
    connection = RedisConnection(settings_for(tmp_path))
    await connection.start()
    pid = connection.server_pid
    assert pid is not None
    await connection.aclose()
    assert not psutil.pid_exists(pid)
    assert not (tmp_path / "redis" / "redis.sock").exists()
    assert connection.state == "stopped"
    await connection.aclose()


@pytest.mark.parametrize(
    "name",
    ["with space", "quo\"te's", "back\\slash", "emoji 😀 ü", "new\nline", "#hash", "x" * 200],
)
async def test_any_data_folder_will_do(tmp_path: Path, name: str) -> None:
    for _ in range(2):  # the second start finds what the first has left
        connection = RedisConnection(settings_for(tmp_path / name))
        await connection.start()
        assert await connection.run(lambda client: client.incr("starts")) == _ + 1
        await connection.aclose()


async def test_a_long_data_folder_gets_a_short_private_socket_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "r"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    server = RedisServer(tmp_path / ("x" * 120))
    await server.start()
    assert server.socket.parent.parent == runtime
    assert len(os.fsencode(server.socket)) <= SOCKET_PATH_MAX_BYTES
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    await server.stop()
    assert list(runtime.iterdir()) == []


async def test_a_second_server_on_the_same_folder_is_refused(
    connection: RedisConnection, tmp_path: Path
) -> None:
    second = RedisConnection(settings_for(tmp_path))
    with pytest.raises(RedisError, match="Another process uses"):
        await second.start()
    await second.aclose()
    assert await connection.run(lambda client: client.ping())


async def test_closing_at_any_moment_of_a_start_lets_go_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while a thread, on a slow disk, is about to take the folder's lock."""
    take_lock = RedisServer._take_lock

    def take_lock_slowly(server: RedisServer) -> None:
        time.sleep(0.05)
        take_lock(server)

    monkeypatch.setattr(RedisServer, "_take_lock", take_lock_slowly)
    for n in range(20):
        server = RedisServer(tmp_path)
        starting = asyncio.create_task(server.start())
        await asyncio.sleep(n * 0.01)
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        await server.stop()
        after = RedisServer(tmp_path)
        await after.start()
        await after.stop()


async def test_it_is_started_again_when_it_is_killed_and_keeps_everything(
    connection: RedisConnection,
) -> None:
    for kill in range(3):
        for n in range(50):
            await connection.run(lambda client, n=n: client.rpush("list", n))
        assert connection.server_pid is not None
        os.kill(connection.server_pid, signal.SIGKILL)
        count = 0
        async with asyncio.timeout(60):
            while count == 0:
                try:
                    count = int(await connection.run(lambda client: client.llen("list")))
                except RedisError as exc:
                    assert "started again" in str(exc)
                    await asyncio.sleep(0.02)
        assert count == 50 * (kill + 1)
    assert connection.state == "ready"


async def test_a_file_cut_short_by_a_crash_loses_only_its_last_command(tmp_path: Path) -> None:
    connection = RedisConnection(settings_for(tmp_path))
    await connection.start()
    for n in range(10):
        await connection.run(lambda client, n=n: client.rpush("list", n))
    await connection.aclose()
    file = next(
        p for p in (tmp_path / "redis").rglob("*history.aof*") if b"RPUSH" in p.read_bytes()
    )
    file.write_bytes(file.read_bytes()[:-3])
    await connection.start()
    assert await connection.run(lambda client: client.llen("list")) == 9
    await connection.aclose()


async def test_a_damaged_file_is_set_aside_and_kept(tmp_path: Path) -> None:
    connection = RedisConnection(settings_for(tmp_path))
    await connection.start()
    for n in range(10):
        await connection.run(lambda client, n=n: client.rpush("list", n))
    await connection.aclose()
    file = next(
        p for p in (tmp_path / "redis").rglob("*history.aof*") if b"RPUSH" in p.read_bytes()
    )
    data = bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = b"\xff" * 40
    file.write_bytes(data)
    await connection.start()
    assert await connection.run(lambda client: client.llen("list")) == 0
    kept = [p for p in (tmp_path / "redis").glob("damaged-*/**/*") if p.is_file()]
    assert bytes(data) in [path.read_bytes() for path in kept]
    await connection.aclose()


PARENT = textwrap.dedent(
    """
    import asyncio, sys
    from state.redis import RedisConnection
    from core.settings import load_settings

    async def main():
        connection = RedisConnection(load_settings(data_dir=sys.argv[1]))
        await connection.start()
        await connection.run(lambda client: client.set("left", "here"))
        print(f"pid={connection.server_pid}", file=sys.stderr, flush=True)
        await asyncio.sleep(60)

    asyncio.run(main())
    """
)


async def test_it_dies_with_its_parent_and_the_next_start_has_everything(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    with parent, parent.stderr as lines:
        told = await asyncio.to_thread(
            lambda: next(line for line in lines if line.startswith("pid="))
        )
        parent.kill()
    pid = int(told.removeprefix("pid="))
    await until_gone(pid)
    connection = RedisConnection(settings_for(tmp_path))
    await connection.start()
    assert await connection.run(lambda client: client.get("left")) == b"here"
    await connection.aclose()


async def test_a_server_that_outlived_its_parent_is_stopped_by_the_next_start(
    tmp_path: Path,
) -> None:
    first = RedisServer(tmp_path)
    await first.start()
    orphan = first.pid
    assert orphan is not None and first._lock is not None
    first._lock.close()  # as the kernel does when the parent dies
    second = RedisServer(tmp_path)
    await second.start()
    await until_gone(orphan)
    assert psutil.pid_exists(second.pid or 0)
    await second.stop()
    await first.stop()


async def test_a_pid_file_that_names_a_stranger_harms_nobody(tmp_path: Path) -> None:
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        (tmp_path / "redis.pid").write_text(f"{stranger.pid}\n")
        server = RedisServer(tmp_path)
        await server.start()
        await server.stop()
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "history.aof").mkdir()  # cannot be opened as a file
    connection = RedisConnection(settings_for(tmp_path))
    with pytest.raises(RedisError, match=r"did not start: .*\(see .*redis\.log\)"):
        await connection.start()
    assert connection.state == "failed"
    assert "did not start" in connection.describe()
    with pytest.raises(RedisError, match="did not start"):
        await connection.run(lambda client: client.ping())
    await connection.aclose()


async def test_a_data_folder_that_is_a_file_is_a_clear_sentence(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    connection = RedisConnection(settings_for(tmp_path / "data"))
    with pytest.raises(RedisError, match=r"cannot start in .* choose another data folder"):
        await connection.start()
    await connection.aclose()


async def test_an_external_redis_that_is_away_is_found_again(
    tmp_path: Path, connection: RedisConnection
) -> None:
    socket = tmp_path / "redis" / "redis.sock"
    hidden = tmp_path / "redis" / "hidden.sock"
    url = f"unix://:s3cret@{socket}"
    await connection.client.config_set("requirepass", "s3cret")
    socket.rename(hidden)
    external = RedisConnection(settings_for(tmp_path / "other", redis_url=url))
    with pytest.raises(RedisError, match="cannot be reached"):
        await external.start()
    assert external.state == "failed"
    assert "s3cret" not in external.describe()
    hidden.rename(socket)
    await until_up(external)
    assert await external.run(lambda client: client.ping())
    assert external.state == "ready"
    assert external.describe() == f"external, unix://:***@{socket}: ready"
    assert external.server_pid is None
    await external.aclose()
    assert connection.server_pid is not None, "an external server is not ours to stop"


async def test_a_wrong_password_is_a_clear_sentence(
    tmp_path: Path, connection: RedisConnection
) -> None:
    await connection.client.config_set("requirepass", "right")
    url = f"unix://:wrong@{tmp_path / 'redis' / 'redis.sock'}"
    external = RedisConnection(settings_for(tmp_path / "other", redis_url=url))
    with pytest.raises(RedisError, match=r"WRONGPASS|invalid") as error:
        await external.start()
    assert ":wrong" not in str(error.value)
    await external.aclose()


async def test_what_redis_refuses_is_our_error_and_not_a_failure_of_the_connection(
    connection: RedisConnection,
) -> None:
    await connection.run(lambda client: client.set("text", "x"))
    with pytest.raises(RedisError, match="WRONGTYPE"):
        await connection.run(lambda client: client.rpush("text", "x"))
    assert connection.state == "ready"


async def test_a_redis_that_hangs_is_waited_for_once(tmp_path: Path) -> None:
    connection = RedisConnection(settings_for(tmp_path, redis_timeout_s=0.5))
    await connection.start()
    assert connection.server_pid is not None
    sent: list[int] = []

    async def ping(n: int) -> None:
        async def command(client: Redis) -> object:
            sent.append(n)
            return await client.ping()

        await connection.run(command)

    os.kill(connection.server_pid, signal.SIGSTOP)
    try:
        async with asyncio.timeout(30):
            with pytest.raises(RedisError, match="cannot be reached"):
                await ping(0)
            assert connection.is_away
            for n in range(1, 50):
                with pytest.raises(RedisError, match="cannot be reached"):
                    await ping(n)
        assert sent == [0], "nobody asks a Redis that is gone"
    finally:
        os.kill(connection.server_pid, signal.SIGCONT)
    await until_up(connection)
    assert await connection.run(lambda client: client.ping())
    await connection.aclose()


async def test_commands_under_way_end_with_the_first_that_is_not_answered(tmp_path: Path) -> None:
    connection = RedisConnection(settings_for(tmp_path, redis_timeout_s=30))
    await connection.start()
    waiting = [
        asyncio.create_task(connection.run(lambda client: client.blpop("nothing", 20)))
        for _ in range(5)
    ]
    await asyncio.sleep(0.2)
    assert connection.server_pid is not None
    os.kill(connection.server_pid, signal.SIGSTOP)  # blpop goes on waiting
    connection._lost("as if one of them had timed out")
    async with asyncio.timeout(10):  # their own time-out is 30 s
        for outcome in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(outcome, RedisError)
            assert "as if" in str(outcome)
    os.kill(connection.server_pid, signal.SIGCONT)
    await until_up(connection)
    await connection.aclose()


async def test_our_own_server_is_killed_and_started_again_when_it_hangs(tmp_path: Path) -> None:
    connection = RedisConnection(settings_for(tmp_path, redis_timeout_s=0.3))
    await connection.start()
    await connection.run(lambda client: client.set("left", "here"))
    pid = connection.server_pid
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(RedisError):
        await connection.run(lambda client: client.ping())
    await until_up(connection)
    assert connection.server_pid != pid
    assert connection.generation == 2
    assert await connection.run(lambda client: client.get("left")) == b"here"
    await connection.aclose()


async def test_a_start_that_failed_is_tried_again(tmp_path: Path) -> None:
    (tmp_path / "redis").write_text("in the way")
    connection = RedisConnection(settings_for(tmp_path))
    with pytest.raises(RedisError):
        await connection.start()
    (tmp_path / "redis").unlink()
    await until_up(connection)
    assert await connection.run(lambda client: client.ping())
    await connection.aclose()


@pytest.mark.parametrize("kind", ["cut short", "one bit", "a word", "zeros", "empty"])
async def test_no_damage_of_its_file_keeps_it_from_starting(tmp_path: Path, kind: str) -> None:
    """Each damage at several places; what is not understood is set aside, whole, and reported."""
    connection = RedisConnection(settings_for(tmp_path / "whole", redis_timeout_s=30))
    await connection.start()
    for n in range(20):
        await connection.run(lambda client, n=n: client.rpush("list", f"entry {n}"))
    await connection.aclose()
    content = (tmp_path / "whole" / "redis" / "history.aof").read_bytes()
    damage = {
        "cut short": lambda at: content[:at],
        "one bit": lambda at: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :],
        "a word": lambda at: content[:at] + content[at:].replace(b"RPUSH", b"RPUSI", 1),
        "zeros": lambda at: content[:at] + bytes(64) + content[at + 64 :],
        "empty": lambda at: b"",
    }[kind]
    for at in range(1, len(content) - 100, len(content) // 5 + 1):
        folder = tmp_path / f"at-{at}"
        (folder / "redis").mkdir(parents=True)
        (folder / "redis" / "history.aof").write_bytes(damage(at))
        connection = RedisConnection(settings_for(folder, redis_timeout_s=30))
        await connection.start()
        aside = [path.read_bytes() for path in (folder / "redis").glob("damaged-*/history.aof")]
        assert aside in ([], [damage(at)])
        assert ("damaged file" in connection.describe()) == bool(aside)
        assert int(await connection.run(lambda client: client.llen("list"))) <= 20
        await connection.aclose()


async def test_a_cancelled_command_is_always_cancelled_and_mixes_nothing_up(
    connection: RedisConnection,
) -> None:
    for n in range(20):
        await connection.run(lambda client, n=n: client.set(f"key:{n}", n))

    async def read(n: int) -> int:
        value = await connection.run(lambda client: client.get(f"key:{n}"))
        assert isinstance(value, bytes)
        return int(value)

    for turn in range(400):
        if turn % 2:
            await connection.client.connection_pool.disconnect()
        task = asyncio.create_task(read(turn % 20))
        for _ in range(turn % 40):
            await asyncio.sleep(0)
        if task.cancel():
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await asyncio.gather(*(read(n) for n in range(20))) == list(range(20))
