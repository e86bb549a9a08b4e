"""The queue of what comes in: kept whatever ends its program, shown, cancelled, tried again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import StoreError
from ingest.incoming import KEPT_ITEMS, KEPT_S, IncomingQueue
from ingest.sources import FOLDER, SourceFile

ME, SHARED = "visitor:me", "library"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(tmp_path: Path, clock: Clock) -> Iterator[IncomingQueue]:
    queue = IncomingQueue(tmp_path / "data", clock=clock)
    yield queue
    queue.close()


def upload(tmp_path: Path, name: str = "boat.md", text: str = "The boat is blue.") -> Path:
    path = tmp_path / f"upload {name}"
    path.write_text(text)
    return path


def in_folder(tmp_path: Path, *names: str) -> list[SourceFile]:
    for name in names:
        (tmp_path / name).write_text(name)
    return [SourceFile(tmp_path / name, name, FOLDER) for name in names]


def states(queue: IncomingQueue, *owners: str) -> dict[str, str]:
    return {one.name: one.state for one in queue.overview(owners or None, 100).items}


def test_an_upload_is_moved_into_the_queue_and_goes_when_it_was_read(
    queue: IncomingQueue, tmp_path: Path
) -> None:
    path = upload(tmp_path)
    [item] = queue.keep(ME, [(path, "boat.md")], thread="t", asked="m")
    assert not path.exists()
    assert Path(item.path).read_text() == "The boat is blue."
    assert item.is_kept
    queue.tell([(item.id, "listening", 3, 9)])
    [told] = queue.items([item.id])
    assert (told.state, told.stage, told.done, told.total) == ("reading", "listening", 3, 9)
    queue.end(item.id, "ready", passages=4, reason="One picture was left out.")
    [ended] = queue.of_message(ME, "m")
    assert (ended.state, ended.passages, ended.stage) == ("ready", 4, "")
    assert not Path(item.path).exists()


def test_what_a_killed_program_was_reading_is_taken_over(tmp_path: Path, clock: Clock) -> None:
    data = tmp_path / "data"
    upload(tmp_path)
    folder = in_folder(tmp_path, "a.md")
    script = f"""
import os, sys
from pathlib import Path
from ingest.incoming import IncomingQueue
from ingest.sources import FOLDER, SourceFile
queue = IncomingQueue(Path({str(data)!r}))
[item] = queue.keep({ME!r}, [(Path({str(tmp_path / "upload boat.md")!r}), "boat.md")])
queue.add({SHARED!r}, [SourceFile(Path({str(folder[0].path)!r}), "a.md", FOLDER)])
queue.tell([(item.id, "embedding", 1, 2)])
os.kill(os.getpid(), 9)
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -9
    queue = IncomingQueue(data, clock=clock)
    try:
        [left] = queue.take_over()
        assert (left.name, left.state, left.done, left.reader) == ("boat.md", "waiting", 0, "")
        assert Path(left.path).read_text() == "The boat is blue."
        assert states(queue) == {"boat.md": "waiting"}, "the folder is read again by itself"
        queue.adopt([left.id])
        assert queue.unread() == []
        assert queue.take_over() == [], "this program lives"
    finally:
        queue.close()


def test_programs_see_and_cancel_what_another_reads(
    queue: IncomingQueue, tmp_path: Path, clock: Clock
) -> None:
    first, second = queue.add(SHARED, in_folder(tmp_path, "a.md", "b.md"))
    other = IncomingQueue(tmp_path / "data", clock=clock)
    try:
        assert states(other) == {"a.md": "waiting", "b.md": "waiting"}
        assert other.take_over() == []
        other.cancel([first])
        assert queue.unwanted([first, second]) == {first}
        queue.tell([(first, "embedding", 1, 9)])
        assert states(other)["a.md"] == "cancelled", "what comes late changes nothing"
        queue.end(first, "ready", passages=2)
        assert states(other)["a.md"] == "ready", "it was stored before its reader heard"
    finally:
        other.close()


def test_a_cancelled_file_of_a_folder_is_left_alone_until_it_changes(
    queue: IncomingQueue, tmp_path: Path
) -> None:
    sources = in_folder(tmp_path, "a.md", "b.md")
    first, _ = queue.add(SHARED, sources)
    queue.cancel([first])
    assert queue.without_cancelled(SHARED, sources) == sources[1:]
    assert queue.without_cancelled(ME, sources) == sources
    sources[0].path.write_text("Something else now.")
    assert queue.without_cancelled(SHARED, sources) == sources
    queue.again(first)
    [again] = queue.unread()
    assert (again.id, again.again, again.state) == (first, True, "waiting")


def test_what_ended_is_kept_for_a_while(queue: IncomingQueue, tmp_path: Path, clock: Clock) -> None:
    sources = in_folder(tmp_path, *(f"{number}.md" for number in range(KEPT_ITEMS + 5)))
    ids = queue.add(SHARED, sources)
    for one in ids:
        clock.now += 1
        queue.end(one, "failed", reason="It is broken.")
    assert len(queue.overview(None, 10_000).items) == KEPT_ITEMS
    [mine] = queue.keep(ME, [(upload(tmp_path), "boat.md")])
    clock.now += KEPT_S + 1
    queue.end(mine.id, "ready")
    assert len(queue.overview([ME], 10).items) == 1
    [other] = queue.add(SHARED, in_folder(tmp_path, "new.md"))
    queue.end(other, "ready")
    assert states(queue, SHARED) == {"new.md": "ready"}


def test_what_is_deleted_is_forgotten(queue: IncomingQueue, tmp_path: Path) -> None:
    uploads = [(upload(tmp_path, name), name) for name in ("a.md", "b.md", "c.md")]
    first, second, third = queue.keep(ME, uploads)
    queue.end(first.id, "ready")
    queue.end(second.id, "ready")
    queue.forget(ME, ["a.md", "c.md"])
    assert states(queue) == {"b.md": "ready", "c.md": "waiting"}
    queue.forget(ME)
    assert states(queue) == {}
    assert not Path(third.path).exists()
    assert queue.unwanted([third.id]) == {third.id}, "its reader stops"


def test_the_time_that_is_left_follows_the_pace(
    queue: IncomingQueue, tmp_path: Path, clock: Clock
) -> None:
    first, second = queue.add(SHARED, in_folder(tmp_path, "aa.md", "bb.md"))
    queue.tell([(first, "embedding", 0, 100)])
    clock.now += 10
    queue.tell([(first, "embedding", 25, 100)])
    [item] = queue.items([first])
    assert item.seconds_left(clock.now) == pytest.approx(30)
    queue.tell([(first, "saving", 0, 1)])
    clock.now += 10
    queue.end(first, "ready", passages=100)
    overview = queue.overview(None, 10)
    assert overview.active == 1
    assert overview.passages_per_s == pytest.approx(10)
    assert overview.seconds_left == pytest.approx(10), "as many bytes are left as were read"
    assert [one.id for one in overview.items] == [second, first]


def test_owners_see_their_own(queue: IncomingQueue, tmp_path: Path) -> None:
    queue.add(SHARED, in_folder(tmp_path, "a.md"))
    queue.keep(ME, [(upload(tmp_path), "boat.md")], reader=False)
    assert states(queue, ME) == {"boat.md": "waiting"}
    queue.give(ME, "account:7")
    assert states(queue, ME) == {}
    assert states(queue, "account:7") == {"boat.md": "waiting"}


def test_the_kept_file_of_a_document_that_is_read_again_stays(tmp_path: Path) -> None:
    data = tmp_path / "incoming" / "data"  # as the folder of uploads is called
    queue = IncomingQueue(data)
    try:
        original = data / "originals" / "ab" / "abcd"
        original.parent.mkdir(parents=True)
        original.write_text("The boat is blue.")
        [item] = queue.add(ME, [SourceFile(original, "boat.md")])
        queue.end(item, "failed", reason="It is broken.")
        assert original.exists()
    finally:
        queue.close()


def test_a_damaged_queue_is_set_aside(tmp_path: Path) -> None:
    data = tmp_path / "data"
    queue = IncomingQueue(data)
    queue.keep(ME, [(upload(tmp_path), "boat.md")])
    queue.close()
    path = data / "incoming" / "queue.sqlite"
    path.write_bytes(b"no database at all" * 500)
    queue = IncomingQueue(data)
    try:
        assert states(queue) == {}
        assert path.with_name("queue.sqlite.damaged").exists()
        queue.sweep()
        assert list((data / "incoming" / "files").iterdir()) == []
    finally:
        queue.close()


def test_a_disk_that_refuses_is_told_and_keeps_the_upload(
    queue: IncomingQueue, tmp_path: Path
) -> None:
    path = upload(tmp_path)
    (tmp_path / "data" / "incoming" / "files").rmdir()
    (tmp_path / "data" / "incoming" / "files").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be kept"):
        queue.keep(ME, [(path, "boat.md")])
    assert path.exists()
