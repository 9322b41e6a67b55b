"""Documents of other pipelines as input: every line or row is a capture, damage is accounted for."""

import gzip
import json
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from datatrove.data import Document
from datatrove.pipeline.writers.parquet import ParquetWriter
from hypothesis import given
from hypothesis import strategies as st

from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.document_files import NO_DOCUMENT, read_documents
from pipeline.engine import SerialEngine
from pipeline.errors import UsageError
from pipeline.file_report import FileReport
from pipeline.inputs import resolve
from pipeline.progress import Quiet
from pipeline.store import Store
from pipeline.warc_record import ReadLimits
from pipeline.why import why

ABOUT = {"url": "http://a.example/1", "date": "2023-09-21T12:00:00Z", "dump": "CC-MAIN-2023-40", "language": "en"}
LINES = [
    {"text": "One.", "id": "<urn:uuid:1>", "metadata": ABOUT},
    {"text": "Zwei.", "id": "2", **ABOUT},
    {"text": "Trois."},
    {"text": "Quattro.", "metadata": json.dumps(ABOUT)},
]


def read(path, limits=None):
    report = FileReport()
    with path.open("rb") as stream:
        found = list(read_documents(stream, path, warc_path=path.name, report=report, limits=limits or ReadLimits()))
    accounted = report.record_bytes + report.padding_bytes + report.damaged_bytes
    assert accounted == report.stream_size
    assert report.single_stream
    assert report.types.total() == len(found)
    return found, report


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


@pytest.mark.parametrize(
    ("suffix", "pack"), [(".jsonl", bytes), (".jsonl.gz", gzip.compress), (".jsonl.zst", zstandard.compress)]
)
def test_lines_in_any_packing(tmp_path, suffix, pack):
    (tmp_path / f"a{suffix}").write_bytes(pack(lines(LINES)))
    found, report = read(tmp_path / f"a{suffix}")
    assert [capture.payload.decode() for capture in found] == [row["text"] for row in LINES]
    assert [capture.url for capture in found] == [ABOUT["url"], ABOUT["url"], "", ABOUT["url"]]
    assert [capture.crawl for capture in found] == ["CC-MAIN-2023-40", "CC-MAIN-2023-40", f"a{suffix}", ABOUT["dump"]]
    assert found[0].fetch_time == datetime(2023, 9, 21, 12, tzinfo=UTC)
    assert (found[0].record_type, found[0].content_type) == ("conversion", "text/plain")
    assert len({capture.id for capture in found}) == 4
    data = lines(LINES)
    for capture in found:
        line = data[capture.warc_offset : capture.warc_offset + capture.warc_length]
        assert json.loads(line)["text"] == capture.payload.decode()
    assert report.stream_size == len(data)


def test_parquet_as_datatrove_writes_it(tmp_path):
    with ParquetWriter(str(tmp_path / "out")) as writer:
        for i in range(3):
            writer.write(Document(text=f"Text {i}", id=f"<urn:{i}>", metadata=dict(ABOUT)))
    (file,) = (tmp_path / "out").iterdir()
    found, report = read(file)
    assert [capture.payload for capture in found] == [b"Text 0", b"Text 1", b"Text 2"]
    assert [(capture.warc_offset, capture.warc_length) for capture in found] == [(0, 1), (1, 1), (2, 1)]
    assert {capture.url for capture in found} == {ABOUT["url"]}
    assert report.stream_size == 3


def test_parquet_with_columns_of_their_own(tmp_path):
    when = datetime(2024, 1, 2, tzinfo=UTC)
    table = pa.table({"text": ["a", None], "url": ["http://b.example/", ""], "date": [when, when], "score": [0.5, 1.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    found, report = read(tmp_path / "a.parquet")
    assert [(capture.url, capture.fetch_time) for capture in found] == [("http://b.example/", when)]
    assert [(damage.start, damage.end, damage.reason) for damage in report.damaged] == [(1, 2, NO_DOCUMENT)]


def test_a_line_that_is_no_document_costs_itself_only(tmp_path):
    data = b'{"text": "a"}\n\nnot json\n{"txt": "b"}\n[1]\n{"text": 7}\n{"text": "c"}'
    (tmp_path / "a.jsonl").write_bytes(data)
    found, report = read(tmp_path / "a.jsonl")
    assert [capture.payload for capture in found] == [b"a", b"c"]
    assert [damage.reason for damage in report.damaged] == [NO_DOCUMENT] * 4
    assert (report.padding_bytes, report.stream_size) == (1, len(data))


@pytest.mark.parametrize("cut", [1, 20, 60])
@pytest.mark.parametrize(("suffix", "pack"), [(".jsonl.gz", gzip.compress), (".jsonl.zst", zstandard.compress)])
def test_a_file_cut_short_is_noticed(tmp_path, suffix, pack, cut):
    packed = pack(lines(LINES))
    (tmp_path / f"a{suffix}").write_bytes(packed[:-cut])
    _, report = read(tmp_path / f"a{suffix}")
    assert report.damaged


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_an_empty_file_and_a_foreign_one_are_damage(tmp_path, name):
    for data in (b"", b"something else altogether"):
        (tmp_path / name).write_bytes(data)
        found, report = read(tmp_path / name)
        assert not found
        assert len(report.damaged) == 1


def test_limits_hold(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(lines([{"text": "x" * 500}, {"text": "short"}]))
    found, report = read(tmp_path / "a.jsonl", ReadLimits(max_block_bytes=100))
    assert [capture.payload for capture in found] == [b"short"]
    assert report.damaged
    found, _ = read(tmp_path / "a.jsonl", ReadLimits(max_payload_bytes=100))
    assert found[0].payload == b"x" * 100
    assert found[0].payload_error
    assert found[1].payload_error is None


@given(
    st.lists(st.one_of(st.binary(max_size=30), st.builds(lambda text: json.dumps({"text": text}).encode(), st.text())))
)
def test_any_bytes_are_accounted_for(tmp_path_factory, pieces):
    path = tmp_path_factory.mktemp("any") / "a.jsonl"
    path.write_bytes(b"\n".join(pieces))
    read(path)


def test_a_run_over_documents(tmp_path, recipe_file, shared_data):
    rows = []
    for line in (shared_data / "text" / "en.jsonl").read_text(encoding="utf-8").splitlines()[:6]:
        row = json.loads(line)
        rows.append(
            {"text": row["text"][:6000], "id": row["id"], "metadata": {"url": f"http://books.example/{row['id']}"}}
        )
    rows.append({"text": "Too short.", "id": "short", "metadata": {"url": "http://books.example/short"}})
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "00000.jsonl.gz").write_bytes(gzip.compress(lines(rows)))
    (folder / "list.txt").write_text("not a document")
    job = CurateJob(inputs=(str(folder),), output=tmp_path / "out", recipe=recipe.load(str(recipe_file)))
    summary = curate(job, SerialEngine, Quiet())
    assert summary["totals"]["captures"] == 7
    assert 4 <= summary["totals"]["published"] == 6 - sum(step["in"] - step["out"] for step in summary["funnel"]) + 1
    (entry,) = why(tmp_path / "out", "http://books.example/short")
    assert (entry["outcome"], entry["warc_path"]) == ("rejected", "00000.jsonl.gz")
    assert Store(tmp_path / "out").names("RefinedWeb-English", ".parquet")


def test_documents_are_looked_for_where_no_warc_file_is(tmp_path, sample):
    (tmp_path / "a.jsonl").write_bytes(lines(LINES))
    assert [source.warc_path for source in resolve([str(tmp_path)])] == ["a.jsonl"]
    (tmp_path / "b.warc.gz").write_bytes((sample / "sample-00000.warc.gz").read_bytes())
    assert [source.warc_path for source in resolve([str(tmp_path)])] == ["b.warc.gz"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"\.warc\.gz.*\.parquet"):
        resolve([str(tmp_path / "empty")])


def test_a_file_that_is_gone_is_no_damage(tmp_path):
    with (tmp_path / "empty").open("wb+") as stream, pytest.raises(FileNotFoundError):
        gone = tmp_path / "gone.parquet"
        list(read_documents(stream, gone, warc_path="x", report=FileReport(), limits=ReadLimits()))
