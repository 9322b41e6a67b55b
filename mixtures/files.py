"""Writing files that are seen whole or not at all, and telling cheaply whether one has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

_END_BYTES: Final = 1 << 20


@contextmanager
def written_whole(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears at `path` only when it is complete and safe on disk, and not at all on an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Have a file on disk, or what was renamed in a folder outlast a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def content_digest(path: Path) -> str:
    """BLAKE2b-128, as hex digits, of all of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def ends_digest(path: Path) -> tuple[int, str]:
    """Size of a file, and BLAKE2b-128 of size, first and last MiB: of a hundred thousand shards none is read whole."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.blake2b(size.to_bytes(8, "little") + file.read(_END_BYTES), digest_size=16)
        file.seek(max(0, size - _END_BYTES))
        digest.update(file.read(_END_BYTES))
    return size, digest.hexdigest()
