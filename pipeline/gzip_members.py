"""Gzip members one by one: inflating up to the first damaged byte, and finding the next member after damage."""

from __future__ import annotations

import re
import zlib

from pipeline.byte_source import ByteSource

GZIP_MAGIC = b"\x1f\x8b\x08"
GZIP_WBITS = 31

PROBE_BYTES = 1 << 12
"""Enough for a gzip header with extra field and name, and the first deflate block's tables."""

_INPUT_BYTES = 1 << 14
_CANDIDATE = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")  # the three upper flag bits are reserved, and zero
_REASONS = {
    "incorrect header check": "no gzip member",
    "incorrect data check": "gzip CRC mismatch",
    "incorrect length check": "gzip length mismatch",
}


class Inflater:
    """A zlib decompressor that gives every byte before an error, at whatever piece of input the error shows.

    `error` is set once the input turns out damaged. zlib drops the output of the very call that fails; here that call
    is repeated byte by byte from a copy of the state before it, so that results do not depend on how input was cut.
    """

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._state = zlib.decompressobj(wbits)
        self._started = False
        self.error: str | None = None

    @property
    def ended(self) -> bool:
        """Whether the end of the compressed stream was reached, checksum and all."""
        return self._state.eof

    def inflate(self, data: bytes, limit_bytes: int) -> tuple[bytes, int]:
        """Inflate `data`: about `limit_bytes` of output at most, and the number of bytes of `data` used."""
        before = self._state.copy() if self._started else None
        self._started = True
        try:
            output = self._state.decompress(data, limit_bytes)
        except zlib.error as error:
            self.error = _reason(error)
            return _inflate_until_error(before or zlib.decompressobj(self._wbits), data), len(data)
        # At the end both hold the rest, where the call before ran into its limit.
        left = self._state.unused_data if self._state.eof else self._state.unconsumed_tail
        return output, len(data) - len(left)


def _inflate_until_error(state: zlib._Decompress, data: bytes) -> bytes:
    pieces = []
    try:
        for i in range(len(data)):
            pieces.append(state.decompress(data[i : i + 1]))
    except zlib.error:
        pass
    return b"".join(pieces)


def _reason(error: zlib.error) -> str:
    # zlib words its errors "Error -3 while decompressing data: incorrect data check".
    detail = str(error).rpartition(": ")[2]
    return _REASONS.get(detail, f"damaged deflate data ({detail})")


class Gzip:
    """The compression of a file of gzip members."""

    magic = GZIP_MAGIC
    probe_bytes = PROBE_BYTES

    def open(self, source: ByteSource) -> MemberReader:
        """The inflated bytes of the member at the source's position."""
        return MemberReader(source)

    def find(self, window: bytes, beginning: bytes) -> int | None:
        """Place of the first member in `window` whose inflated bytes start with `beginning`."""
        return member_in(window, beginning)


class MemberReader:
    """The inflated bytes of the gzip member at the source's position, or of it and all that follow it directly.

    `read` gives `b""` at the end. Then `damage` says what was wrong, or is None, and in that case the source stands
    right behind the member. With `follow` set, a member that ends is continued by the next one (NULs between them are
    passed over).
    """

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._inflater = Inflater(GZIP_WBITS)
        self.member_start = source.position
        self.follow = False
        self.damage: str | None = None

    def read(self, n: int) -> bytes:
        """About `n` inflated bytes at most; `b""` at the end."""
        while self.damage is None:
            if self._inflater.ended and not self._next_member():
                break
            data = self._source.peek(_INPUT_BYTES)
            output, used = self._inflater.inflate(data, n)
            self._source.skip(used)
            self.damage = self._inflater.error
            if output:
                return output
            if not data and not self._inflater.ended:
                self.damage = "gzip member is cut short by the end of the file"
        return b""

    def _next_member(self) -> bool:
        if not self.follow:
            return False
        self._source.skip_any_of(b"\0")
        if self._source.peek(len(GZIP_MAGIC)) != GZIP_MAGIC:
            return False
        self._source.mark()
        self.member_start = self._source.position
        self._inflater = Inflater(GZIP_WBITS)
        return True


def member_in(window: bytes, beginning: bytes) -> int | None:
    """Place of the first gzip member in `window` whose inflated bytes start with `beginning`.

    A member inside the payload of a damaged one (a captured `.warc.gz` that deflate could only store) looks the same
    from outside, and is found too.
    """
    starts = (match.start() for match in _CANDIDATE.finditer(window))
    return next((at for at in starts if _begins(window[at : at + PROBE_BYTES], beginning)), None)


def _begins(data: bytes, beginning: bytes) -> bool:
    try:
        return zlib.decompressobj(GZIP_WBITS).decompress(data, len(beginning)) == beginning
    except zlib.error:
        return False
