import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shards import TEXT_BYTES_PER_SHARD, document_shards, reject_shards

IDS = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.lists(IDS, min_size=1), st.integers(1, 9))
def test_each_id_lies_in_exactly_one_shard_and_shards_ascend(ids, count):
    shards = document_shards({"en": count * TEXT_BYTES_PER_SHARD})
    assert len(shards) == count
    table = pa.table({"id": ids})
    parts = [table.filter(shard.holds_id())["id"].to_pylist() for shard in shards]
    assert sorted(id_ for part in parts for id_ in part) == sorted(ids)
    filled = [part for part in parts if part]
    assert all(max(a) < min(b) for a, b in itertools.pairwise(filled))


def test_names_follow_the_layout():
    assert [shard.name for shard in document_shards({"en": 1, "de": 1})] == [
        "RefinedWeb-Europe/lang=de/part-00000.parquet",
        "RefinedWeb-English/part-00000.parquet",
    ]
    assert reject_shards({"quality": 3})[0].name == "rejected/stage=quality/part-00000.parquet"
