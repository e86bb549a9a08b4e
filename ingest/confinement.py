"""Takes from a process what reading a document never needs: the network, and other programs.

Linux only, on the two processors named below; elsewhere the process keeps to its resource limits
alone. What is refused fails with EPERM, as if by a missing permission.
"""

from __future__ import annotations

import ctypes
import platform
import struct

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_SECCOMP = 22
_SECCOMP_MODE_FILTER = 2
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | 1  # SECCOMP_RET_ERRNO with EPERM
_LOAD_WORD, _JUMP_EQUAL, _JUMP_AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER, _ARCHITECTURE = 0, 4  # offsets in struct seccomp_data
_X32_BIT = 0x40000000

# socket, connect, accept, sendto, bind, listen, accept4; execve, execveat; ptrace,
# process_vm_readv, process_vm_writev; io_uring_setup, which could do all of that unseen.
_X86_64 = (41, 42, 43, 44, 49, 50, 288, 59, 322, 101, 310, 311, 425)
_AARCH64 = (198, 203, 202, 206, 200, 201, 242, 221, 281, 117, 270, 271, 425)
_REFUSED = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}


def confine() -> bool:
    """Refuse this process, for good, the network and starting programs; whether that worked.

    Threads that run already are not reached, so it comes before any.
    """
    known = _REFUSED.get(platform.machine())
    if platform.system() != "Linux" or known is None:
        return False
    program = _filter(*known)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    head = ctypes.create_string_buffer(header, len(header))
    return bool(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, head, 0, 0) == 0)


def _filter(architecture: int, refused: tuple[int, ...]) -> bytes:
    """Return the BPF program: instructions of code, jump when true, jump when false, and value.

    A jump counts the instructions that it passes over; the two at the end allow and refuse.
    """
    length = len(refused) + 6

    def to_refusal(place: int) -> int:
        return length - place - 2

    steps = [
        (_LOAD_WORD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 0, to_refusal(1), architecture),  # the numbers of another mean other calls
        (_LOAD_WORD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, to_refusal(3), 0, _X32_BIT),
        *((_JUMP_EQUAL, to_refusal(place), 0, call) for place, call in enumerate(refused, start=4)),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    return b"".join(struct.pack("HBBI", *step) for step in steps)
