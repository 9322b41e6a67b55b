"""A capture: what one response, resource or conversion record says, with its payload decoded."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from pipeline.http import Response, media_type, parse_response
from pipeline.warc_record import Header, Record, parse_date
from stages.opt_out import of_header

CAPTURE_TYPES = frozenset({"response", "resource", "conversion"})
"""WARC-Types that hold a page; all others are counted only."""

CUT_BY_READER = "reader:block_cap"
"""`truncated` of a record whose block is longer than the reader keeps."""

_ID_BYTES = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Capture:
    """One page as crawled; the fields of `stages.schema.RECORD`, and the HTTP header.

    id: BLAKE2b-128 of WARC-Record-ID, WARC-Date and target URI as written, and of the BLAKE2b-128 digest of the body
    as it stands in the record (before codings are undone; of a cut block, of the part kept).
    warc_offset, warc_length: the record's gzip member, or the record itself in a stream; in a member that holds
    several records only their order (see `pipeline.warc`).
    truncated: WARC-Truncated, or CUT_BY_READER; None for a whole record.
    payload_error: why the payload is not whole; None where it is.
    opt_out: signals of the HTTP header (see `stages.opt_out`).
    """

    id: str
    url: str
    warc_path: str
    warc_offset: int
    warc_length: int
    crawl: str
    fetch_time: datetime | None
    record_type: str
    truncated: str | None
    http_status: int | None
    content_type: str
    charset: str
    payload: bytes
    payload_error: str | None
    opt_out: tuple[str, ...]
    http_headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a record stands."""

    warc_path: str
    warc_offset: int
    warc_length: int
    crawl: str


def make_capture(record: Record, place: Place, max_payload_bytes: int) -> Capture:
    """Build the capture of a record of one of CAPTURE_TYPES; malformed HTTP shows in its fields and never raises."""
    header = record.header
    if _holds_http(record):
        response = parse_response(record.block)
        type_written = next(iter(response.values("content-type")), "")
    else:
        response = Response(status=None, fields=(), body=record.block)
        type_written = header.get("content-type")
    payload, payload_error = response.payload(max_payload_bytes)
    content_type, charset = media_type(type_written)
    return Capture(
        id=record_id(header, response.body),
        url=header.url,
        warc_path=place.warc_path,
        warc_offset=place.warc_offset,
        warc_length=place.warc_length,
        crawl=place.crawl,
        fetch_time=parse_date(header.get("warc-date")),
        record_type=header.record_type,
        truncated=header.get("warc-truncated") or (CUT_BY_READER if record.cut else None),
        http_status=response.status,
        content_type=content_type,
        charset=charset,
        payload=payload,
        payload_error=payload_error,
        opt_out=tuple(sorted(of_header(response.fields))),
        http_headers=response.fields,
    )


def _holds_http(record: Record) -> bool:
    """Whether the block is an HTTP message: of `response` records those of dns: and the like are not."""
    if record.header.record_type != "response":
        return False
    kind, _ = media_type(record.header.get("content-type"))
    return kind in ("", "application/http") or record.block.startswith(b"HTTP/")


def record_id(header: Header, body: bytes) -> str:
    """Id of a record, 32 hex digits: each part is hashed behind its length, so that no two lists of parts are alike."""
    state = hashlib.blake2b(digest_size=_ID_BYTES)
    body_digest = hashlib.blake2b(body, digest_size=_ID_BYTES).digest()
    for text in (header.get("warc-record-id"), header.get("warc-date"), header.url):
        data = text.encode()
        state.update(len(data).to_bytes(8, "little") + data)
    state.update(body_digest)
    return state.hexdigest()
