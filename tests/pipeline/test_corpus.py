"""Deduplication of anybody's documents, file by file: what comes back, in which order, and what is said of the rest."""

import gzip
import json
import random
from dataclasses import replace
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline import recipe
from pipeline.corpus.files import Columns
from pipeline.corpus.run import DedupJob, dedup
from pipeline.corpus.why import describe, is_corpus_run, why
from pipeline.engine import SerialEngine
from pipeline.errors import UsageError, WorkError
from pipeline.progress import Quiet
from pipeline.store import Store

COLUMNS = Columns(text="text", url="url", language="language")
RECIPE = recipe.load("refinedweb")


def words(start, end, last=""):
    return " ".join([*(f"w{i}" for i in range(start, end)), *([last] if last else [])])


SHARED = words(1000, 1060)
TEXTS = [
    words(0, 60),
    None,
    words(0, 60),  # equal to row 0
    words(0, 60, "more"),  # nearly
    f"{words(100, 130)} {SHARED} {words(130, 160)}",
    f"{words(200, 230)} {SHARED} {words(230, 260)}",  # a passage of row 4
    SHARED,  # nothing else
    "",
    "",
    "одно",
    "ภาษาไทยไม่มีช่องว่าง",
]
KEPT = [0, 1, 4, 5, 7, 9, 10]
REMOVED = {
    2: ("exact_dedup", "same_text", 0),
    3: ("minhash", "near_duplicate", 0),
    6: ("substrings", "emptied", None),
    8: ("exact_dedup", "same_text", 7),
}


@pytest.fixture
def rows():
    return [{"name": f"n{i}", "text": text, "nested": {"a": [i]}} for i, text in enumerate(TEXTS)]


def job(tmp_path, *files, **changes):
    made = DedupJob(inputs=tuple(map(str, files)), output=tmp_path / "out", recipe=RECIPE, columns=COLUMNS)
    return replace(made, **changes)


def run(made):
    return dedup(made, SerialEngine, Quiet())


def digests(output):
    store = Store(output)
    folders = ("documents", "removed", "dedup")
    return {name: store.digest(name) for folder in folders for name in store.names(folder)}


def write_lines(path, rows, opened=open):
    with opened(path, "wb") as stream:
        for row in rows:
            stream.write(json.dumps(row).encode() + b"\n")
    return path


def test_parquet_comes_back_with_all_its_columns(tmp_path, rows):
    table = pa.Table.from_pylist(rows).replace_schema_metadata({"mine": "kept"})
    pq.write_table(table, tmp_path / "a.parquet")
    stats = run(job(tmp_path, tmp_path / "a.parquet"))
    table = pq.read_table(tmp_path / "a.parquet")
    back = pq.read_table(tmp_path / "out/documents/a.parquet")
    assert back.schema.equals(table.schema, check_metadata=True)
    assert back["name"].to_pylist() == [f"n{row}" for row in KEPT]
    assert back["nested"].to_pylist() == [{"a": [row]} for row in KEPT]
    expected = [TEXTS[row] for row in KEPT]
    expected[3] = f"{words(200, 230)}  {words(230, 260)}"
    assert back["text"].to_pylist() == expected
    removed = pq.read_table(tmp_path / "out/removed/a.parquet.parquet").to_pylist()
    assert {row["row"]: (row["stage"], row["rule"], row["kept_row"]) for row in removed} == REMOVED
    assert {row["kept_file"] for row in removed} == {"a.parquet", None}
    assert stats["inputs"] == [
        {"file": "a.parquet", "rows": 11, "written": 7, "removed": {"exact_dedup": 2, "minhash": 1, "substrings": 1}}
    ]
    assert [(step["stage"], step["in"], step["out"]) for step in stats["funnel"]] == [
        ("url_dedup", 11, 11),
        ("exact_dedup", 11, 9),
        ("minhash", 9, 8),
        ("substrings", 8, 7),
    ]
    spans = pq.read_table(tmp_path / "out/dedup/spans.parquet").to_pylist()
    assert [span["id"][16:] for span in spans] == [f"{5:016x}", f"{6:016x}"]
    (cluster,) = pq.read_table(tmp_path / "out/dedup/top_clusters.parquet").to_pylist()
    assert (cluster["representative_id"][16:], cluster["n_documents"], cluster["url"]) == (f"{0:016x}", 2, "")
    assert cluster["text"] == TEXTS[0]
    (passage,) = pq.read_table(tmp_path / "out/dedup/passages.parquet").to_pylist()
    assert (passage["first_id"][16:], passage["first_start"]) == (f"{4:016x}", TEXTS[4].index("w1000"))
    assert (passage["n_cuts"], passage["length"], passage["text"]) == (2, len(SHARED), SHARED[:500])
    assert (stats["deduplication"]["top_clusters"], stats["deduplication"]["top_passages"]) == ([cluster], [passage])
    (unnamed,) = stats["deduplication"]["removal"]["domain"]
    assert (unnamed["name"], unnamed["pages"]) == ("", 10)
    assert unnamed["removed"] == {"url_dedup": 0, "exact_dedup": 2, "minhash": 1, "substrings": 1}


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_lines_come_back_as_they_were(tmp_path, rows, suffix):
    opened = {"": open, ".gz": gzip.open, ".zst": zstandard.open}[suffix]
    path = write_lines(tmp_path / f"a.jsonl{suffix}", rows, opened)
    run(job(tmp_path, path))
    with opened(tmp_path / f"out/documents/a.jsonl{suffix}", "rb") as stream:
        lines = stream.read().splitlines()
    unchanged = [json.dumps(rows[row]).encode() for row in KEPT]
    assert [line for number, line in enumerate(lines) if number != 3] == unchanged[:3] + unchanged[4:]
    assert json.loads(lines[3])["nested"] == {"a": [5]}


def test_the_first_row_of_the_first_file_stays_unless_dates_say_otherwise(tmp_path):
    def rows(*days):
        return [{"text": words(0, 30), "when": day and datetime(2024, 1, day), "url": None} for day in days]

    for name, days in (("b", (2, 1)), ("a", (4, None))):
        pq.write_table(pa.Table.from_pylist(rows(*days)), tmp_path / f"{name}.parquet")
    files = [tmp_path / "b.parquet", tmp_path / "a.parquet"]
    run(job(tmp_path, *files))
    assert pq.read_table(tmp_path / "out/documents/a.parquet")["when"].to_pylist() == [datetime(2024, 1, 4)]
    assert pq.read_table(tmp_path / "out/documents/b.parquet").num_rows == 0
    dated = job(tmp_path, *files, output=tmp_path / "dated", columns=replace(COLUMNS, date="when"))
    run(dated)
    assert pq.read_table(tmp_path / "dated/documents/b.parquet")["when"].to_pylist() == [datetime(2024, 1, 1)]
    kept = pq.read_table(tmp_path / "dated/removed/a.parquet.parquet").to_pylist()
    assert [(row["kept_file"], row["kept_row"]) for row in kept] == [("b.parquet", 1)] * 2


class Dying(SerialEngine):
    """Ends with the run after so many units."""

    def __init__(self, left):
        super().__init__()
        self.left = left

    def run(self, work, units):
        for outcome in super().run(work, units):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            yield outcome


def test_broken_off_anywhere_and_resumed_it_gives_the_same_bytes(tmp_path):
    chance = random.Random(0)
    files = []
    for name in "abc":
        rows = [{"text": words(s := chance.randrange(40), s + chance.randrange(60, 64))} for _ in range(12)]
        files.append(write_lines(tmp_path / f"{name}.jsonl", rows))
    small = replace(RECIPE, dedup=replace(RECIPE.dedup, group_pages=10, partition_rows=50))
    whole = job(tmp_path, *files, recipe=small, output=tmp_path / "whole")
    run(whole)
    expected = digests(whole.output)
    broken = replace(whole, output=tmp_path / "broken", inputs=tuple(reversed(whole.inputs)))
    n = 0
    for left in (0, 2, 4, 11, 30, 40):
        with pytest.raises(KeyboardInterrupt):
            dedup(broken, lambda: Dying(left), Quiet())  # noqa: B023 - called at once
        n += 1
    run(broken)
    assert digests(broken.output) == expected
    whole_cut = job(tmp_path, *files, output=tmp_path / "other")
    run(whole_cut)
    assert digests(whole_cut.output) == expected
    assert n == 6


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_large_file_is_searched_in_parts_and_comes_back_whole(tmp_path, monkeypatch, suffix):
    """However many documents a file has, no task holds more than a group of them."""
    chance = random.Random(1)
    rows = [{"text": words(s := chance.randrange(400), s + chance.randrange(60, 64))} for _ in range(700)]
    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        write_lines(path, rows)
    whole = run(job(tmp_path, path, output=tmp_path / "whole"))
    removed = whole["inputs"][0]["removed"]
    assert min(removed[stage] for stage in ("exact_dedup", "minhash")) > 10
    for pages, n_bytes, n_parts in ((10, 1 << 20, 3), (10_000, 1000, 3)):
        monkeypatch.setattr("pipeline.corpus.units.PAGE_BYTES", n_bytes / pages)
        monkeypatch.setattr("pipeline.groups.PAGE_BYTES", n_bytes / pages)
        small = replace(RECIPE, dedup=replace(RECIPE.dedup, group_pages=pages))
        cut = job(tmp_path, path, output=tmp_path / f"{pages}", recipe=small)
        stats = run(cut)
        assert stats["inputs"] == whole["inputs"]
        assert digests(cut.output) == digests(tmp_path / "whole")
        assert len(list((cut.output / "work/keys").glob("*.parquet"))) == n_parts
        assert len(list((cut.output / "manifest/dedup/decided").glob("*.json"))) == n_parts


def test_lines_are_read_a_few_at_a_time_where_they_are_long(tmp_path, monkeypatch, rows):
    path = write_lines(tmp_path / "a.jsonl", rows)
    run(job(tmp_path, path))
    monkeypatch.setattr("pipeline.corpus.files.BATCH_BYTES", 100)
    run(job(tmp_path, path, output=tmp_path / "few"))
    assert digests(tmp_path / "few") == digests(tmp_path / "out")


def test_a_second_corpus_beside_an_index(tmp_path):
    write_lines(tmp_path / "a.jsonl", [{"text": words(0, 60)}, {"text": words(70, 130)}])
    write_lines(tmp_path / "b.jsonl", [{"text": words(0, 60)}, {"text": words(200, 260)}])
    index = tmp_path / "index"
    run(job(tmp_path, tmp_path / "a.jsonl", output=tmp_path / "1", index=index))
    stats = run(job(tmp_path, tmp_path / "b.jsonl", output=tmp_path / "2", index=index))
    assert stats["inputs"][0]["removed"] == {"exact_dedup": 1}
    (removed,) = pq.read_table(tmp_path / "2/removed/b.jsonl.parquet").to_pylist()
    assert (removed["row"], removed["kept_file"], removed["kept_row"]) == (0, None, None)
    assert removed["kept_id"].endswith(f"{0:016x}")


def test_what_cannot_be_read_is_named_before_any_work(tmp_path):
    pq.write_table(pa.table({"content": ["x"], "number": [1]}), tmp_path / "a.parquet")
    with pytest.raises(UsageError, match=r"no column 'text' \(it has content, number\); name one with --text"):
        run(job(tmp_path, tmp_path / "a.parquet"))
    assert not (tmp_path / "out" / "work").exists()
    with pytest.raises(UsageError, match="column 'number' is int64, not text"):
        run(job(tmp_path, tmp_path / "a.parquet", columns=Columns(text="number")))
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(UsageError, match=r"a\.txt: no file of documents \(\.jsonl"):
        run(job(tmp_path, tmp_path / "a.txt"))
    (tmp_path / "b.jsonl").write_text('{"text": "a"}\nnot json\n')
    with pytest.raises(WorkError, match=r"b\.jsonl, line 2: not JSON"):
        run(job(tmp_path, tmp_path / "b.jsonl"))


def test_another_question_to_the_same_folder_is_refused(tmp_path):
    path = write_lines(tmp_path / "a.jsonl", [{"text": "a"}, {"text": "b"}])
    run(job(tmp_path, path))
    assert run(job(tmp_path, path))["funnel"][-1]["out"] == 2  # finished
    with pytest.raises(UsageError, match="holds a run of another recipe or version"):
        run(job(tmp_path, path, columns=replace(COLUMNS, text="other")))


def test_what_became_of_a_row_is_told_by_its_place_and_by_its_id(tmp_path, rows):
    for name in ("a/docs.parquet", "b/docs.parquet"):
        (tmp_path / name).parent.mkdir()
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / name)
    made = job(tmp_path, tmp_path / "a", tmp_path / "b")
    run(made)
    out = made.output
    assert is_corpus_run(out)
    (first,) = why(out, "a/docs.parquet:0")
    assert (first["outcome"], first["stage"]) == ("published", None)
    (near,) = why(out, "a/docs.parquet:3")
    assert (near["outcome"], near["stage"], near["kept_file"]) == ("duplicate", "minhash", "a/docs.parquet")
    assert near["kept_row"] == 0
    assert why(out, near["kept_id"]) == [first]
    assert "kept      a/docs.parquet, row 0" in describe(near)
    (passage,) = why(out, "a/docs.parquet:6")
    assert passage["outcome"] == "rejected"
    assert {entry["stage"] for row in range(11) if row != 1 for entry in why(out, f"b/docs.parquet:{row}")} == {
        "exact_dedup"
    }
    assert why(out, "a/docs.parquet:11") == why(out, "none.parquet:0") == why(out, "0" * 32) == []
    with pytest.raises(UsageError, match="may be a/docs"):
        why(out, "docs.parquet:0")
    with pytest.raises(UsageError, match="FILE:ROW"):
        why(out, "https://example.org/")
