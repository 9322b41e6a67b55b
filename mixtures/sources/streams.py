"""Opening an input, whatever it is packed in, and reading its lines or a deterministic part of them."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

import zstandard

from mixtures.errors import InputError
from mixtures.sources.document import Dropped
from mixtures.sources.inputs import Source

PACKED: Final = (".gz", ".bz2", ".xz", ".zst")
PART_BYTES: Final = 128 << 20
"""Where a plain file of lines or rows is cut into parts, and how many bytes of small files go together."""
MAX_LINE_BYTES: Final = 64 << 20
_ZSTD_CHUNK: Final = 8 << 10  # little, as it may be a thousand times as much when it is unpacked
_ZSTD_WINDOW: Final = 1 << 31  # the dumps of Reddit are written with `zstd --long=31`

Unreadable = (EOFError, OSError, zlib.error, lzma.LZMAError, zstandard.ZstdError)
"""What the readers of packed files raise where the bytes are not what they should be."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """An input or a part of it: what begins at a byte from `start` up to `end` (None: to the end)."""

    source: Source
    start: int = 0
    end: int | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.source.path)

    def place(self, offset: int) -> str:
        """Where a record lies, for people; in a packed file the byte is one of the unpacked stream."""
        return f"{self.source.name}, byte {offset}"


Line = tuple[int, bytes]
"""Where a line begins, and the line without its end."""


def unpacked_name(name: str) -> str:
    """File name without the suffix that says what the file is packed in."""
    for suffix in PACKED:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


@contextmanager
def open_unpacked(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a file, unpacked by its suffix. Raises InputError where the file is gone."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise InputError(f"{path}: cannot be opened ({error.strerror}); put it back and run again") from error
    with file:
        yield unpacked(file, path.suffix)


def unpacked(file: BinaryIO, suffix: str) -> BinaryIO:
    """The bytes that `file` holds packed."""
    if suffix in (".gz", ".tgz"):
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if suffix == ".bz2":
        return cast(BinaryIO, bz2.BZ2File(file))
    if suffix == ".xz":
        return cast(BinaryIO, lzma.LZMAFile(file))
    if suffix == ".zst":
        return cast(BinaryIO, io.BufferedReader(_Zstd(file), 1 << 20))
    return file


class _Zstd(io.RawIOBase):
    """Frames of zstd one after another; unlike zstandard's own reader it raises EOFError for one that is cut short."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._packer = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame = self._packer.decompressobj()
        self._within = False
        self._waiting = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._waiting:
            packed = self._frame.unused_data if self._frame.eof else self._file.read(_ZSTD_CHUNK)
            if self._frame.eof:
                self._frame, self._within = self._packer.decompressobj(), False
                packed = packed or self._file.read(_ZSTD_CHUNK)
            if not packed:
                if self._within:
                    raise EOFError("the file ends within a frame")
                return 0
            self._within = True
            self._waiting = memoryview(self._frame.decompress(packed))
        n_bytes = min(len(buffer), len(self._waiting))
        buffer[:n_bytes] = self._waiting[:n_bytes]
        self._waiting = self._waiting[n_bytes:]
        return n_bytes


def cannot_go_on(piece: Piece, offset: int, error: BaseException) -> Dropped:
    """The rest of a damaged input, lost. Raises `error` where it is the disk's and not the file's."""
    if isinstance(error, OSError) and error.errno is not None:
        raise error
    return Dropped(reason="cannot be read further", place=f"{piece.place(offset)}: {error}", damaged=True)


def decoded_text(content: bytes) -> str:
    """Text of a file: UTF-8, else Windows-1252, in which older papers and books are; lines end in LF."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", "replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def lines(piece: Piece) -> Iterator[Line | Dropped]:
    """The lines that begin within the piece and are not blank; damage is told, never raised."""
    offset = piece.start
    with open_unpacked(piece.path) as stream:
        try:
            if piece.start:
                stream.seek(piece.start - 1)
                offset = piece.start - 1 + _skip_line(stream)
            while piece.end is None or offset < piece.end:
                line = stream.readline(MAX_LINE_BYTES)
                if not line:
                    return
                begin, offset = offset, offset + len(line)
                if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                    offset += _skip_line(stream)
                    yield Dropped(reason="line too long", place=piece.place(begin), damaged=True)
                elif content := line.strip():
                    yield begin, content
        except Unreadable as error:
            yield cannot_go_on(piece, offset, error)


def _skip_line(stream: BinaryIO) -> int:
    """Read to the end of the line; returns the bytes read."""
    n_bytes = 0
    while line := stream.readline(1 << 20):
        n_bytes += len(line)
        if line.endswith(b"\n"):
            break
    return n_bytes
