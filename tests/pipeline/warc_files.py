"""WARC files made for tests, sound and damaged, and the hypothesis strategies that draw them."""

from __future__ import annotations

import gzip
import io
import itertools
import random
from dataclasses import dataclass

from hypothesis import strategies as st

from pipeline.capture import Capture
from pipeline.file_report import FileReport
from pipeline.warc import read_captures
from pipeline.warc_record import ReadLimits

DATE = "2023-09-21T12:00:00Z"


def warc_record(
    url: str,
    block: bytes,
    *,
    kind: str = "response",
    length: int | None = None,
    content_type: str = "application/http; msgtype=response",
    fields: str = "",
) -> bytes:
    """One record as it stands in a plain file; `length` lies about the block's."""
    header = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {url}\r\nWARC-Date: {DATE}\r\n"
        f"WARC-Record-ID: <urn:test:{url}>\r\nContent-Type: {content_type}\r\n{fields}"
        f"Content-Length: {len(block) if length is None else length}\r\n\r\n"
    )
    return header.encode() + block + b"\r\n\r\n"


def http_block(body: bytes, fields: str = "Content-Type: text/html; charset=utf-8\r\n") -> bytes:
    return f"HTTP/1.1 200 OK\r\n{fields}\r\n".encode() + body


def member(data: bytes, level: int = 6) -> bytes:
    return gzip.compress(data, level, mtime=0)


class Dribble:
    """A stream with nothing but `read`, that gives at most `most` bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        self._data = io.BytesIO(data)
        self._most = most

    def read(self, n: int, /) -> bytes:
        return self._data.read(min(n, self._most))


def read(
    data: bytes, *, most: int = 1 << 20, warc_path: str = "test.warc.gz", limits: ReadLimits | None = None
) -> tuple[list[Capture], FileReport]:
    report = FileReport()
    stream = Dribble(data, most)
    captures = list(read_captures(stream, warc_path=warc_path, report=report, size=len(data), limits=limits))
    return captures, report


def assert_every_byte_is_accounted_for(report: FileReport, captures: list[Capture]) -> None:
    """Records, padding and damage add up, and no two ranges overlap."""
    assert report.record_bytes + report.padding_bytes + report.damaged_bytes == report.stream_size
    assert report.single_stream or report.stream_size == report.size
    ranges = [(c.warc_offset, c.warc_offset + c.warc_length) for c in captures]
    ranges += [(d.start, d.end) for d in report.damaged if d.end > d.start]
    ordered = sorted(ranges)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(ordered))
    assert all(0 <= start <= end <= report.stream_size for start, end in ranges)


@dataclass(frozen=True, kw_only=True)
class Page:
    url: str
    body: bytes

    @property
    def record(self) -> bytes:
        return warc_record(self.url, http_block(self.body))


def _body(seed: int, size: int, texture: str) -> bytes:
    chance = random.Random(seed)
    if texture == "noise":  # deflate can only store it
        return chance.randbytes(size)
    words = [b"<p>", b"Wort ", b"\r\n\r\n", b"\0", b"\x1f\x8b\x08", b"\nWARC/", b"HTTP/1.1 200 OK\r\n", b"\xff"]
    return b"".join(chance.choices(words, k=size // 4))


_BODIES = st.builds(
    _body,
    seed=st.integers(0, 1 << 30),
    size=st.one_of(st.integers(0, 300), st.integers(0, 300), st.integers(0, 90_000)),
    texture=st.sampled_from(["noise", "words"]),
)


@st.composite
def pages(draw: st.DrawFn, *, min_size: int = 0, max_size: int = 6) -> list[Page]:
    """Pages under URLs of their own."""
    bodies = draw(st.lists(_BODIES, min_size=min_size, max_size=max_size))
    return [Page(url=f"http://example.org/{i}", body=body) for i, body in enumerate(bodies)]


@dataclass(frozen=True, kw_only=True)
class Wound:
    """Damage to a file: at `place` (a share of it), `size` bytes are cut out, and `filling` is put there."""

    place: float
    size: int
    filling: bytes
    to_end: bool = False

    def range_in(self, data: bytes) -> tuple[int, int]:
        start = int(self.place * len(data))
        return start, len(data) if self.to_end else min(start + self.size, len(data))

    def inflict(self, data: bytes) -> bytes:
        start, end = self.range_in(data)
        return data[:start] + self.filling + data[end:]


_FILLINGS = st.one_of(
    st.binary(max_size=40),
    st.integers(0, 9000).map(bytes),
    st.just(b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03garbage"),
    st.just(b"\r\nWARC/1.0\r\nNothing: at all\r\n"),
)
WOUNDS = st.one_of(
    st.builds(Wound, place=st.floats(0, 1), size=st.integers(0, 2000), filling=_FILLINGS),
    st.builds(Wound, place=st.floats(0, 1), size=st.just(1), filling=st.binary(min_size=1, max_size=1)),
    st.builds(Wound, place=st.floats(0, 1), size=st.just(0), filling=st.just(b""), to_end=st.just(True)),
    st.builds(Wound, place=st.just(0.0), size=st.integers(1, 500), filling=st.just(b"")),
)
