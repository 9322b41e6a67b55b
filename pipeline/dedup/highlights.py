"""What deduplication shows of itself: the largest clusters, the most repeated passages, removal by language and domain,
and how similar near-duplicates and how long passages are.

Every figure is exact and independent of groups and partitions; of each table the top goes to the report.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.dedup.components import edges_of
from pipeline.dedup.home import Home, Step
from pipeline.dedup.passages import SPANS, SUBSTRINGS
from pipeline.dedup.plan import Plan
from pipeline.dedup.ranking import (
    choose_subjects,
    rank_subjects,
    send_subjects,
    sum_names,
    tell_subjects,
    told_subjects,
)
from pipeline.dedup.removal import largest_removals, names_of_steps, send_largest, send_removed
from pipeline.phase import Phases, Report
from pipeline.statistics import histogram, total
from stages import schema
from stages.runs import run_starts

TOP_CLUSTERS = "dedup/top_clusters.parquet"
TOP_PASSAGES = "dedup/passages.parquet"
LENGTH_EDGES = [0, 100, 200, 300, 400, 500, 750, 1_000, 1_500, 2_000, 3_000, 5_000, 10_000, 20_000, 50_000, 1_000_000]
"""Bytes of the stretches cut."""
_NO_SPANS = pa.schema([("doc", pa.int64()), ("first_doc", pa.int64()), *schema.SPAN])


def find_highlights(plan: Plan, phases: Phases, steps: Sequence[Step]) -> Report:
    """Write `TOP_CLUSTERS` and `TOP_PASSAGES`; returns these and the other figures."""
    parts = plan.partitions(plan.n_pages)
    counts = partial(_count, plan=plan, steps=steps, n_parts=len(parts))
    counted = phases.run("counted", counts, plan.group_numbers)
    phases.run("removal_largest", partial(send_largest, plan=plan, steps=steps), parts)
    ranked = phases.run("ranked", partial(rank_subjects, plan=plan), plan.homes)
    phases.run("chosen", partial(choose_subjects, plan=plan), [0])
    phases.run("told", partial(_tell, plan=plan, steps=steps, n_parts=len(parts)), plan.group_numbers)
    phases.run("named", partial(sum_names, plan=plan), parts)
    (told,) = phases.run("highlights", partial(_write, plan=plan, steps=steps, parts=parts), [0])
    sizes = total(report["cluster_sizes"] for report in ranked)
    return {
        "similarity": _added(similarity_edges(plan), (report["similarity"] for report in counted)),
        "cluster_size": {size: sizes[size] for size in sorted(sizes, key=int)},
        "passage_bytes": _added(LENGTH_EDGES, (report["lengths"] for report in counted)),
        "steps": names_of_steps(steps),
        **{name: told[name] for name in ("removal", "top_clusters", "top_passages")},
    }


def similarity_edges(plan: Plan) -> list[float]:
    """Borders of the bins of similarities: hundredths, from the threshold's on."""
    lowest = min(int(plan.recipe.minhash.threshold * 100 + 1e-9), 99)
    return [round(hundredth / 100, 2) for hundredth in range(lowest, 101)]


def _spans(plan: Plan, number: int, steps: Sequence[Step]) -> pa.Table:
    return plan.exchange(SPANS).read([number]) if SUBSTRINGS in dict(steps) else _NO_SPANS.empty_table()


def _count(number: int, *, plan: Plan, steps: Sequence[Step], n_parts: int) -> tuple[list[str], Report]:
    home, spans = Home(plan, number), _spans(plan, number, steps)
    files = [send_removed(plan, home, steps, spans, n_parts), send_subjects(plan, number, spans)]
    return files, {"similarity": _similarities(plan, number), "lengths": {"cut": _lengths(spans)}}


def _tell(number: int, *, plan: Plan, steps: Sequence[Step], n_parts: int) -> tuple[list[str], Report]:
    return tell_subjects(plan, Home(plan, number), _spans(plan, number, steps), n_parts), {}


def _similarities(plan: Plan, number: int) -> dict[str, list[int]]:
    """Verified edges of a group's documents to earlier ones, each once though both rounds may have found it.

    `edges` are those within the run, `indexed` those to documents of an index, in a run that has one.
    """
    edges = edges_of(plan, number)
    earlier, later, similarity = (edges[name].to_numpy() for name in ("earlier", "later", "similarity"))
    _, once = np.unique(np.stack([earlier, later]), axis=1, return_index=True)
    earlier, similarity = earlier[once], similarity[once]
    borders = similarity_edges(plan)
    series = {"edges": histogram(similarity[earlier >= 0], borders)}
    if plan.past is not None:
        series["indexed"] = histogram(similarity[earlier < 0], borders)
    return series


def _lengths(spans: pa.Table) -> list[int]:
    """Stretches cut by their bytes; spans that meet, because the source changes half-way, are one stretch."""
    doc, start, end = (spans[name].to_numpy() for name in ("doc", "start", "end"))
    begins = run_starts(doc)
    begins[1:] |= start[1:] != end[:-1]
    ends = np.append(begins[1:], True)[: doc.size]
    return histogram(end[ends] - start[begins], LENGTH_EDGES)


def _added(edges: Sequence[float], reports: Iterable[dict[str, list[int]]]) -> Report:
    counts: dict[str, Any] = {}
    for report in reports:
        for name, bins in report.items():
            counts[name] = [a + b for a, b in zip(counts.get(name, [0] * len(bins)), bins, strict=True)]
    return {"edges": list(edges), "counts": counts}


def _write(_number: int, *, plan: Plan, steps: Sequence[Step], parts: range) -> tuple[list[str], Report]:
    told = told_subjects(plan, parts)
    clusters = pa.Table.from_pylist([row for row in told if "representative_id" in row], schema.TOP_CLUSTER)
    passages = pa.Table.from_pylist([row for row in told if "first_id" in row], schema.TOP_PASSAGE)
    plan.store.write_table(TOP_CLUSTERS, clusters, schema.TOP_CLUSTER)
    plan.store.write_table(TOP_PASSAGES, passages, schema.TOP_PASSAGE)
    report = {
        "removal": largest_removals(plan, steps, parts),
        "top_clusters": clusters.to_pylist(),
        "top_passages": passages.to_pylist(),
    }
    return [TOP_CLUSTERS, TOP_PASSAGES], report
