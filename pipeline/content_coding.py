"""HTTP body codings undone: chunked transfer, gzip, deflate, br and zstd, never past a cap (RFC 9110, 9112).

What arrives is what a crawl holds: bodies already decoded under a header that says otherwise, bodies cut short, bombs.
Each function gives what could be decoded and, where that is not the whole, why.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import brotli
import zstandard

from pipeline.gzip_members import GZIP_MAGIC, GZIP_WBITS, Inflater

Decoded = tuple[bytes, str | None]
"""A body, and why it is not whole."""

PLAIN = frozenset({"", "identity", "none", "utf-8", "8bit", "binary"})
"""Values of Content-Encoding that change nothing; the last four are common mistakes."""

MAX_CODINGS = 5
"""More in a row are an attack: a body can be made that inflates to itself."""

_PIECE_BYTES = 1 << 16
_ZSTD_INPUT_BYTES = 1 << 8  # a run-length block of 4 bytes gives 128 KiB: 8 MiB a piece at most
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_WINDOW_BYTES = 64 << 20
_ZLIB_WBITS = 15
_RAW_WBITS = -15
_TEXT_BYTES = 256
_TEXT = re.compile(  # three characters of ASCII, then no control characters: encoded bytes do not look so
    rb"(?:\xef\xbb\xbf)?(?:[\t\n\r\x20-\x7e]{3}[\t-\r\x1b\x20-\x7e\x80-\xff]*|[\t\n\r\x20-\x7e]{0,2})"
)
_LINE_END = re.compile(rb"\r?\n")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


def decode_body(body: bytes, codings: list[str], max_bytes: int) -> Decoded:
    """Undo `codings` (as listed in Content-Encoding, lower case), last first, up to `max_bytes` of output each.

    A body under an unknown coding is given as it stands.
    """
    if len(codings) > MAX_CODINGS:
        return body[:max_bytes], f"more than {MAX_CODINGS} content codings"
    errors = []
    for coding in reversed(codings):
        if coding in PLAIN:
            continue
        decoder = _DECODERS.get(coding)
        if decoder is None:
            errors.append(f"unknown content coding: {coding[:40]}")
            break
        body, error = decoder(body, max_bytes)
        if error:
            errors.append(error)
    if len(body) > max_bytes:
        body = body[:max_bytes]
        errors.append(f"payload longer than {max_bytes:,} bytes")
    return body, errors[0] if errors else None


def decode_chunked(body: bytes) -> Decoded:
    """Undo chunked transfer; a body that does not begin with a chunk is taken as plain."""
    output = bytearray()
    at = 0
    while match := _CHUNK_SIZE.match(body, at):
        size = int(match[1], 16)
        if size == 0:
            return bytes(output), None
        end = match.end() + size
        line_end = _LINE_END.match(body, end)
        if end < len(body) and not line_end:
            break  # no chunk at all, or a wrong size
        output += memoryview(body)[match.end() : end]
        at = line_end.end() if line_end else end
    if at == 0:
        return body, None
    return bytes(output), "chunked body is cut short or damaged"


def _gzip(body: bytes, max_bytes: int) -> Decoded:
    if body.startswith(GZIP_MAGIC):
        return _collect(_inflate(body, GZIP_WBITS), "gzip", max_bytes)
    if _has_zlib_header(body):
        return _deflate(body, max_bytes)
    return body, None


def _deflate(body: bytes, max_bytes: int) -> Decoded:
    """Deflate as the standard has it (in zlib's frame), as some servers send it (bare), or not at all."""
    if _has_zlib_header(body):
        return _collect(_inflate(body, _ZLIB_WBITS), "deflate", max_bytes)
    if body.startswith(GZIP_MAGIC):
        return _gzip(body, max_bytes)
    return _plain_if_never_encoded(_collect(_inflate(body, _RAW_WBITS), "deflate", max_bytes), body)


def _br(body: bytes, max_bytes: int) -> Decoded:
    return _plain_if_never_encoded(_collect(_unbrotli(body), "br", max_bytes), body)


def _zstd(body: bytes, max_bytes: int) -> Decoded:
    if body.startswith(_ZSTD_MAGIC):
        return _collect(_unzstd(body), "zstd", max_bytes)
    return body, None


_DECODERS: dict[str, Callable[[bytes, int], Decoded]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "x-deflate": _deflate,
    "br": _br,
    "zstd": _zstd,
}


def _has_zlib_header(body: bytes) -> bool:
    return len(body) > 1 and body[0] & 0x0F == 8 and body[0] >> 4 < 8 and (body[0] << 8 | body[1]) % 31 == 0


def _plain_if_never_encoded(decoded: Decoded, body: bytes) -> Decoded:
    """Codings without a magic: a body that fails and begins like text was never encoded."""
    return (body, None) if decoded[1] and _TEXT.fullmatch(body[:_TEXT_BYTES]) else decoded


class _CutShortError(Exception):
    """The encoded body ends early or is damaged: what was yielded before stands."""


def _collect(pieces: Iterator[bytes], coding: str, max_bytes: int) -> Decoded:
    """Join the output of a decoder up to the cap."""
    output = bytearray()
    try:
        for piece in pieces:
            output += piece
            if len(output) > max_bytes:
                return bytes(output[:max_bytes]), f"bomb: {coding} body expands beyond {max_bytes:,} bytes"
    except _CutShortError as error:
        return bytes(output), f"{coding} body is {error}"
    return bytes(output), None


def _inflate(body: bytes, wbits: int) -> Iterator[bytes]:
    """Inflate one zlib stream, or gzip members in a row; what follows the last one is ignored."""
    at = 0
    while True:
        inflater = Inflater(wbits)
        while not inflater.ended:
            piece, used = inflater.inflate(body[at : at + _PIECE_BYTES], _PIECE_BYTES)
            at += used
            yield piece
            if inflater.error:
                raise _CutShortError(f"damaged: {inflater.error}")
            if not piece and at >= len(body) and not inflater.ended:
                raise _CutShortError("cut short")
        if wbits != GZIP_WBITS or not body.startswith(GZIP_MAGIC, at):
            return


def _unbrotli(body: bytes) -> Iterator[bytes]:
    decoder = brotli.Decompressor()
    at = 0
    try:
        while not decoder.is_finished():
            data = b""
            if decoder.can_accept_more_data():
                data = body[at : at + _PIECE_BYTES]
                at += len(data)
            piece = decoder.process(data, output_buffer_limit=_PIECE_BYTES)
            yield piece
            if not piece and not data and at >= len(body) and not decoder.is_finished():
                raise _CutShortError("cut short")
    except brotli.error as error:
        raise _CutShortError("damaged") from error


def _unzstd(body: bytes) -> Iterator[bytes]:
    at = 0
    while body.startswith(_ZSTD_MAGIC, at):
        decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj()
        while not decoder.eof:
            data = body[at : at + _ZSTD_INPUT_BYTES]
            if not data:
                raise _CutShortError("cut short")
            try:
                piece = decoder.decompress(data)
            except zstandard.ZstdError as error:
                raise _CutShortError("damaged") from error
            at += len(data) - len(decoder.unused_data)
            yield piece
