"""The process of a source: makes its LangChain loader and writes each document into a folder.

Started by ``ingest.source_process`` as ``python -m ingest.source_worker``. What to do is read from
its input, one line of JSON: arguments may be secret, and are not in the list of processes. A line
of JSON for each document goes out, and one at the end. It may use the network and start programs,
as loaders do; it holds none of the server's secrets, and ends with it.
"""

from __future__ import annotations

import ctypes
import difflib
import hashlib
import inspect
import json
import os
import resource
import signal
import sys
import typing
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path, PurePath
from typing import Any, Final

from langchain_core.document_loaders import BaseLoader
from langchain_core.documents import Document

from core.errors import SourceError
from core.source_settings import LOADERS

MAX_KEY_CHARS: Final = 400
MAX_FILE_BYTES: Final = 2**30
"""Of each file that a loader writes: a repository that it clones, say."""
MAX_FILES: Final = 1024
DETAIL_CHARS: Final = 1000
_NICENESS: Final = 10
_PARTS: Final = ("page_label", "page", "row", "seq_num")
"""What tells the documents of one file apart, where a loader says it."""
_PR_SET_PDEATHSIG: Final = 1
_FIRST_TO_GO: Final = "500"


def main() -> None:
    """Load what the input asks for."""
    request = json.loads(sys.stdin.buffer.readline())
    replies = os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # what a loader prints must not end up among the replies
    _confine(request)

    def tell(reply: dict[str, Any]) -> None:
        replies.write(json.dumps(reply).encode() + b"\n")
        replies.flush()

    try:
        end = _load(request, tell)
    except SourceError as exc:
        end = {"end": "refused", "detail": str(exc)}
    except MemoryError:
        end = {"end": "failed", "kind": "MemoryError", "detail": "It took too much memory."}
    except (Exception, SystemExit) as exc:  # noqa: BLE001 - whatever a loader raises
        detail = str(exc)[:DETAIL_CHARS]
        end = {"end": "failed", "kind": type(exc).__name__, "detail": detail}
    tell(end)
    os._exit(0)  # a loader's threads have nobody waiting for them


def loader_class(name: str) -> type[BaseLoader]:
    """Return the loader called ``name``, with or without its module. Raises ``SourceError``."""
    module_name, _, class_name = name.rpartition(".")
    if module_name and module_name != LOADERS and not module_name.startswith(f"{LOADERS}."):
        raise SourceError(f"{name} is not in {LOADERS}.")
    try:
        module = import_module(module_name or LOADERS)
        found = getattr(module, class_name)
    except ImportError as exc:
        raise SourceError(f"{name} cannot be imported: {exc}") from exc
    except AttributeError as exc:
        near = difflib.get_close_matches(class_name, getattr(module, "__all__", ()), n=1)
        hint = f"; the nearest one is {near[0]}" if near else ""
        raise SourceError(f"There is no loader {name}{hint}.") from exc
    if not (
        inspect.isclass(found)
        and issubclass(found, BaseLoader)
        and found.__module__.startswith(f"{LOADERS}.")
    ):
        raise SourceError(f"{name} is no loader of {LOADERS}.")
    return found


def with_objects(kind: type[BaseLoader], arguments: dict[str, Any]) -> dict[str, Any]:
    """Return ``arguments`` with the objects that texts stand for.

    Where the loader asks for an object of a class of ``langchain_community`` that can be made
    ``from_uri``, such as ``SQLDatabase``, the text that is given is that address.
    """
    try:
        hints = typing.get_type_hints(kind.__init__)
    except (NameError, TypeError):  # a hint that names what is imported for types alone
        hints = {}
    made = dict(arguments)
    for name, value in arguments.items():
        if isinstance(value, str) and (from_uri := _from_uri(hints.get(name))) is not None:
            made[name] = from_uri(value)
    return made


def key_of(metadata: Any) -> str:
    """Return what names a document among those of its source; empty where nothing does."""
    if not isinstance(metadata, dict):
        return ""
    source = metadata.get("source")
    if isinstance(source, bool) or not isinstance(source, (str, int, float, PurePath)):
        return ""
    key = str(source).strip()
    for name in _PARTS:
        part = metadata.get(name)
        if key and isinstance(part, (str, int)) and not isinstance(part, bool):
            key = f"{key} {name.removesuffix('_label')} {str(part)[:40]}"
            break
    key = "".join(char for char in key if char.isprintable())  # lone surrogates are not
    if len(key) <= MAX_KEY_CHARS:
        return key
    return f"{_sha256(key.encode())[:16]} {key[-MAX_KEY_CHARS:]}"


def _load(request: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Write the documents, and tell of each; return what is told at the end."""
    kind = loader_class(request["loader"])
    loader = kind(**with_objects(kind, request["arguments"]))
    folder, most_bytes = Path(request["folder"]), int(request["max_document_bytes"])
    left_bytes = int(request["max_bytes"])
    for number, document in enumerate(_with_text(loader.lazy_load())):
        # One byte over the limit is enough for the file to be refused like any other.
        data = document.page_content.encode(errors="replace")[: most_bytes + 1]
        left_bytes -= len(data)
        if number >= request["max_documents"] or left_bytes < 0:
            return {"end": "full"}
        (folder / str(number)).write_bytes(data)
        tell({"key": key_of(document.metadata), "sha256": _sha256(data)})
    return {"end": "whole"}


def _with_text(documents: Iterator[Any]) -> Iterator[Document]:
    for document in documents:
        if not isinstance(document, Document):
            raise TypeError(f"It gave a {type(document).__name__}, which is no document.")
        if document.page_content.strip():
            yield document


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _from_uri(hint: Any) -> Callable[[str], Any] | None:
    choices = typing.get_args(hint) or (hint,)
    if str in choices:
        return None
    for choice in choices:
        if inspect.isclass(choice) and choice.__module__.startswith("langchain_community."):
            found: Callable[[str], Any] | None = getattr(choice, "from_uri", None)
            if found is not None:
                return found
    return None


def _confine(request: dict[str, Any]) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != request["parent"]:
        os._exit(0)
    os.nice(_NICENESS)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    temporary = Path(request["folder"]) / "temporary"
    temporary.mkdir()
    os.environ["TMPDIR"] = str(temporary)
    for what, value in (
        (resource.RLIMIT_AS, int(request["memory_bytes"])),
        (resource.RLIMIT_CPU, int(request["longest_s"]) + 1),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES),
        (resource.RLIMIT_NOFILE, MAX_FILES),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value))


if __name__ == "__main__":
    main()
