"""A backup: one file with the documents, their texts and vectors, made while the server runs.

The file is a ZIP archive of a manifest, the database, others' databases that go with it
(``companions``), and the kept files (``originals``), each under the hash of its bytes. Its last 64
characters, which a ZIP archive takes for a comment, are the SHA-256 of all before them: one changed
byte anywhere shows. The FAISS indexes are left out, since they are derived; so is Redis, which
holds for an hour what the database of chats holds for good.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import sqlite3
import tempfile
import zipfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, Final

import structlog

from core.durable import publish, sync_folder
from core.errors import BackupError, DiskFullError, StoreError
from ingest import integrity
from ingest.companions import Companion
from ingest.database import DocumentDatabase
from ingest.loaders import of_content
from ingest.originals import Originals
from ingest.schema import SCHEMA_VERSION, register
from ingest.swap import DATABASE_NAME, ORIGINALS_NAME, Hold
from models.integrity import sha256_of

log = structlog.get_logger(__name__)

FORMAT_VERSION: Final = 3
"""1: the documents alone. 2: without the files that they were read from."""
MANIFEST_NAME: Final = "xoe-backup.json"
MANIFEST_MAX_BYTES: Final = 2**20
SEAL_BYTES: Final = 64
BLOCK_BYTES: Final = 2**20

_ZIP_HEAD: Final = b"PK\x03\x04"
_NAME_OFFSET: Final = 30
_NAME: Final = re.compile(r"[a-z]{1,40}\.sqlite")
"""Of a database in a backup: it becomes the name of a file."""
_ORIGINAL: Final = re.compile(rf"{ORIGINALS_NAME}/([0-9a-f]{{64}})")
"""Of a kept file in a backup, by the hash of its bytes."""
_SPACE_FACTOR: Final = 2.2
"""Room that making a backup takes, in sizes of the database: a copy, and the packed copy."""
_ORIGINALS_FACTOR: Final = 1.05

Tell = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


@dataclass(frozen=True)
class BackupManifest:
    """What a backup says of itself."""

    format: int
    schema: int
    version: str
    """The project's version that wrote it."""
    created: str
    """UTC, ISO 8601."""
    embedders: list[str]
    """The fingerprints of what made the vectors."""
    collections: int
    documents: int
    chunks: int
    bytes: int
    """Of the database."""
    sha256: str
    """Of the database."""
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    """``bytes`` and ``sha256`` of each companion, by its name."""
    originals: int = 0
    """Kept files."""
    originals_bytes: int = 0

    def members(self) -> Iterator[tuple[str, int, str]]:
        """Give name, bytes and SHA-256 of each database."""
        yield DATABASE_NAME, self.bytes, self.sha256
        for name, other in self.others.items():
            yield name, other["bytes"], other["sha256"]


def make_backup(
    data_dir: Path, file: Path, tell: Tell, companions: Sequence[Companion] = ()
) -> BackupManifest:
    """Write a backup of ``data_dir`` to ``file``: whole, checked and mode 0600, or not at all.

    Others may read and write meanwhile; what they commit after the beginning is not in it.
    Raises ``BackupError``, ``DiskFullError`` or ``StoreError`` (a damaged database is not backed
    up, so that the last good backup is not replaced by a bad one).
    """
    if not (data_dir / DATABASE_NAME).is_file():
        raise BackupError(f"There is nothing to back up in {data_dir}.")
    _check_target(file)
    try:
        paths = [data_dir / name for name in (DATABASE_NAME, *(c.name for c in companions))]
        databases = sum(path.stat().st_size for path in paths if path.exists())
        kept = sum(path.stat().st_size for path in Originals(data_dir).kept())
        _check_room(file.parent, _SPACE_FACTOR * databases + _ORIGINALS_FACTOR * kept)
        folder = Path(tempfile.mkdtemp(prefix=f".{file.name}.", dir=file.parent))
        try:
            return _make(data_dir, file, folder, tell, companions)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            raise _no_room(file.parent) from exc
        raise BackupError(f"The backup {file} cannot be written ({exc.strerror}).") from exc
    except DiskFullError as exc:
        raise _no_room(file.parent) from exc


def read_manifest(file: Path, tell: Tell) -> BackupManifest:
    """Check every byte of the backup ``file`` and return its manifest.

    Raises ``BackupError`` that says what is wrong with it.
    """
    try:
        with file.open("rb") as opened:
            _check_seal(file, opened, tell)
            opened.seek(0)
            with zipfile.ZipFile(opened) as archive:
                return _checked_manifest(file, archive, tell)
    except OSError as exc:
        raise BackupError(f"The backup {file} cannot be read ({exc.strerror}).") from exc
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as exc:
        raise _damaged(file) from exc


def unpack(
    file: Path, manifest: BackupManifest, folder: Path, names: Sequence[str], tell: Tell
) -> None:
    """Write the databases ``names`` in ``file`` to ``folder``, mode 0600, durable.

    Raises ``BackupError`` when one is not what the manifest says, and ``OSError``.
    """
    for name, size, sha256 in manifest.members():
        if name not in names:
            continue
        descriptor = os.open(folder / name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "wb") as out:
            try:
                with zipfile.ZipFile(file) as archive:
                    digest = _copy(archive, name, out, size, lambda n: tell("unpacking", n, 0))
            except zipfile.BadZipFile as exc:
                raise _damaged(file) from exc
            if digest != sha256:
                raise _damaged(file)
            out.flush()
            os.fsync(out.fileno())


def unpack_originals(file: Path, folder: Path, tell: Tell) -> None:
    """Write the kept files in ``file`` to where ``Originals(folder)`` has them; durable.

    Raises ``BackupError`` when one is not what its name says, and ``OSError``.
    """
    originals = Originals(folder)
    originals.folder.mkdir(mode=0o700)
    try:
        with zipfile.ZipFile(file) as archive:
            for info in archive.infolist():
                found = _ORIGINAL.fullmatch(info.filename)
                if found is None:
                    continue
                target = originals.path(found[1])
                target.parent.mkdir(mode=0o700, exist_ok=True)
                descriptor = os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
                with os.fdopen(descriptor, "wb") as out:
                    tell_all = lambda n: tell("unpacking", n, 0)  # noqa: E731
                    digest = _copy(archive, info.filename, out, info.file_size, tell_all)
                    if digest != found[1]:
                        raise _damaged(file)
                    out.flush()
                    os.fsync(out.fileno())
    except zipfile.BadZipFile as exc:
        raise _damaged(file) from exc
    for below in originals.folder.iterdir():
        sync_folder(below)
    sync_folder(originals.folder)


def _make(
    data_dir: Path, file: Path, folder: Path, tell: Tell, companions: Sequence[Companion]
) -> BackupManifest:
    copy, packed = folder / DATABASE_NAME, folder / "packed"
    hold = Hold.shared(data_dir)
    try:
        database = DocumentDatabase(data_dir / DATABASE_NAME)
        try:
            database.backup_to(copy, lambda done, total: tell("copying", done, total))
        finally:
            database.close()
    finally:
        hold.release()
    others = [folder / c.name for c in companions if c.copy(data_dir, folder / c.name)]
    named = _named_in(copy)
    spared = Originals(data_dir).arriving()
    try:
        spared.spare(named)
        originals = _originals(data_dir, named, tell)
        manifest = replace(
            _examine(copy, tell),
            others={path.name: _of(path) for path in others},
            originals=len(originals),
            originals_bytes=sum(path.stat().st_size for path in originals),
        )
        _write((copy, *others), originals, manifest, packed, tell)
    finally:
        spared.end(lambda: _named_in(data_dir / DATABASE_NAME))
    if read_manifest(packed, tell) != manifest:
        raise BackupError(f"The backup {file} cannot be read back: the disk may be failing.")
    publish(packed, file)
    return manifest


def _write(
    copies: Sequence[Path],
    originals: Sequence[Path],
    manifest: BackupManifest,
    packed: Path,
    tell: Tell,
) -> None:
    descriptor = os.open(packed, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
    with os.fdopen(descriptor, "w+b") as out:
        _pack(copies, originals, manifest, out, tell)
        _seal(out)


def _named_in(database: Path) -> set[str]:
    """Return the hashes of the files that a database's documents were read from.

    Raises ``StoreError``.
    """
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            rows = connection.execute("SELECT DISTINCT sha256 FROM documents").fetchall()
    except sqlite3.DatabaseError as exc:
        raise StoreError(
            f"{database} cannot be read just now. Please try again in a moment."
        ) from exc
    return {of_content(row[0]) for row in rows}


def _originals(data_dir: Path, named: Collection[str], tell: Tell) -> list[Path]:
    """Return the kept files among these; what is damaged is left out."""
    paths = [path for path in Originals(data_dir).kept() if path.name in named]
    whole = []
    for done, path in enumerate(paths):
        tell("checking", done, len(paths))
        if sha256_of(path) == path.name:
            whole.append(path)
        else:
            log.warning("backup.original_damaged", file=path.name)
    return whole


def _examine(copy: Path, tell: Tell) -> BackupManifest:
    """Check the copy wholly and describe it."""
    connection = sqlite3.connect(copy, isolation_level=None)
    try:
        register(connection)
        report = integrity.check(
            connection, copy, tell=lambda done, total: tell("checking", done, total)
        )
        rows = connection.execute("SELECT DISTINCT embedder FROM collections ORDER BY 1")
        embedders = [row[0] for row in rows]
    finally:
        connection.close()
    return BackupManifest(
        format=FORMAT_VERSION,
        schema=SCHEMA_VERSION,
        version=version("xoe-novai"),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        embedders=embedders,
        collections=report.collections,
        documents=report.documents,
        chunks=report.chunks,
        **_of(copy),
    )


def _of(path: Path) -> dict[str, Any]:
    with path.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"bytes": path.stat().st_size, "sha256": digest}


def _pack(
    copies: Sequence[Path],
    originals: Sequence[Path],
    manifest: BackupManifest,
    out: IO[bytes],
    tell: Tell,
) -> None:
    # Texts become a third of their size; vectors hardly smaller, so more effort gains nothing.
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr(
            zipfile.ZipInfo(MANIFEST_NAME), json.dumps(asdict(manifest), indent=2).encode()
        )
        done = 0
        total = sum(size for _, size, _ in manifest.members()) + manifest.originals_bytes
        named = [(path, path.name, zipfile.ZIP_DEFLATED) for path in copies]
        # Nearly all kinds of file are compressed already.
        named += [(p, f"{ORIGINALS_NAME}/{p.name}", zipfile.ZIP_STORED) for p in originals]
        for copy, name, how in named:
            member = zipfile.ZipInfo.from_file(copy, name, strict_timestamps=False)
            member.compress_type = how
            with copy.open("rb") as source, archive.open(member, "w") as target:
                while block := source.read(BLOCK_BYTES):
                    target.write(block)
                    done += len(block)
                    tell("packing", done, total)
        archive.comment = b"0" * SEAL_BYTES


def _seal(out: IO[bytes]) -> None:
    """Put the SHA-256 of all before it at the end."""
    out.flush()
    end = out.seek(-SEAL_BYTES, os.SEEK_END)
    out.seek(0)
    digest = _hash(out, end, lambda _n: None)
    out.seek(end)
    out.write(digest.encode("ascii"))
    out.flush()
    os.fsync(out.fileno())


def _check_seal(file: Path, opened: IO[bytes], tell: Tell) -> None:
    size = opened.seek(0, os.SEEK_END)
    opened.seek(0)
    head = opened.read(_NAME_OFFSET + len(MANIFEST_NAME))
    if head[: len(_ZIP_HEAD)] != _ZIP_HEAD or head[_NAME_OFFSET:] != MANIFEST_NAME.encode():
        raise BackupError(f"{file} is not a backup that 'xoe backup' has written.")
    opened.seek(0)
    end = max(0, size - SEAL_BYTES)
    digest = _hash(opened, end, lambda done: tell("verifying", done, size))
    if opened.read(SEAL_BYTES) != digest.encode("ascii"):
        raise _damaged(file)


def _checked_manifest(file: Path, archive: zipfile.ZipFile, tell: Tell) -> BackupManifest:
    names = archive.namelist()
    kept = [name for name in names if _ORIGINAL.fullmatch(name)]
    databases = [name for name in names if not _ORIGINAL.fullmatch(name)]
    strange = [name for name in databases if name != MANIFEST_NAME and not _NAME.fullmatch(name)]
    if strange or len(set(names)) < len(names):
        raise BackupError(f"{file} is not a backup: it holds {(strange or ['twice'])[0][:80]!r}.")
    if archive.getinfo(MANIFEST_NAME).file_size > MANIFEST_MAX_BYTES:
        raise _damaged(file)
    try:
        fields: dict[str, Any] = json.loads(archive.read(MANIFEST_NAME))
        written = int(fields["format"])
        if written > FORMAT_VERSION or int(fields["schema"]) > SCHEMA_VERSION:
            raise BackupError(
                f"The backup {file} was written by a newer Xoe-NovAi ({fields.get('version')}). "
                "Update this one to restore it."
            )
        manifest = BackupManifest(**fields)
        members = list(manifest.members())
    except (ValueError, TypeError, KeyError, AttributeError) as exc:
        raise _damaged(file) from exc
    if sorted([MANIFEST_NAME, *(name for name, _, _ in members)]) != sorted(databases):
        raise _damaged(file)
    sizes = [archive.getinfo(name).file_size for name in kept]
    if (len(kept), sum(sizes)) != (manifest.originals, manifest.originals_bytes):
        raise _damaged(file)
    members += [(name, size, name[-64:]) for name, size in zip(kept, sizes, strict=True)]
    for name, size, sha256 in members:
        if archive.getinfo(name).file_size != size:
            raise _damaged(file)
        with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device, not a path
            if _copy(archive, name, nowhere, size, lambda n: tell("verifying", n, 0)) != sha256:
                raise _damaged(file)
    return manifest


def _copy(
    archive: zipfile.ZipFile, name: str, out: IO[bytes], size: int, tell: Callable[[int], None]
) -> str:
    """Unpack a database, ``size`` bytes and no more; return its SHA-256."""
    digest, left = hashlib.sha256(), size
    with archive.open(name) as member:
        while block := member.read(min(BLOCK_BYTES, left)):
            digest.update(block)
            out.write(block)
            left -= len(block)
            tell(size - left)
    return digest.hexdigest()


def _hash(opened: IO[bytes], size: int, tell: Callable[[int], None]) -> str:
    digest, left = hashlib.sha256(), size
    while block := opened.read(min(BLOCK_BYTES, left)):
        digest.update(block)
        left -= len(block)
        tell(size - left)
    return digest.hexdigest()


def _check_target(file: Path) -> None:
    """Refuse to write over what is not a backup."""
    if not file.parent.is_dir():
        raise BackupError(f"There is no folder {file.parent} to write the backup to.")
    if file.is_dir():
        raise BackupError(f"{file} is a folder; name the file that the backup shall become.")
    if not file.exists():
        return
    try:
        with file.open("rb") as opened:
            head = opened.read(_NAME_OFFSET + len(MANIFEST_NAME))
    except OSError as exc:
        raise BackupError(f"{file} cannot be replaced ({exc.strerror}).") from exc
    if not file.is_file() or (head and head[_NAME_OFFSET:] != MANIFEST_NAME.encode()):
        raise BackupError(f"{file} is there already and is no backup; choose another name.")


def _check_room(folder: Path, wanted_bytes: float) -> None:
    if shutil.disk_usage(folder).free < wanted_bytes:
        raise _no_room(folder)


def _no_room(folder: Path) -> StoreError:
    return DiskFullError(
        f"The disk is full: there is no room for a backup in {folder}. "
        "Nothing was written; free some space or choose another folder."
    )


def _damaged(file: Path) -> BackupError:
    return BackupError(
        f"The backup {file} is damaged: it was cut short or changed since it was written. "
        "Use another one."
    )
