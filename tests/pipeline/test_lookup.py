"""The lookup: made at once or by ranges of keys, made anew or brought up to date, it says the same."""

import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import lookup
from pipeline.shards import PUBLISHED
from pipeline.store import Store

SHARD = "RefinedWeb-Europe/lang=sv/part-00000.parquet"


@pytest.fixture
def store(curated_file, tmp_path):
    return Store(shutil.copytree(curated_file, tmp_path / "out"))


def rows(store):
    return pq.read_table(store.path(lookup.NAME)).to_pylist()


def places(store):
    """What the lookup must say, row by row."""
    found = set()
    for name in [*(n for folder in PUBLISHED for n in store.names(folder, ".parquet")), lookup.DAMAGED]:
        for row in pq.read_table(store.path(name), partitioning=None).to_pylist():
            keys = {lookup.url_key(row["url"] or "")} | ({lookup.id_key(row["id"])} if "id" in row else set())
            found |= {(key, name, 0) for key in keys if key is not None}
    return sorted(found)


@pytest.mark.parametrize("range_rows", [lookup.RANGE_ROWS, 7])
def test_it_says_of_every_page_where_it_is(store, monkeypatch, range_rows):
    monkeypatch.setattr(lookup, "RANGE_ROWS", range_rows)
    lookup.build(store)
    assert [tuple(row.values()) for row in rows(store)] == places(store)
    assert store.names(lookup.FOLDER) == [lookup.NAME]


@pytest.mark.parametrize("range_rows", [lookup.RANGE_ROWS, 7])
def test_brought_up_to_date_it_is_what_it_would_be_anew(store, tmp_path, monkeypatch, range_rows):
    monkeypatch.setattr(lookup, "RANGE_ROWS", range_rows)
    changed = Store(tmp_path / "changed")
    table = pq.read_table(store.path(SHARD), partitioning=None)
    changed.write_table(SHARD, table.slice(2), table.schema)
    lookup.update(store, changed)
    shutil.copy(changed.path(SHARD), store.path(SHARD))
    lookup.build(store)
    assert rows(changed) == rows(store)


def test_files_are_found_by_keys(store):
    first, last = (pq.read_table(store.path(SHARD))["url"].to_pylist()[row] for row in (0, -1))
    keys = np.sort(np.array([lookup.url_key(first), lookup.url_key(last), 12345], np.uint64))
    assert SHARD in lookup.files_with(store, keys)
    assert set(lookup.files_with(store, keys)) <= {SHARD, "rejected/stage=url_dedup/part-00000.parquet"}
    assert lookup.files_with(store, np.array([12345, 2**64 - 1], np.uint64)) == []
    every = np.array(sorted({row["key"] for row in rows(store)}), np.uint64)
    assert lookup.files_with(store, every) == sorted({row["file"] for row in rows(store)})
