"""``kill -9``, a full disk and several processes, in the middle of a pull."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_server import ModelServer, Offer, as_toml, offer

from core.errors import DiskFullError
from models.fetching import Stage
from models.manifest import ModelEntry, ModelFile
from models.provision import pull

pytestmark = pytest.mark.faults

PULL = """
import sys
from pathlib import Path
from models.manifest import load_manifest
from models.provision import pull
done = pull(["demo"], Path(sys.argv[2]), manifest=load_manifest(Path(sys.argv[1])))
print(done[0].fetched_bytes)
"""


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


def start(what: Offer, folder: Path, environ: dict[str, str]) -> subprocess.Popen[str]:
    manifest = folder / "manifest.toml"
    manifest.write_text(as_toml(what.manifest), "utf-8")
    return subprocess.Popen(
        [sys.executable, "-c", PULL, str(manifest), str(folder / "models")],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("ranges", [True, False])
def test_a_pull_killed_again_and_again_ends_with_the_right_file(
    server: ModelServer, tmp_path: Path, ranges: bool
) -> None:
    what = offer(server, size=8_000_000, parts=4)
    server.ranges = ranges
    server.pause_s = 0.005
    path = what.path(tmp_path / "models")
    chance = random.Random(7)
    kills = 0
    for _ in range(8):
        requests = len(server.requests)
        process = start(what, tmp_path, server.environ)
        while len(server.requests) == requests and process.poll() is None:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.4))
        process.kill()
        process.wait()
        process.stdout.close() if process.stdout else None
        kills += process.returncode == -9
        if path.exists():  # the name is given to the whole and right file only
            assert hashlib.sha256(path.read_bytes()).hexdigest() == what.entry.main.sha256
            break
    assert kills >= 2
    server.pause_s = 0
    process = start(what, tmp_path, server.environ)
    said, _ = process.communicate()
    assert process.returncode == 0, said
    assert path.read_bytes() == what.content
    assert not list(path.parent.glob("*.part*"))


def test_kills_do_not_make_it_fetch_what_it_had(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server, size=8_000_000, parts=4)
    server.pause_s = 0.005
    before = 0
    for _ in range(3):
        goal = server.sent("/files") + 1_000_000
        process = start(what, tmp_path, server.environ)
        while server.sent("/files") < goal and process.poll() is None:
            time.sleep(0.01)
        process.kill()
        process.communicate()
        before = server.sent("/files")
    server.pause_s = 0
    process = start(what, tmp_path, server.environ)
    process.communicate()
    packed = sum(len(wheel) for wheel in server.wheels.values())
    # What was under way in the connection when the process died is lost, and each look at a
    # wheel's directory costs the end of the wheel.
    assert before > 3_000_000
    assert server.sent("/files") < packed + 3 * (512 << 10) + 20 * (64 << 10)
    assert what.path(tmp_path / "models").read_bytes() == what.content


def test_several_processes_at_once_fetch_once_and_agree(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server, size=4_000_000, parts=2)
    server.pause_s = 0.01
    processes = [start(what, tmp_path, server.environ) for _ in range(3)]
    said = [process.communicate()[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert sorted(int(lines[-1]) for lines in said) == [0, 0, 4_000_000]
    assert what.path(tmp_path / "models").read_bytes() == what.content


def test_a_killed_process_does_not_keep_the_others_out(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server, size=4_000_000, parts=2)
    server.pause_s = 0.05
    first = start(what, tmp_path, server.environ)
    while server.sent("/files") < 300_000:
        time.sleep(0.01)
    second = start(what, tmp_path, server.environ)
    time.sleep(1)
    first.kill()
    first.communicate()
    server.pause_s = 0
    said, _ = second.communicate()
    assert second.returncode == 0, said
    assert what.path(tmp_path / "models").read_bytes() == what.content


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 48 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode != 0:
        pytest.skip("mounting a small disk takes root's rights")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


class FillsTheDisk:
    """A progress sink that leaves no room as soon as something is fetched."""

    def __init__(self, ballast: Path) -> None:
        self._ballast = ballast

    def begin(self, entry: ModelEntry, file: ModelFile) -> None:
        pass

    def update(self, done_bytes: int, stage: Stage) -> None:
        if not self._ballast.exists():
            with self._ballast.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(64 << 10))
                except OSError:
                    pass

    def end(self) -> None:
        pass


def test_a_disk_that_fills_up_is_one_sentence_and_making_room_is_enough(
    server: ModelServer, small_disk: Path
) -> None:
    what = offer(server, size=6_000_000, parts=2)
    ballast = small_disk / "ballast"

    def fetch(progress: FillsTheDisk | None = None) -> None:
        pull(
            ["demo"],
            small_disk,
            manifest=what.manifest,
            environ=server.environ,
            progress=progress,
            sleep=lambda _: None,
        )

    with pytest.raises(DiskFullError, match=r"is full\. Make room"):
        fetch(FillsTheDisk(ballast))
    with pytest.raises(DiskFullError, match="no room"):
        fetch()
    assert not what.path(small_disk).exists()
    ballast.unlink()
    fetch()
    assert what.path(small_disk).read_bytes() == what.content
