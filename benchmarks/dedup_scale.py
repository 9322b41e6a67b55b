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
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dedup_command import WORKER, dedup, recall, similar_pairs
from grown_corpus import corpus_of, write
from processes import DRIVER

SIZES = (10_000, 100_000, 1_000_000)
START_UP_DOCUMENTS = 200
Figures = dict[str, Any]


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


def run(options: argparse.Namespace, size: int, folder: Path) -> Figures:
    """Grow `size` documents below `folder` and deduplicate them; what it took, start-up included."""
    write(corpus_of(options.input, size, options.seed), folder)
    found = dedup(sorted((folder / "documents").glob("*.parquet")), folder / "run", {}, options.workers)
    figures = {
        "documents": size,
        "kept": found.kept,
        "working_s": found.usage.working_s,
        "total_s": found.usage.total_s,
        "wall_s": found.usage.wall_s,
        "peak_task_mb": found.usage.peak_rss_bytes[WORKER] / 1e6,
        "driver_mb": found.usage.peak_rss_bytes[DRIVER] / 1e6,
        "recall": recall(similar_pairs(folder / "pairs.parquet"), found.clusters),
    }
    shutil.rmtree(folder)
    return figures


def summary(start_up: Figures, runs: Sequence[Figures]) -> Figures:
    """Figures of all sizes, start-up taken off."""
    rows = [
        one | {"cpu_us_per_document": 1e6 * (one["working_s"] - start_up["working_s"]) / one["documents"]}
        for one in runs
    ]
    costs = [row["cpu_us_per_document"] for row in rows]
    return {
        "cpu_per_document_ratio": max(costs) / min(costs),
        "peak_task_mb": max(row["peak_task_mb"] for row in rows),
        "driver_mb": max(row["driver_mb"] for row in rows),
        "start_up_s": start_up["total_s"],
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
