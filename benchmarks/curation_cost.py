"""What curation costs: CPU milliseconds per page by work, and memory by kind of process.

    python benchmarks/curation_cost.py --input crawl/ --json

Runs `falconmix curate` three times into a temporary folder: twice on one page of each language, first to have all
machine code compiled, then to see what starting costs (Ray, imports, models), and once on the input. Figures per page
are the difference of the last two; what a driver spends before it starts Ray (imports, the block list's table) belongs
to starting in both. CPU time is that of all processes of the job: driver, Ray's own, workers, guarded processes.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from given import WARC_SUFFIXES, files_of
from processes import DRIVER, Usage, watch
from warc_sets import write_start_up

ROLES = ("worker", "guard child", "ray")
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One run: what its processes spent, and the report's numbers."""

    usage: Usage
    stats: Figures


def main() -> None:
    options = _options()
    inputs = files_of(options.input, WARC_SUFFIXES)
    with tempfile.TemporaryDirectory(prefix="curation-cost-") as name:
        folder = Path(name)
        start_up = measure_start_up(folder, options.recipe, options.workers)
        whole = measure(inputs, folder / "out", options.recipe, options.workers)
    figures = compare(start_up, whole)
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


def measure_start_up(folder: Path, recipe: str, workers: int) -> Cost:
    """Run on one page of each language, once to have everything compiled, and once that counts."""
    pages = [write_start_up(folder / "start-up-pages")]
    measure(pages, folder / "warm-up", recipe, workers)
    return measure(pages, folder / "start-up", recipe, workers)


def measure(inputs: Sequence[Path], output: Path, recipe: str, workers: int) -> Cost:
    """Run `falconmix curate` and watch its processes."""
    line = [sys.executable, "-m", "falconmix.cli", "curate", *map(str, inputs), "--output", str(output)]
    # Ray's daemons cost by the second; workers that give way to all else would make a run on a busy machine dearer.
    environment = os.environ | {"RAY_worker_niceness": "0"}
    usage = watch([*line, "--recipe", recipe, "--workers", str(workers)], ROLES, _role, environment)
    return Cost(usage=usage, stats=json.loads((output / "report" / "stats.json").read_text(encoding="utf-8")))


def compare(start_up: Cost, whole: Cost) -> Figures:
    """Figures per page of `whole`, less what `start_up` spent and what either driver did on its own."""
    pages = whole.stats["totals"]["captures"]
    before, after = (cost.stats["cpu_seconds"]["by_stage"] for cost in (start_up, whole))
    by_stage = {stage: after[stage] - before.get(stage, 0.0) for stage in after}
    spent_s = whole.usage.working_s - start_up.usage.working_s
    by_stage["everything else"] = spent_s - sum(by_stage.values())
    return {
        "pages": pages,
        "published": whole.stats["totals"]["published"],
        "funnel": whole.stats.get("funnel", []),
        "ms_per_page": {work: 1000 * seconds / max(pages, 1) for work, seconds in by_stage.items()},
        "ms_per_page_total": 1000 * spent_s / max(pages, 1),
        "start_up": asdict(start_up.usage),
        "run": asdict(whole.usage),
    }


def print_figures(figures: Figures) -> None:
    print(f"{'step':<18}{'in':>9}{'out':>9}")
    for step in figures["funnel"]:
        print(f"{step['stage']:<18}{step['in']:>9,}{step['out']:>9,}")
    print(f"\n{'work':<18}{'CPU ms per page':>18}")
    for work, ms in figures["ms_per_page"].items():
        print(f"{work:<18}{ms:>18.2f}")
    print(f"{'all':<18}{figures['ms_per_page_total']:>18.2f}")
    print(f"\n{'process':<18}{'CPU s':>9}{'start-up':>10}{'peak MB':>9}")
    for role in (DRIVER, *ROLES):
        run, start_up = figures["run"], figures["start_up"]
        peak_mb = run["peak_rss_bytes"][role] / 1e6
        print(f"{role:<18}{run['cpu_s'][role]:>9.1f}{start_up['cpu_s'][role]:>10.1f}{peak_mb:>9.0f}")


def _role(line: str) -> str:
    if "pipeline.guard_child" in line:
        return "guard child"
    return "worker" if line.startswith("ray::") or "default_worker.py" in line else "ray"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, help="a WARC file, a folder (read recursively) or a quoted glob")
    parser.add_argument("--recipe", default="refinedweb", metavar="NAME|FILE")
    parser.add_argument("--workers", type=int, default=1, help="tasks at once (default 1)")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
