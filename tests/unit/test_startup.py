"""What the first page needs, and that it is right before the database is open."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import SecretStr

from core.data_folder import DataFolder
from core.errors import StoreDamagedError
from core.settings import PEOPLE_FILE, Settings
from xoe.auth.passwords import Passwords
from xoe.auth.services import is_without_accounts
from xoe.auth.users import Users
from xoe.db import Database
from xoe.startup import Startup


def settings_of(folder: Path) -> Settings:
    """Without models, so that what loads behind loads quickly."""
    nothing = folder / "nothing"
    return Settings(data_dir=folder, models_dir=nothing, library_dir=nothing, voice=False)


async def opened(folder: Path, *, account: bool) -> Database:
    database = await Database.open(Settings(data_dir=folder))
    if account:
        users = Users(database, Passwords(memory_kib=64, passes=1))
        await users.add("ada", "kettle orbit lantern")
        users.close()
    return database


async def test_that_there_is_no_account_is_known_without_the_databases_library(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path)
    assert is_without_accounts(settings)
    (tmp_path / PEOPLE_FILE).touch()
    assert is_without_accounts(settings)
    database = await opened(tmp_path, account=False)
    assert is_without_accounts(settings)
    await database.aclose()
    database = await opened(tmp_path, account=True)
    assert not is_without_accounts(settings), "it stands in the log beside the file"
    await database.aclose()
    assert not is_without_accounts(settings)


async def test_what_cannot_be_told_for_certain_is_no_reason_to_let_anybody_in(
    tmp_path: Path,
) -> None:
    url = SecretStr("postgresql:///xoe")
    assert not is_without_accounts(Settings(data_dir=tmp_path, database_url=url))
    (tmp_path / PEOPLE_FILE).write_bytes(b"not a database" * 100)
    assert not is_without_accounts(Settings(data_dir=tmp_path))
    (tmp_path / PEOPLE_FILE).unlink()
    (tmp_path / PEOPLE_FILE).mkdir()
    assert not is_without_accounts(Settings(data_dir=tmp_path))


def test_an_account_whose_maker_was_killed_is_seen(tmp_path: Path) -> None:
    """Its row is in a log that nobody has folded."""
    asyncio.run(_make(tmp_path))
    program = f"""
import os, signal, sqlite3
database = sqlite3.connect({str(tmp_path / PEOPLE_FILE)!r}, isolation_level=None)
database.execute("PRAGMA wal_autocheckpoint = 0")
database.execute("INSERT INTO users VALUES ('eve', 'Eve', 'operator', 'x', 1.0, 0)")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program])
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / f"{PEOPLE_FILE}-wal").stat().st_size > 0
    assert not is_without_accounts(Settings(data_dir=tmp_path))


async def _make(folder: Path) -> None:
    await (await opened(folder, account=False)).aclose()


async def test_nothing_is_loaded_before_it_is_wanted_and_the_folder_is_let_go(
    tmp_path: Path,
) -> None:
    settings = Settings(data_dir=tmp_path)
    startup = Startup.begin(settings)
    assert not await startup.any_account()
    assert not (tmp_path / PEOPLE_FILE).exists()
    assert startup.readiness().live
    await startup.aclose()
    DataFolder(tmp_path).acquire()


async def test_an_account_is_believed_from_the_first_question_on(tmp_path: Path) -> None:
    await (await opened(tmp_path, account=True)).aclose()
    startup = Startup.begin(settings_of(tmp_path))
    assert await startup.any_account()
    await startup.aclose()


async def test_a_damaged_database_lets_nobody_in_and_ends_the_start(tmp_path: Path) -> None:
    (tmp_path / PEOPLE_FILE).write_bytes(b"not a database" * 100)
    startup = Startup.begin(settings_of(tmp_path))
    with pytest.raises(StoreDamagedError):
        await startup.any_account()
    with pytest.raises(StoreDamagedError):
        await startup.settled()
    await startup.aclose()


async def test_an_account_made_meanwhile_counts_at_once(tmp_path: Path) -> None:
    startup = Startup.begin(settings_of(tmp_path))
    assert not await startup.any_account()
    await (await opened(tmp_path, account=True)).aclose()
    assert await startup.any_account()
    await startup.aclose()
    with sqlite3.connect(tmp_path / PEOPLE_FILE) as database:
        assert database.execute("SELECT name FROM users").fetchall() == [("ada",)]
