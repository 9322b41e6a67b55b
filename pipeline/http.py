"""The HTTP response inside a capture: status, fields and body, however malformed; nothing raises here."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.content_coding import decode_body, decode_chunked
from pipeline.warc_record import decode_header, parse_fields

_STATUS_LINE = re.compile(rb"HTTP/\d+(?:\.\d+)?(?:[ \t]+(\d{3})(?!\d))?[^\n]*(?:\n|\Z)")
_EMPTY_HEADER = re.compile(rb"(?:\r?\n){1,2}")
_HEADER_END = re.compile(rb"\n\r?\n")
_CHARSET = re.compile(r""";\s*charset\s*=\s*["']?([^"';,\s]*)""", re.IGNORECASE)

_MAX_HEADER_BYTES = 1 << 20

NO_HEADER = "no HTTP header"
ENDLESS_HEADER = "HTTP header without end"


@dataclass(frozen=True, kw_only=True)
class Response:
    """An HTTP response.

    status: None where the status line cannot be parsed.
    fields: name and value as written, in order.
    body: the body as it stands in the record, codings not undone.
    error: NO_HEADER where the record does not begin with an HTTP status line (all of it is body then), ENDLESS_HEADER
    where no empty line ends the header.
    """

    status: int | None
    fields: tuple[tuple[str, str], ...]
    body: bytes
    error: str | None = None

    def values(self, name: str) -> list[str]:
        """All values of field `name` (in lower case)."""
        return [value for written, value in self.fields if written.lower() == name]

    def payload(self, max_bytes: int) -> tuple[bytes, str | None]:
        """The body with transfer and content codings undone, at most `max_bytes` of it, and why it is not whole."""
        body, error = self.body, None
        transfer = _tokens(self.values("transfer-encoding"))
        if "chunked" in transfer:
            body, error = decode_chunked(body)
        codings = _tokens(self.values("content-encoding")) + [token for token in transfer if token != "chunked"]
        body, coding_error = decode_body(body, codings, max_bytes)
        return body, coding_error or error or self.error


def parse_response(block: bytes) -> Response:
    """Split a record's block into HTTP status, fields and body; interim (1xx) responses are passed over."""
    line = _STATUS_LINE.match(block)
    if not line:
        empty = _EMPTY_HEADER.match(block)
        return Response(status=None, fields=(), body=block[empty.end() :] if empty else block, error=NO_HEADER)
    end = _header_end(block, line)
    while line[1] and line[1].startswith(b"1") and end and (final := _STATUS_LINE.match(block, end)):
        line, end = final, _header_end(block, final)
    header = block[line.end() : end or line.end() + _MAX_HEADER_BYTES]
    return Response(
        status=int(line[1]) if line[1] else None,
        fields=tuple(parse_fields(decode_header(header))),
        body=block[end or line.end() + len(header) :],
        error=None if end else ENDLESS_HEADER,
    )


def _header_end(block: bytes, line: re.Match[bytes]) -> int | None:
    match = _HEADER_END.search(block, max(line.end() - 1, 0), line.end() + _MAX_HEADER_BYTES)
    return match.end() if match else None


def media_type(value: str) -> tuple[str, str]:
    """Media type and charset of a Content-Type, both in lower case, empty where missing."""
    charset = _CHARSET.search(value)
    return value.partition(";")[0].strip().lower(), charset[1].lower() if charset else ""


def _tokens(values: list[str]) -> list[str]:
    return [token.strip().lower() for value in values for token in value.split(",")]
