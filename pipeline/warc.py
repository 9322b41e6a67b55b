"""Reading WARC files that may be damaged, in one forward pass and constant memory.

A file is a row of gzip members with a record each, or of bare records; padding and garbage may stand between them.
Reading goes on at the next thing that can be one: after a damaged gzip member at the next member whose inflated bytes
begin `WARC/`, after a damaged bare record at the next line that looks like the beginning of one. A record's bytes
are its whole member, or header, block and line ends. A member's record is given only once its checksum was right.

Two layouts break the rule of a member per record:

- The first member holds several records: the whole file is taken as one stream of records, offsets are those of the
  inflated stream, and the report is flagged `single_stream`. Damage to gzip that costs no byte of that stream is an
  empty range; checksums come too late to hold back records.
- A later member holds several records (two such files joined): the member's bytes are shared out one byte to each
  record and the rest to the last, so that (file, offset) stays a key and ranges stay apart; `shared_members` counts
  them. Only the first record can be read from its offset.

Limits: where a damaged record's own payload holds an intact WARC, its records cannot be told from real ones. In a
single stream, whose length is not known beforehand, a wild Content-Length costs what it claims, less the look-back.
A stream in members cut by size is read only where the first member reaches into the second record.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Protocol

from pipeline.byte_source import ByteSource
from pipeline.capture import CAPTURE_TYPES, Capture, Place, make_capture
from pipeline.errors import WorkError
from pipeline.file_report import EMPTY_FILE, NOT_WARC, FileReport
from pipeline.gzip_members import GZIP_MAGIC, MemberReader, member_in
from pipeline.gzip_members import PROBE_BYTES as MEMBER_PROBE_BYTES
from pipeline.warc_record import (
    BEGINNING,
    PADDING,
    DamagedRecordError,
    ReadLimits,
    Record,
    at_record,
    decode_header,
    parse_fields,
    read_record,
    record_in,
)
from pipeline.warc_record import PROBE_BYTES as RECORD_PROBE_BYTES

ZSTD_WARC = "zstandard WARC files are not read; decompress the file first (zstd -d)"
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", b"\x5d\x2a\x4d\x18")  # a frame, and the skippable frame of a dictionary
_DUMP_NAME = re.compile(r"CC-MAIN-\d{4}-\d{2}(?!\d)")
_WARCINFO_BYTES = 1 << 16  # of a warcinfo's block that are searched for isPartOf

_Search = Callable[[bytes], int | None]


class Readable(Protocol):
    """What a file must be able to do."""

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes; none at the end."""


class InputChangedError(WorkError):
    """The stream gave another number of bytes than the file has: a lost connection or a changed file; try again."""


def read_captures(
    stream: Readable, *, warc_path: str, report: FileReport, size: int | None = None, limits: ReadLimits | None = None
) -> Iterator[Capture]:
    """Yield the response, resource and conversion records of a WARC file in order, and fill `report`.

    `stream` is read once, to its end. Damage never raises: it goes to the report.
    Raises InputChangedError at the end where `size` is given and is not the number of bytes read.
    """
    yield from _WarcFile(stream, warc_path, size, limits or ReadLimits(), report).captures()
    if size is not None and report.size != size:
        raise InputChangedError(
            f"{warc_path}: {report.size:,} bytes were read of a file of {size:,}; "
            "the connection was lost or the file has changed: run again"
        )


class _WarcFile:
    """One pass over one file. `raw` is the file; a stream of records inside gzip is a source of its own."""

    def __init__(
        self, stream: Readable, warc_path: str, size: int | None, limits: ReadLimits, report: FileReport
    ) -> None:
        self._raw = ByteSource(stream.read, look_back_bytes=limits.max_look_back_bytes)
        self._search, self._margin = _search_at(self._raw)
        self._warc_path = warc_path
        self._size = size
        self._limits = limits
        self._report = report
        self._dump = _dump_name(warc_path)
        self._collection = ""

    def captures(self) -> Iterator[Capture]:
        if self._raw.ended():
            self._report.add_damage(0, EMPTY_FILE)
        elif self._raw.peek(4).startswith(_ZSTD_MAGICS):
            self._raw.skip(sys.maxsize)
            self._report.add_damage(self._raw.position, ZSTD_WARC)
        else:
            yield from self._read(self._raw)
        self._report.size = self._raw.position

    def _read(self, source: ByteSource) -> Iterator[Capture]:
        """Read a source to its end: the file, or a stream of records inside gzip."""
        in_file = source is self._raw
        while True:
            source.skip_any_of(PADDING)
            self._report.add_padding(source.position)
            if source.ended():
                return
            source.mark()
            ahead = source.peek(len(BEGINNING))
            if in_file and ahead.startswith(GZIP_MAGIC):
                yield from self._read_member()
                if self._report.single_stream:  # which was read to the end of the file
                    return
            elif ahead != BEGINNING:
                self._resume(source, source.position, NOT_WARC)
            else:
                yield from self._read_record(source, self._size if in_file else None)

    def _read_record(self, source: ByteSource, end: int | None) -> Iterator[Capture]:
        start = source.position
        try:
            record = read_record(source, self._limits, end)
        except DamagedRecordError as error:
            self._resume(source, start + 1, error.reason, error.url)
        else:
            yield from self._deliver(record, record.end)

    def _read_member(self) -> Iterator[Capture]:
        """Read the gzip member at hand: a record, or padding, or several records."""
        start = self._raw.position
        member = MemberReader(self._raw)
        inner = ByteSource(member.read, look_back_bytes=self._limits.max_look_back_bytes)
        held: Record | None = None  # until it is known what follows, and that the checksum is right
        fault: DamagedRecordError | None = None
        try:
            while _record_follows(inner, held):
                if held and start == 0:
                    yield from self._read_stream(member, inner, held)
                    return
                record = read_record(inner, self._limits)
                if held:
                    yield from self._deliver_shared(held, start)
                held = record
        except DamagedRecordError as error:
            fault = error
            inner.skip(sys.maxsize)
        if member.damage:
            url = fault.url if fault else held.header.url if held else None
            self._resume(self._raw, max(start + 1, self._report.stream_size), member.damage, url)
            return
        if held and fault:
            yield from self._deliver_shared(held, start)
        elif held:
            yield from self._deliver(held, self._raw.position)
        if fault:
            self._report.add_damage(self._raw.position, fault.reason, fault.url)
        self._report.add_padding(self._raw.position)

    def _read_stream(self, member: MemberReader, inner: ByteSource, first: Record) -> Iterator[Capture]:
        """Read the rest of a file whose first member goes on after its first record, as one stream of records."""
        self._report.single_stream = True
        self._report.add_padding(first.start)
        yield from self._deliver(first, first.end)
        while True:
            member.follow = True
            inner.go_on()
            yield from self._read(inner)
            if member.damage:
                self._raw.rewind(member.member_start + 1)
            elif self._raw.ended():
                return
            self._report.add_damage(self._report.stream_size, member.damage or NOT_WARC)
            if not self._raw.find(self._search, self._margin):
                return
            self._raw.mark()
            member = MemberReader(self._raw)
            inner = ByteSource(
                member.read, base=self._report.stream_size, look_back_bytes=self._limits.max_look_back_bytes
            )

    def _deliver(self, record: Record, end: int) -> Iterator[Capture]:
        """Account for a record and give its capture, if it is of a type that is one."""
        start, kind = self._report.stream_size, record.header.record_type
        self._report.add_record(end, kind)
        if kind == "warcinfo":
            self._collection = _is_part_of(record.block)
        if kind in CAPTURE_TYPES:
            crawl = self._dump or self._collection or PurePosixPath(self._warc_path).name
            place = Place(warc_path=self._warc_path, warc_offset=start, warc_length=end - start, crawl=crawl)
            yield make_capture(record, place, self._limits.max_payload_bytes)

    def _deliver_shared(self, record: Record, member_start: int) -> Iterator[Capture]:
        """Give a record that is not the last of its member: one byte of the member is its own, while there is one."""
        start = self._report.stream_size
        self._report.shared_members += start == member_start
        yield from self._deliver(record, min(start + 1, self._raw.position))

    def _resume(self, source: ByteSource, start: int, reason: str, url: str | None = None) -> None:
        """Find where reading can go on at or after `start`; what lies before is damaged."""
        source.rewind(start)
        if source is not self._raw:
            source.find(record_in, RECORD_PROBE_BYTES)
        elif source.find(self._search, self._margin):
            self._search, self._margin = _search_at(source)
        self._report.add_damage(source.position, reason, url or None)


def _record_follows(inner: ByteSource, held: Record | None) -> bool:
    """Pass over padding in a member; whether a record follows. Raises DamagedRecordError where something else does.

    Behind a record only what looks well like one is taken for another: it decides that no checksum is waited for.
    """
    inner.skip_any_of(PADDING)
    if inner.ended():
        return False
    if not (at_record(inner) if held else inner.peek(len(BEGINNING)) == BEGINNING):
        raise DamagedRecordError(NOT_WARC)
    return True


def _search_at(source: ByteSource) -> tuple[_Search, int]:
    """What to look for after damage in a file that goes on so, and the bytes that it takes to know it.

    Gzip members inside a bare record, and bare records that a gzip member could only store, are payload; a file that
    begins with neither (its head is lost) goes on with whatever comes first.
    """
    if source.peek(len(GZIP_MAGIC)) == GZIP_MAGIC:
        return _member_in, MEMBER_PROBE_BYTES
    if at_record(source):
        return record_in, RECORD_PROBE_BYTES
    return _either_in, max(MEMBER_PROBE_BYTES, RECORD_PROBE_BYTES)


def _member_in(window: bytes) -> int | None:
    return member_in(window, BEGINNING)


def _either_in(window: bytes) -> int | None:
    return min((at for at in (_member_in(window), record_in(window)) if at is not None), default=None)


def _dump_name(warc_path: str) -> str:
    match = _DUMP_NAME.search(warc_path)
    return match[0] if match else ""


def _is_part_of(block: bytes) -> str:
    fields = parse_fields(decode_header(block[:_WARCINFO_BYTES]))
    return next((value for name, value in fields if name.lower() == "ispartof"), "")
