"""One WARC record from a stream of bytes: header, block, and the line ends behind it (ISO 28500; 0.17 to 1.1).

Lenient where the meaning is plain: bare line feeds, folded lines, lines of any length, bytes that are not UTF-8.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta, timezone

from pipeline.byte_source import ByteSource

BEGINNING = b"WARC/"
PADDING = b"\0\r\n"

CUT_SHORT = "record is cut short, or its Content-Length too large"

PROBE_BYTES = 1 << 8
"""Enough for a version line and the name of the first field."""

_TWO_LINES = rb"WARC/\d+\.\d+[ \t]*\r?\n[A-Za-z0-9-]+[ \t]*:"
_RECORD = re.compile(_TWO_LINES)
_RECORD_LINE = re.compile(rb"\n(" + _TWO_LINES + rb")")
_HEADER_END = re.compile(rb"\n\r?\n")
_LINE_ENDS = re.compile(rb"(?:\r?\n){0,2}")
_LENGTH = re.compile(r"[0-9]{1,18}")
_FOLD = re.compile(r"\r?\n[ \t]+")
_DATE = re.compile(
    r"(\d{4})(?:-?(\d\d)(?:-?(\d\d)(?:[T ]?(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?)?)? *(Z|[+-]\d\d:?\d\d)?", re.I
)


@dataclass(frozen=True, kw_only=True)
class ReadLimits:
    """What a single record may cost. Raises ValueError where a limit is not positive.

    max_header_bytes: a header without end by then is damage.
    max_block_bytes: of a longer block the rest is inflated in pieces, counted and discarded.
    max_payload_bytes: of a longer payload, decoded or not, the rest is cut; a bomb is never expanded further.
    max_look_back_bytes: how far before the place where damage shows the search for the next record may begin.
    """

    max_header_bytes: int = 1 << 20
    max_block_bytes: int = 64 << 20
    max_payload_bytes: int = 32 << 20
    max_look_back_bytes: int = 16 << 20

    def __post_init__(self) -> None:
        for limit in fields(self):
            if getattr(self, limit.name) < 1:
                raise ValueError(f"{limit.name} is {getattr(self, limit.name)}; give 1 or more")


class DamagedRecordError(Exception):
    """A record that cannot be delimited; `url` is its target where the header could be read."""

    def __init__(self, reason: str, url: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.url = url


@dataclass(frozen=True, kw_only=True)
class Header:
    """Named fields of a WARC header, names in lower case; of a repeated field the first counts."""

    fields: dict[str, str]

    def get(self, name: str) -> str:
        """Value of field `name` (in lower case), empty where there is none."""
        return self.fields.get(name, "")

    @property
    def record_type(self) -> str:
        """WARC-Type in lower case; "unknown" where there is none."""
        return self.get("warc-type").lower() or "unknown"

    @property
    def url(self) -> str:
        """Target URI as written, less enclosing `<>`; empty where there is none."""
        return self.get("warc-target-uri").removeprefix("<").removesuffix(">").strip()


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record with the part of its block that was kept (all of it, unless `cut`), and its range in its source."""

    start: int
    end: int
    header: Header
    block: bytes
    cut: bool


def read_record(source: ByteSource, limits: ReadLimits, end: int | None = None) -> Record:
    """Read the record at the source's position, and at most two line ends behind it.

    end: offset where the source ends, where known, so that a wild Content-Length does not swallow all that follows.

    Raises DamagedRecordError where it is cut short or is not followed by what can follow a record.
    """
    start = source.position
    header = _read_header(source, limits)
    length = _content_length(header)
    if end is not None and source.position + length > end:
        raise DamagedRecordError(CUT_SHORT, header.url)
    block = source.read(min(length, limits.max_block_bytes))
    if len(block) + source.skip(length - len(block)) < length:
        raise DamagedRecordError(CUT_SHORT, header.url)
    behind = _end_of_record(source)
    if behind is None:
        raise DamagedRecordError("record does not end where its Content-Length says", header.url)
    return Record(start=start, end=behind, header=header, block=block, cut=len(block) < length)


def record_in(window: bytes) -> int | None:
    """Place of the first line in `window` that looks like the beginning of a record.

    A record inside the payload of a damaged one (a captured, uncompressed WARC) looks the same, and is found too.
    """
    match = _RECORD_LINE.search(window)
    return match.start(1) if match else None


def at_record(source: ByteSource) -> bool:
    """Whether a version line and a field stand at the source's position."""
    return _RECORD.match(source.peek(PROBE_BYTES)) is not None


def parse_fields(text: str) -> list[tuple[str, str]]:
    """Fields of a header block, `name: value` a line; folded lines are joined, lines without a name left out."""
    parts = (line.partition(":") for line in _FOLD.sub(" ", text).split("\n"))
    return [(name.strip(), value.strip()) for name, colon, value in parts if colon and name.strip()]


def decode_header(data: bytes) -> str:
    """Header bytes as text: UTF-8, or else Latin-1, which takes any byte."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def parse_date(text: str) -> datetime | None:
    """WARC-Date in UTC, at the precision given; None for what is no date."""
    match = _DATE.fullmatch(text.strip())
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        local = datetime(int(year), int(month or 1), int(day or 1), int(hour or 0), int(minute or 0), int(second or 0))
        exact = local + timedelta(microseconds=int((fraction or "0")[:6].ljust(6, "0")))
        return exact.replace(tzinfo=_zone(zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if not text or text in "Zz":
        return UTC
    minutes = int(text[1:3]) * 60 + int(text[-2:])
    return timezone(timedelta(minutes=-minutes if text[0] == "-" else minutes))


def _read_header(source: ByteSource, limits: ReadLimits) -> Header:
    size = 1 << 12
    while not (end := _HEADER_END.search(window := source.peek(min(size, limits.max_header_bytes)))):
        if len(window) < size:
            raise DamagedRecordError("WARC header without end")
        size *= 4
    _, _, lines = decode_header(source.read(end.end())).partition("\n")
    fields: dict[str, str] = {}
    for name, value in parse_fields(lines):
        fields.setdefault(name.lower(), value)
    return Header(fields=fields)


def _content_length(header: Header) -> int:
    written = header.get("content-length")
    if not _LENGTH.fullmatch(written):
        raise DamagedRecordError(f"Content-Length is {written[:40]!r}, not a number of bytes", header.url)
    return int(written)


def _end_of_record(source: ByteSource) -> int | None:
    """Pass over the two line ends behind a block; the offset behind them, or None where the block cannot end here.

    A Content-Length wrong by a line end, or by trailing NULs, is common enough and does no harm.
    """
    line_ends = _LINE_ENDS.match(source.peek(4))
    assert line_ends is not None, "the pattern matches the empty string, too"
    source.skip(line_ends.end())
    behind = source.position
    if line_ends[0].count(b"\n") == 2:
        return behind
    source.skip_any_of(PADDING)
    return behind if source.ended() or at_record(source) else None
