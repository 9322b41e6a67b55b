"""Pieces of token files as one array of tokens, and the files that are open for it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import PurePosixPath
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from mixtures.document_index import Documents, Part, documents_path, open_index
from mixtures.errors import TokenFileError
from mixtures.roots import ByteFile, TokenRoot
from mixtures.tokens import HEADER, MEND, parse_header, token_dtype

PIECE: Final = np.dtype([("file", "<u4"), ("first", "<u8"), ("end", "<u8")])
"""Tokens `first` up to, not including, `end` of file number `file`."""
OPEN_FILES: Final = 256
"""Token files kept open at a time: far below the usual limit of 1,024, enough for all shards of a small mixture."""

Pieces = npt.NDArray[Any]
"""[n] of PIECE."""


class OpenFiles:
    """Token files of a root, opened when they are first asked for."""

    def __init__(self, root: TokenRoot) -> None:
        self.root = root
        self._tokens = lru_cache(maxsize=OPEN_FILES)(self._open_tokens)
        self.documents = lru_cache(maxsize=OPEN_FILES)(self._documents)

    def __reduce__(self) -> tuple[type[OpenFiles], tuple[TokenRoot]]:
        # Another process opens files of its own.
        return type(self), (self.root,)

    def tokens(self, name: str, first: int, end: int) -> npt.NDArray[np.unsignedinteger[Any]]:
        """Tokens `first` up to `end` of a file. Raises TokenFileError where it is gone or has become shorter."""
        file, dtype = self._tokens(name)
        size = (end - first) * dtype.itemsize
        content = file.read(HEADER.itemsize + first * dtype.itemsize, size)
        if len(content) != size:
            raise TokenFileError(f"{self.root.shown(name)}: cut short while it was in use; {MEND}")
        return np.frombuffer(content, dtype)

    def _open_tokens(self, name: str) -> tuple[ByteFile, np.dtype[Any]]:
        try:
            file = self.root.open(name)
        except FileNotFoundError:
            raise TokenFileError(f"{self.root.shown(name)}: no such token file; {MEND}") from None
        return file, token_dtype(self.root.shown(name), file.read(0, HEADER.itemsize))

    def _documents(self, name: str) -> Documents:
        index = documents_path(PurePosixPath(name)).as_posix()
        try:
            header = parse_header(self.root.shown(name), *self.root.head(name))
            return open_index(self.root.local(index), header, shown=self.root.shown(index))
        except FileNotFoundError:
            raise TokenFileError(f"{self.root.shown(index)}: it or its token file is missing; {MEND}") from None


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """What a range of a run holds of one document."""

    file: str
    """Name of the token file, relative to the token root."""
    part: Part
    first: int
    end: int
    """Where it lies, in tokens from the start of the range."""

    @property
    def learned_from(self) -> int:
        """The document's first token that the loss counts, in tokens from the start of the range."""
        return self.first + self.part.learned_from - self.part.first

    def moved(self, offset: int) -> RunPart:
        """The same, in a range that has `offset` other tokens before it."""
        return replace(self, first=self.first + offset, end=self.end + offset) if offset else self


class TokenRun:
    """Pieces of token files as one array of tokens."""

    def __init__(self, files: Sequence[str], pieces: Pieces, opened: OpenFiles) -> None:
        self.files = files
        self.pieces = pieces
        self._opened = opened
        self.starts = np.zeros(len(pieces) + 1, np.int64)
        np.cumsum(pieces["end"] - pieces["first"], out=self.starts[1:])
        self._length = int(self.starts[-1])

    def __len__(self) -> int:
        return self._length

    def read(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """Tokens `start` up to `start + count`: int64 [count]. Raises IndexError outside the run."""
        tokens = np.empty(count, np.int64)
        offset = 0
        for name, first, end in self.cut(start, count):
            tokens[offset : offset + end - first] = self._opened.tokens(name, first, end)
            offset += end - first
        return tokens

    def parts(self, start: int, count: int) -> list[RunPart]:
        """The documents in that range, in order, end-of-document tokens included."""
        found, offset = [], 0
        for name, first, end in self.cut(start, count):
            for part in self._opened.documents(name).between(first, end):
                place = offset + part.first - first
                found.append(RunPart(file=name, part=part, first=place, end=place + part.end - part.first))
            offset += end - first
        return found

    def document_start(self, token: int) -> int:
        """Where the document that holds `token` starts."""
        ((name, first, _),) = self.cut(token, 1)
        documents = self._opened.documents(name)
        return token - (first - documents.span(documents.at(first))[0])

    def document_starts(self, start: int, end: int) -> npt.NDArray[np.int64]:
        """Where the documents start that start in that range, ascending."""
        found, offset = [np.zeros(0, np.int64)], start
        for name, first, stop in self.cut(start, end - start):
            starts = self._opened.documents(name).starts
            low, high = np.searchsorted(starts, np.array([first, stop], np.uint64))
            found.append(starts[low:high].astype(np.int64) - first + offset)
            offset += stop - first
        return np.concatenate(found)

    def cut(self, start: int, count: int) -> Iterator[tuple[str, int, int]]:
        """The pieces of files that make up the range: (name, first, end). Raises IndexError outside the run."""
        end = start + count
        if not 0 <= start <= end <= self._length:
            raise IndexError(f"tokens {start} to {end} are outside the run's {self._length}")
        number = int(self.starts.searchsorted(start, side="right")) - 1
        while start < end:
            file, first, _ = self.pieces[number].item()
            begins, stop = int(self.starts[number]), min(end, int(self.starts[number + 1]))
            if stop > start:
                yield self.files[file], first + start - begins, first + stop - begins
            start, number = stop, number + 1

    def ranges(self, name: str, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Where tokens `first` up to `end` of a file lie in the run, as far as they do: (start, end)."""
        if name not in self.files:
            return
        (numbers,) = np.nonzero(self.pieces["file"] == self.files.index(name))
        for number in numbers.tolist():
            _, low, high = self.pieces[number].item()
            low, high, offset = max(low, first), min(high, end), int(self.starts[number]) - low
            if low < high:
                yield low + offset, high + offset
