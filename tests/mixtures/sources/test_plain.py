"""Any texts in parquet or JSON lines."""

import gzip

import pyarrow as pa
import pytest
from pyarrow import parquet

from mixtures.errors import InputError
from tests.mixtures.sources.imports import imported, write_lines


def test_what_a_row_says_is_kept(tmp_path):
    rows = [
        {"text": "One.", "id": 5, "url": "https://e.org/1", "title": "T", "licence": ["MIT", "CC0"], "language": "de"},
        {"text": "Two."},
        {"text": "  \n"},
        {"text": 3},
        {"text": "x"},
    ]
    path = write_lines(tmp_path / "set.jsonl", rows)
    report, documents = imported("plain", path, tmp_path / "out", "min_chars=2", "licence=unknown", "language=fr")
    assert [
        [document[name] for name in ("text", "url", "title", "licence", "language", "source")] for document in documents
    ] == [
        ["One.", "https://e.org/1", "T", "MIT; CC0", "de", "set"],
        ["Two.", "", None, "unknown", "fr", "set"],
    ]
    assert report["counts"]["dropped"] == {"empty text": 1, "shorter than min_chars": 1}
    assert report["counts"]["damaged"] == {"no text": 1}
    assert len({document["id"] for document in documents}) == 2


def test_columns_can_be_named(tmp_path):
    parquet.write_table(pa.table({"body": ["a text"], "address": ["https://e.org"]}), tmp_path / "a.parquet")
    _, (document,) = imported("plain", tmp_path, tmp_path / "out", "columns={text: body, url: address}", "source=mine")
    assert (document["text"], document["url"], document["source"]) == ("a text", "https://e.org", "mine")


def test_licences_are_found_in_either_spelling(tmp_path):
    rows = [{"text": "a", "license": "MIT"}, {"text": "b", "licence": "CC0", "license": "MIT"}]
    _, documents = imported("plain", write_lines(tmp_path / "a.jsonl", rows), tmp_path / "out")
    assert [document["licence"] for document in documents] == ["MIT", "CC0"]


def test_a_missing_column_is_refused_before_any_work(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"body": "x"}])
    with pytest.raises(
        InputError, match=r"a\.jsonl: no column 'text' \(it has body\); name the one .* --set columns.text"
    ):
        imported("plain", path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_packed_json_file_is_one_of_lines_and_a_plain_one_no_input(tmp_path):
    (tmp_path / "c4-train.00000-of-01024.json.gz").write_bytes(gzip.compress(b'{"text": "a"}\n{"text": "b"}\n'))
    (tmp_path / "dataset_infos.json").write_text("{}")
    _, documents = imported("plain", tmp_path, tmp_path / "out")
    assert [document["text"] for document in documents] == ["a", "b"]


def test_an_input_without_rows_gives_no_shard(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [])
    report, documents = imported("plain", path, tmp_path / "out")
    assert (report["shards"], documents, report["counts"]["records"]) == ([], [], 0)
