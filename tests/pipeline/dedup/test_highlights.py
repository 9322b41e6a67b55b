"""What deduplication shows of itself: on corpora small enough to say by hand, and against its tables of evidence."""

import dataclasses
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from pipeline.dedup.highlights import LENGTH_EDGES, TOP_CLUSTERS, TOP_PASSAGES
from pipeline.dedup.segment import part_name
from pipeline.dedup.tables import CLUSTERS, SPANS_TABLE
from pipeline.groups import groups_of
from pipeline.index import append, open_index, past_of
from pipeline.recipe import DedupRecipe
from pipeline.store import Store
from stages import schema
from stages.canonical_url import domain_of
from stages.substrings import SubstringRules
from tests.pipeline.corpus import EXACT, MEMORY, RECIPE, UNITS, Row, fate, near_duplicates, placed, search, write_units

CUT_UP = DedupRecipe(group_pages=2, partition_rows=3, edges_in_one_task=0)
PASSAGES = SubstringRules(k=5)


@pytest.fixture
def folder():
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as name:
        yield Path(name)


def shown(folder, units, **changes):
    """The figures, and the two tables as rows."""
    store = Store(folder)
    report = search(store, write_units(store, units), dataclasses.replace(RECIPE, **changes))["report"]
    for name, declared in ((TOP_CLUSTERS, schema.TOP_CLUSTER), (TOP_PASSAGES, schema.TOP_PASSAGE)):
        schema.check(pq.read_table(store.path(name)), declared)
    tables = [pq.read_table(store.path(name)).to_pylist() for name in (TOP_CLUSTERS, TOP_PASSAGES)]
    assert [report["highlights"][name] for name in ("top_clusters", "top_passages")] == tables
    return report["highlights"], *tables


def words(start, end, name="w"):
    return " ".join(f"{name}{i}" for i in range(start, end))


def page(digit, host, text, language="en"):
    return Row(id=digit * 32, url=f"http://{host}/{digit}", text=text, language=language)


STORY, BANNER = words(0, 40), words(0, 8, "cookie")
CORPUS = [
    [
        page("1", "a.example", STORY),
        page("2", "www.b.example", f"{STORY} more"),
        page("3", "b.example", f"{STORY} else"),
        page("4", "a.example", STORY),  # one text
        page("5", "a.example", words(100, 140)),
        page("6", "c.example", f"{words(100, 140)} more", "de"),
    ],
    [
        page("7", "a.example", f"{words(200, 220)} {BANNER} {words(220, 240)}"),
        page("8", "c.example", f"{BANNER} {words(240, 280)}"),
        page("9", "d.example", f"{words(280, 300)}\n\n{BANNER} {words(300, 320)} {BANNER}"),
        page("a", "d.example", BANNER),
    ],
]


@pytest.mark.parametrize("dedup", [DedupRecipe(), CUT_UP], ids=["whole", "cut up"])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_small_corpus_is_told_as_by_hand(folder, dedup, backwards):
    units = [rows[::-1] for rows in CORPUS[::-1]] if backwards else CORPUS
    minhash = dataclasses.replace(EXACT, across_languages=True)
    told, clusters, passages = shown(folder, placed(units), dedup=dedup, minhash=minhash, substrings=PASSAGES)
    assert clusters == [
        {
            "representative_id": "1" * 32,
            "n_documents": 3,
            "languages": [{"language": "en", "n_documents": 3}],
            "n_domains": 2,
            "domains": [{"domain": "b.example", "n_documents": 2}, {"domain": "a.example", "n_documents": 1}],
            "url": "http://a.example/1",
            "text": STORY,
        },
        {
            "representative_id": "5" * 32,
            "n_documents": 2,
            "languages": [{"language": "de", "n_documents": 1}, {"language": "en", "n_documents": 1}],
            "n_domains": 2,
            "domains": [{"domain": "a.example", "n_documents": 1}, {"domain": "c.example", "n_documents": 1}],
            "url": "http://a.example/5",
            "text": words(100, 140),
        },
    ]
    start, length = len(words(200, 220)) + 1, len(BANNER)
    assert passages == [
        {
            "first_id": "7" * 32,
            "first_start": start,
            "n_cuts": 4,
            "length": length,
            "n_bytes": 4 * length,
            "n_documents": 3,
            "languages": [{"language": "en", "n_documents": 3}],
            "n_domains": 2,
            "domains": [{"domain": "d.example", "n_documents": 2}, {"domain": "c.example", "n_documents": 1}],
            "url": "http://a.example/7",
            "text": BANNER,
        }
    ]
    assert told["steps"] == ["url_dedup", "exact_dedup", "minhash", "substrings"]
    none = dict.fromkeys(told["steps"], 0)
    assert told["removal"] == {
        "language": [
            {"name": "en", "pages": 9, "passage_bytes": 4 * length}
            | {"removed": none | {"exact_dedup": 1, "minhash": 2, "substrings": 1}},
            {"name": "de", "pages": 1, "passage_bytes": 0, "removed": none | {"minhash": 1}},
        ],
        "domain": [
            {"name": "b.example", "pages": 2, "passage_bytes": 0, "removed": none | {"minhash": 2}},
            {"name": "d.example", "pages": 2, "passage_bytes": 3 * length, "removed": none | {"substrings": 1}},
            {"name": "c.example", "pages": 2, "passage_bytes": length, "removed": none | {"minhash": 1}},
            {"name": "a.example", "pages": 4, "passage_bytes": 0, "removed": none | {"exact_dedup": 1}},
        ],
    }
    edges = told["similarity"]["edges"]
    assert (edges[0], edges[-1], len(edges)) == (0.75, 1.0, 26)
    # 36 of 37 shingles: .973. Pages 2 and 3, both like page 1, are not compared with each other.
    assert filled(told["similarity"]) == {"edges": {0.97: 3}}
    assert told["cluster_size"] == {"2": 1, "3": 1}
    assert told["passage_bytes"]["edges"] == LENGTH_EDGES
    assert filled(told["passage_bytes"]) == {"cut": {0: 4}}


def filled(histogram):
    """Bins that are not empty, by their lower edge."""
    return {
        name: {edge: n for edge, n in zip(histogram["edges"], bins, strict=False) if n}
        for name, bins in histogram["counts"].items()
    }


@pytest.mark.parametrize("dedup", [DedupRecipe(), CUT_UP], ids=["whole", "cut up"])
def test_of_equals_the_first_stay_and_of_texts_the_beginning(folder, dedup):
    """101 pairs, each with a passage of its own that a third page has too."""
    rows = []
    for n in range(101):
        text = words(0, 150, f"n{n}_")
        rows += [
            Row(id=f"{n:031x}{copy}", url=f"http://{n}.example/{copy}", text=f"{text}{' more' * copy}")
            for copy in (1, 0)
        ]
        rows.append(Row(id=f"{n:031x}2", url="", text=f"{words(0, 60, f'm{n}_')} {words(10, 18, f'n{n}_')}"))
    dedup = dataclasses.replace(dedup, group_pages=max(dedup.group_pages, 50), partition_rows=5_000)
    told, clusters, passages = shown(folder, placed([rows]), dedup=dedup, substrings=PASSAGES)
    assert [row["representative_id"] for row in clusters] == [f"{n:031x}0" for n in range(100)]
    assert [row["first_id"] for row in passages] == [f"{n:031x}0" for n in range(100)]
    assert {row["text"] for row in clusters[:1]} == {words(0, 150, "n0_")[:500]}
    assert passages[0]["text"] == words(10, 18, "n0_")
    assert passages[0]["domains"] == [{"domain": "", "n_documents": 1}]
    assert told["cluster_size"] == {"2": 101}
    domains = sorted(f"{n}.example" for n in range(101))
    assert [row["name"] for row in told["removal"]["domain"]] == domains[:100]


def test_a_passage_is_where_its_first_copy_begins_and_has_the_commonest_length(folder):
    first = words(0, 30)
    rows = [
        Row(id="1" * 32, text=first),
        Row(id="2" * 32, text=f"x {words(10, 18)} {words(0, 30, 'b')}"),
        Row(id="3" * 32, text=f"{words(10, 18)} {words(0, 30, 'c')}"),
        Row(id="4" * 32, text=f"{words(0, 30, 'd')} {words(10, 20)}"),
        Row(id="5" * 32, text=f"{words(0, 30, 'e')} {words(20, 26)}"),
    ]
    _, _, passages = shown(folder, placed([rows]), substrings=PASSAGES)
    lengths = [len(words(10, 18)), len(words(10, 20)), len(words(20, 26))]
    names = ("first_start", "n_cuts", "length", "n_bytes", "text")
    assert [tuple(row[name] for name in names) for row in passages] == [
        (first.index("w10"), 3, lengths[0], 2 * lengths[0] + lengths[1], words(10, 18)),
        (first.index("w20"), 1, lengths[2], lengths[2], words(20, 26)),
    ]


def test_a_character_that_the_sample_would_split_is_left_out(folder):
    """White space is not compared: a byte more of it in the first copy, and the length ends inside the last letter."""
    rows = [
        Row(id="1" * 32, text=f"{words(0, 20)} a b c d\n\ne żół {words(20, 40)}"),
        Row(id="2" * 32, text=f"{words(80, 120)} a b c d e żół"),
    ]
    _, _, passages = shown(folder, placed([rows]), substrings=PASSAGES)
    (row,) = passages
    assert row["length"] == len("a b c d e żół".encode())
    assert row["text"] == "a b c d\n\ne żó"


@pytest.mark.parametrize("mode", ["cut", "mask"])
@settings(max_examples=12, deadline=None)
@given(units=UNITS)
def test_the_figures_are_those_of_the_tables_however_the_run_is_cut_up(mode, units):
    changes = {"substrings": dataclasses.replace(PASSAGES, mode=mode)}
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as name:
        one, clusters, passages = shown(Path(name) / "1", units, **changes)
        other, *_ = shown(Path(name) / "2", units, dedup=CUT_UP, **changes)
        members, spans = (pq.read_table(Path(name) / "2" / table).to_pylist() for table in (CLUSTERS, SPANS_TABLE))
    assert one == other
    rows = {row.id: row for unit in reversed(units) for row in reversed(unit) if row.stage is None}  # first of an id
    size = Counter(row["cluster_id"] for row in members)
    ranked = sorted(size, key=lambda head: (-size[head], rows[head].order))
    assert [(row["representative_id"], row["n_documents"]) for row in clusters] == [(id, size[id]) for id in ranked]
    for row in clusters:
        inside = [rows[member["id"]] for member in members if member["cluster_id"] == row["representative_id"]]
        assert {name["domain"]: name["n_documents"] for name in row["domains"]} == Counter(
            domain_of(member.url) for member in inside
        )
    cuts = Counter((span["first_id"], span["first_start"]) for span in spans)
    assert {(row["first_id"], row["first_start"]): row["n_cuts"] for row in passages} == cuts
    places = [(-row["n_cuts"], rows[row["first_id"]].order, row["first_start"]) for row in passages]
    assert places == sorted(places)
    gone = Counter(stage for stage, _ in fate([row for unit in units for row in unit]).removed.values())
    for kind in ("language", "domain"):
        for step in ("url_dedup", "exact_dedup", "minhash"):
            assert sum(row["removed"][step] for row in one["removal"][kind]) == gone[step]
        n_bytes = sum(span["end"] - span["start"] for span in spans)
        assert sum(row["passage_bytes"] for row in one["removal"][kind]) == n_bytes


@settings(max_examples=12, deadline=None)
@given(units=UNITS)
def test_every_pair_that_is_alike_counts_once(units):
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.exists() else None) as name:
        told, *_ = shown(Path(name), units, dedup=CUT_UP, substrings=None)
    rows = [row for unit in units for row in unit]
    gone = {place for place, (stage, _) in fate(rows).removed.items() if stage != "minhash"}
    alive = [row for row in rows if row.stage is None and row.place not in gone]
    alike = sum(near_duplicates(a, b) for i, a in enumerate(alive) for b in alive[:i])
    # The two rounds compare fewer: nothing that is in a cluster already.
    clusters = [len(cluster) for cluster in fate(rows).clusters]
    assert sum(size - 1 for size in clusters) <= sum(told["similarity"]["counts"]["edges"]) <= alike
    assert told["cluster_size"] == {str(size): n for size, n in Counter(clusters).items()}


def test_beside_an_index_pages_gone_for_one_of_its_documents_are_a_cluster(folder):
    def run(number, units):
        store = Store(folder / number)
        sources = write_units(store, placed(units))
        opened = open_index(folder / "index", RECIPE)
        groups = groups_of(sources, CUT_UP.group_pages)
        past = past_of(opened, opened.before(number), len(groups))
        recipe = dataclasses.replace(RECIPE, dedup=CUT_UP, substrings=None)
        told = search(store, sources, recipe, past)["report"]["highlights"]
        parts = [part_name(group.number) for group in groups]
        append(opened, number, store, parts, sum(group.n_pages for group in groups))
        return told

    run("1", [[page("1", "a.example", STORY)]])
    told = run(
        "2",
        [
            [page("2", "b.example", f"{STORY} more"), page("3", "c.example", f"{STORY} else")],
            [page("4", "d.example", words(100, 140)), page("5", "d.example", f"{words(100, 140)} more")],
        ],
    )
    named = [(row["representative_id"][0], row["n_documents"], row["url"]) for row in told["top_clusters"]]
    assert named == [("1", 2, None), ("4", 2, "http://d.example/4")]
    assert told["top_clusters"][0]["text"] is None
    assert told["cluster_size"] == {"2": 2}
    assert told["similarity"]["counts"]["indexed"].count(0) == 24
    assert sum(told["similarity"]["counts"]["indexed"]) == 2


def test_nothing_to_show_is_shown(folder):
    told, clusters, passages = shown(folder, placed([[]]), dedup=CUT_UP, substrings=None)
    assert clusters == passages == []
    assert told["removal"] == {"language": [], "domain": []}
    assert sum(map(sum, told["similarity"]["counts"].values())) == 0
    assert told["steps"] == ["url_dedup", "exact_dedup", "minhash"]
