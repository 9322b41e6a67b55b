"""Files of documents that were extracted elsewhere, read as captures: JSON lines and parquet, as datatrove writes them.

A document has a `text`; of its `id`, `url`, `date` and `dump` what is there is used, under these names or within a
mapping `metadata`. It goes the way of a WET record: its text is not extracted again, all later steps are the same.

Offsets are those of the lines in the (inflated) stream or, in parquet, the numbers of the rows, and the report is
flagged `single_stream`. A line that is no document is damage; of a file that cannot be read further, the rest is lost.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from pipeline.capture import Capture, record_id
from pipeline.file_report import EMPTY_FILE, FileReport
from pipeline.span import Seam
from pipeline.warc import Readable
from pipeline.warc_record import Header, ReadLimits, parse_date

SUFFIXES = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")

NO_DOCUMENT = "not a document: no JSON object with a text"
ROWS = 1024
_COLUMNS = ("text", "id", "url", "date", "dump", "metadata")


def is_document_file(name: str) -> bool:
    """Whether a file holds documents and not WARC records, by its name."""
    return name.endswith(SUFFIXES)


def read_documents(
    stream: Readable, path: Path, *, warc_path: str, report: FileReport, limits: ReadLimits
) -> Iterator[Capture]:
    """Yield the documents of the file at `path` as `conversion` captures, and fill `report`; damage never raises.

    stream: the file from its beginning; parquet, which is not read in a row, is opened anew.
    """
    report.single_stream = True
    maker = _Maker(warc_path, limits)
    try:
        if path.suffix == ".parquet":
            yield from _rows(path, maker, report)
        else:
            yield from _lines(inflated(io.BufferedReader(_Raw(stream)), path), maker, report)
    except (EOFError, OSError, zlib.error, zstandard.ZstdError, pa.ArrowException) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the file
        report.add_damage(report.stream_size, f"cannot be read further ({error})")
    if not report.stream_size and not report.damaged:
        report.add_damage(0, EMPTY_FILE)
    report.size = path.stat().st_size
    report.end = Seam(position=report.size, crawl="", search="either")


class _Maker:
    """Captures from what a file says of its documents."""

    def __init__(self, warc_path: str, limits: ReadLimits) -> None:
        self._warc_path = warc_path
        self.limits = limits

    def capture(self, row: Mapping[str, Any], start: int, end: int) -> Capture | None:
        """The document as a capture; None for a row without text."""
        text = row.get("text")
        if not isinstance(text, str):
            return None
        about = _about(row)
        payload = text.encode("utf-8", "replace")[: self.limits.max_payload_bytes]
        name, url, when = _text(row.get("id")), _text(about.get("url")), _text(about.get("date"))
        header = Header(fields={"warc-record-id": name, "warc-date": when, "warc-target-uri": url})
        return Capture(
            id=record_id(header, payload),
            url=header.url,
            warc_path=self._warc_path,
            warc_offset=start,
            warc_length=end - start,
            crawl=_text(about.get("dump")) or PurePosixPath(self._warc_path).name,
            fetch_time=parse_date(when),
            record_type="conversion",
            truncated=None,
            http_status=None,
            content_type="text/plain",
            charset="utf-8",
            payload=payload,
            payload_error=None if len(payload) < self.limits.max_payload_bytes else "payload is longer than the limit",
            opt_out=(),
            http_headers=(),
        )


def _lines(stream: BinaryIO, maker: _Maker, report: FileReport) -> Iterator[Capture]:
    while line := stream.readline(maker.limits.max_block_bytes):
        start, end = report.stream_size, report.stream_size + len(line)
        if not line.strip():
            report.add_padding(end)
            continue
        capture = maker.capture(_parsed(line), start, end)
        if capture is None:
            report.add_damage(end, NO_DOCUMENT)
            continue
        report.add_record(end, capture.record_type)
        yield capture


def _rows(path: Path, maker: _Maker, report: FileReport) -> Iterator[Capture]:
    with pq.ParquetFile(path) as file:
        columns = [name for name in _COLUMNS if name in file.schema_arrow.names]
        for batch in file.iter_batches(ROWS, columns=columns):
            for row in batch.to_pylist():
                start, end = report.stream_size, report.stream_size + 1
                capture = maker.capture(row, start, end)
                if capture is None:
                    report.add_damage(end, NO_DOCUMENT)
                    continue
                report.add_record(end, capture.record_type)
                yield capture


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _about(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Metadata of a document: datatrove writes a mapping, its text as JSON, or columns of their own."""
    metadata = row.get("metadata")
    if isinstance(metadata, str):
        metadata = _parsed(metadata.encode("utf-8", "replace"))
    return {**row, **metadata} if isinstance(metadata, dict) else row


def _text(value: Any) -> str:
    if isinstance(value, datetime):
        return value.replace(tzinfo=value.tzinfo or UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return "" if value is None else str(value)


def inflated(file: BinaryIO, path: Path) -> BinaryIO:
    """The lines of a file, whatever its suffix says that they are packed in."""
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.GzipFile(fileobj=file))
    if path.suffix == ".zst":
        stream = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        return cast(BinaryIO, io.BufferedReader(stream))
    return file


class _Raw(io.RawIOBase):
    """A stream that has nothing but `read`, for the standard library."""

    def __init__(self, stream: Readable) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
