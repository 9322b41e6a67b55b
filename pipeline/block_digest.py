"""The digest of a file that several units read, the same wherever it is cut.

A file is digested in blocks of 16 MiB, each by the unit whose range holds the block's first byte. The file's digest is
BLAKE2b-128 of the blocks' digests (16 bytes each, in order); of a file of one block it is that block's digest, so that
`b2sum -l 128` gives it too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import BinaryIO

BLOCK_BYTES = 16 << 20
_DIGEST_BYTES = 16
_PIECE_BYTES = 1 << 20


class DigestingReader:
    """A stream read once and forward, that digests on the way the blocks which begin in a range of the file."""

    def __init__(self, raw: BinaryIO, begin: int, end: int) -> None:
        self._raw = raw
        self._first = _block_end(begin)
        self._last = _block_end(end)
        self._position = raw.tell()
        self._state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
        self._open = False  # whether bytes of a block are in `_state`
        self._digests: list[str] = []

    def read(self, n: int, /) -> bytes:
        """At most `n` bytes; none at the end."""
        data = self._raw.read(n)
        self._digest(memoryview(data))
        return data

    def skip_to(self, position: int) -> None:
        """Read up to `position`."""
        while self._position < position and self.read(min(_PIECE_BYTES, position - self._position)):
            pass

    def finish(self) -> list[str]:
        """Read up to the end of the last block; the blocks' digests, as 32 hex digits each."""
        self.skip_to(self._last)
        self._close()
        return self._digests

    def _digest(self, data: memoryview) -> None:
        begin = self._position
        self._position += len(data)
        own = data[max(0, self._first - begin) : max(0, self._last - begin)]
        at = max(begin, self._first)
        while own:
            piece = own[: BLOCK_BYTES - at % BLOCK_BYTES]
            self._state.update(piece)
            self._open = True
            at += len(piece)
            own = own[len(piece) :]
            if at % BLOCK_BYTES == 0:
                self._close()

    def _close(self) -> None:
        if self._open:
            self._digests.append(self._state.hexdigest())
            self._state = hashlib.blake2b(digest_size=_DIGEST_BYTES)
            self._open = False


def file_digest_of(blocks: Sequence[str]) -> str:
    """The file's digest from those of its blocks, as 32 hex digits; that of no bytes where there is no block."""
    if len(blocks) == 1:
        return blocks[0]
    return hashlib.blake2b(b"".join(map(bytes.fromhex, blocks)), digest_size=_DIGEST_BYTES).hexdigest()


def _block_end(position: int) -> int:
    """The first multiple of the block size at or after `position`."""
    return -(-position // BLOCK_BYTES) * BLOCK_BYTES
