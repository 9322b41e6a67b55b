"""Deduplication as a corpus grows: CPU per document, and memory of the largest task and of the driver.

    python benchmarks/dedup_scale.py --input ../shared/data/text --json
    python benchmarks/dedup_scale.py --input ../shared/data/text --sizes 10000 100000 --workers 2

Grows a corpus of each size (`grown_corpus.py`) and runs `falconmix dedup` on it, watching all processes of the job. A
run on few documents, made twice so that all machine code is compiled, shows what starting costs; CPU per document is
what a run spends more than that, divided by its documents. `cpu_per_document_ratio` is the dearest size over the
cheapest. `peak_task_mb` and `driver_mb` are the resident memory of the largest worker and of the driver in any run, by
size in `runs`. `recall`: share of the planted pairs with a Jaccard similarity of .8 or more that end in one cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from dedup import recall, similar_pairs
from grown_corpus import corpus_of, write
from processes import DRIVER, Usage, watch

SIZES = (10_000, 100_000, 1_000_000)
START_UP_DOCUMENTS = 200
WORKER, RAY = "worker", "ray"
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of the command on a grown corpus."""

    documents: int
    usage: Usage
    recall: float


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="dedup-scale-", dir=options.scratch) as name:
        folder = Path(name)
        run(options, START_UP_DOCUMENTS, folder / "warm-up")
        start_up = run(options, START_UP_DOCUMENTS, folder / "start-up")
        figures = summary(start_up, [run(options, size, folder / str(size)) for size in options.sizes])
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def run(options: argparse.Namespace, size: int, folder: Path) -> Run:
    """Grow `size` documents below `folder` and deduplicate them."""
    write(corpus_of(options.input, size, options.seed), folder)
    files = sorted((folder / "documents").glob("*.parquet"))
    line = [sys.executable, "-m", "falconmix.cli", "dedup", *map(str, files), "--output", str(folder / "out")]
    # Ray's daemons cost by the second; workers that give way to all else would make a run on a busy machine dearer.
    environment = os.environ | {"RAY_worker_niceness": "0"}
    usage = watch([*line, "--workers", str(options.workers), "--json"], (WORKER, RAY), role_of, environment)
    table = pq.read_table(folder / "out" / "dedup" / "clusters.parquet", columns=["id", "cluster_id"])
    clusters = dict(zip(table["id"].to_pylist(), table["cluster_id"].to_pylist(), strict=True))
    return Run(documents=size, usage=usage, recall=recall(similar_pairs(folder / "pairs.parquet"), clusters))


def role_of(line: str) -> str:
    """Role of a process by its command line: Ray names its workers after the task that they run."""
    return WORKER if line.startswith("ray::") or "default_worker.py" in line else RAY


def summary(start_up: Run, runs: Sequence[Run]) -> Figures:
    """Figures of all sizes, start-up taken off."""
    rows = [
        {
            "documents": one.documents,
            "cpu_us_per_document": 1e6 * (one.usage.working_s - start_up.usage.working_s) / one.documents,
            "wall_s": one.usage.wall_s,
            "peak_task_mb": one.usage.peak_rss_bytes[WORKER] / 1e6,
            "driver_mb": one.usage.peak_rss_bytes[DRIVER] / 1e6,
            "recall": one.recall,
        }
        for one in runs
    ]
    costs = [row["cpu_us_per_document"] for row in rows]
    return {
        "cpu_per_document_ratio": max(costs) / min(costs),
        "peak_task_mb": max(row["peak_task_mb"] for row in rows),
        "driver_mb": max(row["driver_mb"] for row in rows),
        "start_up_s": start_up.usage.total_s,
        "runs": rows,
    }


def print_figures(figures: Figures) -> None:
    print(f"{'documents':>10}{'us each':>10}{'wall s':>9}{'task MB':>9}{'driver MB':>11}{'recall':>9}")
    for row in figures["runs"]:
        print(f"{row['documents']:>10,}{row['cpu_us_per_document']:>10.0f}{row['wall_s']:>9.0f}", end="")
        print(f"{row['peak_task_mb']:>9.0f}{row['driver_mb']:>11.0f}{row['recall']:>9.4f}")
    print(f"CPU per document, dearest over cheapest: {figures['cpu_per_document_ratio']:.2f}")
    print(f"starting: {figures['start_up_s']:.1f} CPU s, once a run")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="texts: a file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="documents of each run")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--scratch", type=Path, help="where to grow corpora: 3 kB a document and what the command needs"
    )
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
