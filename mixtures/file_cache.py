"""A folder of whole files that were fetched from elsewhere, bounded, shared by any number of processes.

A file is written under the name of its draft, which is locked meanwhile, and renamed when it is whole; whoever wants
the same file waits at the lock and finds it. What was used longest ago gives way. A file that gives way while somebody
has it open or mapped stays readable until they close it, as files do on Linux; so long it takes room beyond the limit.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from mixtures.errors import StoreAccessError, StoreError

DRAFT: Final = ".draft"
LOCK: Final = ".lock"


class FileCache:
    """At most `limit_bytes` of files in `folder`."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes

    def found(self, source: str, etag: str | None, size: int) -> Path | None:
        """The file, if it is there and whole; it counts as used now."""
        path = self._path(source, etag, size)
        try:
            os.utime(path, ns=_now())
            if path.stat().st_size == size:
                return path
        except FileNotFoundError:
            return None
        path.unlink(missing_ok=True)  # somebody has meddled with it
        return None

    def put(self, source: str, etag: str | None, size: int, pieces: Iterable[bytes]) -> Path:
        """Write a file of `size` bytes from its pieces, which are not asked for where another process was first.

        Raises StoreAccessError where it is larger than the cache.
        """
        if size > self.limit_bytes:
            raise StoreAccessError(
                f"{source}: {size:,} bytes are more than the cache {self.folder} may hold ({self.limit_bytes:,}); "
                "raise its limit (--token-cache-bytes)"
            )
        path = self._path(source, etag, size)
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked_draft(path.with_name(path.name + DRAFT)) as (draft, descriptor):
            there = self.found(source, etag, size)
            if there is not None:
                draft.unlink()
                return there
            self._write(draft, descriptor, size, pieces)
            draft.rename(path)
        return path

    def _write(self, draft: Path, descriptor: int, size: int, pieces: Iterable[bytes]) -> None:
        try:
            os.ftruncate(descriptor, 0)
            os.ftruncate(descriptor, size)  # what it is going to take is seen by whoever makes room meanwhile
            self._make_room()
            written = sum(_write_all(descriptor, piece) for piece in pieces)
            if written != size:
                raise StoreError(f"{draft}: {written} bytes were given for a file of {size}")
            os.utime(descriptor, ns=_now())
            os.fsync(descriptor)
        except BaseException:
            draft.unlink()
            raise

    def _make_room(self) -> None:
        """Delete what was used longest ago until the rest, drafts included, is within the limit."""
        with _locked(self.folder / LOCK):
            entries = []
            for entry in os.scandir(self.folder):
                with suppress(FileNotFoundError):
                    status = entry.stat()
                    entries.append((status.st_mtime_ns, status.st_size, entry.path))
            excess = sum(size for _, size, _ in entries) - self.limit_bytes
            for _, size, path in sorted(entries):
                if excess <= 0:
                    return
                if path.endswith(DRAFT):
                    excess -= size if _removed_if_abandoned(Path(path)) else 0
                elif not path.endswith(LOCK):
                    Path(path).unlink(missing_ok=True)
                    excess -= size

    def _path(self, source: str, etag: str | None, size: int) -> Path:
        """The content is that of an address, an ETag and a size; of these three only the size can be read."""
        digest = hashlib.blake2b(f"{source}\n{etag}".encode(), digest_size=16).hexdigest()
        return self.folder / f"{digest}-{size}"


@contextmanager
def _locked_draft(path: Path) -> Iterator[tuple[Path, int]]:
    """The draft, open and locked; one that a dead process has left is taken over."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is(path, descriptor):
                yield path, descriptor
                return
            # It was renamed or deleted while we waited: the name is free, or another draft's.
        finally:
            os.close(descriptor)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _is(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one at `path` now."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _removed_if_abandoned(draft: Path) -> bool:
    """Delete a draft that nobody writes any more; under its lock, lest somebody takes it over meanwhile."""
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not _is(draft, descriptor):
            return False
        draft.unlink()
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _now() -> tuple[int, int]:
    """Times of use and change; the kernel's own are so coarse that the order of two uses can be lost."""
    now = time.time_ns()
    return now, now


def _write_all(descriptor: int, content: bytes) -> int:
    left = memoryview(content)
    while left:
        left = left[os.write(descriptor, left) :]
    return len(content)
