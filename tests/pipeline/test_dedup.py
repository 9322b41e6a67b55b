"""Deduplication against an oracle that compares everything with everything."""

import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup import CLUSTERS, _first_of_each, deduplicate
from pipeline.publish import REMOVED, SIZES
from pipeline.store import Store
from tests.pipeline.corpus import EXACT, RECIPE, UNITS, Row, fate, placed, write_units

ADDRESS = "http://a.example/"


def decide(units):
    """The report, and the tables as rows."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        record = deduplicate("key", output=store.root, recipe=RECIPE, sources=write_units(store, units))
        assert deduplicate("key", output=store.root, recipe=RECIPE, sources=()) == record  # resumed
        tables = [pq.read_table(store.path(name)).to_pylist() for name in (REMOVED, SIZES, CLUSTERS)]
    return record["report"], *tables


def removed_from(units):
    _, removed, _, _ = decide(units)
    return {(row["warc_path"], row["warc_offset"]): (row["stage"], row["detail"]) for row in removed}


@settings(max_examples=40)
@given(UNITS)
def test_what_is_removed_and_for_whom_is_what_the_oracle_says(units):
    rows = [row for unit in units for row in unit]
    expected = fate(rows)
    report, removed, sizes, clusters = decide(units)
    found = {(row["warc_path"], row["warc_offset"]): (row["stage"], row["detail"]) for row in removed}
    assert found == expected.removed
    assert len(removed) == len(found)
    assert report["stages"] == Counter(stage for stage, _ in expected.removed.values())
    heads = {cluster[0].place: len(cluster) for cluster in expected.clusters}
    assert {(row["warc_path"], row["warc_offset"]): row["cluster_size"] for row in sizes} == heads
    assert [[row["id"], row["cluster_id"], row["representative_id"], row["cluster_size"]] for row in clusters] == [
        [member.id, cluster[0].id, cluster[0].id, len(cluster)] for cluster in expected.clusters for member in cluster
    ]
    near = [row for row in removed if row["stage"] == "minhash"]
    assert all(row["value"] >= row["threshold"] == EXACT.threshold for row in near)
    kept = [row for row in rows if row.stage is None and row.place not in found]
    assert report["text_bytes"] == {
        language: sum(len(row.text) for row in kept if row.language == language)
        for language in {row.language for row in kept}
    }


@given(UNITS)
@settings(max_examples=8)
def test_decisions_lie_by_place_so_that_a_shard_can_skip_other_inputs(units):
    _, removed, sizes, _ = decide(units)
    for table in (removed, sizes):
        places = [(row["warc_path"], row["warc_offset"]) for row in table]
        assert places == sorted(places)


def test_a_record_read_twice_counts_once_even_where_the_first_was_dropped():
    units = placed([[Row(id="a" * 32, stage="capture")], [Row(id="a" * 32)]])
    assert removed_from(units) == {("1.warc.gz", 10): ("same_record", "a" * 32)}


def test_pages_without_an_address_are_not_copies_of_each_other():
    texts = ["first of all", "second to none", "third time lucky", "fourth estate"]
    urls = ["", "", "#top", "#end"]
    rows = [Row(id=str(i) * 32, url=url, text=text) for i, (url, text) in enumerate(zip(urls, texts, strict=True))]
    assert removed_from(placed([rows])) == {}


def test_the_preferred_source_stays_then_the_earlier_capture_then_the_lower_id():
    late, early = Row(id="f" * 32, url=ADDRESS, crawl="preferred"), Row(id="0" * 32, url=ADDRESS)
    assert removed_from(placed([[early], [late]])) == {("0.warc.gz", 10): ("url_dedup", "f" * 32)}
    twins = [Row(id="b" * 32, url=ADDRESS), Row(id="a" * 32, url=ADDRESS)]
    assert removed_from(placed([twins])) == {("0.warc.gz", 20): ("url_dedup", "a" * 32)}


def test_one_text_in_two_languages_is_an_exact_copy_but_near_copies_are_sought_within_one():
    words = [f"w{i}" for i in range(30)]
    long, longer = " ".join(words), " ".join([*words, "more"])
    twins = [Row(id="a" * 32, text=long), Row(id="b" * 32, text=long, language="de")]
    assert removed_from(placed([twins])) == {("0.warc.gz", 10): ("exact_dedup", "a" * 32)}
    near = [Row(id="a" * 32, text=long), Row(id="b" * 32, text=longer, language="de")]
    assert removed_from(placed([near])) == {}


@given(st.lists(st.integers(0, 4)), st.randoms(use_true_random=False))
def test_first_of_each_code_is_the_row_of_lowest_rank(codes, chance):
    rank = list(range(len(codes)))
    chance.shuffle(rank)
    first = _first_of_each(np.array(codes, np.int64), np.array(rank, np.int64))
    expected = [min((r for r, c in zip(rank, codes, strict=True) if c == code)) for code in codes]
    assert [rank[row] for row in first] == expected
