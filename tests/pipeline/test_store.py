import errno
import os

import pyarrow as pa
import pytest

from pipeline.manifest import Manifest
from pipeline.store import TEMPORARY, Store

SCHEMA = pa.schema([pa.field("n", pa.int64(), nullable=False)])


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path)


def test_a_write_that_fails_leaves_the_earlier_file_and_no_temporary(store):
    store.write_json("a.json", {"n": 1})
    with pytest.raises(RuntimeError), store.writing("a.json") as path:
        path.write_text("half")
        raise RuntimeError
    assert store.read_json("a.json") == {"n": 1}
    assert [path.name for path in store.root.iterdir()] == ["a.json"]


def test_a_full_disk_is_reported_and_leaves_nothing(store, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pipeline.store.os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        store.write_json("a.json", {})
    assert list(store.root.iterdir()) == []


def test_names_skip_what_was_not_finished(store):
    store.write_json("work/x/a.json", 1)
    (store.root / "work" / "x" / f"{TEMPORARY}b.json").write_text("half")
    assert store.names("work", ".json") == ["work/x/a.json"]
    store.sweep_temporaries()
    assert sorted(path.name for path in store.root.rglob("*.json")) == ["a.json"]


def test_equal_rows_give_equal_bytes(store):
    table = pa.table({"n": list(range(10_000))}, schema=SCHEMA)
    store.write_table("a.parquet", table, SCHEMA)
    store.write_tables("b.parquet", SCHEMA, [table])
    assert store.digest("a.parquet") == store.digest("b.parquet")


def test_a_table_that_differs_from_its_declaration_is_not_written(store):
    with pytest.raises(ValueError, match="missing \\['n'\\]"):
        store.write_table("a.parquet", pa.table({"m": [1]}), SCHEMA)
    with pytest.raises(ValueError, match="1 nulls"):
        store.write_table("a.parquet", pa.table({"n": [None]}, schema=pa.schema([("n", pa.int64())])), SCHEMA)
    assert not store.exists("a.parquet")


def test_a_record_counts_only_while_its_files_are_whole_and_its_key_the_same(store):
    manifest = Manifest(store, "phase")
    store.write_json("work/a.json", [1, 2, 3])
    manifest.finish("a", "key", ["work/a.json"], {"rows": 3})
    assert manifest.done("a", "key")["report"] == {"rows": 3}
    assert manifest.done("a", "another") is None
    assert manifest.done("b", "key") is None
    store.path("work/a.json").write_text("[1")
    assert manifest.done("a", "key") is None
    store.remove("work")
    assert manifest.done("a", "key") is None


def test_a_full_disk_is_told_with_the_file(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError) as caught:
        Store(tmp_path).write_json("a/b.json", {})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a" / "b.json"))
    assert not list((tmp_path / "a").iterdir())
