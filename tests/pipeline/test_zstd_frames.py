"""WARC files in zstd frames: a frame per record, with and without a dictionary, or one frame for the whole file."""

import gzip
import itertools
import struct
import tracemalloc
from dataclasses import replace

import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pipeline import recipe
from pipeline.curate import CurateJob
from pipeline.file_report import EMPTY_FILE, NOT_WARC, Damage, FileReport
from pipeline.recipe import ReaderRecipe
from pipeline.store import Store
from pipeline.warc import read_captures
from pipeline.warc_record import CUT_SHORT, ReadLimits
from tests.pipeline.test_curate import run
from tests.pipeline.test_unit_range import assert_same, in_ranges, whole
from tests.pipeline.warc_files import (
    WOUNDS,
    Dribble,
    Page,
    Wound,
    assert_every_byte_is_accounted_for,
    http_block,
    pages,
    read,
    warc_record,
)

NAME = "test.warc.zst"
CUT = "zstd frame is cut short by the end of the file"


def frame(data, dictionary=None, *, checksum=True, content_size=True, level=3):
    made = zstandard.ZstdCompressor(
        level=level, dict_data=dictionary, write_checksum=checksum, write_content_size=content_size
    )
    return made.compress(data)


def skippable(data, number=0xD):
    return struct.pack("<II", 0x184D2A50 + number, len(data)) + data


def numbered(n, size=400):
    return [
        Page(url=f"http://example.org/{i}", body=b"<p>page number %d of many</p>" % i * (size // 30)) for i in range(n)
    ]


def urls(captures):
    return [capture.url for capture in captures]


@pytest.fixture(scope="module")
def dictionary():
    return zstandard.train_dictionary(4096, [page.record for page in numbered(400, 900)])


@settings(deadline=None)
@given(pages(min_size=1), st.booleans(), st.booleans(), st.sampled_from([b"", b"\0\0\0", skippable(b"index", 3)]))
def test_a_frame_per_record_arrives_whole_and_can_be_read_from_its_offset(made, checksum, content_size, between):
    frames = [frame(page.record, checksum=checksum, content_size=content_size) for page in made]
    data = b"".join(piece + between for piece in frames)
    captures, report = read(data, warc_path=NAME)
    assert [(capture.url, capture.payload) for capture in captures] == [(page.url, page.body) for page in made]
    assert (report.damaged, report.single_stream) == ([], False)
    assert report.padding_bytes == len(between) * len(made)
    assert_every_byte_is_accounted_for(report, captures)
    for capture, piece in zip(captures, frames, strict=True):
        assert data[capture.warc_offset :][: capture.warc_length] == piece


@settings(deadline=None)
@given(pages(min_size=1), WOUNDS)
def test_frames_away_from_the_wound_arrive(made, wound: Wound):
    frames = [frame(page.record) for page in made]
    data = b"".join(frames)
    start, end = wound.range_in(data)
    offsets = list(itertools.accumulate(map(len, frames), initial=0))
    assume(not wound.inflict(data).startswith(b"WARC/"))  # a head cut to just this is taken for a plain file
    captures, report = read(wound.inflict(data), warc_path=NAME)
    assert_every_byte_is_accounted_for(report, captures)
    ends = zip(made, offsets, offsets[1:], strict=False)
    intact = [page.url for page, first, last in ends if last <= start or first >= end]
    arrived = {capture.url: capture for capture in captures}
    assert set(intact) <= set(arrived)
    assert all(arrived[page.url].payload == page.body for page in made if page.url in arrived)


TINY = ReadLimits(max_header_bytes=400, max_block_bytes=300, max_payload_bytes=200, max_look_back_bytes=100)


@settings(deadline=None)
@given(pages(min_size=1), st.lists(WOUNDS, max_size=4), st.booleans(), st.booleans())
def test_bytes_add_up_whatever_the_damage_and_however_the_file_arrives(made, wounds, single, headed):
    data = frame(b"".join(page.record for page in made)) if single else b"".join(frame(page.record) for page in made)
    data = skippable(b"no dictionary at all", 1) + data if headed else data
    for wound in wounds:
        data = wound.inflict(data)
    captures, report = read(data, warc_path=NAME, limits=TINY)
    assert_every_byte_is_accounted_for(report, captures)
    assert (captures, report) == read(data, warc_path=NAME, limits=TINY, most=97)


@settings(deadline=None)
@given(pages(min_size=1), st.lists(WOUNDS, max_size=3), st.integers(1, 4000), st.booleans())
def test_ranges_of_damaged_frames(made, wounds, unit_bytes, headed):
    data = (skippable(b"head", 2) if headed else b"") + b"".join(frame(page.record) for page in made)
    for wound in wounds:
        data = wound.inflict(data)
    if data:
        assert_same(in_ranges(data, max(unit_bytes, len(data) // 30), NAME), whole(data, NAME))


@pytest.mark.parametrize("compressed", [False, True])
def test_the_dictionary_at_the_head_is_used(dictionary, compressed):
    made = numbered(30)
    content = dictionary.as_bytes()
    head = skippable(frame(content) if compressed else content)
    data = head + b"".join(frame(page.record, dictionary) for page in made)
    captures, report = read(data, warc_path=NAME)
    assert [(capture.url, capture.payload) for capture in captures] == [(page.url, page.body) for page in made]
    assert (report.damaged, report.padding_bytes, captures[0].warc_offset) == ([], len(head), len(head))
    reading = in_ranges(data, 300, NAME)
    assert_same(reading, whole(data, NAME))
    assert (reading.read > 3, reading.again) == (True, 0)


def test_without_its_dictionary_a_file_is_damage_and_a_damaged_frame_costs_itself(dictionary):
    made = numbered(5)
    frames = [frame(page.record, dictionary) for page in made]
    captures, report = read(b"".join(frames), warc_path=NAME)
    assert captures == []
    assert [damage.reason for damage in report.damaged] == ["damaged zstd data (dictionary mismatch)"]
    head = skippable(dictionary.as_bytes())
    wrong = bytearray(frames[2])
    wrong[-1] ^= 1
    captures, report = read(head + b"".join([*frames[:2], bytes(wrong), *frames[3:]]), warc_path=NAME)
    assert urls(captures) == [page.url for page in (*made[:2], *made[3:])]
    start = len(head) + len(frames[0]) + len(frames[1])
    (damage,) = report.damaged
    assert (damage.start, damage.end, damage.url) == (start, start + len(frames[2]), made[2].url)
    assert damage.reason == "damaged zstd data (restored data doesn't match checksum)"


def test_a_dictionary_that_inflates_beyond_its_cap_is_none():
    bomb = skippable(frame(bytes(100 << 20)))
    captures, report = read(bomb + frame(numbered(1)[0].record), warc_path=NAME)
    assert (len(captures), report.padding_bytes, report.damaged) == (1, len(bomb), [])


@settings(deadline=None)
@given(pages(min_size=2), st.sampled_from([b"", skippable(b"", 0)]), st.sampled_from([b"", skippable(b"seek", 0xE)]))
def test_one_frame_for_the_whole_file_is_a_stream(made, before, behind):
    stream = b"".join(page.record for page in made)
    captures, report = read(before + frame(stream) + behind, warc_path=NAME)
    assert [(capture.url, capture.payload) for capture in captures] == [(page.url, page.body) for page in made]
    assert (report.single_stream, report.damaged) == (True, [])
    assert report.stream_size == len(stream)
    for capture, page in zip(captures, made, strict=True):
        assert stream[capture.warc_offset :][: capture.warc_length] == page.record


def test_a_stream_goes_on_in_further_frames():
    made = numbered(40)
    stream = b"".join(page.record for page in made)
    pieces = [stream[at : at + 5000] for at in range(0, len(stream), 5000)]
    captures, report = read(skippable(b"", 0).join(map(frame, pieces)), warc_path=NAME)
    assert urls(captures) == [page.url for page in made]
    assert (report.single_stream, report.stream_size, report.damaged) == (True, len(stream), [])


@settings(deadline=None)
@given(st.data())
def test_a_single_frame_cut_anywhere_gives_what_comes_before(data: st.DataObject):
    made = numbered(60, 30_000)
    stream = b"".join(page.record for page in made)
    file = frame(stream, level=1)
    captures, report = read(file[: data.draw(st.integers(1, len(file) - 1))], warc_path=NAME)
    assert_every_byte_is_accounted_for(report, captures)
    assert urls(captures) == [page.url for page in made[: len(captures)]]
    assert report.damaged


def test_the_end_of_a_file_is_missed():
    made = numbered(3)
    frames = [frame(page.record) for page in made]
    whole_file = b"".join(frames)
    captures, report = read(whole_file[:-5], warc_path=NAME)
    assert urls(captures) == [page.url for page in made[:2]]
    start = len(frames[0]) + len(frames[1])
    assert report.damaged == [Damage(start=start, end=len(whole_file) - 5, reason=CUT)]
    _, report = read(whole_file[: start + 3], warc_path=NAME)
    assert report.damaged == [Damage(start=start, end=start + 3, reason=NOT_WARC)]


def test_the_head_of_a_file_is_lost():
    made = numbered(4)
    data = b"".join(frame(page.record) for page in made)
    captures, report = read(data[9:], warc_path=NAME)
    assert urls(captures) == [page.url for page in made[1:]]
    (damage,) = report.damaged
    assert (damage.end, damage.reason) == (len(frame(made[0].record)) - 9, NOT_WARC)
    assert read(b"", warc_path=NAME)[1].damaged == [Damage(start=0, end=0, reason=EMPTY_FILE)]


def test_a_skippable_frame_of_wild_length_costs_itself():
    made = numbered(4)
    frames = [frame(page.record) for page in made]
    for claim in (1 << 31, 10 << 20, 100, len(frames[2]) + 10):
        wild = struct.pack("<II", 0x184D2A53, claim) + b"index"
        captures, report = read(b"".join([*frames[:2], wild, *frames[2:]]), warc_path=NAME)
        assert urls(captures) == [page.url for page in made]
        start = len(frames[0]) + len(frames[1])
        assert report.damaged == [Damage(start=start, end=start + len(wild), reason=NOT_WARC)]


def test_records_inside_the_frame_are_checked_like_others():
    lying = warc_record("http://example.org/lying", b"short", length=10_000)
    data = frame(numbered(1)[0].record) + frame(lying) + frame(b"<html>") + frame(numbered(2)[1].record)
    captures, report = read(data, warc_path=NAME)
    assert urls(captures) == ["http://example.org/0", "http://example.org/1"]
    assert [damage.reason for damage in report.damaged] == [CUT_SHORT, NOT_WARC]


def test_zstd_needs_the_suffix_or_the_magic():
    """In a gzip file a zstd frame is foreign; so is gzip in a file of zstd frames."""
    first, second = numbered(2)
    data = frame(first.record) + second.record
    captures, _ = read(data, warc_path="unnamed")
    assert urls(captures) == [first.url, second.url]


@pytest.mark.parametrize("single", [False, True])
def test_memory_is_bounded_by_the_limits(single):
    """Frames that inflate to 300 MB, in less than 12 MB."""
    limits = ReadLimits(max_block_bytes=1 << 20, max_payload_bytes=1 << 20, max_look_back_bytes=1 << 20)
    long = warc_record("http://b/", http_block(bytes(100 << 20)))
    data = frame(long * 2) if single else frame(long) * 2
    assert len(data) < 50_000
    del long
    report = FileReport()
    tracemalloc.start()
    captures = read_captures(Dribble(data, 1 << 16), warc_path=NAME, report=report, limits=limits)
    sizes = [len(capture.payload) for capture in captures]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [size >> 19 for size in sizes] == [1, 1]
    assert report.damaged == []
    assert peak < 12 << 20


def test_a_run_over_zstd_publishes_what_one_over_gzip_does(sample, recipe_file, dictionary, tmp_path):
    (tmp_path / "gz").mkdir()
    (tmp_path / "zst").mkdir()
    members = (sample / "sample-00000.warc.gz").read_bytes()
    (tmp_path / "gz" / "a.warc.gz").write_bytes(members)
    records, stream = [], gzip.decompress(members)
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        length = int(next(line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))[15:])
        records.append(head + b"\r\n\r\n" + rest[:length] + b"\r\n\r\n")
        stream = rest[length + 4 :]
    frames = [frame(record, dictionary) for record in records]
    (tmp_path / "zst" / "a.warc.zst").write_bytes(skippable(frame(dictionary.as_bytes())) + b"".join(frames))
    settings = replace(recipe.load(str(recipe_file)), reader=ReaderRecipe(unit_bytes=30_000))
    texts = []
    for kind in ("gz", "zst"):
        job = CurateJob(inputs=(str(tmp_path / kind),), output=tmp_path / f"out-{kind}", recipe=settings)
        assert run(job)["totals"]["damaged_ranges"] == 0
        store = Store(job.output)
        names = [*store.names("RefinedWeb-English"), *store.names("RefinedWeb-Europe")]
        tables = [pq.read_table(store.path(name), partitioning=None, columns=["id", "text"]) for name in names]
        texts.append({row["id"]: row["text"] for table in tables for row in table.to_pylist()})
    assert texts[0] == texts[1]
    assert len(texts[0]) > 20
