"""Single records: headers as they are written in the wild, and where a record ends."""

from datetime import UTC, datetime
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.byte_source import ByteSource
from pipeline.warc_record import (
    CUT_SHORT,
    DamagedRecordError,
    ReadLimits,
    Record,
    parse_date,
    parse_fields,
    read_record,
    record_in,
)


def record_of(data: bytes, limits: ReadLimits | None = None) -> Record:
    return read_record(ByteSource(BytesIO(data).read), limits or ReadLimits())


@pytest.mark.parametrize("version", [b"WARC/0.17", b"WARC/0.18", b"WARC/1.0", b"WARC/1.1"])
@pytest.mark.parametrize("line_end", [b"\r\n", b"\n"])
def test_versions_and_line_ends(version: bytes, line_end: bytes) -> None:
    lines = [version, b"WARC-Type:Response", b"warc-target-uri: <http://a/\xc3\xa9>", b"CONTENT-LENGTH:  3", b"", b""]
    data = line_end.join(lines) + b"abc" + line_end * 2
    record = record_of(data + b"next")
    assert record.header.record_type == "response"
    assert record.header.url == "http://a/é"
    assert (record.block, record.start, record.end, record.cut) == (b"abc", 0, len(data), False)


def test_long_folded_doubled_and_foreign_lines() -> None:
    data = (
        b"WARC/1.0\r\nX-Long: " + b"x" * 300_000 + b"\r\nX-Folded: a\r\n  b\r\n\tc\r\nno colon\r\n: no name\r\n"
        b"X-Byte: \xe9\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\nok\r\n\r\n"
    )
    fields = record_of(data).header.fields
    assert len(fields["x-long"]) == 300_000
    assert (fields["x-folded"], fields["x-byte"], fields["content-length"]) == ("a b c", "é", "2")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"WARC/1.0\r\n\r\n", "Content-Length is '', not a number of bytes"),
        (b"WARC/1.0\r\nContent-Length: -1\r\n\r\n", "Content-Length is '-1', not a number of bytes"),
        (b"WARC/1.0\r\nContent-Length: 5\r\n\r\nabcd", CUT_SHORT),
        (b"WARC/1.0\r\nContent-Length: 5\r\n", "WARC header without end"),
        (b"WARC/1.0\r\nX: " + b"x" * (1 << 21) + b"\r\n\r\n", "WARC header without end"),
        (b"WARC/1.0\r\nContent-Length: 2\r\n\r\nabcd\r\n\r\n", "record does not end where its Content-Length says"),
    ],
)
def test_records_that_cannot_be_delimited(data: bytes, reason: str) -> None:
    with pytest.raises(DamagedRecordError) as caught:
        record_of(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("behind", [b"", b"\r\n", b"\n", b"\r\n\r\n", b"\0\0\r\n", b"\r\n\r\n\r\n"])
@pytest.mark.parametrize("after", [b"", b"WARC/1.0\r\nWARC-Type: request\r\n"])
def test_what_may_stand_behind_a_block(behind: bytes, after: bytes) -> None:
    header = b"WARC/1.0\r\nContent-Length: 2\r\n\r\n"
    record = record_of(header + b"ab" + behind + after)
    line_ends = {b"\r\n": 2, b"\n": 1, b"\r\n\r\n": 4, b"\r\n\r\n\r\n": 4}
    assert record.end == len(header) + 2 + line_ends.get(behind, 0)


def test_a_length_past_the_end_of_the_file_is_known_before_reading_on() -> None:
    source = ByteSource(BytesIO(b"WARC/1.0\r\nContent-Length: 50\r\n\r\nabc").read)
    with pytest.raises(DamagedRecordError, match="cut short"):
        read_record(source, ReadLimits(), end=40)
    assert source.read(3) == b"abc"


@pytest.mark.parametrize("bad", [b"WARC/1.0 is a format\n", b"WARC/1.0\r\n\r\n", b"WARC/x\r\nA: b"])
def test_only_a_version_line_with_a_field_begins_a_record(bad: bytes) -> None:
    assert record_in(b"text\n" + bad) is None
    assert record_in(b"text\n" + bad + b"\nWARC/1.0\r\nWARC-Type: x") == 6 + len(bad)


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2023-09-21T12:34:56Z", datetime(2023, 9, 21, 12, 34, 56, tzinfo=UTC)),
        ("2023-09-21T12:34:56.123456789Z", datetime(2023, 9, 21, 12, 34, 56, 123456, tzinfo=UTC)),
        ("2023-09-21T12:34:56.5+02:00", datetime(2023, 9, 21, 10, 34, 56, 500000, tzinfo=UTC)),
        ("2008-10-29T05:21:46-0730", datetime(2008, 10, 29, 12, 51, 46, tzinfo=UTC)),
        ("20080430204825", datetime(2008, 4, 30, 20, 48, 25, tzinfo=UTC)),
        ("2016-09-19T17:20Z", datetime(2016, 9, 19, 17, 20, tzinfo=UTC)),
        ("2016-09", datetime(2016, 9, 1, tzinfo=UTC)),
        ("2016", datetime(2016, 1, 1, tzinfo=UTC)),
        ("2008-10-294T05:21:46-0700", None),
        ("2023-02-30T00:00:00Z", None),
        ("0001-01-01T00:00:00+05:00", None),
        ("2023-09-21T12:34:56+99:99", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_dates(text: str, date: datetime | None) -> None:
    assert parse_date(text) == date


@settings(deadline=None)
@given(st.datetimes(min_value=datetime(1, 1, 2), timezones=st.just(UTC)))
def test_dates_come_back(date: datetime) -> None:
    assert parse_date(date.isoformat()) == date


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_text_has_fields(text: str) -> None:
    assert all(name and name == name.strip() for name, _ in parse_fields(text))
