import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from mixtures.documents import columns_of, read_documents, shard_stem
from mixtures.errors import InputError


def read(path: Path, **columns: str) -> list[tuple[str, str]]:
    return [pair for batch in read_documents(path, **columns) for pair in zip(batch.ids, batch.texts, strict=True)]


def test_parquet_by_column_name_in_order(tmp_path: Path) -> None:
    path = tmp_path / "part-00000.parquet"
    rows = [(f"{i:032x}", f"text {i}") for i in range(1000)]
    ids, texts = zip(*rows, strict=True)
    parquet.write_table(pa.table({"n": list(range(1000)), "text": texts, "id": ids}), path, row_group_size=300)
    assert read(path) == rows
    assert read(path, text_column="id", id_column="text") == [(text, id_) for id_, text in rows]


def test_parquet_refusals(tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    parquet.write_table(pa.table({"id": ["a"], "body": ["x"]}), path)
    with pytest.raises(InputError, match=r"p\.parquet: has no column 'text'; it has id, body"):
        read(path)
    parquet.write_table(pa.table({"id": ["a"], "text": pa.array([None], pa.string())}), path)
    with pytest.raises(InputError, match=r"p\.parquet: column 'text' holds None; it must be text in every row"):
        read(path)
    parquet.write_table(pa.table({"id": ["a"], "text": pa.array([b"\xff"]).view(pa.string())}), path)
    with pytest.raises(InputError, match=r"p\.parquet: column 'text' is not UTF-8 \(invalid start byte\)"):
        read(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"p\.parquet: not a whole parquet file"):
        read(path)


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("url", pa.array([7]), r"p\.parquet: column 'url' is int64, and has to be text; convert it, or bring"),
        (
            "repeated_prefix",
            pa.array([1.0]),
            r"column 'repeated_prefix' is double, and has to be whole numbers of bytes",
        ),
    ],
)
def test_columns_of_another_type_are_refused(name: str, values: pa.Array, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    parquet.write_table(pa.table({"id": ["a"], "text": ["x"], name: values}), path)
    with pytest.raises(InputError, match=message):
        columns_of(path)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        (pa.array(["u"], pa.large_string()), pa.array([1], pa.int32())),
        (pa.array(["u"]).dictionary_encode(), pa.array([1], pa.uint64())),
        (pa.nulls(1), pa.nulls(1)),
    ],
)
def test_other_types_of_text_and_of_whole_numbers_are_taken(url: pa.Array, prefix: pa.Array, tmp_path: Path) -> None:
    path = tmp_path / "p.parquet"
    parquet.write_table(pa.table({"id": ["a"], "text": ["x"], "url": url, "repeated_prefix": prefix}), path)
    assert columns_of(path).names == ["id", "url", "repeated_prefix"]


def test_a_licence_is_kept_however_it_is_spelt(write_jsonl: Callable[..., Path], tmp_path: Path) -> None:
    rows = [{"text": "a", "license": "MIT"}, {"text": "b", "licence": "CC0", "license": "MIT"}, {"text": "c"}]
    (batch,) = read_documents(write_jsonl(tmp_path / "d.jsonl", rows))
    assert batch.column("licence") == ["MIT", "CC0", None]


def test_json_lines(write_jsonl: Callable[..., Path], tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "one"}, {"id": 7, "text": ""}, {"text": "three"}]
    path = write_jsonl(tmp_path / "d.jsonl", rows)
    (first, second, third) = read(path)
    assert (first, second) == (("a", "one"), ("7", ""))
    assert third[1] == "three" and len(third[0]) == 32
    packed = tmp_path / "zip" / "d.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert [text for _, text in read(packed)] == ["one", "", "three"]
    moved = tmp_path / "elsewhere" / "d.jsonl"
    moved.parent.mkdir()
    path.rename(moved)
    assert read(moved) == [first, second, third]


def test_more_lines_than_a_batch(write_jsonl: Callable[..., Path], tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "d.jsonl", [{"id": str(i), "text": str(i)} for i in range(600)])
    assert [id_ for id_, _ in read(path)] == [str(i) for i in range(600)]


def test_half_surrogates_become_replacement_characters(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text('{"id": "x", "text": "a\\ud800b\\ud83e\\udd85"}\n\n')
    assert read(path) == [("x", "a\ufffdb🦅")]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"d\.jsonl:2: not JSON"),
        ("[1]", r"d\.jsonl:2: not an object"),
        ('{"body": "x"}', r"d\.jsonl:2: no text under 'text'; each line needs it"),
        ('{"text": null}', r"d\.jsonl:2: no text under 'text'"),
        ('{"text": "x", "warc_offset": 9223372036854775808}', r"d\.jsonl:2: 'warc_offset' needs more than 64 bits"),
        ('{"text": "x", "y": ' + "[" * 100_000 + "]" * 100_000 + "}", r"d\.jsonl:2: not JSON \(maximum recursion"),
    ],
)
def test_a_broken_line_is_named(line: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps({"text": "fine"}) + f"\n{line}\n")
    with pytest.raises(InputError, match=message):
        read(path)


def test_a_gzip_file_cut_short_or_damaged_is_named(tmp_path: Path) -> None:
    path = tmp_path / "d.jsonl.gz"
    whole = gzip.compress(b'{"text": "x"}\n' * 1000)
    for content in (whole[:-20], whole[:10] + b"\7"):  # there is no such kind of block
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"d\.jsonl\.gz: cannot be read to its end"):
            read(path)


def test_stems() -> None:
    assert [shard_stem(Path(name)) for name in ("a.b.parquet", "c.jsonl", "d.jsonl.gz")] == ["a.b", "c", "d"]
    with pytest.raises(InputError, match=r"x\.csv: not a kind of file"):
        shard_stem(Path("x.csv"))
