"""What deduplicating whole dumps takes, extrapolated from `dedup_scale.py`: the tables of `docs/scale.md`.

    python benchmarks/all.py --only dedup-scale
    python benchmarks/scale_plan.py

Reads `build/bench/dedup-scale.json` and writes the parts of the document between `<!-- begin NAME -->` and
`<!-- end NAME -->` anew. CPU, exchanged bytes and edges per document are those of the largest run there; groups and
partitions are counted as the code counts them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dedup_scale import LARGE_TASKS
from render import table, with_part
from stages.minhash import PRESETS

REPOSITORY = Path(__file__).resolve().parent.parent
FIGURES = REPOSITORY / "build" / "bench" / "dedup-scale.json"
DOCUMENT = REPOSITORY / "docs" / "scale.md"
BANDS = PRESETS["refinedweb"].bands
DUMP_PAGES, DUMPS = 2_600_000_000, 90
REACHING = 0.35
"""Share of a dump's pages that reach deduplication. The paper keeps 23.3 % of all pages in English, which is 47.5 % of
the pages at its language filter; the eleven languages together are some 70 % of them."""
TEXT_BYTES = 3_000
"""Of a document, on average."""
BYTES_PER_WORD = 5
BYTES_PER_EDGE = 64
DEFAULT_TASKS = {"group_pages": 50_000, "partition_rows": 8_000_000}
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One way to go about it: `runs` runs over `documents` each, with an index that each is added to or without."""

    name: str
    documents: int
    tasks: dict[str, int]
    runs: int = 1
    indexed: bool = False


def main() -> None:
    figures: Figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    document = DOCUMENT.read_text(encoding="utf-8")
    for name, text in {"measured": measured(figures), "plan": planned(figures)}.items():
        document = with_part(document, name, text)
    DOCUMENT.write_text(document, encoding="utf-8")


def measured(figures: Figures) -> str:
    """What the largest run took, per document."""
    run, large, index = figures["runs"][-1], figures["large_tasks"], figures["index"]
    phases = ", ".join(f"{name} {us:,.0f}" for name, us in run["cpu_us_by_phase"].items())
    rows = [
        ["documents", f"{run['documents']:,}"],
        ["CPU µs a document, Ray's own processes included", f"{run['cpu_us_per_document']:,.0f}"],
        ["of it in tasks", phases],
        ["bytes that tasks hand each other, a document", f"{run['exchanged_bytes_per_document']:,.0f}"],
        ["verified edges a document", f"{run['edges_per_document']:.2f}"],
        [f"memory of the largest task, MB, {_tasks(DEFAULT_TASKS)}", f"{run['peak_task_mb']:,.0f}"],
        [f"the same, {_tasks(LARGE_TASKS)}", f"{large['peak_task_mb']:,.0f}"],
        ["memory of the driver, MB", f"{run['driver_mb']:,.0f}"],
        ["bytes a document in an index", f"{index['bytes_per_document']:,.0f}"],
        [
            "bytes that it adds to what tasks of a later run hand on",
            f"{index['exchanged_bytes_per_indexed_document']:,.0f}",
        ],
        ["CPU µs that it so costs that run", f"{looking_us(figures):,.0f}"],
    ]
    return table(["measured", ""], rows)


def looking_us(figures: Figures) -> float:
    """CPU of a document of an index in a later run, by its share of the bytes handed on: it is lost in the noise."""
    run = figures["runs"][-1]
    share = figures["index"]["exchanged_bytes_per_indexed_document"] / run["exchanged_bytes_per_document"]
    return float(share * run["cpu_us_by_phase"]["deduplicate"])


def planned(figures: Figures) -> str:
    """The plans side by side."""
    dump = round(DUMP_PAGES * REACHING)
    plans = [
        Plan(name="one dump", documents=dump, tasks=DEFAULT_TASKS),
        Plan(name="one dump, large tasks", documents=dump, tasks=LARGE_TASKS),
        Plan(name=f"{DUMPS} dumps, each beside an index", documents=dump, tasks=LARGE_TASKS, runs=DUMPS, indexed=True),
        Plan(name=f"{DUMPS} dumps in one run", documents=DUMPS * dump, tasks=LARGE_TASKS),
    ]
    columns = [_column(plan, figures) for plan in plans]
    rows = [[name, *(column[name] for column in columns)] for name in columns[0]]
    return table(["", *(plan.name for plan in plans)], rows)


def _column(plan: Plan, figures: Figures) -> dict[str, str]:
    run, index = figures["runs"][-1], figures["index"]
    n, rows = plan.documents, plan.tasks["partition_rows"]
    groups = -(-n // plan.tasks["group_pages"])
    bands, windows = -(-n * BANDS // rows), -(-n * TEXT_BYTES // BYTES_PER_WORD // rows)
    looked_at = n * plan.runs * (plan.runs - 1) // 2 if plan.indexed else 0  # documents of the index, once for each run
    cpu_us = plan.runs * n * run["cpu_us_per_document"] + looked_at * looking_us(figures)
    exchanged = plan.runs * n * run["exchanged_bytes_per_document"]
    exchanged += looked_at * index["exchanged_bytes_per_indexed_document"]
    peak = figures["large_tasks"] if plan.tasks == LARGE_TASKS else run
    edges = n * run["edges_per_document"]
    return {
        "documents that reach deduplication": _short(n * plan.runs),
        "pages a group, rows a partition": _tasks(plan.tasks),
        "groups of a run": f"{groups:,}",
        "partitions of band keys / of windows": f"{bands:,} / {windows:,}",
        "pieces of the largest exchange": _short(groups * windows),
        "handed between tasks, all runs": f"{exchanged / 1e12:,.1f} TB",
        "memory of a task": f"{peak['peak_task_mb'] / 1e3:,.1f} GB",
        "edges of a run": _short(edges),
        "union-find in one task would take": f"{edges * BYTES_PER_EDGE / 1e9:,.0f} GB",
        "index at the end": f"{plan.runs * n * index['bytes_per_document'] / 1e12:,.1f} TB" if plan.indexed else "",
        "core-hours, all runs": f"{cpu_us / 3.6e9:,.0f}",
        "of them for looking at the index": f"{looked_at * looking_us(figures) / 3.6e9:,.0f}",
    }


def _tasks(tasks: dict[str, int]) -> str:
    return f"{_short(tasks['group_pages'])}, {_short(tasks['partition_rows'])}"


def _short(n: float) -> str:
    units: Sequence[tuple[float, str]] = [(1e9, " G"), (1e6, " M"), (1e3, " k")]
    for size, unit in units:
        if n >= size:
            return f"{n / size:,.3g}{unit}"
    return f"{n:,.0f}"


if __name__ == "__main__":
    main()
