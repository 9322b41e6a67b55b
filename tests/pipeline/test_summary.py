"""The numbers of a run are the sums of what its tasks counted, however they were spread over files."""

from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UsageError, WorkError
from pipeline.report.stats import read_stats
from pipeline.shards import Shard
from pipeline.statistics import SCORE_EDGES, TEXT_CHARS_EDGES, count_documents, count_rejects
from pipeline.store import Store
from pipeline.summary import check_pages, collect, read_summary
from stages import schema
from stages.cascade import FUNNEL, TAKEDOWN, UNDECIDED

INPUTS = ("a.warc.gz", "b.warc.gz")
RUN = SimpleNamespace(recipe=SimpleNamespace(name="test", languages=("en", "de"), steps=FUNNEL))
SCORES = st.sampled_from([0.0, 0.05, 0.64, 0.65, 1.0])
CHARS = st.sampled_from([0, 99, 100, 999_999, 1_000_000, 5_000_000])

DOCUMENTS = st.fixed_dictionaries(
    {
        "warc_path": st.sampled_from(INPUTS),
        "url": st.sampled_from(["", "http://a.example/", "http://www.b.example/x"]),
        "language": st.sampled_from(["en", "de"]),
        "language_score": SCORES,
        "cluster_size": st.integers(1, 3),
        "n_chars": CHARS,
    }
)
REJECTS = st.fixed_dictionaries(
    {
        "warc_path": st.sampled_from(INPUTS),
        "url": st.sampled_from(["", "http://a.example/"]),
        "language": st.sampled_from([None, "en", "ja"]),
        "language_score": st.one_of(st.none(), SCORES),
        "stage": st.sampled_from(FUNNEL),
        "rule": st.sampled_from(["few", "many"]),
        "n_chars": st.one_of(st.none(), CHARS),
    }
)
HIGHLIGHTS = {
    "similarity": {"edges": [0.99, 1.0], "counts": {"edges": [4]}},
    "cluster_size": {"3": 2},
    "passage_bytes": {"edges": [0, 100], "counts": {"cut": [7]}},
    "steps": ["exact_dedup", "minhash"],
    "removal": {"language": [], "domain": []},
    "top_clusters": [],
    "top_passages": [],
}
COMMON = {"id": "0" * 32, "text": "", "warc_offset": 0, "warc_length": 1, "crawl": "c"}


def published_of(documents, rejects, parts):
    """Shards with their manifest records; rows are dealt out to `parts` files of each kind."""
    shards = []
    for language in sorted({row["language"] for row in documents}):
        rows = [COMMON | row for row in documents if row["language"] == language]
        for i in range(parts):
            table = pa.Table.from_pylist(rows[i::parts], schema.DOCUMENT)
            shards.append((Shard(folder=language, index=i, count=parts, language=language), count_documents(table)))
    for stage in sorted({row["stage"] for row in rejects}):
        rows = [COMMON | row for row in rejects if row["stage"] == stage]
        for i in range(parts):
            table = pa.Table.from_pylist(rows[i::parts], schema.REJECT)
            shards.append((Shard(folder=stage, index=i, count=parts, stage=stage), count_rejects(table)))
    return [(shard, {"report": report | {"cpu_s": 0.5}}) for shard, report in shards]


def unit_record(path, captures):
    report = {"warc_path": path, "size": 100, "record_bytes": 70, "padding_bytes": 20, "damaged_bytes": 10}
    report |= {"damaged_ranges": 1, "counts": {"response": captures, "request": 3}, "captures": captures}
    return {
        "report": report
        | {"poisoned": 1, "lines": {"en": {"digits": 2}}, "masked": {"emails": 1}, "cpu_s": {"read": 1.0, "pages": 2.0}}
    }


def summary_of(documents, rejects, parts=1, lost=0):
    captures = Counter(row["warc_path"] for row in documents + rejects)
    extracted = [unit_record(path, captures[path] + lost) for path in INPUTS]
    decided = {
        "report": {
            "edges": 4,
            "cut": 1,
            "spans": 7,
            "orphaned": 2,
            "bridged": 0,
            "highlights": HIGHLIGHTS,
            "cpu_s": {"bands": 2.0, "decided": 1.0},
        }
    }
    return collect(RUN, extracted, decided, published_of(documents, rejects, parts), Counter(node=2))


@given(st.lists(DOCUMENTS, max_size=8), st.lists(REJECTS, max_size=8))
def test_every_sum_is_that_of_the_rows(documents, rejects):
    summary = summary_of(documents, rejects)
    read_stats(summary)
    check_pages(summary)
    totals = summary["totals"]
    assert (totals["published"], totals["rejected"]) == (len(documents), len(rejects))
    assert totals["captures"] == len(documents) + len(rejects)
    assert totals["other_records"] == {"request": 6}
    assert totals["poisoned"] == 2
    assert summary["near_duplicates"] == {"edges": 4, "cut": 1}
    assert summary["passages"] == {"spans": 7, "orphaned": 2}
    assert summary["deduplication"] == HIGHLIGHTS
    met = {row["stage"] for row in rejects}
    shown = [stage for stage in FUNNEL if stage in met or stage not in (TAKEDOWN, UNDECIDED)]
    assert [step["stage"] for step in summary["funnel"]] == shown
    assert (summary["funnel"][0]["in"], summary["funnel"][-1]["out"]) == (totals["captures"], len(documents))
    for step in summary["funnel"]:
        assert step["rules"] == Counter(row["rule"] for row in rejects if row["stage"] == step["stage"])
    languages = summary["by_language"]
    assert sum(row["published"] for row in languages.values()) == len(documents)
    assert {name: row["rejected"] for name, row in languages.items() if row["rejected"]} == Counter(
        row["language"] or "unknown" for row in rejects
    )
    assert sum(row["captures"] for row in summary["by_domain"]) == totals["captures"]
    histograms = summary["histograms"]
    for series, rows in (("kept", documents), ("rejected", rejects)):
        for name in ("text_chars", "language_score"):
            known = sum(row["n_chars" if name == "text_chars" else name] is not None for row in rows)
            assert sum(histograms[name]["counts"][series]) == known
    assert histograms["cluster_size"] == Counter(str(row["cluster_size"]) for row in documents)


@given(st.lists(DOCUMENTS, max_size=8), st.lists(REJECTS, max_size=8), st.integers(2, 3))
def test_numbers_do_not_depend_on_how_rows_are_spread_over_files(documents, rejects, parts):
    one, several = summary_of(documents, rejects), summary_of(documents, rejects, parts)
    for summary in (one, several):
        summary["cpu_seconds"] = None
        for row in summary["datasets"]:
            row["shards"] = 0
    assert several == one


def test_processor_time_is_added_up_over_all_tasks():
    rejects = [{"warc_path": INPUTS[0], "url": "", "stage": stage, "rule": "few"} for stage in ("quality", "minhash")]
    spent = summary_of([], rejects)["cpu_seconds"]["by_stage"]
    assert spent == {"read": 2.0, "pages": 4.0, "deduplicate": 3.0, "publish": 1.0}


def test_a_lost_page_stops_the_run():
    with pytest.raises(WorkError, match=r"a\.warc\.gz: 1 pages, but 0 published and 0 rejected"):
        check_pages(summary_of([], [], lost=1))


def test_the_last_bin_is_open_and_edges_belong_to_the_bin_they_begin():
    rows = [
        COMMON | {"url": "", "warc_path": "a", "language": "en", "cluster_size": 1, "n_chars": n, "language_score": s}
        for n, s in ((99, 0.0), (100, 0.5), (9_000_000, 1.0))
    ]
    report = count_documents(pa.Table.from_pylist(rows, schema.DOCUMENT))
    assert report["text_chars"] == [1, 1] + [0] * (len(TEXT_CHARS_EDGES) - 4) + [1]
    assert report["language_score"] == [1] + [0] * 9 + [1] + [0] * 8 + [1]
    assert len(report["language_score"]) == len(SCORE_EDGES) - 1


def test_no_finished_run_is_said_so(tmp_path):
    with pytest.raises(UsageError, match="no finished run here"):
        read_summary(Store(Path(tmp_path)))
