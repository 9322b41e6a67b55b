"""Where token files lie: what a reader needs of a token root, and the root that is a folder."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mixtures.tokens import HEADER


class TokenRoot(Protocol):
    """Files of a token root, by names relative to it with forward slashes."""

    def shown(self, name: str) -> str:
        """The file's place, for messages."""
        ...

    def local(self, name: str) -> Path:
        """Where the file can be opened; from elsewhere it is fetched first. Raises FileNotFoundError."""
        ...

    def head(self, name: str) -> tuple[bytes, int]:
        """The first 128 bytes of a file, and its size. Raises FileNotFoundError."""
        ...


@dataclass(frozen=True)
class Folder:
    """A token root on a file system."""

    path: Path

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
