"""A range of a WARC file, and what reading it depends on besides its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from pipeline.byte_source import ByteSource

Search = Literal["members", "records", "either"]
"""What damage is followed by in a file: compressed members, bare records, or whatever comes first."""


class Member(Protocol):
    """The inflated bytes of a compressed member (a gzip member, a zstd frame), or of it and all that follow it.

    damage: what was wrong, once `read` has given `b""`; None where the member is whole.
    member_start: where the member at hand begins. follow: whether the next one continues it.
    """

    member_start: int
    follow: bool
    damage: str | None

    def read(self, n: int, /) -> bytes:
        """About `n` bytes at most; `b""` at the end."""
        ...


class Codec(Protocol):
    """A compression that a file's members are in.

    magic: how each begins. probe_bytes: enough of one to know that it is one.
    """

    magic: bytes
    probe_bytes: int

    def open(self, source: ByteSource) -> Member:
        """The member at the source's position."""
        ...

    def find(self, window: bytes, beginning: bytes) -> int | None:
        """Place of the first member in `window` whose inflated bytes start with `beginning`.

        A member inside the payload of a damaged one looks the same from outside, and is found too.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Seam:
    """A place where reading may stop, and all that reading on from there depends on.

    position: offset in the file. crawl: what the records that follow are said to come from, up to the next warcinfo.
    search: what to look for after damage.
    """

    position: int
    crawl: str
    search: Search


@dataclass(frozen=True, kw_only=True)
class Span:
    """The part of a file from `start` to the first member at or after `until` at which a record may begin.

    codec: that of the file, as its beginning tells; None to find out, at the beginning.
    """

    start: Seam | None = None
    until: int | None = None
    codec: Codec | None = None


WHOLE = Span()
