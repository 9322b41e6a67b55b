"""What curation costs: CPU milliseconds per page by work, and memory by kind of process.

    python benchmarks/curation_cost.py --input crawl/*.warc.gz --json

Runs `falconmix curate` twice into a temporary folder: first on a single page, which costs what starting costs (Ray,
imports, models, the block list's table, kernels where they are not compiled yet), then on the input. Figures per page
are the difference. CPU time is that of all processes of the job (driver, Ray's own, workers, guarded processes),
sampled every `SAMPLE_S` until each ends: what a process does in its last moments is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

SAMPLE_S = 0.1
ROLES = ("driver", "ray", "worker", "guard child")
WORDS = "The river had risen in the night and by morning the lower meadow was under water, so that we had to wait. "
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """One run: user and system time by role, and by role the resident memory of the largest process."""

    wall_s: float
    cpu_s: dict[str, float]
    peak_rss_bytes: dict[str, int]
    stats: Figures

    @property
    def total_s(self) -> float:
        return sum(self.cpu_s.values())


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of one process; `role` is that of its latest command line."""

    role: str = "ray"
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory(prefix="curation-cost-") as name:
        folder = Path(name)
        start_up = measure([_one_page(folder)], folder / "start-up", options)
        whole = measure(options.input, folder / "out", options)
    figures = compare(start_up, whole)
    print_figures(figures, whole.stats["funnel"])
    if options.json:
        print(json.dumps(figures))


def measure(inputs: Sequence[Path], output: Path, options: argparse.Namespace) -> Cost:
    """Run `falconmix curate` and watch its processes."""
    line = [sys.executable, "-m", "falconmix.cli", "curate", *map(str, inputs), "--output", str(output)]
    line += ["--recipe", options.recipe, "--workers", str(options.workers)]
    started_s = time.monotonic()
    job = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    seen: dict[int, Seen] = {}
    try:
        while job.poll() is None:
            for process in _processes(job.pid):
                seen[process.pid] = _sample(process, job.pid, seen.get(process.pid, Seen()))
            time.sleep(SAMPLE_S)
    finally:
        job.terminate()  # harmless where it has ended
    if job.returncode:
        raise SystemExit(f"falconmix curate failed ({job.returncode}): {job.stderr.read() if job.stderr else ''}")
    by_role = {role: [one for one in seen.values() if one.role == role] for role in ROLES}
    return Cost(
        wall_s=time.monotonic() - started_s,
        cpu_s={role: sum(one.cpu_s for one in all_) for role, all_ in by_role.items()},
        peak_rss_bytes={role: max((one.peak_rss_bytes for one in all_), default=0) for role, all_ in by_role.items()},
        stats=json.loads((output / "report" / "stats.json").read_text(encoding="utf-8")),
    )


def compare(start_up: Cost, whole: Cost) -> Figures:
    """Figures per page of `whole`, less what `start_up` spent."""
    pages = whole.stats["totals"]["captures"]
    before, after = (cost.stats["cpu_seconds"]["by_stage"] for cost in (start_up, whole))
    by_stage = {stage: after[stage] - before.get(stage, 0.0) for stage in after}
    spent_s = whole.total_s - start_up.total_s
    by_stage["everything else"] = spent_s - sum(by_stage.values())
    return {
        "pages": pages,
        "published": whole.stats["totals"]["published"],
        "ms_per_page": {work: 1000 * seconds / max(pages, 1) for work, seconds in by_stage.items()},
        "ms_per_page_total": 1000 * spent_s / max(pages, 1),
        "start_up": _without_stats(start_up),
        "run": _without_stats(whole),
    }


def print_figures(figures: Figures, funnel: Sequence[Figures]) -> None:
    print(f"{'step':<18}{'in':>9}{'out':>9}")
    for step in funnel:
        print(f"{step['stage']:<18}{step['in']:>9,}{step['out']:>9,}")
    print(f"\n{'work':<18}{'CPU ms per page':>18}")
    for work, ms in figures["ms_per_page"].items():
        print(f"{work:<18}{ms:>18.2f}")
    print(f"{'all':<18}{figures['ms_per_page_total']:>18.2f}")
    print(f"\n{'process':<18}{'CPU s':>9}{'start-up':>10}{'peak MB':>9}")
    for role in ROLES:
        run, start_up = figures["run"], figures["start_up"]
        peak_mb = run["peak_rss_bytes"][role] / 1e6
        print(f"{role:<18}{run['cpu_s'][role]:>9.1f}{start_up['cpu_s'][role]:>10.1f}{peak_mb:>9.0f}")


def _without_stats(cost: Cost) -> Figures:
    return {name: value for name, value in asdict(cost).items() if name != "stats"}


def _processes(root: int) -> list[psutil.Process]:
    try:
        driver = psutil.Process(root)
        return [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _sample(process: psutil.Process, driver: int, before: Seen) -> Seen:
    try:
        line, times, memory = " ".join(process.cmdline()), process.cpu_times(), process.memory_info()
    except psutil.Error:
        return before
    return Seen(
        role=("driver" if process.pid == driver else _role(line)) if line else before.role,  # a dead one has no name
        cpu_s=max(before.cpu_s, times.user + times.system),
        peak_rss_bytes=max(before.peak_rss_bytes, memory.rss),
    )


def _role(line: str) -> str:
    if "pipeline.guard_child" in line:
        return "guard child"
    return "worker" if line.startswith("ray::") or "default_worker.py" in line else "ray"


def _one_page(folder: Path) -> Path:
    """A WARC of one page that reaches extraction."""
    body = f"<html><body>{f'<p>{WORDS}</p>' * 8}</body></html>"
    block = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}"
    header = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://example.org/\r\nWARC-Date: 2023-09-21T12:00:00Z\r\n"
        f"WARC-Record-ID: <urn:uuid:0>\r\nContent-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n"
    )
    path = folder / "one-page.warc.gz"
    path.write_bytes(gzip.compress(f"{header}{block}\r\n\r\n".encode(), mtime=0))
    return path


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", nargs="+", type=Path, required=True, metavar="WARC")
    parser.add_argument("--recipe", default="refinedweb", metavar="NAME|FILE")
    parser.add_argument("--workers", type=int, default=1, help="tasks at once (default 1)")
    parser.add_argument("--json", action="store_true", help="all figures as one JSON object on the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
