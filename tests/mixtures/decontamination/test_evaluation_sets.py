import gzip
import json
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from mixtures.decontamination.evaluation_sets import file_digest, read_items
from mixtures.errors import InputError

ROWS = [
    {"question": "Why?", "choices": {"text": ["so", "thus"], "label": ["A", "B"]}, "answer": 1, "id": "q1"},
    {"question": "How?", "choices": {"text": [], "label": []}, "answer": 0, "id": "q2"},
]
ALL = [(1, ("Why?", "so", "thus", "A", "B", "q1")), (2, ("How?", "q2"))]


def found(path: Path, *columns: str) -> list[tuple[int, tuple[str, ...]]]:
    return [(item.number, item.passages) for item in read_items(path, columns)]


def test_all_texts_of_a_row_in_lists_and_mappings_too(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("\n".join(json.dumps(row) for row in ROWS))
    with gzip.open(tmp_path / "a.jsonl.gz", "wt") as file:
        file.write("\n".join(json.dumps(row) for row in ROWS))
    parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    assert found(tmp_path / "a.jsonl") == found(tmp_path / "a.jsonl.gz") == found(tmp_path / "a.parquet") == ALL


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_columns_by_name_as_far_as_there_are_any(tmp_path: Path, name: str) -> None:
    if name.endswith("l"):
        (tmp_path / name).write_text("\n".join(json.dumps(row) for row in ROWS))
    else:
        parquet.write_table(pa.Table.from_pylist(ROWS), tmp_path / name)
    assert found(tmp_path / name, "question", "passage") == [(1, ("Why?",)), (2, ("How?",))]
    with pytest.raises(InputError, match=rf"{name}: has no column ctx or passage; it has .*question"):
        read_items(tmp_path / name, ("ctx", "passage"))


def test_a_line_of_a_text_file_is_an_item_and_blank_ones_are_counted_only(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.\n\nThree é\n", encoding="utf-8")
    assert found(tmp_path / "a.txt") == [(1, ("One.\n",)), (3, ("Three é\n",))]


def test_half_a_surrogate_pair_is_no_character(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "a\\ud800b"}')
    assert found(tmp_path / "a.jsonl") == [(1, ("a\ufffdb",))]


def test_a_parquet_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"q": pa.array([b"\xff"]).view(pa.string())}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: cannot be read to its end \('utf-8' codec"):
        read_items(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"q": "x"}\n\n{"q": \n', r"a\.jsonl:3: not JSON \(.*\); each line is one object"),
        ("a.jsonl", b'{"q": "x"}\n["x"]\n', r"a\.jsonl:2: not an object; each line is one object"),
        ("a.jsonl", b'{"q": "\xff"}\n', r"a\.jsonl:1: not JSON"),
        ("a.jsonl", b"[" * 100_000, r"a\.jsonl:1: not JSON"),
        ("a.jsonl", b"", r"a\.jsonl: holds no evaluation items; give a file that does"),
        ("a.txt", b"good\n\xff\xfe\n", r"a\.txt:2: not UTF-8"),
        ("a.parquet", b"PAR1 not at all", r"a\.parquet: cannot be read to its end"),
        ("a.jsonl.gz", gzip.compress(b"", mtime=0)[:10] + b"\7", r"a\.jsonl\.gz: cannot be read to its end"),
        ("a.jsonl.gz", gzip.compress(b'{"q": "x"}\n' * 999, mtime=0)[:-20], r"a\.jsonl\.gz: cannot be read to its end"),
    ],
    # pytest would name a case by its bytes.
    ids=["half", "list", "latin-1", "deep", "empty", "not-utf-8", "not-parquet", "damaged-gzip", "cut-gzip"],
)
def test_a_damaged_file_gets_one_line_that_names_the_place(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        read_items(tmp_path / name)
    assert "\n" not in str(error.value)


def test_what_is_no_evaluation_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    with pytest.raises(InputError, match=r"a\.csv: not a kind of evaluation file that is known; give \.jsonl"):
        file_digest(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"b\.txt: cannot be read \(No such file or directory\)"):
        file_digest(tmp_path / "b.txt")
    with pytest.raises(InputError, match=r"b\.txt: no such evaluation file"):
        read_items(tmp_path / "b.txt")
