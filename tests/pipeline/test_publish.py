"""Each capture lands in exactly one published file, with the verdict that decided."""

import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.groups import groups_of
from pipeline.publish import publish_damage, publish_shard
from pipeline.shards import Shard
from pipeline.store import Store
from stages import schema
from tests.pipeline.corpus import RECIPE, UNITS, Row, fate, placed, search, write_units

STAGES = (
    "same_record",
    "capture",
    "visible",
    "extract",
    "quality",
    "url_dedup",
    "exact_dedup",
    "minhash",
    "substrings",
)


def shards(parts):
    languages = [Shard(folder=name, index=i, count=parts, language=name) for name in ("en", "de") for i in range(parts)]
    return languages + [Shard(folder=name, index=i, count=parts, stage=name) for name in STAGES for i in range(parts)]


def publish(folder, units, parts=1):
    """By shard: its manifest report, and its rows."""
    store = Store(Path(folder))
    sources = write_units(store, units)
    search(store, sources, RECIPE)
    groups = groups_of(sources, RECIPE.dedup.group_pages)
    published = {}
    for shard in shards(parts):
        record = publish_shard(shard, output=store.root, groups=groups, recipe=RECIPE, key="key")
        table = pq.ParquetFile(store.path(shard.name)).read()
        schema.check(table, schema.DOCUMENT if shard.stage is None else schema.REJECT)
        published[shard] = record["report"], table.to_pylist()
    return published


@settings(max_examples=12)
@given(UNITS, st.sampled_from([1, 3]))
def test_each_capture_lands_once_where_it_was_decided(units, parts):
    captures = [row for unit in units for row in unit]
    expected = fate(captures)
    sizes = {cluster[0].place: len(cluster) for cluster in expected.clusters}
    with tempfile.TemporaryDirectory() as folder:
        published = publish(folder, units, parts)
    landed = defaultdict(list)
    for shard, (report, rows) in published.items():
        assert report["rows"] == len(rows)
        assert [row["id"] for row in rows] == sorted(row["id"] for row in rows)
        for row in rows:
            landed[row["warc_path"], row["warc_offset"]].append((shard, row))
    assert sorted(landed) == sorted(capture.place for capture in captures)
    for capture in captures:
        ((shard, row),) = landed[capture.place]
        decided, kept_id = expected.removed.get(capture.place, (capture.stage, None))
        assert row["id"] == capture.id
        assert shard.stage == decided
        if decided is None:
            assert (row["text"], row["language"]) == (capture.text, shard.language)
            assert row["cluster_size"] == sizes.get(capture.place, 1)
        elif kept_id:
            assert (row["stage"], row["detail"]) == (decided, kept_id)
        else:
            assert (row["stage"], row["rule"], row["value"], row["threshold"]) == (decided, "a_rule", 3.0, 5.0)
            assert row["text"].startswith("raw ") == (capture.stage in ("extract", "quality"))


def test_a_file_of_rejects_names_its_own_stage_alone(tmp_path):
    rows = [Row(id=str(i) * 32, stage=stage) for i, stage in enumerate(["quality", "extract", "extract"])]
    publish(tmp_path, placed([rows]))
    stage = pq.ParquetFile(tmp_path / "quality/part-00000.parquet").read()["stage"]
    assert stage.combine_chunks().dictionary.to_pylist() == ["quality"]


def test_reject_texts_are_cut_by_characters(tmp_path):
    rows = [Row(id="a" * 32, stage="quality", text="ř" * 3000)]
    published = publish(tmp_path, placed([rows]))
    (text,) = [row["text"] for shard, (_, rows) in published.items() for row in rows if shard.stage == "quality"]
    assert text == "raw " + "ř" * (schema.REJECT_TEXT_CHARS - 4)


def test_a_published_shard_is_not_written_again(tmp_path):
    units = placed([[Row(id="a" * 32)]])
    publish(tmp_path, units)
    shard = Shard(folder="en", index=0, count=1, language="en")
    before = (tmp_path / shard.name).stat().st_mtime_ns
    publish_shard(shard, output=tmp_path, groups=(), recipe=RECIPE, key="key")
    assert (tmp_path / shard.name).stat().st_mtime_ns == before


def test_counts_of_a_shard_are_those_of_its_rows(tmp_path):
    rows = [Row(id=f"{i}" * 32, url=f"http://{name}.example/") for i, name in enumerate("aab")]
    units = placed([[Row(**{**row.__dict__, "text": f"text number {i}"}) for i, row in enumerate(rows)]])
    published = publish(tmp_path, units)
    (report,) = [report for shard, (report, _) in published.items() if shard.language == "en"]
    assert report["domains"] == {"a.example": 1, "b.example": 1}  # of two equal addresses one stayed
    assert report["inputs"] == {"0.warc.gz": 2}
    assert report["cluster_size"] == {"1": 2}
    assert Counter(report["text_chars"]) == Counter([2] + [0] * 10)
    assert report["cpu_s"] >= 0


def test_no_damage_is_an_empty_table(tmp_path):
    store = Store(tmp_path)
    publish_damage(store, groups_of(write_units(store, placed([[Row(id="a" * 32)]])), 1))
    schema.check(pq.read_table(tmp_path / "quarantine/damaged.parquet"), schema.DAMAGE)
