"""Deduplication against an oracle that compares everything with everything."""

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.copies import first_of_each
from pipeline.dedup.decisions import removed_name, sizes_name, spans_name
from pipeline.dedup.tables import CLUSTERS, SPANS_TABLE
from pipeline.groups import groups_of
from pipeline.recipe import DedupRecipe
from pipeline.store import Store
from stages import windows
from stages.substrings import SubstringRules, cut, find_spans
from tests.pipeline.corpus import EXACT, MEMORY, RECIPE, UNITS, Row, fate, near_duplicates, placed, search, write_units

ADDRESS = "http://a.example/"
WHOLE = DedupRecipe()
CUT_UP = DedupRecipe(group_pages=2, partition_rows=3, edges_in_one_task=0)
"""Several groups and partitions, even of a handful of pages, and clusters by stars."""


def decide(units, dedup=WHOLE, **changes):
    """The report, and the tables as rows."""
    recipe = dataclasses.replace(RECIPE, dedup=dedup, **changes)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as folder:
        store = Store(Path(folder))
        sources = write_units(store, units)
        record = search(store, sources, recipe)
        assert search(store, sources, recipe) == record  # resumed
        groups = range(len(groups_of(sources, dedup.group_pages)))
        tables = [
            [row for group in groups for row in pq.read_table(store.path(name(group))).to_pylist()]
            for name in (removed_name, sizes_name, spans_name)
        ]
        evidence = [pq.read_table(store.path(name)).to_pylist() for name in (CLUSTERS, SPANS_TABLE)]
        left = sorted(path.name for path in store.path("work/dedup").iterdir())
    assert left == ["decided"]
    return record["report"], *tables, *evidence


def colliding_windows(text, k):
    found = windows.text_window_hashes(text, k)
    return found._replace(hashes=np.zeros_like(found.hashes))


def removed_from(units, **changes):
    _, removed, *_ = decide(units, **changes)
    return {(row["warc_path"], row["warc_offset"]): (row["stage"], row["detail"]) for row in removed}


@pytest.mark.parametrize("dedup", [WHOLE, CUT_UP], ids=["whole", "cut up"])
@settings(max_examples=12, deadline=None)
@given(units=UNITS)
def test_what_is_removed_and_for_whom_is_what_the_oracle_says(dedup, units):
    rows = [row for unit in units for row in unit]
    expected = fate(rows)
    report, removed, sizes, _, clusters, _ = decide(units, dedup, substrings=None)
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


@settings(max_examples=12, deadline=None)
@given(UNITS)
def test_earlier_neighbours_alone_decide_under_that_rule(units):
    rows = [row for unit in units for row in unit]
    expected = fate(rows)
    minhash = dataclasses.replace(EXACT, cluster_rule="earlier-neighbour")
    found = removed_from(units, dedup=CUT_UP, substrings=None, minhash=minhash)
    copies = {place: fate for place, fate in expected.removed.items() if fate[0] != "minhash"}
    alive = sorted((r for r in rows if r.stage is None and r.place not in copies), key=lambda row: row.order)
    near = {later.place for i, later in enumerate(alive) if any(near_duplicates(later, row) for row in alive[:i])}
    assert {place for place, (stage, _) in found.items() if stage == "minhash"} == near
    assert {place: told for place, told in found.items() if told[0] != "minhash"} == copies


@pytest.mark.parametrize("one_hash", [False, True], ids=["", "one hash for all windows"])
@settings(max_examples=12, deadline=None)
@given(units=UNITS, mode=st.sampled_from(["cut", "mask", "drop"]))
def test_passages_are_those_that_one_process_finds(one_hash, units, mode):
    rules = SubstringRules(k=5, mode=mode)
    with pytest.MonkeyPatch.context() as patch:
        if one_hash:
            patch.setattr("pipeline.dedup.passages.text_window_hashes", colliding_windows)
        report, removed, _, spans, _, table = decide(units, CUT_UP, substrings=rules)
    rows = [row for unit in units for row in unit]
    gone = fate(rows).removed
    alive = sorted((r for r in rows if r.stage is None and r.place not in gone), key=lambda row: row.order)
    ids, texts = pa.array([r.id for r in alive], pa.string()), pa.array([r.text for r in alive], pa.large_string())
    batch = pa.record_batch({"id": ids, "text": texts})
    expected = find_spans([batch], [np.arange(len(alive))], rules.k)
    assert table == expected.to_pylist()
    assert sorted(spans, key=str) == sorted(table, key=str)
    dropped = {row["warc_path"]: row for row in removed if row["stage"] == "substrings"}
    left = cut(batch["id"], batch["text"], expected).text.to_pylist()
    touched = set(expected["id"].to_pylist())
    lost = {
        "cut": [row for row, text in zip(alive, left, strict=True) if row.id in touched and len(text.strip()) < 20],
        "mask": [],
        "drop": [row for row in alive if row.id in touched],
    }[mode]
    assert report["stages"].get("substrings", 0) == len(lost)
    assert {row["rule"] for row in dropped.values()} <= {"emptied" if mode == "cut" else "repeated_passage"}
    kept = [text if mode == "cut" else row.text for row, text in zip(alive, left, strict=True) if row not in lost]
    assert sum(report["text_bytes"].values()) == sum(map(len, kept))
    names = {row.id for row in lost}
    assert report["orphaned"] == (sum(row["first_id"] in names for row in table))


def test_urls_of_pages_that_are_near_copies_do_not_count_under_the_rule_of_the_paper():
    words = [f"w{i}" for i in range(30)]
    first = Row(id="a" * 32, text=" ".join(words))
    near = Row(id="b" * 32, text=" ".join([*words, "more"]), url=ADDRESS)
    other = Row(id="c" * 32, text="something else altogether", url=ADDRESS)
    copies = {("0.warc.gz", 20): ("minhash", "a" * 32)}
    reached = {("0.warc.gz", 10): ("url_dedup", "b" * 32)}
    units = placed([[first, near, other]])
    assert removed_from(units) == copies | reached
    assert removed_from(units, dedup=DedupRecipe(url="kept")) == copies
    assert removed_from(units, dedup=DedupRecipe(url=None)) == copies


@given(UNITS)
@settings(max_examples=8, deadline=None)
def test_decisions_lie_by_place_so_that_a_shard_can_skip_other_inputs(units):
    _, removed, sizes, *_ = decide(units)
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
    near = placed([[Row(id="a" * 32, text=long), Row(id="b" * 32, text=longer, language="de")]])
    assert removed_from(near) == {}
    across = dataclasses.replace(EXACT, across_languages=True)
    assert removed_from(near, minhash=across) == {("0.warc.gz", 10): ("minhash", "a" * 32)}


@given(st.lists(st.integers(0, 4)), st.randoms(use_true_random=False))
def test_first_of_each_code_is_the_row_of_lowest_rank(codes, chance):
    rank = list(range(len(codes)))
    chance.shuffle(rank)
    first = first_of_each(np.array(codes, np.int64), np.array(rank, np.int64))
    expected = [min((r for r, c in zip(rank, codes, strict=True) if c == code)) for code in codes]
    assert [rank[row] for row in first] == expected
