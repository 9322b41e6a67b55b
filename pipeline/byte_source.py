"""Forward-only reading with look-ahead and a bounded look-back, over anything that can hand out bytes."""

from __future__ import annotations

from collections.abc import Callable

PIECE_BYTES = 1 << 16
"""Bytes asked for at a time."""

WINDOW_BYTES = 1 << 16
"""Bytes searched at a time, or twice the search's margin where that is more."""


class ByteSource:
    """Bytes of a stream that never seeks, counted from `base`.

    `read(n)` gives at most about `n` bytes and `b""` at the end, and is not asked again after that (but see
    `go_on`). What lies between the mark and the position can be read again after `rewind`, but never more than
    `look_back_bytes` of it.
    """

    def __init__(self, read: Callable[[int], bytes], *, base: int = 0, look_back_bytes: int = 0) -> None:
        self._read = read
        self._look_back_bytes = look_back_bytes
        self._buffer = bytearray()
        self._base = base  # offset of the buffer's first byte
        self._at = 0  # place of the position in the buffer
        self._mark: int | None = None
        self._ended = False

    @property
    def position(self) -> int:
        """Offset of the next byte."""
        return self._base + self._at

    def ended(self) -> bool:
        """Whether no byte is left."""
        return self._ahead(1) == 0

    def peek(self, n: int) -> bytes:
        """The next `n` bytes, fewer at the end, without moving."""
        self._ahead(n)
        with memoryview(self._buffer) as view:
            return bytes(view[self._at : self._at + n])

    def read(self, n: int) -> bytes:
        """The next `n` bytes, fewer at the end."""
        data = self.peek(n)
        self._at += len(data)
        return data

    def skip(self, n: int) -> int:
        """Pass over `n` bytes in pieces; return how many there were."""
        left = n
        while left and (ahead := self._ahead(min(left, PIECE_BYTES))):
            step = min(left, ahead)
            self._at += step
            left -= step
        return n - left

    def skip_any_of(self, characters: bytes) -> int:
        """Pass over the run of bytes that are all among `characters`; return its length."""
        start = self.position
        size = 1 << 6  # most runs are short, and a look ahead is a copy
        while piece := self.peek(size):
            run = len(piece) - len(piece.lstrip(characters))
            self._at += run
            if run < len(piece):
                break
            size = PIECE_BYTES
        return self.position - start

    def find(self, search: Callable[[bytes], int | None], margin: int) -> bool:
        """Move to the first place that `search` finds in a window of bytes, or to the end; whether it was found.

        margin: bytes from a place's beginning that `search` needs to know it for sure.
        """
        size = max(WINDOW_BYTES, 2 * margin)
        while window := self.peek(size):
            at = search(window)
            if at is not None:
                self._at += at
                return True
            self._at += len(window) if len(window) < size else len(window) - margin + 1
        return False

    def mark(self) -> None:
        """Keep what follows for `rewind`."""
        self._mark = self.position

    def rewind(self, offset: int) -> None:
        """Go back to `offset` (not before the mark), or as far as the look-back goes, where that is less."""
        # Not simply to the earliest byte still there: that depends on the pieces in which the stream arrived.
        self._at = max(offset, self.position - self._look_back_bytes) - self._base
        assert self._at >= 0, "bytes since the mark are kept"

    def go_on(self) -> None:
        """Ask again after the end: what is read has been continued."""
        self._ended = False

    def _ahead(self, n: int) -> int:
        """Bytes ready after the position, after trying to have `n`."""
        while len(self._buffer) - self._at < n and not self._ended:
            self._forget()
            piece = self._read(PIECE_BYTES)
            self._buffer += piece
            self._ended = not piece
        return len(self._buffer) - self._at

    def _forget(self) -> None:
        keep_from = self._at
        if self._mark is not None:
            keep_from = min(self._at, max(self._mark - self._base, self._at - self._look_back_bytes, 0))
        del self._buffer[:keep_from]
        self._base += keep_from
        self._at -= keep_from
