"""HTTP body codings: what was encoded comes back, what was cut comes back in part, a bomb stops at the cap."""

import gzip
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.content_coding import MAX_CODINGS, decode_body, decode_chunked

Encode = Callable[[bytes], bytes]


def bare_deflate(body: bytes) -> bytes:
    state = zlib.compressobj(wbits=-15)
    return state.compress(body) + state.flush()


def zstd(body: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(body)


ENCODERS: list[tuple[str, Encode]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("gzip", zlib.compress),
    ("deflate", zlib.compress),
    ("deflate", bare_deflate),
    ("deflate", gzip.compress),
    ("br", brotli.compress),
    ("zstd", zstd),
]
WITH_PARTS = [pair for pair in ENCODERS if pair[0] != "zstd"]  # zstd gives whole blocks only
BODIES = st.one_of(
    st.binary(max_size=500), st.integers(1, 300_000).map(lambda n: b"<p>Some text, %d</p>" % n * (n // 20))
)
MIB = 1 << 20
TEXTS = [b"<!DOCTYPE html><p>x", b"\n\n hello", b'{"a": 1}', b"plain text " * 50, "<p>zażółć".encode(), b""]


@settings(deadline=None)
@given(st.sampled_from(ENCODERS), BODIES)
def test_what_was_encoded_comes_back(encoder: tuple[str, Encode], body: bytes) -> None:
    coding, encode = encoder
    assert decode_body(encode(body), [coding], MIB) == (body[:MIB], None)


@settings(deadline=None)
@given(st.lists(st.sampled_from(ENCODERS), min_size=1, max_size=MAX_CODINGS), st.binary(max_size=300))
def test_stacked_codings_come_off_last_first(encoders: list[tuple[str, Encode]], body: bytes) -> None:
    encoded = body
    for _, encode in encoders:
        encoded = encode(encoded)
    assert decode_body(encoded, [coding for coding, _ in encoders], MIB) == (body, None)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("body", TEXTS)
def test_a_body_that_was_never_encoded_is_left(coding: str, body: bytes) -> None:
    assert decode_body(body, [coding], MIB) == (body, None)


@settings(deadline=None)
@given(st.sampled_from(WITH_PARTS), st.integers(1, 1 << 30))
def test_a_body_cut_short_gives_its_beginning(encoder: tuple[str, Encode], seed: int) -> None:
    coding, encode = encoder
    body = b"".join(b"line %d of a page\n" % (seed * n % 9973) for n in range(2000))
    encoded = encode(body)
    decoded, error = decode_body(encoded[: len(encoded) * 2 // 3], [coding], MIB)
    assert body.startswith(decoded)
    assert error is not None
    assert error.endswith("body is cut short")


@pytest.mark.parametrize(("coding", "encode"), WITH_PARTS)
def test_a_page_cut_short_gives_most_of_what_is_there(coding: str, encode: Encode) -> None:
    body = b"".join(b"<p>%x</p>\n" % pow(7, n, 1 << 200) for n in range(3000))
    encoded = encode(body)
    decoded, _ = decode_body(encoded[: len(encoded) * 2 // 3], [coding], MIB)
    assert body.startswith(decoded)
    assert len(decoded) > len(body) // 2


def test_a_zstd_body_cut_short_says_so() -> None:
    assert decode_body(zstd(b"line of a page\n" * 4000)[:-3], ["zstd"], MIB)[1] == "zstd body is cut short"


def test_a_damaged_gzip_body_gives_every_byte_before_the_damage() -> None:
    body = bytes(range(256)) * 8
    encoded = bytearray(gzip.compress(body, 0))
    encoded[-8] ^= 1
    assert decode_body(bytes(encoded), ["gzip"], MIB) == (body, "gzip body is damaged: gzip CRC mismatch")


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
def test_a_bomb_stops_at_the_cap(coding: str, encode: Encode) -> None:
    decoded, error = decode_body(encode(bytes(9 * MIB)), [coding], MIB)
    assert decoded == bytes(MIB)
    assert error is not None
    assert error.startswith("bomb: ")
    assert error.endswith("body expands beyond 1,048,576 bytes")


@pytest.mark.parametrize(("coding", "encode"), ENCODERS)
def test_a_body_as_long_as_the_cap_is_whole(coding: str, encode: Encode) -> None:
    assert decode_body(encode(b"x" * 5000), [coding], 5000) == (b"x" * 5000, None)


def test_gzip_members_in_a_row_are_one_body_and_what_follows_is_ignored() -> None:
    encoded = gzip.compress(b"one ") + gzip.compress(b"two") + b"\r\ntrailing"
    assert decode_body(encoded, ["gzip"], MIB) == (b"one two", None)


@pytest.mark.parametrize("codings", [[], [""], ["identity"], ["none", "utf-8"]])
def test_a_plain_body_stays_and_is_cut_at_the_cap(codings: list[str]) -> None:
    assert decode_body(b"0123456789", codings, 10) == (b"0123456789", None)
    assert decode_body(b"0123456789", codings, 4) == (b"0123", "payload longer than 4 bytes")


def test_an_unknown_coding_is_named_and_the_body_stays() -> None:
    encoded = gzip.compress(b"page")
    assert decode_body(encoded, ["sdch", "gzip"], MIB) == (b"page", "unknown content coding: sdch")
    assert decode_body(encoded, ["sdch"], 4) == (encoded[:4], "unknown content coding: sdch")


def test_too_many_codings_are_not_undone() -> None:
    assert decode_body(b"x", ["gzip"] * (MAX_CODINGS + 1), MIB) == (b"x", f"more than {MAX_CODINGS} content codings")


@settings(deadline=None)
@given(
    st.lists(st.binary(min_size=1, max_size=40)), st.sampled_from([b"\r\n", b"\n"]), st.sampled_from([b"", b";name=x"])
)
def test_chunks_are_joined(chunks: list[bytes], line_end: bytes, extension: bytes) -> None:
    framed = b"".join(b"%x%b%b%b%b" % (len(c), extension, line_end, c, line_end) for c in [*chunks, b""])
    assert decode_chunked(framed + b"Trailer: x\r\n") == (b"".join(chunks), None)


@pytest.mark.parametrize("body", TEXTS)
def test_a_body_that_was_never_chunked_is_left(body: bytes) -> None:
    assert decode_chunked(body) == (body, None)


@pytest.mark.parametrize(
    ("framed", "body"),
    [(b"5\r\nabcde\r\n5\r\nfg", b"abcdefg"), (b"5\r\nabcde\r\n", b"abcde"), (b"5\r\nabcde\r\nxyz\r\n", b"abcde")],
)
def test_a_chunked_body_cut_short_gives_its_beginning(framed: bytes, body: bytes) -> None:
    assert decode_chunked(framed) == (body, "chunked body is cut short or damaged")
