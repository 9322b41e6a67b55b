"""Files read in ranges, side by side, give together what one pass over the whole gives: sound, damaged and odd ones."""

import io
import itertools
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.capture import Capture
from pipeline.file_report import Damage, FileReport
from pipeline.gzip_members import Gzip
from pipeline.span import Seam, Span
from pipeline.unit_range import find_span, next_start, ranges, span_end
from pipeline.warc import Head, read_captures, read_head
from pipeline.warc_record import ReadLimits
from tests.pipeline.warc_files import (
    WOUNDS,
    Page,
    Wound,
    http_block,
    member,
    pages,
    read,
    warc_record,
)


@dataclass(kw_only=True)
class Reading:
    """What was read of a file, put together from its ranges; `again`: ranges that had to be read a second time."""

    captures: list[Capture] = field(default_factory=list)
    damaged: list[Damage] = field(default_factory=list)
    types: Counter[str] = field(default_factory=Counter)
    account: tuple[int, int, int] = (0, 0, 0)
    again: int = 0
    read: int = 0

    def add(self, captures: list[Capture], report: FileReport) -> None:
        account = (report.record_bytes, report.padding_bytes, report.damaged_bytes)
        assert sum(account) == report.stream_size - report.start
        self.captures += captures
        self.damaged += report.damaged
        self.types += report.types
        self.account = tuple(map(sum, zip(self.account, account, strict=True)))
        self.read += 1


@dataclass(frozen=True, kw_only=True)
class File:
    data: bytes
    name: str
    limits: ReadLimits

    @property
    def head(self) -> Head:
        return read_head(io.BytesIO(self.data), warc_path=self.name, limits=self.limits)

    def read(self, span: Span) -> tuple[list[Capture], FileReport]:
        stream, report = io.BytesIO(self.data), FileReport()
        stream.seek(span.start.position if span.start else 0)
        size = len(self.data)
        found = read_captures(stream, warc_path=self.name, report=report, size=size, limits=self.limits, span=span)
        return list(found), report


def whole(data: bytes, name: str = "test.warc.gz", limits: ReadLimits | None = None) -> Reading:
    reading = Reading()
    reading.add(*read(data, warc_path=name, limits=limits))
    return reading


def in_ranges(data: bytes, unit_bytes: int, name: str = "test.warc.gz", limits: ReadLimits | None = None) -> Reading:
    """Read every range from where a record seems to begin in it; then again those that began in the wrong place."""
    file = File(data=data, name=name, limits=limits or ReadLimits())
    reading, end = Reading(), None
    head, stream, size = file.head, io.BytesIO(data), len(data)
    for begin, cut in ranges(size, unit_bytes):
        span = find_span(stream, begin, cut, head=head, size=size, limits=file.limits)
        if span is None or (end and end.position >= span.until):
            continue
        if end and span.start != end:
            until = span_end(stream, cut, codec=head.codec, size=size, limits=file.limits)
            span = Span(start=end, until=until, codec=head.codec)
            reading.again += 1
        captures, report = file.read(span)
        reading.add(captures, report)
        end = report.end
    assert end
    assert end.position == size
    return reading


def assert_same(a: Reading, b: Reading) -> None:
    assert a.captures == b.captures
    assert a.damaged == b.damaged
    assert (a.types, a.account) == (b.types, b.account)


TINY = ReadLimits(max_header_bytes=400, max_block_bytes=300, max_payload_bytes=200, max_look_back_bytes=100)


@settings(deadline=None)
@given(pages(min_size=1), st.lists(WOUNDS, max_size=4), st.integers(1, 4000), st.sampled_from([0, 6]), st.booleans())
def test_ranges_of_damaged_members(
    made: list[Page], wounds: list[Wound], unit_bytes: int, level: int, tiny: bool
) -> None:
    data = b"".join(member(page.record, level) for page in made)
    for wound in wounds:
        data = wound.inflict(data)
    if data:
        limits = TINY if tiny else None
        unit_bytes = max(unit_bytes, len(data) // 40)
        assert_same(in_ranges(data, unit_bytes, limits=limits), whole(data, limits=limits))


@settings(deadline=None)
@given(pages(min_size=1), st.integers(1, 3000), st.data())
def test_ranges_of_files_with_a_warc_inside(made: list[Page], unit_bytes: int, data: st.DataObject) -> None:
    """Records that hold a `.warc.gz`, stored or packed again, among plain ones, joined members and padding."""
    inner = b"".join(member(page.record) for page in made[:3])
    shapes = [
        lambda page: member(page.record),
        lambda page: member(warc_record(page.url, http_block(inner)), level=0),
        lambda page: member(warc_record(page.url, http_block(inner))),
        lambda page: page.record,
        lambda page: member(page.record * 2),
        lambda page: member(b"") + b"\0" * 60,
        lambda page: b"garbage" * 9,
    ]
    whole_file = b"".join(data.draw(st.sampled_from(shapes))(page) for page in made)
    unit_bytes = max(unit_bytes, len(whole_file) // 40)
    assert_same(in_ranges(whole_file, unit_bytes), whole(whole_file))


@pytest.mark.parametrize("unit_bytes", [700, 9_000, 40_000])
def test_ranges_of_every_corrupt_file(shared_data: Path, unit_bytes: int) -> None:
    names = json.loads((shared_data / "corrupt" / "expected.json").read_text())
    for name in names:
        data = (shared_data / "corrupt" / name).read_bytes()
        step = max(unit_bytes, len(data) // 150)
        if data:
            assert_same(in_ranges(data, step, name), whole(data, name))


def test_ranges_of_a_real_file_need_no_second_reading(shared_data: Path) -> None:
    name = "CC-MAIN-20230921-sample-00000.warc.gz"
    data = (shared_data / "warc" / name).read_bytes()
    reading = in_ranges(data, 1 << 20, name)
    assert_same(reading, whole(data, name))
    assert (reading.read, reading.again) == (9, 0)


def test_a_range_is_cut_inside_a_damaged_member() -> None:
    """The cut falls into a hole, which the range before it reports as one."""
    records = [member(warc_record(f"http://example.org/{i}", http_block(bytes([i]) * 99))) for i in range(8)]
    hole = b"\x55" * 700
    data = b"".join(records[:3]) + hole + b"".join(records[3:])
    start = sum(map(len, records[:3]))
    reading = in_ranges(data, start + 300)
    assert_same(reading, whole(data))
    assert [(damage.start, damage.end) for damage in reading.damaged] == [(start, start + len(hole))]
    assert reading.again == 0


def test_a_cut_inside_a_captured_warc_is_found_out() -> None:
    captured = b"".join(member(warc_record(f"http://inner.example/{i}", http_block(b"x" * 50))) for i in range(9))
    outer = member(warc_record("http://example.org/outer.warc.gz", http_block(captured)), level=0)
    plain = [member(warc_record(f"http://example.org/{i}", http_block(b"y" * 50))) for i in range(9)]
    data = b"".join(plain[:3]) + outer + b"".join(plain[3:])
    cut = sum(map(len, plain[:3])) + len(outer) // 2
    codec, limits = Gzip(), ReadLimits()
    false_start = next_start(io.BytesIO(data), cut, len(data), codec=codec, limits=limits)
    assert false_start is not None
    assert false_start < sum(map(len, plain[:3])) + len(outer)
    reading = in_ranges(data, cut)
    assert_same(reading, whole(data))
    assert reading.again == 1
    assert not [capture for capture in reading.captures if "inner" in capture.url]


def test_what_is_no_whole_record_is_no_start() -> None:
    sound = member(warc_record("http://example.org/", http_block(b"sound")))
    wrong = bytearray(sound)
    wrong[-8] ^= 1
    two = member(warc_record("http://example.org/", http_block(b"a")) * 2)
    lying = member(warc_record("http://example.org/", http_block(b"b"), length=9999))
    for bad in (bytes(wrong), two, lying, sound[:-3], member(b"WARC/1.0"), member(b"<html>")):
        data = b"x" + bad + sound
        codec, limits = Gzip(), ReadLimits()
        assert next_start(io.BytesIO(data), 0, len(data), codec=codec, limits=limits) == 1 + len(bad)
        assert next_start(io.BytesIO(data), 0, 1 + len(bad), codec=codec, limits=limits) is None


def test_every_multiple_of_the_size_is_a_cut() -> None:
    assert list(ranges(10, 4)) == [(0, 4), (4, 8), (8, 10)]
    assert list(ranges(8, 4)) == [(0, 4), (4, 8)]
    assert list(ranges(0, 4)) == [(0, 0)]


def info(collection: str) -> bytes:
    fields = f"isPartOf: {collection}\r\n".encode()
    return member(warc_record("", fields, kind="warcinfo", content_type="application/warc-fields"))


def test_the_collection_is_known_to_every_range() -> None:
    records = [member(warc_record(f"http://example.org/{i}", http_block(b"x"))) for i in range(12)]
    data = info("one") + b"".join(records)
    reading = in_ranges(data, len(data) // 5)
    assert [capture.crawl for capture in reading.captures] == ["one"] * 12
    assert reading.again == 0


def test_a_change_of_the_collection_is_carried_on() -> None:
    """Two files joined: a range behind the second warcinfo is read again, under the right name."""
    records = [member(warc_record(f"http://example.org/{i}", http_block(b"x"))) for i in range(12)]
    data = info("one") + b"".join(records[:5]) + info("two") + b"".join(records[5:])
    reading = in_ranges(data, len(data) // 5)
    assert_same(reading, whole(data))
    assert [capture.crawl for capture in reading.captures] == ["one"] * 5 + ["two"] * 7
    assert reading.again > 0
    assert in_ranges(data, len(data) // 5, "CC-MAIN-2023-40/a.warc.gz").again == 0


@pytest.mark.parametrize(
    ("data", "in_members"),
    [
        (member(warc_record("http://a/", b"x")) * 3, True),
        (info("c") + member(warc_record("http://a/", b"x")), True),
        (member(warc_record("http://a/", b"x") * 3), False),
        (warc_record("http://a/", member(warc_record("http://b/", b"x"))) * 3, False),
        (b"\x55" * 300 + member(warc_record("http://a/", b"x")), True),
        (zstandard.compress(warc_record("http://a/", b"x")) * 3, True),
        (zstandard.compress(warc_record("http://a/", b"x") * 3), False),
    ],
    ids=["members", "warcinfo first", "single member", "plain", "head lost", "frames", "single frame"],
)
def test_the_head_tells_whether_a_file_is_a_row_of_members(data: bytes, in_members: bool) -> None:
    head = read_head(io.BytesIO(data), warc_path="a.warc", limits=ReadLimits())
    assert head.in_members is in_members


def test_a_seam_is_where_and_how_a_range_ended() -> None:
    record = member(warc_record("http://example.org/", http_block(b"x")))
    file = File(data=info("c") + record * 4, name="a.warc.gz", limits=ReadLimits())
    _, report = file.read(Span(until=len(info("c")) + len(record) + 1))
    assert report.end == Seam(position=len(info("c")) + 2 * len(record), crawl="c", search="members")
    rest, _ = file.read(Span(start=report.end, codec=Gzip()))
    assert len(rest) == 2


def test_the_ranges_of_a_file_meet() -> None:
    record = member(warc_record("http://example.org/", http_block(b"x")))
    data, limits = record * 50, ReadLimits()
    head = read_head(io.BytesIO(data), warc_path="a.warc.gz", limits=limits)
    spans = [
        find_span(io.BytesIO(data), begin, end, head=head, size=len(data), limits=limits)
        for begin, end in ranges(len(data), 333)
    ]
    found = [span for span in spans if span]
    assert all(a.until == b.start.position for a, b in itertools.pairwise(found))
