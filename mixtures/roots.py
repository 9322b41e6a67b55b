"""Where token files lie: what a reader needs of a token root, and the root that is a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixtures.tokens import HEADER


class ByteFile(Protocol):
    """A file that is open for reading here and there, by several threads at once."""

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the file ends before."""
        ...


class TokenRoot(Protocol):
    """Files of a token root, by names relative to it with forward slashes."""

    @property
    def address(self) -> str:
        """By what it can be opened again, from any folder."""
        ...

    @property
    def at_once(self) -> int:
        """Reads that are worth having under way at a time."""
        ...

    def shown(self, name: str) -> str:
        """The file's place, for messages."""
        ...

    def local(self, name: str) -> Path:
        """Where the whole file can be opened; from elsewhere it is fetched first. Raises FileNotFoundError."""
        ...

    def head(self, name: str) -> tuple[bytes, int]:
        """The first 128 bytes of a file, and its size. Raises FileNotFoundError."""
        ...

    def open(self, name: str) -> ByteFile:
        """Open a file to read parts of it. Raises FileNotFoundError."""
        ...


@dataclass(frozen=True)
class Folder:
    """A token root on a file system."""

    path: Path

    @property
    def address(self) -> str:
        """The folder's absolute path."""
        return str(self.path.absolute())

    @property
    def at_once(self) -> int:
        """Enough for a disk's queue; more threads would only wait for one another."""
        return 4

    def shown(self, name: str) -> str:
        """The file's path."""
        return str(self.path / name)

    def local(self, name: str) -> Path:
        """The file's path."""
        return self.path / name

    def head(self, name: str) -> tuple[bytes, int]:
        """The first 128 bytes of a file, and its size. Raises FileNotFoundError."""
        with (self.path / name).open("rb") as file:
            return file.read(HEADER.itemsize), os.fstat(file.fileno()).st_size

    def open(self, name: str) -> LocalFile:
        """Open a file to read parts of it. Raises FileNotFoundError."""
        return LocalFile(f"{self.path}/{name}")


class LocalFile:
    """A file on a file system; closed when nobody holds it any more.

    Reads at random places are cheaper so than through a mapping, which pays for every page that it touches first and,
    when files outnumber what can be kept open, for being made and undone.
    """

    def __init__(self, path: str | Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def read(self, offset: int, size: int) -> bytes:
        """`size` bytes from `offset` on; fewer where the file ends before."""
        content = os.pread(self._descriptor, size, offset)
        while len(content) < size:  # one call gives at most 2 GiB, and may be cut off by a signal
            more = os.pread(self._descriptor, size - len(content), offset + len(content))
            if not more:
                break
            content += more
        return content

    def __del__(self) -> None:
        # Not there where opening failed.
        if hasattr(self, "_descriptor"):
            os.close(self._descriptor)


def as_root(given: Path | TokenRoot) -> TokenRoot:
    """A root that is given as a folder's path, or as it is."""
    return Folder(given) if isinstance(given, Path) else given
