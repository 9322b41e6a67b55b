"""Reading damaged WARC files: what is intact arrives, what is not is accounted for, byte by byte."""

import itertools
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.capture import Capture
from pipeline.file_report import NOT_WARC, Damage, FileReport
from pipeline.warc import read_captures
from pipeline.warc_record import CUT_SHORT, ReadLimits
from tests.pipeline.warc_files import (
    WOUNDS,
    Dribble,
    Page,
    Wound,
    assert_every_byte_is_accounted_for,
    http_block,
    member,
    pages,
    read,
    warc_record,
)


@pytest.fixture(scope="module")
def expected(shared_data: Path) -> Any:
    return json.loads((shared_data / "corrupt" / "expected.json").read_text())


@pytest.fixture(scope="module")
def corrupt(shared_data: Path, expected: dict[str, dict[str, Any]]) -> dict[str, tuple[list[Capture], FileReport]]:
    """Every corrupt file, read once."""
    result = {}
    for name in expected:
        path = shared_data / "corrupt" / name
        report = FileReport()
        with path.open("rb") as stream:
            captures = list(read_captures(stream, warc_path=name, report=report, size=path.stat().st_size))
        result[name] = captures, report
    return result


def test_intact_records_of_corrupt_files_arrive_in_order_and_no_others(expected: Any, corrupt: Any) -> None:
    assert len(expected) == 52
    for name, (captures, _) in corrupt.items():
        urls = [capture.url for capture in captures if capture.record_type == "response"]
        wanted, allowed = expected[name]["uris"], set(expected[name]["damaged_uris"])
        assert [url for url in urls if url not in allowed] == wanted, name


def test_damage_of_corrupt_files_has_a_range(expected: Any, corrupt: Any) -> None:
    for name, (captures, report) in corrupt.items():
        assert_every_byte_is_accounted_for(report, captures)
        if expected[name]["damaged_members"] or name.endswith(".arc"):
            assert report.damaged, name


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("bitflip_middle.warc.gz", [(35952, 44957, "damaged deflate data (invalid distance too far back)")]),
        ("crc_mismatch.warc.gz", [(35952, 44957, "gzip CRC mismatch")]),
        ("garbage_between.warc.gz", [(22797, 24292, NOT_WARC), (53798, 54758, NOT_WARC)]),
        ("head_cut.warc.gz", [(0, 4959, NOT_WARC)]),
        ("truncated_last_member.warc.gz", [(65756, 67295, "gzip member is cut short by the end of the file")]),
        ("truncated_in_gzip_header.warc.gz", [(65756, 65762, "gzip member is cut short by the end of the file")]),
        ("truncated_uncompressed.warc", [(212703, 215673, CUT_SHORT)]),
        ("zero_padding.warc.gz", []),
        ("empty_members.warc.gz", []),
        ("intact.warc.gz", []),
    ],
)
def test_damaged_range_of(name: str, damage: list[tuple[int, int, str]], corrupt: Any) -> None:
    _, report = corrupt[f"derived/{name}"]
    assert [(found.start, found.end, found.reason) for found in report.damaged] == damage


def test_damage_names_the_url_where_the_header_can_be_read(expected: Any, corrupt: Any) -> None:
    for name in ("bitflip_middle.warc.gz", "crc_mismatch.warc.gz", "truncated_last_member.warc.gz"):
        _, report = corrupt[f"derived/{name}"]
        assert [damage.url for damage in report.damaged] == expected[f"derived/{name}"]["damaged_uris"]


def test_http_bodies_of_corrupt_files(expected: Any, corrupt: Any) -> None:
    errors = {
        "bomb": "bomb: ",
        "unknown coding": "unknown content coding: ",
        "encoded body truncated": "gzip body is cut",
    }
    captures, _ = corrupt["derived/content_encoding.warc.gz"]
    checks = expected["derived/content_encoding.warc.gz"]["checks"]
    for capture in captures:
        check = checks[capture.url]
        error = errors.get(check["state"])
        assert (capture.payload_error or "").startswith(error or ""), capture.url
        assert bool(capture.payload_error) == bool(error), capture.url
        assert len(capture.payload) <= ReadLimits().max_payload_bytes
        assert (check["must_contain"] or "").encode() in capture.payload


def test_malformed_http_headers_of_corrupt_files(expected: Any, corrupt: Any) -> None:
    captures, _ = corrupt["derived/http_headers.warc.gz"]
    checks = expected["derived/http_headers.warc.gz"]["checks"]
    found = {
        checks[c.url]["http"]: (c.http_status, c.content_type, c.payload[:9], c.payload_error)
        for c in captures
        if c.url in checks
    }
    page = b"<!DOCTYPE"
    assert found == {
        "no HTTP header": (None, "", page, "no HTTP header"),
        "empty HTTP header": (None, "", page, "no HTTP header"),
        "empty block": (None, "", b"", "no HTTP header"),
        "no header fields": (200, "", page, None),
        "header without end": (200, "text/html", b"", "HTTP header without end"),
        "non-numeric status": (None, "text/html", page, None),
        "LF only": (200, "text/html", page, None),
        "malformed field lines": (200, "text/html", page, None),
        "no reason phrase": (200, "text/html", page, None),
        "70 kB field": (200, "text/html", page, None),
        "chunked declared, body plain": (200, "text/html", page, None),
    }


@settings(deadline=None)
@given(pages(min_size=1), WOUNDS, st.sampled_from([0, 6]))
def test_members_away_from_the_wound_arrive(made: list[Page], wound: Wound, level: int) -> None:
    members = [member(page.record, level) for page in made]
    data = b"".join(members)
    start, end = wound.range_in(data)
    offsets = list(itertools.accumulate(map(len, members), initial=0))
    captures, report = read(wound.inflict(data))
    assert_every_byte_is_accounted_for(report, captures)
    ends = zip(made, offsets, offsets[1:], strict=False)
    intact = [page.url for page, first, last in ends if last <= start or first >= end]
    arrived = {capture.url: capture for capture in captures}
    assert set(intact) <= set(arrived)
    assert [capture.url for capture in captures] == sorted(arrived)
    assert all(arrived[page.url].payload == page.body for page in made if page.url in arrived)


TINY = ReadLimits(max_header_bytes=400, max_block_bytes=300, max_payload_bytes=200, max_look_back_bytes=100)


@settings(deadline=None)
@given(pages(min_size=1), st.lists(WOUNDS, max_size=4), st.sampled_from([bytes, member]), st.booleans())
def test_bytes_add_up_whatever_the_damage_and_the_limits(
    made: list[Page], wounds: list[Wound], wrap: Any, single: bool
) -> None:
    data = b"".join(wrap(page.record) for page in made)
    data = member(data) if single else data
    for wound in wounds:
        data = wound.inflict(data)
    captures, report = read(data, limits=TINY)
    assert_every_byte_is_accounted_for(report, captures)
    assert all(len(capture.payload) <= 200 for capture in captures)
    assert (captures, report) == read(data, limits=TINY, most=97)


@settings(deadline=None)
@given(pages(min_size=1), WOUNDS, st.booleans())
def test_records_before_the_wound_arrive(made: list[Page], wound: Wound, single: bool) -> None:
    """Without a checksum per record a damaged length may hide the records after it, but not those before."""
    records = [page.record for page in made]
    data = b"".join(records)
    start, _ = wound.range_in(data)
    wounded = wound.inflict(data)
    captures, report = read(member(wounded) if single else wounded)
    assert_every_byte_is_accounted_for(report, captures)
    ends = itertools.accumulate(map(len, records))
    before = [page.url for page, end in zip(made, ends, strict=True) if end <= start]
    assert [capture.url for capture in captures][: len(before)] == before


@settings(deadline=None)
@given(pages(min_size=2), st.data())
def test_a_single_member_cut_anywhere_gives_what_comes_before(made: list[Page], data: st.DataObject) -> None:
    stream = b"".join(page.record for page in made)
    whole = member(stream)
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    captures, report = read(cut)
    assert_every_byte_is_accounted_for(report, captures)
    assert [capture.url for capture in captures] == [page.url for page in made[: len(captures)]]
    assert report.damaged


def test_a_captured_warc_does_not_start_a_member_while_the_outer_one_is_intact() -> None:
    inner = member(warc_record("http://example.org/inner", http_block(b"inner")))
    outer = member(warc_record("http://example.org/outer", http_block(inner)), level=0)
    plain = warc_record("http://example.org/plain", http_block(warc_record("http://example.org/inner", b"x")))
    captures, report = read(outer + plain + outer)
    assert [capture.url.rpartition("/")[2] for capture in captures] == ["outer", "plain", "outer"]
    assert report.damaged == []


def test_a_stored_record_with_a_wrong_checksum_is_not_read_from_inside_its_member() -> None:
    stored = bytearray(member(warc_record("http://example.org/stored", http_block(b"x")), level=0))
    stored[-8] ^= 1
    last = member(warc_record("http://example.org/last", http_block(b"y")))
    captures, report = read(bytes(stored) + last)
    assert [capture.url for capture in captures] == ["http://example.org/last"]
    assert report.damaged == [
        Damage(start=0, end=len(stored), reason="gzip CRC mismatch", url="http://example.org/stored")
    ]


def test_a_sound_record_before_a_foreign_rest_of_its_member_arrives() -> None:
    record = warc_record("http://example.org/", http_block(b"x"))
    data = member(record + b"garbage behind it")
    captures, report = read(data)
    assert [(capture.warc_offset, capture.warc_length) for capture in captures] == [(0, 1)]
    assert report.damaged == [Damage(start=1, end=len(data), reason=NOT_WARC)]


@pytest.mark.parametrize("wrap", [bytes, member], ids=["plain", "members"])
@pytest.mark.parametrize("length", ["", "-5", "many", "10e3", "9" * 30, "999999999"])
def test_a_wild_content_length_costs_its_own_record_only(wrap: Any, length: str) -> None:
    pages_around = [Page(url=f"http://example.org/{i}", body=b"page %d" % i) for i in range(3)]
    wild = warc_record("http://example.org/wild", b"block").replace(
        b"Content-Length: 5", b"Content-Length: %s" % length.encode()
    )
    records = [pages_around[0].record, pages_around[1].record, wild, pages_around[2].record]
    captures, report = read(b"".join(map(wrap, records)))
    assert [capture.url for capture in captures] == [page.url for page in pages_around]
    assert [damage.url for damage in report.damaged] == ["http://example.org/wild"]
    start = sum(len(wrap(record)) for record in records[:2])
    assert (report.damaged[0].start, report.damaged[0].end) == (start, start + len(wrap(wild)))


def test_damage_inside_a_stream_of_members_costs_the_records_that_it_cuts() -> None:
    made = [Page(url=f"http://example.org/{i}", body=b"%d" % i * 3000) for i in range(9)]
    members = [bytearray(member(b"".join(p.record for p in made[i : i + 3]))) for i in (0, 3, 6)]
    members[1][-6] ^= 1  # the checksum comes after the records it speaks for
    captures, report = read(b"".join(members))
    assert [capture.url for capture in captures] == [page.url for page in made]
    end = sum(len(page.record) for page in made[:6])
    assert report.damaged == [Damage(start=end, end=end, reason="gzip CRC mismatch")]
    members[1][30] ^= 0xFF
    captures, report = read(b"".join(members))
    assert [capture.url for capture in captures if int(capture.url[-1]) not in (3, 4, 5)] == [
        page.url for page in made[:3] + made[6:]
    ]
    assert_every_byte_is_accounted_for(report, captures)


@pytest.mark.parametrize("wrap", [bytes, member], ids=["plain", "member"])
def test_memory_is_bounded_by_the_limits(wrap: Any) -> None:
    """60 MB of records, bombs among them, in less than 6 MB."""
    limits = ReadLimits(max_block_bytes=1 << 20, max_payload_bytes=1 << 20, max_look_back_bytes=1 << 20)
    bomb = warc_record("http://a/", http_block(member(bytes(30 << 20)), "Content-Encoding: gzip\r\n"))
    long = warc_record("http://b/", http_block(bytes(15 << 20)))
    data = wrap(bomb) + wrap(long) + wrap(long)
    report = FileReport()
    tracemalloc.start()
    captures = read_captures(Dribble(data, 1 << 16), warc_path="a", report=report, limits=limits)
    sizes = [len(capture.payload) for capture in captures]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sizes[0] == 1 << 20
    assert len(sizes) == 3
    assert peak < 6 << 20
