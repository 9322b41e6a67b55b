"""Deduplication as a corpus grows: CPU per document, and memory of the largest task and of the driver.

    python benchmarks/dedup_scale.py --input ../shared/data/text --json
    python benchmarks/dedup_scale.py --input ../shared/data/text --sizes 10000 100000 --workers 2

Grows a corpus of each size (`grown_corpus.py`) and runs `falconmix dedup` with its default recipe on it, watching all
processes of the job. A run on few documents, made twice so that all machine code is compiled, shows what starting
costs; CPU per document is what a run spends more than that, divided by its documents. `cpu_per_document_ratio` is the
dearest size over the cheapest. `peak_task_mb` and `driver_mb` are the resident memory of the largest worker and of the
driver in any run, by size in `runs`. `recall`: share of the planted pairs with a Jaccard similarity of .8 or more that
end in one cluster.

`large_tasks`: the largest corpus again, in groups and partitions as a whole dump asks for them.

`index`: `--indexed` documents beside an index of as many others, against the same documents beside an empty one. What
the first run costs more is the CPU per document of the index.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dedup_command import WORKER, dedup, recall, similar_pairs
from grown_corpus import corpus_of, write
from processes import DRIVER

SIZES = (10_000, 100_000, 1_000_000)
START_UP_DOCUMENTS = 200
INDEXED = 100_000
LARGE_TASKS = {"group_pages": 500_000, "partition_rows": 64_000_000}
Figures = dict[str, Any]


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="dedup-scale-", dir=options.scratch) as name:
        folder = Path(name)
        run(options, START_UP_DOCUMENTS, folder)
        start_up = run(options, START_UP_DOCUMENTS, folder)
        figures = summary(start_up, [run(options, size, folder) for size in options.sizes])
        figures["large_tasks"] = run(options, max(options.sizes), folder, {"dedup": LARGE_TASKS})
        if options.indexed:
            figures["index"] = beside_an_index(options, options.indexed, folder)
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def run(
    options: argparse.Namespace,
    size: int,
    scratch: Path,
    recipe: Mapping[str, object] | None = None,
    seed: int = 0,
    index: Path | None = None,
) -> Figures:
    """Grow `size` documents and deduplicate them; what it took, start-up included."""
    folder = scratch / "corpus"
    write(corpus_of(options.input, size, options.seed + seed), folder)
    found = dedup(
        sorted((folder / "documents").glob("*.parquet")), folder / "run", recipe or {}, options.workers, index
    )
    figures = {
        "documents": size,
        "kept": found.kept,
        "working_s": found.usage.working_s,
        "total_s": found.usage.total_s,
        "wall_s": found.usage.wall_s,
        "peak_task_mb": found.usage.peak_rss_bytes[WORKER] / 1e6,
        "driver_mb": found.usage.peak_rss_bytes[DRIVER] / 1e6,
        "exchanged_bytes_per_document": found.exchanged_bytes / size,
        "edges_per_document": found.report["edges"] / size,
        "cpu_us_by_phase": {name: 1e6 * s / size for name, s in found.report["cpu_seconds"].items()},
        "recall": recall(similar_pairs(folder / "pairs.parquet"), found.clusters),
    }
    shutil.rmtree(folder)
    return figures


def beside_an_index(options: argparse.Namespace, size: int, scratch: Path) -> Figures:
    """What an index of `size` documents costs a run of as many others."""
    index, empty = scratch / "index", scratch / "empty"
    run(options, size, scratch, seed=1, index=index)
    index_bytes = sum(file.stat().st_size for file in index.rglob("*") if file.is_file())
    beside, alone = (run(options, size, scratch, seed=2, index=one) for one in (index, empty))

    def more(name: str, unit: float = 1.0) -> float:
        return unit * (beside[name] - alone[name])

    return {
        "documents": size,
        "bytes_per_document": index_bytes / size,
        "cpu_us_per_indexed_document": more("working_s", 1e6 / size),
        "exchanged_bytes_per_indexed_document": more("exchanged_bytes_per_document"),
        "peak_task_mb": beside["peak_task_mb"],
    }


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
    if index := figures.get("index"):
        print(f"a document of an index: {index['bytes_per_document']:.0f} bytes", end="")
        print(f", {index['cpu_us_per_indexed_document']:.0f} us of each later run")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="texts: a file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="documents of each run")
    parser.add_argument("--indexed", type=int, default=INDEXED, metavar="N", help="documents of an index; 0: none")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--scratch", type=Path, help="where to grow corpora: 3 kB a document and what the command needs"
    )
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
