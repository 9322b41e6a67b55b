"""Documents as parquet shards, and the counts."""

import pytest
from pyarrow import parquet

from mixtures.sources.document import Document, Dropped, Noted, document_id
from mixtures.sources.writing import SCHEMA, ShardLimits, Tally, write_shards


def document(number, **more):
    return Document(key=(str(number),), text=f"text {number} ü", source="test", **more)


def test_rows_have_all_columns_and_ids_of_kind_and_key(tmp_path):
    said = document(1, url="u", title="t", licence="l", language="de", code_language="c", repeated_prefix=5)
    names, tally = write_shards([said, document(2)], "plain", tmp_path, "part-00000")
    table = parquet.read_table(tmp_path / names[0])
    assert table.schema.equals(SCHEMA)
    first, second = table.to_pylist()
    assert first == {
        **dict.fromkeys(SCHEMA.names),
        "id": document_id("plain", ("1",)),
        "text": "text 1 ü",
        "url": "u",
        "title": "t",
        "licence": "l",
        "language": "de",
        "code_language": "c",
        "source": "test",
        "repeated_prefix": 5,
    }
    assert (second["url"], second["title"], second["repeated_prefix"]) == ("", None, 0)
    assert (tally.documents, tally.text_bytes, tally.repeated_bytes) == (2, 18, 5)


def test_ids_differ_by_kind_and_by_where_a_key_is_cut():
    assert len({document_id("a", ("b", "c")), document_id("a", ("bc",)), document_id("b", ("b", "c"))}) == 3


def test_shards_and_row_groups_are_cut_by_size(tmp_path):
    limits = ShardLimits(group_rows=2, group_bytes=10**6, shard_bytes=45)
    names, _ = write_shards([document(i) for i in range(12)], "plain", tmp_path, "part-00007", limits)
    assert names == ["part-00007-000.parquet", "part-00007-001.parquet", "part-00007-002.parquet"]
    files = [parquet.ParquetFile(tmp_path / name).metadata for name in names]
    assert [file.num_rows for file in files] == [5, 5, 2]
    assert [[file.row_group(i).num_rows for i in range(file.num_row_groups)] for file in files] == [[2, 2, 1]] * 2 + [
        [2]
    ]


def test_equal_items_give_equal_bytes_and_no_items_no_file(tmp_path):
    for folder in ("a", "b"):
        write_shards([document(i) for i in range(100)], "plain", tmp_path / folder, "part-00000")
    name = "part-00000-000.parquet"
    assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert write_shards([Dropped(reason="x")], "plain", tmp_path / "c", "part-00000")[0] == []
    assert not (tmp_path / "c").exists()


def test_an_error_leaves_no_shard_half_written(tmp_path):
    def items():
        yield document(1)
        raise RuntimeError("gone")

    with pytest.raises(RuntimeError, match="gone"):
        write_shards(items(), "plain", tmp_path, "part-00000")
    assert list(tmp_path.iterdir()) == []


def test_every_record_is_counted_once_and_examples_are_bounded():
    tally = Tally()
    tally.take(document(1, records=3), 10)
    tally.leave(Dropped(reason="small", records=2))
    for i in range(150):
        tally.leave(Dropped(reason="broken", place=f"a, byte {i}", damaged=True))
    assert tally.records == 3 + 2 + 150
    both = Tally()
    for _ in range(2):
        both.add(tally.report())
    report = both.report()
    assert (report["records"], report["dropped"], report["damaged"]) == (310, {"small": 4}, {"broken": 300})
    assert len(report["examples"]) == 100
    assert report["examples"][0] == "a, byte 0: broken"


def test_notes_are_counted_apart(tmp_path):
    _, tally = write_shards([document(1), Noted(what="odd", records=4)], "plain", tmp_path, "part-00000")
    assert (tally.records, dict(tally.noted)) == (1, {"odd": 4})
