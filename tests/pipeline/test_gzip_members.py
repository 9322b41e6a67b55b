"""Inflating up to the damage, and finding members."""

import gzip
import random
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.byte_source import ByteSource
from pipeline.gzip_members import GZIP_WBITS, PROBE_BYTES, Inflater, MemberReader, member_in

TEXT = b"".join(b"line %d of a page\n" % random.Random(n).randrange(10_000) for n in range(9_000))


def read_all(reader: MemberReader) -> bytes:
    return b"".join(iter(lambda: reader.read(1 << 12), b""))


def inflate_in_pieces(data: bytes, piece_bytes: int, limit_bytes: int) -> tuple[bytes, str | None]:
    inflater = Inflater(GZIP_WBITS)
    output: list[bytes] = []
    at = 0
    while not inflater.ended and not inflater.error and (at < len(data) or output[-1]):
        piece, used = inflater.inflate(data[at : at + piece_bytes], limit_bytes)
        output.append(piece)
        at += used
    return b"".join(output), inflater.error


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.integers(1, 9_000), st.integers(50, 60_000))
def test_output_before_damage_does_not_depend_on_the_pieces(
    place: float, flip: int, piece_bytes: int, limit_bytes: int
) -> None:
    data = bytearray(gzip.compress(TEXT[:30_000], mtime=0))
    data[int(place * len(data))] ^= flip
    assert inflate_in_pieces(bytes(data), piece_bytes, limit_bytes) == inflate_in_pieces(bytes(data), 1 << 20, 1 << 20)


def test_a_wrong_checksum_costs_no_output() -> None:
    data = bytearray(gzip.compress(TEXT))
    data[-5] ^= 1
    assert inflate_in_pieces(bytes(data), 1000, 1000) == (TEXT, "gzip CRC mismatch")
    data[-5] ^= 1
    data[-1] ^= 1
    assert inflate_in_pieces(bytes(data), 1000, 1000) == (TEXT, "gzip length mismatch")


def test_a_member_ends_where_the_next_one_begins() -> None:
    first = gzip.compress(TEXT)
    source = ByteSource(BytesIO(first + gzip.compress(b"second")).read)
    reader = MemberReader(source)
    assert read_all(reader) == TEXT
    assert (reader.damage, source.position) == (None, len(first))


def test_members_that_follow_are_read_on() -> None:
    source = ByteSource(BytesIO(gzip.compress(b"first ") + bytes(9) + gzip.compress(b"second") + b"rest").read)
    reader = MemberReader(source)
    reader.follow = True
    assert read_all(reader) == b"first second"
    assert source.read(9) == b"rest"


@pytest.mark.parametrize("cut", [1, 5, 12, 5000, -1, -9])
def test_a_member_cut_short_is_damaged_and_gives_its_beginning(cut: int) -> None:
    reader = MemberReader(ByteSource(BytesIO(gzip.compress(TEXT)[:cut]).read))
    assert TEXT.startswith(read_all(reader))
    assert reader.damage == "gzip member is cut short by the end of the file"


def test_a_member_is_known_by_what_it_holds() -> None:
    wanted, other = gzip.compress(b"WARC/1.0\r\n" + TEXT), gzip.compress(TEXT)
    fake = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03garbage"
    assert member_in(other + fake + wanted, b"WARC/") == len(other) + len(fake)
    assert member_in(other + fake, b"WARC/") is None
    assert member_in(b"x" + wanted[:PROBE_BYTES], b"WARC/") == 1
