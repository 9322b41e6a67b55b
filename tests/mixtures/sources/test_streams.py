"""Opening packed inputs, and lines in parts."""

import bz2
import gzip
import lzma
import tempfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError
from mixtures.sources import streams
from mixtures.sources.document import Dropped
from mixtures.sources.streams import lines, unpacked_name
from tests.mixtures.sources.imports import piece_of

CONTENT = "first\r\n\n  second ünlü  \nlast without an end".encode()
LINES = [(0, b"first"), (8, "  second ünlü  ".encode().strip()), (26, b"last without an end")]
PACKERS = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor(level=3).compress(data),
}


@pytest.mark.parametrize("suffix", PACKERS)
def test_lines_are_the_same_whatever_they_are_packed_in(suffix, tmp_path):
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACKERS[suffix](CONTENT))
    assert list(lines(piece_of(path))) == LINES
    assert unpacked_name(path.name) == "a.jsonl"


def test_a_window_of_two_gigabytes_is_read(tmp_path):
    """The dumps of Reddit are written with `--long=31`."""
    parameters = zstandard.ZstdCompressionParameters(window_log=31, enable_ldm=False)
    path = tmp_path / "RC_2019-04.zst"
    path.write_bytes(zstandard.ZstdCompressor(compression_params=parameters).compressobj().compress(b"") or b"")
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    path.write_bytes(packer.compress(b"one\ntwo\n") + packer.flush())
    assert [line for _, line in lines(piece_of(path))] == [b"one", b"two"]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst"])
def test_of_a_file_cut_short_the_lines_before_the_cut_are_read(suffix, tmp_path):
    path = tmp_path / f"a.jsonl{suffix}"
    whole = b"".join(b"line %d of many\n" % (i * 7919 % 100_003) for i in range(200_000))
    packed = PACKERS[suffix](whole)
    path.write_bytes(packed[: len(packed) * 3 // 4])
    *found, last = lines(piece_of(path))
    assert [line for _, line in found] == whole.split(b"\n")[: len(found)]
    assert isinstance(last, Dropped)
    assert (last.reason, last.damaged) == ("cannot be read further", True)
    assert last.place.startswith(f"a.jsonl{suffix}, byte ")


@pytest.mark.parametrize("suffix", PACKERS)
def test_members_one_after_another_are_one_stream(suffix, tmp_path):
    path = tmp_path / f"a.jsonl{suffix}"
    path.write_bytes(PACKERS[suffix](b"one\ntw") + PACKERS[suffix](b"") + PACKERS[suffix](b"o\nthree"))
    assert [line for _, line in lines(piece_of(path))] == [b"one", b"two", b"three"]


@given(
    parts=st.lists(st.sampled_from([b"", b"a", b"bc", b"def", b" ", "ü".encode()]), max_size=12),
    ending=st.sampled_from([b"\n", b"\r\n"]),
    size=st.integers(1, 9),
    closed=st.booleans(),
)
def test_parts_of_any_size_hold_each_line_once(parts, ending, size, closed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.jsonl"
        path.write_bytes(ending.join(parts) + (ending if closed else b""))
        cut = [
            line for start in range(0, path.stat().st_size, size) for line in lines(piece_of(path, start, start + size))
        ]
        assert cut == list(lines(piece_of(path)))


def test_a_line_beyond_all_bounds_costs_only_itself(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MAX_LINE_BYTES", 10)
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"short\n" + b"x" * 35 + b"\nalso\n")
    assert list(lines(piece_of(path))) == [
        (0, b"short"),
        Dropped(reason="line too long", place="a.jsonl, byte 6", damaged=True),
        (42, b"also"),
    ]


def test_a_file_that_is_gone_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x")
    piece = piece_of(path)
    path.unlink()
    with pytest.raises(InputError, match=r"a\.jsonl: cannot be opened"):
        list(lines(piece))
