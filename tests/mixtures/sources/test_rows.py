"""Rows of JSON lines and parquet."""

import pyarrow as pa
from pyarrow import parquet

from mixtures.sources.document import Dropped
from mixtures.sources.rows import Row, column_names, rows
from tests.mixtures.sources.imports import piece_of


def test_a_broken_line_costs_only_itself(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\nnot json\n[1]\n{"a": 2}\n' + "[" * 100_000 + '\n{"a": 3}')
    found = list(rows(piece_of(path)))
    assert [row.values["a"] for row in found if isinstance(row, Row)] == [1, 2, 3]
    assert [(row.reason, row.place, row.damaged) for row in found if isinstance(row, Dropped)] == [
        ("not JSON", "a.jsonl, byte 9", True),
        ("not a JSON object", "a.jsonl, byte 18", True),
        ("not JSON", "a.jsonl, byte 31", True),
    ]


def test_half_a_surrogate_pair_is_replaced_everywhere(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(r'{"t": "a\ud800b \ud83d\ude00", "l": [{"\uDC00": "\uD800"}]}')
    (row,) = rows(piece_of(path))
    assert row.values == {"t": "a\ufffdb \U0001f600", "l": [{"\ufffd": "\ufffd"}]}


def test_parquet_gives_the_wanted_columns_that_are_there(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"a": [1, 2], "b": ["x", None], "c": [0.5, 1.5]}), path)
    assert list(rows(piece_of(path), {"a", "b", "nowhere"})) == [
        Row("a.parquet, row 0", {"a": 1, "b": "x"}),
        Row("a.parquet, row 1", {"a": 2, "b": None}),
    ]
    assert column_names(piece_of(path).source) == ["a", "b", "c"]


def test_a_parquet_row_that_is_not_utf8_costs_only_itself(tmp_path):
    path = tmp_path / "a.parquet"
    parquet.write_table(
        pa.table({"t": pa.array([b"ab", b"\xff", b"\xc3\xa9"]).cast(pa.binary()).view(pa.string())}), path
    )
    first, damaged, last = rows(piece_of(path))
    assert (first.values, last.values) == ({"t": "ab"}, {"t": "é"})
    assert damaged == Dropped(reason="not UTF-8", place="a.parquet, row 1", damaged=True)


def test_a_damaged_parquet_file_is_damage_of_one_record(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    (found,) = rows(piece_of(path))
    assert (found.reason, found.damaged) == ("cannot be read further", True)
    assert column_names(piece_of(path).source) == []


def test_columns_of_json_are_those_of_the_first_row_that_can_be_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('oops\n{"x": 1, "y": 2}\n{"z": 3}\n')
    assert column_names(piece_of(path).source) == ["x", "y"]
    path.write_text("")
    assert column_names(piece_of(path).source) == []
