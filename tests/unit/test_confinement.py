"""A confined process reads files and starts threads, and that is all that it gets from outside."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import os, socket, subprocess, sys, threading
from ingest.confinement import confine
assert confine()
refused = []
for name, attempt in {
    "socket": socket.socket,
    "unix": lambda: socket.socket(socket.AF_UNIX),
    "exec": lambda: os.execv(sys.executable, [sys.executable, "-c", "print('escaped')"]),
    "spawn": lambda: subprocess.run([sys.executable, "-c", "print('escaped')"]),
    "x32": lambda: syscall(0x40000000 | 41, 2, 1, 0),
    "lookup": lambda: socket.getaddrinfo("localhost.", 80),
}.items():
    def syscall(*numbers):
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syscall(*numbers) == -1:
            raise OSError(ctypes.get_errno(), "refused")
    try:
        attempt()
    except OSError as exc:
        refused.append(name)
thread = threading.Thread(target=lambda: open(__file__ if "__file__" in dir() else "/dev/null"))
thread.start()
thread.join()
print(" ".join(refused))
"""


@pytest.mark.skipif(
    platform.system() != "Linux" or platform.machine() not in ("x86_64", "aarch64"),
    reason="only Linux on these processors has it",
)
def test_neither_the_network_nor_other_programs_are_to_be_had() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.stdout.split() == ["socket", "unix", "exec", "spawn", "x32", "lookup"], done.stderr
