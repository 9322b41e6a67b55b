"""Reading whole WARC files, sound ones above all; `test_warc_damage` has the damaged ones."""

import base64
import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from pipeline.capture import CUT_BY_READER, Capture
from pipeline.file_report import EMPTY_FILE, NOT_WARC, Damage, FileReport
from pipeline.warc import InputChangedError, read_captures
from pipeline.warc_record import ReadLimits
from tests.pipeline.warc_files import (
    Dribble,
    Page,
    assert_every_byte_is_accounted_for,
    http_block,
    member,
    pages,
    read,
    warc_record,
)


def _delivered(captures: list[Capture]) -> list[tuple[str, bytes]]:
    return [(capture.url, capture.payload) for capture in captures]


def _written(made: list[Page]) -> list[tuple[str, bytes]]:
    return [(page.url, page.body) for page in made]


@settings(deadline=None)
@given(pages(), st.sampled_from([0, 6]), st.binary(max_size=0) | st.sampled_from([b"\0" * 700, b"\r\n", member(b"")]))
def test_members_arrive_whole_and_can_be_read_from_their_offsets(made: list[Page], level: int, padding: bytes) -> None:
    data = b"".join(member(page.record, level) + padding for page in made)
    captures, report = read(data)
    assert _delivered(captures) == _written(made)
    if made:
        assert report.damaged == []
        assert report.padding_bytes == len(padding) * len(made)
    assert_every_byte_is_accounted_for(report, captures)
    for capture, page in zip(captures, made, strict=True):
        assert data[capture.warc_offset :][: capture.warc_length] == member(page.record, level)


@settings(deadline=None)
@given(pages(min_size=1), st.sampled_from([b"", b"\r\n", b"\0\0\0"]))
def test_plain_records_arrive_whole_and_can_be_read_from_their_offsets(made: list[Page], padding: bytes) -> None:
    data = b"".join(page.record + padding for page in made)
    captures, report = read(data, warc_path="test.warc")
    assert _delivered(captures) == _written(made)
    assert (report.damaged, report.padding_bytes) == ([], len(padding) * len(made))
    assert_every_byte_is_accounted_for(report, captures)
    for capture, page in zip(captures, made, strict=True):
        assert data[capture.warc_offset :][: capture.warc_length] == page.record


@settings(deadline=None)
@given(pages(min_size=2), st.integers(1, 1 << 16))
def test_one_stream_of_records_in_members_cut_anywhere(made: list[Page], member_bytes: int) -> None:
    stream = b"".join(page.record for page in made)
    first = max(member_bytes, len(made[0].record) + 60)  # the first member shows that it is a stream
    pieces = [stream[:first], *(stream[at : at + (1 << 15)] for at in range(first, len(stream), 1 << 15))]
    captures, report = read(b"".join(map(member, pieces)))
    assert _delivered(captures) == _written(made)
    assert (report.single_stream, report.damaged, report.stream_size) == (True, [], len(stream))
    for capture, page in zip(captures, made, strict=True):
        assert stream[capture.warc_offset :][: capture.warc_length] == page.record


def test_a_later_member_with_several_records_shares_out_its_bytes() -> None:
    made = [Page(url=f"http://example.org/{i}", body=b"%d" % i * 50) for i in range(5)]
    first, joined = member(made[0].record), member(b"".join(page.record for page in made[1:]))
    captures, report = read(first + joined)
    assert _delivered(captures) == _written(made)
    at = len(first)
    assert [(c.warc_offset, c.warc_length) for c in captures] == [
        (0, at), (at, 1), (at + 1, 1), (at + 2, 1), (at + 3, len(joined) - 3),
    ]  # fmt: skip
    assert (report.shared_members, report.single_stream) == (1, False)
    assert_every_byte_is_accounted_for(report, captures)


def test_more_records_than_bytes_in_a_later_member() -> None:
    record = warc_record("http://example.org/", b"", kind="resource")
    joined = member(record * 5000)
    assert len(joined) < 5000
    captures, report = read(member(record) + joined)
    assert len(captures) == 5001
    assert_every_byte_is_accounted_for(report, captures)


def test_members_and_plain_records_may_be_joined() -> None:
    made = [Page(url=f"http://example.org/{i}", body=b"page %d" % i) for i in range(4)]
    data = member(made[0].record) + made[1].record + member(made[2].record) + made[3].record
    captures, report = read(data)
    assert _delivered(captures) == _written(made)
    assert report.damaged == []


@settings(deadline=None)
@given(pages(max_size=3), st.integers(1, 3000))
def test_captures_do_not_depend_on_how_the_file_arrives(made: list[Page], most: int) -> None:
    data = b"".join(member(page.record) for page in made)
    data = data[: len(data) // 2] + b"garbage" + data[len(data) // 2 :]
    assert read(data, most=most) == read(data)


@pytest.mark.parametrize("most", [1, 10, 4097, 65536])
@pytest.mark.parametrize(
    "name", ["bitflip_middle.warc.gz", "single_member_truncated.warc.gz", "wrong_content_length.warc"]
)
def test_real_captures_do_not_depend_on_how_the_file_arrives(shared_data: Path, name: str, most: int) -> None:
    data = (shared_data / "corrupt" / "derived" / name).read_bytes()
    assert read(data, most=most) == read(data)


@pytest.mark.parametrize("number", range(4))
def test_same_records_as_warcio(shared_data: Path, number: int) -> None:
    path = shared_data / "warc" / f"CC-MAIN-20230921-sample-{number:05}.warc.gz"
    report = FileReport()
    with path.open("rb") as stream:
        captures = list(read_captures(stream, warc_path=path.name, report=report, size=path.stat().st_size))
    assert [_facts(capture) for capture in captures] == list(_facts_by_warcio(path))
    assert (report.damaged, report.padding_bytes, report.record_bytes) == ([], 0, path.stat().st_size)
    assert report.types == {"warcinfo": 1, **dict.fromkeys(["request", "response", "metadata"], len(captures))}
    assert {capture.payload_error for capture in captures} == {None}
    assert len({capture.id for capture in captures}) == len(captures)


def _facts(capture: Capture) -> tuple[object, ...]:
    digest = "sha1:" + base64.b32encode(hashlib.sha1(capture.payload).digest()).decode()
    return capture.url, capture.warc_offset, capture.warc_length, capture.http_status, capture.fetch_time, digest


def _facts_by_warcio(path: Path) -> Iterator[tuple[object, ...]]:
    with path.open("rb") as stream:
        records = ArchiveIterator(stream)
        for record in records:
            record.content_stream().read()
            if record.rec_type != "response":
                continue
            get = record.rec_headers.get_header
            date = datetime.strptime(get("WARC-Date"), "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
            status = int(record.http_headers.get_statuscode())
            # The offset is that of the record just read; its length is known only after this call.
            offset, length = records.get_record_offset(), records.get_record_length()
            yield get("WARC-Target-URI"), offset, length, status, date, get("WARC-Payload-Digest")


def test_other_types_are_counted_apart() -> None:
    kinds = [
        "warcinfo",
        "request",
        "response",
        "metadata",
        "revisit",
        "continuation",
        "resource",
        "conversion",
        "RESPONSE",
    ]
    data = b"".join(member(warc_record(f"http://example.org/{kind}", b"text", kind=kind)) for kind in kinds)
    no_type = member(b"WARC/1.1\r\nContent-Length: 0\r\n\r\n\r\n\r\n")
    captures, report = read(data + no_type)
    assert [capture.record_type for capture in captures] == ["response", "resource", "conversion", "response"]
    assert report.types == {
        "response": 2,
        **dict.fromkeys(["warcinfo", "request", "metadata", "revisit", "continuation", "resource", "conversion"], 1),
        "unknown": 1,
    }


def test_conversion_and_resource_records_hold_no_http_header() -> None:
    text = "Příliš žluťoučký kůň".encode()
    wet = warc_record("http://example.org/a", text, kind="conversion", content_type="text/plain")
    resource = warc_record("http://example.org/b", b"<html>", kind="resource", content_type="Text/HTML; Charset=UTF-8")
    (first, second), _ = read(member(wet) + member(resource))
    assert (first.content_type, first.charset, first.payload, first.payload_error) == ("text/plain", "", text, None)
    assert (second.content_type, second.charset, second.payload) == ("text/html", "utf-8", b"<html>")
    assert first.http_status is second.http_status is None


def test_a_dns_response_is_no_http_message() -> None:
    (capture,), _ = read(warc_record("dns:example.org", b"20230921\nexample.org", content_type="text/dns"))
    assert (capture.payload, capture.content_type, capture.payload_error) == (
        b"20230921\nexample.org",
        "text/dns",
        None,
    )


def test_url_is_bare_and_date_is_utc() -> None:
    (capture,), _ = read(warc_record("<http://example.org/a b>", http_block(b"x")))
    assert capture.url == "http://example.org/a b"
    assert capture.fetch_time == datetime(2023, 9, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("warc_path", "collection", "crawl"),
    [
        ("crawl-data/CC-MAIN-2023-40/segments/1/warc/x.warc.gz", "isPartOf: other\r\n", "CC-MAIN-2023-40"),
        ("warc/CC-MAIN-20230921-sample-00000.warc.gz", "isPartOf: CC-MAIN-2020-34\r\n", "CC-MAIN-2020-34"),
        ("warc/CC-MAIN-20230921-sample-00000.warc.gz", "", "CC-MAIN-20230921-sample-00000.warc.gz"),
    ],
)
def test_crawl_is_the_dump_in_the_path_or_the_collection_or_the_file(
    warc_path: str, collection: str, crawl: str
) -> None:
    info = warc_record(
        "", f"software: x\r\n{collection}".encode(), kind="warcinfo", content_type="application/warc-fields"
    )
    captures, _ = read(member(info) + member(warc_record("http://example.org/", b"")), warc_path=warc_path)
    assert [capture.crawl for capture in captures] == [crawl]


def test_id_depends_on_record_id_date_url_and_body_alone() -> None:
    def id_of(url: str = "http://a/", body: bytes = b"x", coding: str = "", record_id: str = "1") -> str:
        fields = f"WARC-Record-ID: {record_id}\r\n"
        text = warc_record(url, http_block(body, coding), fields=fields).replace(
            b"<urn:test:%s>" % url.encode(), b"u", 1
        )
        text = text.replace(b"WARC-Record-ID: u\r\n", b"", 1)
        (capture,), _ = read(text)
        return capture.id

    assert id_of() == id_of(coding="Server: other\r\n")
    different = [id_of(), id_of(url="http://b/"), id_of(body=b"y"), id_of(record_id="2")]
    assert len(set(different)) == 4
    assert all(len(bytes.fromhex(name)) == 16 for name in different)


def test_truncated_is_the_headers_word_or_the_readers() -> None:
    limits = ReadLimits(max_block_bytes=1000)
    whole = warc_record("http://example.org/0", http_block(b"x"))
    told = warc_record("http://example.org/1", http_block(b"x"), fields="WARC-Truncated: length\r\n")
    long = warc_record("http://example.org/2", http_block(b"y" * 5000))
    for data in (whole + told + long + whole, b"".join(map(member, (whole, told, long, whole)))):
        captures, report = read(data, limits=limits)
        assert [capture.truncated for capture in captures] == [None, "length", CUT_BY_READER, None]
        assert captures[2].payload == b"y" * (1000 - len(http_block(b"")))
        assert report.damaged == []


def test_an_empty_file_is_noted() -> None:
    captures, report = read(b"")
    assert (captures, report.damaged, report.size) == ([], [Damage(start=0, end=0, reason=EMPTY_FILE)], 0)
    assert not report.foreign


_HTML = b"<html><body>404 Not Found</body></html>\n"
_ARC = [b"filedesc://a.arc 0.0.0.0 20080430204825 text/plain 76\n", b"http://a/ 1.1.1.1 2008 text/html 1\nx"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (_HTML * 5000, NOT_WARC),
        (member(_HTML), NOT_WARC),
        (b"".join(map(member, _ARC)), NOT_WARC),
        (b"\x28\xb5\x2f\xfd" + bytes(100_000), "zstd frame is cut short by the end of the file"),
        (b"\0" * 10 + b"x", NOT_WARC),
    ],
    ids=["html", "gzip of html", "arc.gz", "zstd", "NULs"],
)
def test_a_foreign_file_is_one_damaged_range(data: bytes, reason: str) -> None:
    captures, report = read(data)
    assert captures == []
    assert report.foreign
    start = len(data) - len(data.lstrip(b"\0"))
    assert report.damaged == [Damage(start=start, end=len(data), reason=reason)]
    assert_every_byte_is_accounted_for(report, captures)


def test_a_stream_that_ends_before_the_file_does_is_an_error() -> None:
    data = member(warc_record("http://example.org/", http_block(b"x")))
    captures = read_captures(Dribble(data, 100), warc_path="a.warc.gz", report=FileReport(), size=len(data) + 1)
    assert next(captures).url == "http://example.org/"
    with pytest.raises(InputChangedError, match=r"a\.warc\.gz: \d+ bytes were read of a file of"):
        next(captures)
