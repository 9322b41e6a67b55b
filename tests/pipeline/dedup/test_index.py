"""Runs beside an index: two halves, one after the other, leave what one run over both leaves."""

import dataclasses
import random
import shutil
import tempfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.dedup.decisions import removed_name
from pipeline.dedup.segment import part_name
from pipeline.dedup.tables import BRIDGED_TABLE
from pipeline.errors import UsageError
from pipeline.groups import groups_of
from pipeline.index import append, open_index, past_of, read_index, remove_crawl, remove_documents
from pipeline.recipe import DedupRecipe
from pipeline.store import Store
from stages.keys import url_key
from tests.pipeline.corpus import EXACT, MEMORY, RECIPE, UNITS, Row, placed, search, write_units

CUT_UP = DedupRecipe(group_pages=2, partition_rows=3)
NEIGHBOURS = dataclasses.replace(
    RECIPE, dedup=CUT_UP, substrings=None, minhash=dataclasses.replace(EXACT, cluster_rule="earlier-neighbour")
)


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as name:
        yield Path(name)


def run(folder, units, recipe, index, name="run"):
    """Places removed with their stages and what is kept for them; the segment is appended."""
    store = Store(folder)
    sources = write_units(store, units, recipe.minhash.geometry)
    opened = open_index(index, recipe)
    groups = groups_of(sources, recipe.dedup.group_pages)
    past = past_of(opened, opened.before(name), len(groups))
    report = search(store, sources, recipe, past)["report"]
    append(opened, name, store, [part_name(group.number) for group in groups], sum(group.n_pages for group in groups))
    rows = [row for group in groups for row in pq.read_table(store.path(removed_name(group.number))).to_pylist()]
    return {(row["warc_path"], row["warc_offset"]): (row["stage"], row["detail"]) for row in rows}, report


def halves(units, n):
    """Rows of distinct ids that pass, in the order of deduplication, cut after the first n; each in two units."""
    rows = {row.id: row for unit in units for row in unit if row.stage is None}
    ordered = sorted(rows.values(), key=lambda row: row.order)
    return [
        [[row for row in half if row.warc_path == path] for path in paths(units)] for half in (ordered[:n], ordered[n:])
    ]


def paths(units):
    return [f"{number}.warc.gz" for number in range(len(units))]


@settings(max_examples=25, deadline=None)
@given(units=UNITS, n=st.integers(0, 15), url=st.sampled_from(["reached", "kept"]))
def test_two_halves_leave_what_one_run_leaves(units, n, url):
    recipe = dataclasses.replace(NEIGHBOURS, dedup=dataclasses.replace(CUT_UP, url=url))
    first, second = halves(units, n)
    both = [one + other for one, other in zip(first, second, strict=True)]
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as name:
        folder = Path(name)
        whole, _ = run(folder / "whole", both, recipe, folder / "fresh")
        one, _ = run(folder / "1", first, recipe, folder / "index", "one")
        two, _ = run(folder / "2", second, recipe, folder / "index", "two")
        documents = [segment.documents for segment in read_index(folder / "index").segments]
    assert set(one) | set(two) == set(whole)
    assert {place: stage for place, (stage, _) in (one | two).items()} == {
        place: stage for place, (stage, _) in whole.items()
    }
    assert documents == [sum(map(len, first)), sum(map(len, second))]


def words(start, end, last=""):
    return " ".join([*(f"w{i}" for i in range(start, end)), *([last] if last else [])])


def test_under_components_what_the_second_run_keeps_beyond_one_run_is_what_it_lists(folder):
    """Texts that slide along one row of words hang together in chains; halves cut them anywhere."""
    recipe = dataclasses.replace(RECIPE, dedup=DedupRecipe(group_pages=6), substrings=None)
    n_bridged, n_joined_later = 0, 0
    for seed in range(4):
        chance = random.Random(seed)
        starts = chance.sample(range(80), 26)
        rows = [Row(id=f"{i:032x}", text=words(start, start + 40)) for i, start in enumerate(starts)]
        first, second = halves(placed([rows[::2], rows[1::2]]), chance.randrange(8, 18))
        both = [one + other for one, other in zip(first, second, strict=True)]
        here = folder / str(seed)
        whole, _ = run(here / "whole", both, recipe, here / "fresh")
        one, _ = run(here / "1", first, recipe, here / "index", "one")
        two, report = run(here / "2", second, recipe, here / "index", "two")
        bridged = {row["id"] for row in pq.read_table(here / "2" / BRIDGED_TABLE).to_pylist()}
        assert set(one) | set(two) <= set(whole)
        later = {row.place: row.id for unit in second for row in unit}
        kept = {place for place in whole if place not in one and place not in two}
        assert {later[place] for place in kept if place in later} == bridged
        assert report["bridged"] == len(bridged)
        n_bridged += len(bridged)
        n_joined_later += len(kept) - len(bridged)
    assert n_bridged > 2
    assert n_joined_later > 0  # clusters of the first run that a later page would have joined: its output is final


def test_what_an_index_removes_names_the_earlier_document(folder):
    run(
        folder / "1",
        placed([[Row(id="a" * 32, url="http://a.example/", text=words(0, 40))]]),
        RECIPE,
        folder / "index",
        "1",
    )
    rows = [
        Row(id="b" * 32, url="http://A.example/#again", text="another text of this address"),
        Row(id="c" * 32, url="http://c.example/", text=words(0, 40)),
        Row(id="d" * 32, url="http://d.example/", text=words(0, 40, "more")),
        Row(id="e" * 32, url="http://e.example/", text=words(50, 90)),
    ]
    found, report = run(folder / "2", placed([rows]), RECIPE, folder / "index", "2")
    assert found == {
        ("0.warc.gz", 40): ("url_dedup", "a" * 32),
        ("0.warc.gz", 30): ("exact_dedup", "a" * 32),
        ("0.warc.gz", 20): ("minhash", "a" * 32),
    }
    assert report["bridged"] == 0


def test_a_page_that_one_run_would_have_joined_by_way_of_another_is_listed(folder):
    """c is like a of the index and like b; b is not like a: one run would have made one cluster of the three."""
    a, b, c = words(0, 40), words(6, 46), words(3, 43)
    run(folder / "1", placed([[Row(id="a" * 32, text=a)]]), RECIPE, folder / "index", "1")
    units = placed([[Row(id="b" * 32, text=b), Row(id="c" * 32, text=c)]])
    found, report = run(folder / "2", units, RECIPE, folder / "index", "2")
    assert found == {("0.warc.gz", 10): ("minhash", "a" * 32)}
    assert report["bridged"] == 1
    bridged = pq.read_table(folder / "2" / BRIDGED_TABLE).to_pylist()
    assert bridged == [{"id": "b" * 32, "indexed_id": "a" * 32}]
    whole, _ = run(folder / "3", placed([[Row(id="a" * 32, text=a)], *units]), RECIPE, folder / "fresh", "3")
    assert {kept for _, kept in whole.values()} == {"a" * 32}
    assert len(whole) == 2


def test_a_run_s_own_segment_is_replaced_and_not_looked_at(folder):
    units = placed([[Row(id="a" * 32, text=words(0, 40)), Row(id="b" * 32, text=words(50, 90))]])
    for _ in range(2):
        found, _ = run(folder / "1", units, RECIPE, folder / "index", "same")
        assert found == {}
        shutil.rmtree(folder / "1")
    (segment,) = read_index(folder / "index").segments
    assert (segment.documents, segment.crawls) == (2, ("dump",))
    assert [path.name for path in (folder / "index" / "segments").iterdir()] == [segment.name]


def test_a_dump_or_a_document_can_be_taken_out(folder):
    rows = [
        Row(id="a" * 32, url="http://a.example/", text=words(0, 40)),
        Row(id="b" * 32, text=words(50, 90), crawl="x"),
    ]
    run(folder / "1", placed([rows]), RECIPE, folder / "index", "1")
    run(folder / "2", placed([[Row(id="c" * 32, text=words(100, 140), crawl="x")]]), RECIPE, folder / "index", "2")
    index = folder / "index"
    assert remove_documents(index, {"b" * 32}, set()) == 1
    assert remove_documents(index, set(), {url_key("http://b.example/")}) == 0
    with pytest.raises(UsageError, match=r"holds nothing of 'y'; it has 'dump', 'x'$"):
        remove_crawl(index, "y")
    assert remove_crawl(index, "x") == 1
    assert [(one.documents, one.crawls) for one in read_index(index).segments] == [(1, ("dump",))]
    copies = placed([[Row(id="d" * 32, text=words(0, 40)), Row(id="e" * 32, text=words(100, 140))]])
    found, _ = run(folder / "3", copies, RECIPE, index, "3")
    assert found == {("0.warc.gz", 20): ("exact_dedup", "a" * 32)}
    assert remove_documents(index, set(), {url_key("http://A.example/#x")}) == 1


def test_other_settings_and_foreign_folders_are_refused(folder):
    index = folder / "index"
    run(folder / "1", placed([[Row(id="a" * 32)]]), RECIPE, index, "1")
    other = dataclasses.replace(RECIPE, minhash=dataclasses.replace(EXACT, across_languages=True))
    with pytest.raises(UsageError, match=r"an index of other settings \(its 32 × 1 .*within languages.*begin another"):
        open_index(index, other)
    low = dataclasses.replace(RECIPE, minhash=dataclasses.replace(EXACT, threshold=0.3))
    with pytest.raises(UsageError, match=r"threshold is 0\.3: with --index .* from 0\.5 on"):
        open_index(index, low)
    (index / "index.json").write_text('{"format": 9}')
    with pytest.raises(UsageError, match=r"index\.json: not an index of format 1"):
        open_index(index, RECIPE)
    (folder / "foreign").mkdir()
    (folder / "foreign" / "file").write_text("")
    with pytest.raises(UsageError, match="not empty and no index of ours"):
        open_index(folder / "foreign", RECIPE)


def test_a_document_takes_less_than_a_kilobyte(folder):
    minhash = dataclasses.replace(EXACT, geometry=dataclasses.replace(EXACT.geometry, bands=50, rows=10))
    recipe = dataclasses.replace(RECIPE, minhash=minhash)
    n = 300
    rows = [Row(id=f"{i:032x}", text=words(100 * i, 100 * i + 400)) for i in range(n)]
    run(folder / "1", placed([rows]), recipe, folder / "index", "1")
    size = sum(path.stat().st_size for path in (folder / "index").rglob("*.parquet"))
    assert size / n < 1000
