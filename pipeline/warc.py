"""Reading WARC files that may be damaged, in one forward pass and constant memory.

A file is a row of gzip members (or zstd frames, called members too) with a record each, or of bare records; padding and
garbage may stand between them. Reading goes on at the next thing that can be one: after a damaged member at the next
member whose inflated bytes begin `WARC/`, after a damaged bare record at the next line that looks like the beginning of
one. A record's bytes are its whole member, or header, block and line ends. A member's record is given only once its
checksum was right. Skippable zstd frames, such as that of the dictionary, are padding.

A range of a file is read from a `Seam`, and up to one. What is read from there on depends on the seam and the bytes
behind it alone, so that ranges that meet at equal seams give together what one pass over the whole gives.

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
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Protocol

from pipeline.byte_source import ByteSource
from pipeline.capture import CAPTURE_TYPES, Capture, Place, make_capture
from pipeline.errors import WorkError
from pipeline.file_report import EMPTY_FILE, NOT_WARC, FileReport
from pipeline.gzip_members import GZIP_MAGIC, Gzip
from pipeline.span import WHOLE, Codec, Member, Seam, Search, Span
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
from pipeline.zstd_frames import FRAME_MAGIC, SKIPPABLE, Zstd, read_dictionary, skip_frame

ZSTD_SUFFIX = ".zst"
HEAD_BYTES = 1 << 20
_DUMP_NAME = re.compile(r"CC-MAIN-\d{4}-\d{2}(?!\d)")
_WARCINFO_BYTES = 1 << 16  # of a warcinfo's block that are searched for isPartOf


class Readable(Protocol):
    """What a file must be able to do."""

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes; none at the end."""


class InputChangedError(WorkError):
    """The stream gave another number of bytes than the file has: a lost connection or a changed file; try again."""


def read_captures(
    stream: Readable,
    *,
    warc_path: str,
    report: FileReport,
    size: int | None = None,
    limits: ReadLimits | None = None,
    span: Span = WHOLE,
) -> Iterator[Capture]:
    """Yield the response, resource and conversion records of a WARC file in order, and fill `report`.

    `stream` is read once, to its end; of a span, from its start and to the seam at its end, with some bytes ahead.
    Damage never raises: it goes to the report.
    Raises InputChangedError at the end where `size` is given and is not the number of bytes of the file.
    """
    file = _WarcFile(stream, warc_path, size, limits or ReadLimits(), report, span)
    yield from file.captures()
    if size is not None and (report.size > size or (file.ended and report.size != size)):
        raise InputChangedError(
            f"{warc_path}: {report.size:,} bytes were read of a file of {size:,}; "
            "the connection was lost or the file has changed: run again"
        )


@dataclass(frozen=True, kw_only=True)
class Head:
    """What the beginning of a file tells of the whole.

    seam: what the reading of a later range may be expected to begin with (`position` has no meaning).
    in_members: whether the file is a row of members, so that ranges of it can be read on their own.
    """

    codec: Codec
    seam: Seam
    in_members: bool


def read_head(stream: Readable, *, warc_path: str, limits: ReadLimits) -> Head:
    """Read the first MiB of a file, or less: up to its first page."""
    file = _WarcFile(_First(stream, HEAD_BYTES), warc_path, None, limits, report := FileReport(), WHOLE)
    next(file.captures(), None)
    seam = file.seam()
    return Head(codec=file.codec, seam=seam, in_members=seam.search != "records" and not report.single_stream)


class _First:
    """The first bytes of a stream."""

    def __init__(self, stream: Readable, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, n: int, /) -> bytes:
        data = self._stream.read(min(n, self._left))
        self._left -= len(data)
        return data


class _WarcFile:
    """One pass over one file. `raw` is the file; a stream of records inside members is a source of its own."""

    def __init__(
        self, stream: Readable, warc_path: str, size: int | None, limits: ReadLimits, report: FileReport, span: Span
    ) -> None:
        start = span.start.position if span.start else 0
        report.begin(start)
        self._raw = ByteSource(stream.read, base=start, look_back_bytes=limits.max_look_back_bytes)
        self.codec = span.codec or _codec_at(self._raw, warc_path)
        self._search: Search = span.start.search if span.start else self._search_at(self._raw)
        self._dump = _dump_name(warc_path)
        self._crawl = span.start.crawl if span.start else self._dump or _file_name(warc_path)
        self._warc_path = warc_path
        self._size = size
        self._limits = limits
        self._report = report
        self._span = span
        self._first_member = 0  # where the first member of the file begins

    @property
    def ended(self) -> bool:
        """Whether the end of the file was reached."""
        return self._raw.ended()

    def seam(self) -> Seam:
        """Where reading stands."""
        return Seam(position=self._raw.position, crawl=self._crawl, search=self._search)

    def captures(self) -> Iterator[Capture]:
        if self._raw.ended() and not self._span.start:
            self._report.add_damage(0, EMPTY_FILE)
        else:
            yield from self._read(self._raw)
        self._report.size = self._raw.position
        self._report.end = self.seam()

    def _read(self, source: ByteSource) -> Iterator[Capture]:
        """Read a source to its end: the file, or a stream of records inside members."""
        in_file = source is self._raw
        while True:
            source.skip_any_of(PADDING)
            self._report.add_padding(source.position)
            if source.ended():
                return
            if in_file and self._at_the_end_of_the_span():
                return
            source.mark()
            ahead = source.peek(len(BEGINNING))
            if in_file and self._skip_frame():
                continue
            if in_file and ahead.startswith(self.codec.magic):
                yield from self._read_member()
                if self._report.single_stream:  # which was read to the end of the file
                    return
            elif ahead != BEGINNING:
                self._resume(source, source.position, NOT_WARC)
            else:
                yield from self._read_record(source, self._size if in_file else None)

    def _at_the_end_of_the_span(self) -> bool:
        """Whether the span ends here.

        Only before a member that begins like a record: of what stands before any other, the damage table makes one row
        with what was passed over before it.
        """
        if self._span.until is None or self._raw.position < self._span.until:
            return False
        return self.codec.find(self._raw.peek(self.codec.probe_bytes), BEGINNING) == 0

    def _skip_frame(self) -> bool:
        """Pass over a skippable zstd frame as padding; whether one stood here."""
        if not isinstance(self.codec, Zstd) or not skip_frame(self._raw):
            return False
        if self._report.stream_size == self._first_member:
            self._first_member = self._raw.position
        self._report.add_padding(self._raw.position)
        return True

    def _read_record(self, source: ByteSource, end: int | None) -> Iterator[Capture]:
        start = source.position
        try:
            record = read_record(source, self._limits, end)
        except DamagedRecordError as error:
            self._resume(source, start + 1, error.reason, error.url)
        else:
            yield from self._deliver(record, record.end)

    def _read_member(self) -> Iterator[Capture]:
        """Read the member at hand: a record, or padding, or several records."""
        start = self._raw.position
        member = self.codec.open(self._raw)
        inner = ByteSource(member.read, look_back_bytes=self._limits.max_look_back_bytes)
        held: Record | None = None  # until it is known what follows, and that the checksum is right
        fault: DamagedRecordError | None = None
        try:
            while _record_follows(inner, held):
                if held and start == self._first_member:
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

    def _read_stream(self, member: Member, inner: ByteSource, first: Record) -> Iterator[Capture]:
        """Read the rest of a file whose first member goes on after its first record, as one stream of records."""
        self._report.single_stream = True
        self._report.begin(0)  # in the stream, which skippable frames before it are no part of
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
            if not self._raw.find(*self._what_to_find()):
                return
            self._raw.mark()
            member = self.codec.open(self._raw)
            inner = ByteSource(
                member.read, base=self._report.stream_size, look_back_bytes=self._limits.max_look_back_bytes
            )

    def _deliver(self, record: Record, end: int) -> Iterator[Capture]:
        """Account for a record and give its capture, if it is of a type that is one."""
        start, kind = self._report.stream_size, record.header.record_type
        self._report.add_record(end, kind)
        if kind == "warcinfo":
            self._crawl = self._dump or _is_part_of(record.block) or _file_name(self._warc_path)
        if kind in CAPTURE_TYPES:
            place = Place(warc_path=self._warc_path, warc_offset=start, warc_length=end - start, crawl=self._crawl)
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
        elif source.find(*self._what_to_find()):
            self._search = self._search_at(source)
        self._report.add_damage(source.position, reason, url or None)

    def _search_at(self, source: ByteSource) -> Search:
        """What to look for after damage in a file that goes on so.

        Members inside a bare record, and bare records that a member could only store, are payload; a file that begins
        with neither (its head is lost) goes on with whatever comes first.
        """
        if isinstance(self.codec, Zstd) or source.peek(len(GZIP_MAGIC)) == GZIP_MAGIC:
            return "members"
        return "records" if at_record(source) else "either"

    def _what_to_find(self) -> tuple[Callable[[bytes], int | None], int]:
        """A search, and the bytes that it takes to know what it found."""
        if self._search == "members":
            return self._member_in, self.codec.probe_bytes
        if self._search == "records":
            return record_in, RECORD_PROBE_BYTES
        return self._either_in, max(self.codec.probe_bytes, RECORD_PROBE_BYTES)

    def _member_in(self, window: bytes) -> int | None:
        return self.codec.find(window, BEGINNING)

    def _either_in(self, window: bytes) -> int | None:
        return min((at for at in (self._member_in(window), record_in(window)) if at is not None), default=None)


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


def _codec_at(source: ByteSource, warc_path: str) -> Codec:
    """The compression of a file that begins so; by its name where the beginning is lost."""
    head, gzip = source.peek(len(BEGINNING)), Gzip()
    if head.startswith(FRAME_MAGIC) or SKIPPABLE.match(head):
        return Zstd(read_dictionary(source))
    misnamed = head == BEGINNING or gzip.find(source.peek(gzip.probe_bytes), BEGINNING) == 0
    return Zstd() if warc_path.endswith(ZSTD_SUFFIX) and not misnamed else gzip


def _dump_name(warc_path: str) -> str:
    match = _DUMP_NAME.search(warc_path)
    return match[0] if match else ""


def _file_name(warc_path: str) -> str:
    return PurePosixPath(warc_path).name


def _is_part_of(block: bytes) -> str:
    fields = parse_fields(decode_header(block[:_WARCINFO_BYTES]))
    return next((value for name, value in fields if name.lower() == "ispartof"), "")
