"""The page of a run of `falconmix dedup`."""

import pytest

from pipeline.report import StatsError, render_corpus

NOTHING = {"edges": [0.75, 1.0], "counts": {"edges": [3]}}
STATS = {
    "format": 1,
    "recipe": "refinedweb",
    "inputs": [
        {"file": "a/<b>.jsonl", "rows": 70, "written": 60, "removed": {"minhash": 10}},
        {"file": "a/c.jsonl", "rows": 30, "written": 30, "removed": {}},
    ],
    "funnel": [
        {"stage": "exact_dedup", "in": 100, "out": 100},
        {"stage": "minhash", "in": 100, "out": 90},
    ],
    "deduplication": {
        "similarity": NOTHING,
        "cluster_size": {"11": 1},
        "passage_bytes": NOTHING,
        "steps": ["exact_dedup", "minhash"],
        "removal": {"language": [], "domain": []},
        "top_clusters": [],
        "top_passages": [],
    },
}


def test_rows_in_and_out_steps_and_files_are_told(read_page):
    page = read_page(render_corpus(STATS))
    assert "100 rows in" in page.text
    assert "90 rows out" in page.text
    assert "a/<b>.jsonl 70 0 10 60" in page.text
    assert "falconmix why OUT FILE:ROW" in page.text
    assert "near-duplicates" in page.text


def test_figures_of_another_program_are_refused_by_field():
    with pytest.raises(StatsError, match=r"stats\.json: funnel"):
        render_corpus({**STATS, "funnel": 3})
