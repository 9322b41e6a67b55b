"""Records brought together on disk."""

import json
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import InputError
from mixtures.sources.scatter import ScatterFile, cut_buckets, group_hash, read_groups, write_scatter

RECORDS = st.lists(
    st.tuples(st.sampled_from([json.dumps([f"g{i}"]).encode() for i in range(9)]), st.integers(0, 999)), max_size=40
)


def packed(records):
    return [(group, json.dumps(number).encode()) for group, number in records]


def expected(units):
    groups = defaultdict(list)
    for records in units:
        for group, record in packed(records):
            groups[group].append(record)
    return [(group, groups[group]) for group in sorted(groups, key=lambda group: (group_hash(group), group))]


@given(units=st.lists(RECORDS, min_size=1, max_size=4), n_buckets=st.integers(1, 17), buffer=st.integers(1, 200))
def test_groups_come_out_whole_and_in_one_order_whatever_the_sizes(units, n_buckets, buffer):
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for number, records in enumerate(units):
            path = Path(folder) / f"{number}.scatter"
            assert write_scatter(path, packed(records), n_buckets=n_buckets, buffer_bytes=buffer) == len(records)
            files.append(ScatterFile(path))
        n_bytes = sum(int(file.raw_bytes().sum()) for file in files)
        assert n_bytes == sum(len(group) + len(record) + 2 for records in units for group, record in packed(records))
        for part_bytes in (1, 100, 10**9):
            ranges = cut_buckets(files, part_bytes)
            assert [first for first, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
            assert ranges[-1][1] == n_buckets
            assert [group for cut in ranges for group in read_groups(files, *cut)] == expected(units)


def test_a_range_of_buckets_holds_about_as_many_bytes_as_asked_for(tmp_path):
    path = tmp_path / "a.scatter"
    records = [(json.dumps([i]).encode(), b'"' + b"x" * 100 + b'"') for i in range(2000)]
    write_scatter(path, records, n_buckets=256)
    ranges = cut_buckets([ScatterFile(path)], 20_000)
    sizes = [int(ScatterFile(path).raw_bytes()[first:end].sum()) for first, end in ranges]
    assert max(sizes) <= 20_000
    assert len(ranges) <= 2 * sum(sizes) // 20_000


def test_equal_records_give_equal_bytes(tmp_path):
    for name in "ab":
        write_scatter(tmp_path / name, packed([(b"[1]", 5), (b"[2]", 6)] * 50), buffer_bytes=90)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_cut_short_is_refused(tmp_path):
    path = tmp_path / "a.scatter"
    write_scatter(path, packed([(b"[1]", 5)]))
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(InputError, match=r"a\.scatter: not a work file of this program; give --restart"):
        ScatterFile(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.scatter: not a whole work file"):
        ScatterFile(path)
