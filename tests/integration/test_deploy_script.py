"""What deploy/ does when it is run: the folders' set-up, Redis' start, the server's Unix socket."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import redis
import yaml
from servers import Server, free_port, xoe

from state.redis_server import find_binary

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parent.parent.parent
SCRIPT = ROOT / "deploy" / "setup_volumes.sh"
HEALTHCHECK = ROOT / "deploy" / "healthcheck.py"
IS_ROOT = os.geteuid() == 0
NOBODY = 65534
ME, MY_GROUP = str(os.getuid()), str(os.getgid())
_IDS = {"--uid": ME, "--gid": MY_GROUP, "--redis-uid": ME, "--redis-gid": MY_GROUP}
AS_ME = [] if IS_ROOT else ["--no-rootless", *(word for pair in _IDS.items() for word in pair)]
"""Root gives the folders to the containers' ids; anybody else can only keep them."""

Setup = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A root to try things in, that another user can get at."""
    folder = Path(tempfile.mkdtemp(prefix="xoe-deploy-"))
    folder.chmod(0o755)
    (folder / "root").mkdir()
    shutil.copy(SCRIPT, folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def setup(scratch: Path) -> Setup:
    def run(*arguments: str, tools: Path | None = None, **options: object):
        path = f"{tools}:{os.defpath}" if tools else os.environ["PATH"]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SUDO")}
        return subprocess.run(  # type: ignore[call-overload]
            ["sh", scratch / SCRIPT.name, "--root", scratch / "root", *arguments],
            env=environment | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            cwd=scratch,
            **options,
        )

    return run


def everything(folder: Path) -> dict[str, tuple[int, int, int, int, float]]:
    return {
        str(path.relative_to(folder)): (
            (stat := path.lstat()).st_mode,
            stat.st_uid,
            stat.st_gid,
            stat.st_size,
            stat.st_ctime,
        )
        for path in sorted(folder.rglob("*"))
    }


def tool(folder: Path, name: str, program: str) -> None:
    """Put a program on the PATH that stands for one that this computer lacks."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{program}\n")
    (folder / name).chmod(0o755)


def test_a_dry_run_tells_and_changes_nothing(scratch: Path, setup: Setup) -> None:
    done = setup("--dry-run", *AS_ME)
    assert done.returncode == 0, done.stderr
    assert "Nothing was changed" in done.stdout
    for name in ("library", "data", "models", "redis_password"):
        assert name in done.stdout
    assert everything(scratch / "root") == {}


def test_a_second_run_finds_nothing_to_do(scratch: Path, setup: Setup) -> None:
    first = setup(*AS_ME)
    assert first.returncode == 0, first.stderr
    before = everything(scratch / "root")
    second = setup(*AS_ME)
    assert second.returncode == 0, second.stderr
    assert second.stdout.startswith("All is as it should be")
    assert everything(scratch / "root") == before


def test_ids_and_modes(scratch: Path, setup: Setup) -> None:
    uid, gid = (10001, 10001) if IS_ROOT else (os.getuid(), os.getgid())
    redis_uid, redis_gid = (999, 999) if IS_ROOT else (os.getuid(), os.getgid())
    done = setup(*AS_ME)
    assert done.returncode == 0, done.stderr
    home = scratch / "root" / "srv" / "xoe-novai"
    me = os.getuid()
    for name, mode, owner, group in (
        ("library", 0o2750, me, gid),
        ("data", 0o700, uid, gid),
        ("models", 0o755, uid, gid),
        ("secrets", 0o700, me, os.getgid()),
        ("secrets/redis_password", 0o400, redis_uid, redis_gid),
        ("secrets/xoe.toml", 0o400, uid, gid),
    ):
        found = (home / name).stat()
        assert (found.st_mode & 0o7777, found.st_uid, found.st_gid) == (mode, owner, group), name


def test_what_was_changed_is_put_right_and_what_is_stored_stays(
    scratch: Path, setup: Setup
) -> None:
    assert setup(*AS_ME).returncode == 0
    home = scratch / "root" / "srv" / "xoe-novai"
    (home / "data" / "xoe.sqlite").write_text("stored")
    (home / "data" / "xoe.sqlite").chmod(0o600)
    (home / "data").chmod(0o777)
    password = (home / "secrets" / "redis_password").read_text()
    done = setup(*AS_ME)
    assert done.returncode == 0, done.stderr
    assert "1 changes" in done.stdout
    assert (home / "data").stat().st_mode & 0o777 == 0o700
    assert (home / "data" / "xoe.sqlite").stat().st_mode & 0o777 == 0o600
    assert (home / "secrets" / "redis_password").read_text() == password


def test_both_secrets_have_one_password_and_every_home_its_own(scratch: Path, setup: Setup) -> None:
    passwords = set()
    for home in ("/srv/a", "/srv/b"):
        assert setup("--home", home, *AS_ME).returncode == 0
        secrets = scratch / "root" / home.lstrip("/") / "secrets"
        password = (secrets / "redis_password").read_text()
        settings = tomllib.loads((secrets / "xoe.toml").read_text())
        assert settings == {"redis_url": f"redis://:{password}@redis:6379/0"}
        assert len(password) == 64
        passwords.add(password)
    assert len(passwords) == 2


@pytest.mark.parametrize(
    "home",
    [
        *("/", "", "/etc", "/etc/xoe", "/usr/share/xoe", "/home", "/home/ann", "/srv", "/var/lib"),
        *("relative", "/srv/../etc", "/srv//x", "/srv/./x", "/srv/a b", "/srv/a;id", "/srv/x\ny"),
    ],
)
def test_dangerous_places_are_refused(scratch: Path, setup: Setup, home: str) -> None:
    done = setup("--home", home, *AS_ME)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert everything(scratch / "root") == {}


@pytest.mark.parametrize("link", ["srv", "srv/xoe-novai", "srv/xoe-novai/data"])
def test_a_symbolic_link_on_the_way_is_refused(scratch: Path, setup: Setup, link: str) -> None:
    elsewhere = scratch / "elsewhere"
    elsewhere.mkdir()
    path = scratch / "root" / link
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(elsewhere)
    before = everything(scratch)
    done = setup(*AS_ME)
    assert done.returncode == 1
    assert "symbolic link" in done.stderr
    assert everything(scratch) == before


@pytest.mark.parametrize("wrong", [("--uid", "0"), ("--gid", "x"), ("--uid",), ("--frob",)])
def test_wrong_options_are_told(setup: Setup, wrong: tuple[str, ...]) -> None:
    done = setup(*wrong)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")


def test_a_file_in_the_place_of_a_folder_is_kept(scratch: Path, setup: Setup) -> None:
    home = scratch / "root" / "srv" / "xoe-novai"
    home.mkdir(parents=True)
    (home / "models").write_text("mine")
    done = setup(*AS_ME)
    assert done.returncode == 1
    assert "is no folder" in done.stderr
    assert [path.name for path in home.iterdir()] == ["models"]


@pytest.mark.skipif(not IS_ROOT, reason="only root can run as somebody else")
def test_who_is_not_root_is_told_what_to_do(scratch: Path, setup: Setup) -> None:
    os.chown(scratch / "root", NOBODY, NOBODY)
    done = setup("--no-rootless", user=NOBODY, group=NOBODY, extra_groups=[])
    assert done.returncode == 1
    assert "use sudo" in done.stderr
    ids = [part for name in ("uid", "gid", "redis-uid", "redis-gid") for part in (f"--{name}", "")]
    ids = [part or str(NOBODY) for part in ids]
    done = setup("--no-rootless", *ids, user=NOBODY, group=NOBODY, extra_groups=[])
    assert done.returncode == 0, done.stderr
    home = scratch / "root" / "srv" / "xoe-novai"
    assert (home / "data").stat().st_uid == NOBODY
    again = setup("--no-rootless", *ids, user=NOBODY, group=NOBODY, extra_groups=[])
    assert again.stdout.startswith("All is as it should be")


def test_rootless_podman_changes_owners_in_its_own_namespace(scratch: Path, setup: Setup) -> None:
    """Podman is played: what it would do inside its user namespace is written down."""
    log = scratch / "log"
    log.touch()
    log.chmod(0o666)
    tools = scratch / "tools"
    tool(
        tools,
        "podman",
        f'shift; [ "$1" = chown ] && echo "$@" >>{log} && exit 0; exec "$@"',
    )
    someone = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if IS_ROOT else {}
    if IS_ROOT:
        os.chown(scratch / "root", NOBODY, NOBODY)
    done = setup(tools=tools, **someone)
    assert done.returncode == 0, done.stderr
    chowned = log.read_text()
    home = scratch / "root" / "srv" / "xoe-novai"
    assert f"chown 10001:10001 {home}/data" in chowned
    assert f"chown 0:10001 {home}/library" in chowned
    assert f"chown 999:999 {home}/secrets/redis_password" in chowned


def test_selinux_rules_are_made_once(scratch: Path, setup: Setup) -> None:
    """The tools of SELinux are played: this tests what they are told, not what they do."""
    if not IS_ROOT:
        pytest.skip("only root makes rules")
    log, tools = scratch / "log", scratch / "tools"
    tool(tools, "selinuxenabled", "exit 0")
    tool(
        tools,
        "semanage",
        f'if [ "$2" = -l ]; then cat {log} 2>/dev/null; else echo "$@" >>{log}; fi',
    )
    tool(tools, "restorecon", f'echo restorecon "$@" >>{log}')
    assert setup(tools=tools).returncode == 0
    told = log.read_text()
    home = scratch / "root" / "srv" / "xoe-novai"
    assert f"fcontext -a -t container_file_t {home}(/.*)?" in told
    assert f"restorecon -R {home}" in told
    again = setup(tools=tools)
    assert "All is as it should be" in again.stdout
    assert log.read_text() == told


def test_selinux_without_its_policy_tools_labels_the_secrets(scratch: Path, setup: Setup) -> None:
    log, tools = scratch / "log", scratch / "tools"
    tool(tools, "selinuxenabled", "exit 0")
    tool(tools, "chcon", f'echo "$@" >>{log}')
    if shutil.which("semanage", path=os.defpath):
        pytest.skip("this computer has semanage")
    done = setup(*AS_ME, tools=tools)
    assert done.returncode == 0, done.stderr
    home = scratch / "root" / "srv" / "xoe-novai"
    assert f"-R -t container_file_t {home}/secrets" in log.read_text()
    assert "relabelling" in done.stderr


def test_the_compose_files_redis_starts_keeps_its_file_and_asks_for_the_password(
    tmp_path: Path,
) -> None:
    """Its very command, with this computer's folders and port in it."""
    compose = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
    shell, options, program = compose["services"]["redis"]["command"]
    port = free_port()
    (tmp_path / "password").write_text("0123456789abcdef")
    (tmp_path / "data").mkdir()
    program = (
        program.replace("$$", "$")
        .replace("/run/secrets/redis_password", str(tmp_path / "password"))
        .replace("dir /data", f"dir {tmp_path / 'data'}")
        .replace("port 6379", f"port {port}")
        .replace("bind * -::*", "bind 127.0.0.1")
        .replace("redis-server", str(find_binary()))
    )
    with (tmp_path / "log").open("wb") as log:
        server = subprocess.Popen([shell, options, program], stdout=log, stderr=log)
    try:
        client = redis.Redis(port=port, password="0123456789abcdef")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                client.ping()
                break
            except redis.ConnectionError:
                assert server.poll() is None, (tmp_path / "log").read_text()
                time.sleep(0.05)
        client.set("kept", "yes")
        assert client.config_get("maxmemory") == {"maxmemory": str(128 * 1024**2)}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(port=port).ping()
        assert b"0123456789abcdef" not in Path(f"/proc/{server.pid}/cmdline").read_bytes()
        client.close()
    finally:
        server.send_signal(signal.SIGTERM)  # to the process that an engine calls the first one
        code = server.wait(timeout=30)
    assert code == 0
    kept = [path.read_bytes() for path in (tmp_path / "data").rglob("*aof*") if path.is_file()]
    assert any(b"kept" in content for content in kept)


def test_a_server_on_a_unix_socket_answers_its_owner_and_ends_on_sigterm(
    tmp_path: Path, need_models: Callable[..., None]
) -> None:
    need_models("tiny", "embedder")
    # A socket's path is short, pytest's folders need not be.
    with tempfile.TemporaryDirectory(prefix="xoe-") as folder:
        path = Path(folder) / "xoe.sock"
        server = Server(
            tmp_path, {"XOE_UDS": str(path), "XOE_VOICE": "false", "XOE_LLM_PROFILE": "tiny"}
        )
        server.start(wait=False)
        try:
            deadline = time.monotonic() + 120
            while not path.exists() and time.monotonic() < deadline:
                assert server.process is not None
                assert server.process.poll() is None, server.log
                time.sleep(0.1)
            assert path.stat().st_mode & 0o777 == 0o600
            transport = httpx.HTTPTransport(uds=str(path))
            with httpx.Client(transport=transport, timeout=60, trust_env=False) as client:
                page = client.get("http://localhost/")
                assert page.status_code == 200
                assert client.get("http://127.0.0.1:8000/").status_code == 200
                assert client.get("http://evil.example/").status_code == 403
                other = {"Origin": "http://evil.example"}
                refused = client.post("http://localhost/query", json={}, headers=other)
                assert refused.status_code == 403
            checked = subprocess.run(
                [sys.executable, HEALTHCHECK], env=os.environ | {"XOE_UDS": str(path)}
            )
            assert checked.returncode == 0
            status = xoe("status", "--data-dir", str(server.data_dir), cwd=tmp_path)
            assert str(path) in status.stdout.replace("\n", "")
            server.process.terminate()
            code = server.process.wait(timeout=120)
            server.process = None
            assert code in (0, -signal.SIGTERM), server.log[-2000:]
            assert "Traceback" not in server.log
            assert not path.exists()
            assert not (server.data_dir / "redis" / "redis.sock").exists(), "Redis was stopped"
        finally:
            server.kill()
