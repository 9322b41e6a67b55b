"""What became of each byte of a WARC file: records, padding, damage."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from pipeline.span import Seam

NOT_WARC = "not a WARC record"
EMPTY_FILE = "empty file"


@dataclass(frozen=True, kw_only=True)
class Damage:
    """A byte range that could not be read; `url` where the header was still readable.

    An empty range marks damage that cost no byte of the stream that offsets refer to.
    """

    start: int
    end: int
    reason: str
    url: str | None = None


@dataclass(kw_only=True)
class FileReport:
    """Account of one file, or of a range of one, filled while it is read and whole when reading ends.

    Offsets and byte counts are those of the file or, where `single_stream` is set (a gzip member that holds the whole
    file), those of the inflated stream. Ranges are added in order and without a gap, so that at the end
    `record_bytes + padding_bytes + damaged_bytes == stream_size - start`.

    start: offset of the first byte accounted for.
    size: offset in the file where reading ended. end: what reading on from there depends on.
    types: records by WARC-Type, captures included.
    shared_members: gzip members, of a file with a member per record, that held several records.
    """

    start: int = 0
    size: int = 0
    stream_size: int = 0
    single_stream: bool = False
    record_bytes: int = 0
    padding_bytes: int = 0
    damaged: list[Damage] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    shared_members: int = 0
    end: Seam | None = None

    @property
    def damaged_bytes(self) -> int:
        """Bytes in damaged ranges."""
        return sum(damage.end - damage.start for damage in self.damaged)

    @property
    def foreign(self) -> bool:
        """Whether the file holds no record at all, but something else."""
        return self.stream_size > 0 and not self.types

    def begin(self, start: int) -> None:
        """Account for what follows the offset `start`, and forget the padding before it."""
        self.start = self.stream_size = start
        self.padding_bytes = 0

    def add_record(self, end: int, record_type: str) -> None:
        """Count the bytes up to `end` as a record."""
        self.record_bytes += self._advance(end)
        self.types[record_type] += 1

    def add_padding(self, end: int) -> None:
        """Count the bytes up to `end` as padding."""
        self.padding_bytes += self._advance(end)

    def add_damage(self, end: int, reason: str, url: str | None = None) -> None:
        """Count the bytes up to `end` as damaged; a foreign stretch in several pieces becomes one row."""
        start = self.stream_size
        self._advance(end)
        last = self.damaged[-1] if self.damaged else None
        if reason == NOT_WARC and last and last.reason == NOT_WARC and last.end == start:
            start = self.damaged.pop().start
        self.damaged.append(Damage(start=start, end=end, reason=reason, url=url))

    def _advance(self, end: int) -> int:
        step = end - self.stream_size
        assert step >= 0, "ranges are added in order"
        self.stream_size = end
        return step
