"""The first gate: captures that cannot be a whole page of text are dropped by status, media type and completeness.

RefinedWeb (arXiv 2306.01116, section 3.1) reads WARC responses alone and takes for granted that they are whole HTML
pages; a crawl also holds redirects, error pages, PDFs, robots.txt and bodies that the crawler cut.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stages.verdicts import Verdict, with_verdicts

_COLUMNS = ("record_type", "http_status", "content_type", "truncated", "payload_error")
_SNIFFED_BYTES = 2048
_LOOKS_LIKE_HTML = re.compile(
    rb"<(?:!doctype\s+html|html|head|title|meta|link|body|script|style|div|table|h[1-6]|p|a|br)[\s>/]", re.IGNORECASE
)


@dataclass(frozen=True, kw_only=True)
class CaptureRules:
    """What a capture must be to be read at all.

    `content_types` are media types in lower case, without parameters; an empty one is judged by the payload's first
    bytes. Plain text passes for `conversion` records alone (WET files): elsewhere it is robots.txt, logs and code.
    """

    statuses: tuple[int, ...] = (200,)
    content_types: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    conversion_types: tuple[str, ...] = ("text/plain",)
    max_payload_bytes: int = 16 << 20
    """Common Crawl cuts bodies at 1 MiB (5 MiB since 2025); what is longer comes from elsewhere and is no page."""


def looks_like_html(payload: bytes) -> bool:
    """Say whether an HTML tag stands in the first 2 KiB."""
    return _LOOKS_LIKE_HTML.search(payload[:_SNIFFED_BYTES].replace(b"\0", b"")) is not None


def _status(row: dict[str, Any], rules: CaptureRules) -> Verdict | None:
    status = row["http_status"]
    if status is None and row["record_type"] != "response":
        return None  # resource and conversion records carry no HTTP header
    if status in rules.statuses:
        return None
    return Verdict("http_status", status, rules.statuses[0] if len(rules.statuses) == 1 else None)


def _content_type(row: dict[str, Any], rules: CaptureRules, payload: pa.Scalar) -> Verdict | None:
    kind = row["content_type"]
    if row["record_type"] == "conversion":
        allowed = kind in rules.conversion_types
    elif kind:
        allowed = kind in rules.content_types
    else:
        head = payload.as_buffer()[:_SNIFFED_BYTES].to_pybytes() if payload.is_valid else b""
        allowed = not head or looks_like_html(head)  # an empty body has a rule of its own
    return None if allowed else Verdict("content_type", detail=kind or "none given")


def _judge(row: dict[str, Any], size_bytes: int, payload: pa.Scalar, rules: CaptureRules) -> Verdict | None:
    if verdict := _status(row, rules) or _content_type(row, rules, payload):
        return verdict
    if row["truncated"] is not None:
        return Verdict("truncated", detail=row["truncated"])
    if row["payload_error"] is not None:
        return Verdict("payload_error", detail=row["payload_error"])
    if size_bytes == 0:
        return Verdict("empty_payload", 0, 1)
    if size_bytes > rules.max_payload_bytes:
        return Verdict("payload_bytes", size_bytes, rules.max_payload_bytes)
    return None


def gate(batch: pa.RecordBatch, rules: CaptureRules) -> pa.RecordBatch:
    """Return the `schema.RECORD` batch with the column `capture`.

    Rules, in this order: `http_status`, `content_type`, `truncated` (WARC-Truncated, or cut by the reader),
    `payload_error`, `empty_payload`, `payload_bytes`.
    """
    payloads = batch.column("payload")
    rows = batch.select(list(_COLUMNS)).to_pylist()
    sizes = [0 if not payload.is_valid else payload.as_buffer().size for payload in payloads]
    verdicts = [_judge(row, size, payload, rules) for row, size, payload in zip(rows, sizes, payloads, strict=True)]
    return with_verdicts(batch, "capture", verdicts)
