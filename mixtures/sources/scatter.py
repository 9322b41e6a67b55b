"""Records that belong together but lie apart, brought together on disk: a scatter file per unit, read back by ranges.

A record has a group (the question that an answer belongs to); the BLAKE2b hash of the group decides its bucket, one of
a fixed number. A scatter file holds a unit's records in blocks, a bucket each, written whenever a buffer is full, and
at its end where the blocks of each bucket lie. Buckets next to each other are then read from all files at once, so
memory is bounded by the buffer when writing and by the buckets read together when reading. Groups come out in the
order of their hashes, whatever the number of buckets; records of a group in the order of units, then of the unit.

    blocks     zstd, each the records of one bucket: group, tab, record, newline
    raw        [buckets] uint64, bytes of each bucket before packing
    index      [blocks] of BLOCK, by bucket, then in order of writing
    firsts     [buckets + 1] uint64, where in the index each bucket begins
    TRAILER
"""

from __future__ import annotations

import hashlib
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt
import zstandard

from mixtures.errors import InputError
from mixtures.files import written_whole

BUCKETS: Final = 4096
BUFFER_BYTES: Final = 64 << 20
BLOCK: Final = np.dtype([("bucket", "<u4"), ("packed", "<u4"), ("raw", "<u4"), ("offset", "<u8")])
TRAILER: Final = struct.Struct("<8sII")
_MAGIC: Final = b"FXSCATTR"
_LEVEL: Final = 1

Record = tuple[bytes, bytes]
"""Group and record; neither holds a line break, the group no tab (JSON holds neither)."""


def group_hash(group: bytes) -> int:
    """64 bits that place a group."""
    return int.from_bytes(hashlib.blake2b(group, digest_size=8).digest(), "big")


def write_scatter(
    path: Path, records: Iterable[Record], *, n_buckets: int = BUCKETS, buffer_bytes: int = BUFFER_BYTES
) -> int:
    """Write a scatter file; returns the number of records."""
    n_records = buffered = 0
    with written_whole(path) as file:
        buffer: dict[int, list[bytes]] = defaultdict(list)
        index: list[tuple[int, int, int, int]] = []
        for group, record in records:
            line = group + b"\t" + record + b"\n"
            buffer[group_hash(group) * n_buckets >> 64].append(line)
            n_records += 1
            buffered += len(line)
            if buffered >= buffer_bytes:
                _flush(file, buffer, index)
                buffered = 0
        _flush(file, buffer, index)
        _finish(file, index, n_buckets)
    return n_records


def _flush(file: IO[bytes], buffer: dict[int, list[bytes]], index: list[tuple[int, int, int, int]]) -> None:
    packer = zstandard.ZstdCompressor(level=_LEVEL)
    for bucket in sorted(buffer):
        raw = b"".join(buffer[bucket])
        packed = packer.compress(raw)
        index.append((bucket, len(packed), len(raw), file.tell()))
        file.write(packed)
    buffer.clear()


def _finish(file: IO[bytes], index: list[tuple[int, int, int, int]], n_buckets: int) -> None:
    blocks = np.array(index, BLOCK)
    blocks = blocks[np.argsort(blocks["bucket"], kind="stable")]
    raw = np.zeros(n_buckets, "<u8")
    np.add.at(raw, blocks["bucket"], blocks["raw"])
    firsts = np.searchsorted(blocks["bucket"], np.arange(n_buckets + 1)).astype("<u8")
    file.write(raw.tobytes() + blocks.tobytes() + firsts.tobytes())
    file.write(TRAILER.pack(_MAGIC, n_buckets, len(blocks)))


class ScatterFile:
    """A scatter file, opened for reading by buckets. Raises InputError where it is not one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                end = file.seek(0, 2)
                file.seek(max(0, end - TRAILER.size))
                magic, self.n_buckets, n_blocks = TRAILER.unpack(file.read(TRAILER.size))
        except (OSError, struct.error) as error:
            raise InputError(f"{path}: not a whole work file; give --restart") from error
        if magic != _MAGIC:
            raise InputError(f"{path}: not a work file of this program; give --restart")
        self._firsts_at = end - TRAILER.size - 8 * (self.n_buckets + 1)
        self._index_at = self._firsts_at - BLOCK.itemsize * n_blocks
        self._raw_at = self._index_at - 8 * self.n_buckets

    def raw_bytes(self) -> npt.NDArray[np.uint64]:
        """Bytes of each bucket, unpacked: [buckets]."""
        with self.path.open("rb") as file:
            return _array(file, self._raw_at, np.dtype("<u8"), self.n_buckets)

    def lines(self, first: int, end: int) -> Iterator[bytes]:
        """The records of the buckets from `first` up to `end`, each with its group in front."""
        with self.path.open("rb") as file:
            firsts = _array(file, self._firsts_at + 8 * first, np.dtype("<u8"), end - first + 1)
            begin, n_blocks = int(firsts[0]), int(firsts[-1] - firsts[0])
            for block in _array(file, self._index_at + BLOCK.itemsize * begin, BLOCK, n_blocks):
                file.seek(int(block["offset"]))
                packed = file.read(int(block["packed"]))
                raw = zstandard.ZstdDecompressor().decompress(packed, max_output_size=int(block["raw"]))
                yield from raw.split(b"\n")[:-1]


def read_groups(files: Sequence[ScatterFile], first: int, end: int) -> Iterator[tuple[bytes, list[bytes]]]:
    """The groups in the buckets from `first` up to `end`, in order of their hashes, each with its records."""
    groups: dict[bytes, list[bytes]] = defaultdict(list)
    for file in files:
        for line in file.lines(first, end):
            group, _, record = line.partition(b"\t")
            groups[group].append(record)
    for group in sorted(groups, key=lambda group: (group_hash(group), group)):
        yield group, groups.pop(group)


def cut_buckets(files: Sequence[ScatterFile], part_bytes: int) -> list[tuple[int, int]]:
    """Ranges of buckets that hold about `part_bytes` each, and all buckets together."""
    n_buckets = files[0].n_buckets
    totals = sum((file.raw_bytes() for file in files), np.zeros(n_buckets, np.uint64))
    ranges, first, held = [], 0, 0
    for bucket in range(n_buckets):
        if held and held + int(totals[bucket]) > part_bytes:
            ranges.append((first, bucket))
            first, held = bucket, 0
        held += int(totals[bucket])
    return [*ranges, (first, n_buckets)]


def _array(file: IO[bytes], offset: int, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    file.seek(offset)
    return np.frombuffer(file.read(dtype.itemsize * count), dtype)
