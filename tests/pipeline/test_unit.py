"""Extraction of one unit: the same tables whatever the batches, and every capture in exactly one of them."""

import gzip
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import recipe, unit
from pipeline.guard import Poisoned
from pipeline.inputs import resolve
from pipeline.manifest import Manifest
from pipeline.models import compile_block_table
from pipeline.store import Store, file_digest
from pipeline.tools import open_tools
from pipeline.unit import Sieve, Unit, extract_unit, table_name
from stages import schema
from tests.pipeline.warc_files import http_block, member, warc_record


@pytest.fixture(scope="module")
def settings(recipe_file):
    return recipe.load(str(recipe_file))


@pytest.fixture(scope="module")
def store(settings, tmp_path_factory):
    store = Store(tmp_path_factory.mktemp("unit"))
    compile_block_table(store, settings)
    return store


@pytest.fixture(scope="module")
def tools(settings, store):
    return open_tools(settings, store.root, "print")


@pytest.fixture(scope="module")
def source(sample):
    return resolve([str(sample / "sample-00000.warc.gz")])[0]


def sieved(source, tools):
    sieve = Sieve(source, tools)
    report = sieve.run()
    return report, {folder: rows.table() for folder, rows in sieve.tables.items()}


def write(path, *records):
    path.write_bytes(b"".join(member(record) for record in records))
    return resolve([str(path)])[0]


@pytest.mark.parametrize("batch", [{"BATCH_PAGES": 1}, {"BATCH_PAGES": 7}, {"BATCH_BYTES": 5000}])
def test_batches_change_no_row(batch, source, tools, monkeypatch):
    expected_report, expected = sieved(source, tools)
    for name, value in batch.items():
        monkeypatch.setattr(unit, name, value)
    report, tables = sieved(source, tools)
    assert {key: value for key, value in report.items() if key != "cpu_s"} == {
        key: value for key, value in expected_report.items() if key != "cpu_s"
    }
    for folder, table in tables.items():
        assert table.num_rows or folder == "damage"
        assert table.to_pylist() == expected[folder].to_pylist()


def test_every_capture_that_was_read_is_in_one_table(source, tools):
    report, tables = sieved(source, tools)
    assert report["captures"] == tables["extracted"].num_rows + tables["dropped"].num_rows
    assert report["captures"] == sum(report["funnel"].values()) > 50
    assert report["funnel"]["kept"] == tables["keys"].num_rows
    assert report["full_digest"] == file_digest(Path(source.path))
    places = [row["warc_offset"] for name in ("extracted", "dropped") for row in tables[name].to_pylist()]
    assert len(set(places)) == report["captures"]


def test_captures_are_counted_where_they_are_read(source, tools, monkeypatch):
    """Invariant 1 would hold by itself if the rows of the tables were counted."""
    batches = unit._batches
    monkeypatch.setattr(unit, "_batches", lambda captures: (batch.slice(1) for batch in batches(captures)))
    report, tables = sieved(source, tools)
    assert report["captures"] > tables["extracted"].num_rows + tables["dropped"].num_rows


def test_a_file_whose_pages_all_stop_at_a_gate_has_all_tables(tools, tmp_path):
    not_found = b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\n\r\n<p>gone"
    source = write(tmp_path / "gone.warc.gz", warc_record("http://a.example/", not_found))
    report, tables = sieved(source, tools)
    assert report["funnel"] == {"capture": 1, "kept": 0}
    assert {folder: table.num_rows for folder, table in tables.items()} == {
        "extracted": 0,
        "dropped": 1,
        "damage": 0,
        "keys": 0,
    }


def test_a_page_that_kills_its_process_is_a_counted_reject(tools, tmp_path, monkeypatch):
    source = write(tmp_path / "one.warc.gz", warc_record("http://a.example/", http_block(b"<p>text</p>")))
    monkeypatch.setattr(tools.guard, "map", lambda pages: (Poisoned("cpu_limit", "too slow") for _ in pages))
    report, tables = sieved(source, tools)
    assert report["poisoned"] == 1
    (row,) = tables["extracted"].to_pylist()
    assert (row["verdict_stage"], row["verdict"]["rule"]) == ("extract", "cpu_limit")
    assert row["verdict"]["detail"] == "too slow"


def test_a_finished_unit_is_not_done_again_and_a_cut_table_is(source, settings, store, tools):
    task = Unit(input=source, fingerprint="print")
    record = extract_unit(task, output=store.root, recipe=settings)
    assert set(record["report"]["cpu_s"]) == {"read", "gates", "pages", "text", "write"}
    assert extract_unit(task, output=store.root, recipe=settings) == record
    name = table_name("extracted", task.name)
    whole = store.path(name).read_bytes()
    schema.check(pq.ParquetFile(store.path(name)).read(), schema.EXTRACTED)
    store.path(name).write_bytes(whole[:-1])
    assert Manifest(store, unit.PHASE).done(task.name, task.key) is None
    extract_unit(task, output=store.root, recipe=settings)
    assert store.path(name).read_bytes() == whole


def test_a_unit_is_known_by_name_content_and_fingerprint(source):
    first = Unit(input=source, fingerprint="print")
    others = [
        Unit(input=source, fingerprint="another"),
        Unit(input=replace(source, digest="0" * 32), fingerprint="print"),
        Unit(input=replace(source, warc_path=f"b/{source.warc_path}"), fingerprint="print"),
    ]
    assert len({first.key, *(other.key for other in others)}) == 4
    assert Unit(input=replace(source, path="/elsewhere"), fingerprint="print").key == first.key


def test_opening_other_tools_ends_the_process_of_the_earlier(settings, store, tools, source):
    sieved(source, tools)
    child = tools.guard._child
    assert child
    try:
        other = open_tools(settings, store.root, "another print")
        assert open_tools(settings, store.root, "another print") is other
        assert tools.guard._child is None
        assert child._process.poll() is not None
    finally:
        other.guard.close()


def test_rows_that_deduplication_needs_have_no_null(source, tools):
    _, tables = sieved(source, tools)
    keys = tables["keys"]
    assert {name: keys[name].null_count for name in keys.column_names if keys[name].null_count} == {}
    assert keys.schema.field("fetch_time").type == pa.timestamp("us", "UTC")


def test_an_empty_input_is_four_empty_tables(tools, tmp_path):
    (tmp_path / "empty.warc.gz").write_bytes(gzip.compress(b""))
    report, tables = sieved(resolve([str(tmp_path / "empty.warc.gz")])[0], tools)
    assert report["captures"] == 0
    assert all(table.num_rows == 0 for table in tables.values())
