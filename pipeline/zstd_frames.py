"""Zstandard frames one by one, as `.warc.zst` holds them: a frame per record, or one frame for the whole file.

The dictionary of such a file, where it has one, stands in a skippable frame at its beginning, and may be compressed
itself (IIPC, "Zstandard compression for WARC files" 1.0). Frames are walked block by block (RFC 8878, section 3.1.1),
so that no step gives more than 128 KiB and a frame's end is known without reading past it.
"""

from __future__ import annotations

import io
import re

import zstandard

from pipeline.byte_source import ByteSource

FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"
SKIPPABLE = re.compile(rb"[\x50-\x5f]\x2a\x4d\x18")
SKIPPABLE_HEADER_BYTES = 8
_BEHIND = re.compile(rb"\Z|[\0\r\n]|" + re.escape(FRAME_MAGIC) + rb"|" + SKIPPABLE.pattern)

_HEADER_BYTES = 18  # of the longest frame header
_BLOCK_HEADER_BYTES = 3
_BLOCK_BYTES = 128 << 10
_CHECKSUM_BYTES = 4
_RUN_LENGTH, _RESERVED = 1, 3  # types of block
_WINDOW_BYTES = 128 << 20  # what `zstd --ultra -22` needs; more is refused
_DICTIONARY_BYTES = 16 << 20
_SKIPPABLE_BYTES = 16 << 20  # a longer claim is taken for damage, not followed to the end of the file
_CUT = "zstd frame is cut short by the end of the file"

_PROBE_BYTES = _HEADER_BYTES + _BLOCK_HEADER_BYTES + _BLOCK_BYTES
_CANDIDATE = re.compile(re.escape(FRAME_MAGIC))


class Zstd:
    """The compression of a file of zstd frames, all under one dictionary, or none."""

    magic = FRAME_MAGIC
    probe_bytes = _PROBE_BYTES

    def __init__(self, dictionary: bytes | None = None) -> None:
        self._dictionary = zstandard.ZstdCompressionDict(dictionary) if dictionary else None

    def open(self, source: ByteSource) -> FrameReader:
        """The inflated bytes of the frame at the source's position."""
        return FrameReader(source, self._dictionary)

    def find(self, window: bytes, beginning: bytes) -> int | None:
        """Place of the first frame in `window` whose inflated bytes start with `beginning`."""
        starts = (match.start() for match in _CANDIDATE.finditer(window))
        return next((at for at in starts if self._begins(window[at : at + _PROBE_BYTES], beginning)), None)

    def _begins(self, data: bytes, beginning: bytes) -> bool:
        return self.open(ByteSource(io.BytesIO(data).read)).read(len(beginning)).startswith(beginning)


class FrameReader:
    """The inflated bytes of the zstd frame at the source's position, or of it and all that follow it directly.

    The same contract as `gzip_members.MemberReader`: `read` gives `b""` at the end, then `damage` says what was wrong.
    With `follow` set, NULs and skippable frames between frames are passed over.
    """

    def __init__(self, source: ByteSource, dictionary: zstandard.ZstdCompressionDict | None = None) -> None:
        self._source = source
        self._dictionary = dictionary
        self.follow = False
        self.damage: str | None = None
        self._begin()

    def read(self, n: int) -> bytes:  # noqa: ARG002 - a block is 128 KiB at most, whatever is asked for
        """The next block's bytes; `b""` at the end."""
        while self.damage is None:
            if self._ended and not self._next_frame():
                break
            try:
                output = self._decoder.decompress(self._next_piece())
            except zstandard.ZstdError as error:
                self.damage = f"damaged zstd data ({_reason(error)})"
                break
            if output:
                return output
        return b""

    def _begin(self) -> None:
        self.member_start = self._source.position
        self._ended = False
        self._last = False  # whether the last block was read
        self._checksum_bytes: int | None = None  # known once the header is read
        limits = zstandard.ZstdDecompressor(dict_data=self._dictionary, max_window_size=_WINDOW_BYTES)
        self._decoder = limits.decompressobj()

    def _next_piece(self) -> bytes:
        """The frame's header, or its next block, or the checksum behind the last one."""
        if self._checksum_bytes is None:
            return self._header()
        if self._last:
            self._ended = True
            return self._take(self._checksum_bytes)
        head = int.from_bytes(self._source.peek(_BLOCK_HEADER_BYTES), "little")
        kind, size = head >> 1 & 3, head >> 3
        if kind == _RESERVED or size > _BLOCK_BYTES:
            self.damage = "damaged zstd data (no block where one must be)"
            return b""
        self._last = bool(head & 1)
        self._ended = self._last and not self._checksum_bytes
        return self._take(_BLOCK_HEADER_BYTES + (1 if kind == _RUN_LENGTH else size))

    def _header(self) -> bytes:
        data = self._source.peek(_HEADER_BYTES)
        try:
            size, has_checksum = zstandard.frame_header_size(data), zstandard.get_frame_parameters(data).has_checksum
        except zstandard.ZstdError:
            self.damage = _CUT if len(data) < _HEADER_BYTES else "no zstd frame"
            return b""
        self._checksum_bytes = _CHECKSUM_BYTES if has_checksum else 0
        return self._take(size)

    def _take(self, n: int) -> bytes:
        data = self._source.read(n)
        if len(data) < n:
            self.damage = _CUT
            return b""
        return data

    def _next_frame(self) -> bool:
        if not self.follow:
            return False
        self._source.skip_any_of(b"\0")
        while skip_frame(self._source):
            self._source.skip_any_of(b"\0")
        if self._source.peek(len(FRAME_MAGIC)) != FRAME_MAGIC:
            return False
        self._source.mark()
        self._begin()
        return True


def skip_frame(source: ByteSource) -> bool:
    """Pass over a skippable frame, where a whole one stands at the source's position; whether one did.

    It must be followed by what can follow it, so that a damaged length does not pass over frames in silence.
    """
    source.mark()
    start, size = source.position, skippable_bytes(source)
    if size is None:
        return False
    if source.skip(size) < size or not _BEHIND.match(source.peek(len(FRAME_MAGIC))):
        source.rewind(start)
        return False
    return True


def skippable_bytes(source: ByteSource) -> int | None:
    """Bytes that the skippable frame at the source's position claims, header included; None where there is none."""
    header = source.peek(SKIPPABLE_HEADER_BYTES)
    if len(header) < SKIPPABLE_HEADER_BYTES or not SKIPPABLE.match(header):
        return None
    size = SKIPPABLE_HEADER_BYTES + int.from_bytes(header[4:], "little")
    return size if size <= _SKIPPABLE_BYTES else None


def read_dictionary(source: ByteSource) -> bytes | None:
    """The dictionary in the skippable frame at the source's position, inflated; None where there is no whole one.

    The source does not move. A dictionary beyond 16 MiB counts as none: frames that need it are then damage.
    """
    size = skippable_bytes(source)
    if size is None or source.peek(len(DICTIONARY_MAGIC)) != DICTIONARY_MAGIC:
        return None
    data = source.peek(size)[SKIPPABLE_HEADER_BYTES:]
    if len(data) < size - SKIPPABLE_HEADER_BYTES:
        return None
    return _inflated(data) if data.startswith(FRAME_MAGIC) else data


def _inflated(data: bytes) -> bytes | None:
    frame = FrameReader(ByteSource(io.BytesIO(data).read))
    whole = bytearray()
    while (piece := frame.read(_BLOCK_BYTES)) and len(whole) <= _DICTIONARY_BYTES:
        whole += piece
    return bytes(whole) if not frame.damage and 0 < len(whole) <= _DICTIONARY_BYTES else None


def _reason(error: zstandard.ZstdError) -> str:
    # "zstd decompressor error: Restored data doesn't match checksum"
    return str(error).rpartition(": ")[2].lower()
