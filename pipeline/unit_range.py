"""How a file is cut into units: by its size alone, at places where a member begins that holds a whole record.

A cut falls on each multiple of a fixed number of bytes, and a unit reads from the first start at or after its own cut
to the first at or after the next. Whether a start is one cannot be known there for sure: a captured `.warc.gz` inside a
record looks the same. So each unit says where it really ended, and how (its `Seam`), and a unit that began otherwise
than the one before it ended is redone from there (see `pipeline.unit_chain`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from pipeline.byte_source import ByteSource
from pipeline.span import Codec, Span
from pipeline.warc import Head
from pipeline.warc_record import BEGINNING, PADDING, DamagedRecordError, ReadLimits, read_record


def ranges(size: int, unit_bytes: int) -> Iterator[tuple[int, int]]:
    """Ranges of `unit_bytes` bytes, the last one shorter; of an empty file one, empty."""
    for begin in range(0, max(size, 1), unit_bytes):
        yield begin, min(begin + unit_bytes, size)


def find_span(stream: BinaryIO, begin: int, end: int, *, head: Head, size: int, limits: ReadLimits) -> Span | None:
    """What the unit of the range from `begin` to `end` reads; None where no member begins in it."""
    start = None
    if begin:
        position = next_start(stream, begin, end, codec=head.codec, limits=limits)
        if position is None:
            return None
        start = replace(head.seam, position=position)
    return Span(start=start, until=span_end(stream, end, codec=head.codec, size=size, limits=limits), codec=head.codec)


def span_end(stream: BinaryIO, end: int, *, codec: Codec, size: int, limits: ReadLimits) -> int:
    """Where a unit whose range ends at `end` stops: at the first start behind, or at the end of the file."""
    found = next_start(stream, end, size, codec=codec, limits=limits)
    return size if found is None else found


def next_start(stream: BinaryIO, begin: int, end: int, *, codec: Codec, limits: ReadLimits) -> int | None:
    """The first place from `begin` up to `end` at which a member begins that makes one whole record."""
    at = begin
    while at < end:
        source = _source_at(stream, at)
        if not source.find(lambda window: codec.find(window, BEGINNING), codec.probe_bytes) or source.position >= end:
            return None
        at = source.position
        if _holds_a_record(source, codec, limits):
            return at
        at += 1
    return None


def _source_at(stream: BinaryIO, position: int) -> ByteSource:
    stream.seek(position)
    return ByteSource(stream.read, base=position)


def _holds_a_record(source: ByteSource, codec: Codec, limits: ReadLimits) -> bool:
    """Whether the member at hand is undamaged and holds one record, and nothing else but padding."""
    member = codec.open(source)
    inner = ByteSource(member.read)
    try:
        read_record(inner, limits)
    except DamagedRecordError:
        return False
    inner.skip_any_of(PADDING)
    return inner.ended() and member.damage is None
