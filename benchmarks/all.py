"""Runs the benchmarks and writes their tables into `docs/benchmarks.md`: `make bench`.

    python benchmarks/all.py
    python benchmarks/all.py --only cascade extraction
    python benchmarks/all.py --only

Each program's last line goes to `build/bench/NAME.json`, and the part of the document between `<!-- begin NAME -->` and
`<!-- end NAME -->` is written anew from it, the command above the tables; what stands around is left alone. `--only`
runs those programs alone, or none, and renders what results there are.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import render

REPOSITORY = Path(__file__).resolve().parent.parent
RESULTS = REPOSITORY / "build" / "bench"
DOCUMENT = REPOSITORY / "docs" / "benchmarks.md"
DATA = "../shared/data"
RUN = "build/bench/run"
Figures = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One run of a program of this folder, from the repository's root, and how its figures are shown."""

    line: str
    render: Callable[[Figures], str]
    gpu: bool = False
    """Left out where there is none."""

    @property
    def command(self) -> str:
        """The line as a user types it."""
        return f"python benchmarks/{self.line} --json"


BENCHMARKS: Mapping[str, Benchmark] = {
    "curation": Benchmark(line=f"curation.py --input {DATA}/warc --doomed 0.65", render=render.curation),
    "equal-words": Benchmark(
        line=f"curation.py --input {DATA}/warc --peer-trafilatura same --peer-words spaces", render=render.curation
    ),
    "cascade": Benchmark(line=f"cascade.py --input {DATA}/warc --doomed 0.65 --rounds 3", render=render.cascade),
    "curation-cost": Benchmark(line=f"curation_cost.py --input {DATA}/warc", render=render.curation_cost),
    "urls": Benchmark(line=f"urls.py --input {DATA}/warc", render=render.urls),
    "dedup": Benchmark(line=f"dedup.py --input {DATA}/text", render=render.dedup),
    "dedup-scale": Benchmark(line=f"dedup_scale.py --input {DATA}/text", render=render.dedup_scale),
    "survival": Benchmark(
        line=f"survival.py --input {DATA}/warc --gold {DATA}/gold/pages.jsonl", render=render.survival
    ),
    "fuzz": Benchmark(line=f"fuzz.py --input {DATA}/warc --pages 100000", render=render.fuzz),
    "extraction": Benchmark(
        line=f"extraction.py --input {DATA}/warc --gold {DATA}/gold/pages.jsonl --rounds 2", render=render.extraction
    ),
    "langid": Benchmark(line=f"langid.py --input {DATA}/langid", render=render.langid),
    "tokens": Benchmark(
        line=f"tokens.py --input {DATA}/text --tokenizer {DATA}/models/falcon_tokenizer.json", render=render.tokens
    ),
    "decontamination": Benchmark(
        line=f"decontamination.py --input {DATA}/text --tokenizer {DATA}/models/falcon_tokenizer.json",
        render=render.decontamination,
    ),
    "loader": Benchmark(line="loader.py", render=render.loader),
    "schedule": Benchmark(line="schedule.py", render=render.schedule),
    "trainer-gpu": Benchmark(line="trainer_gpu.py", render=render.trainer_gpu, gpu=True),
    "corrections-pages": Benchmark(line=f"corrections.py --input {RUN}/work/extracted", render=render.corrections),
    "corrections-novels": Benchmark(
        line=f"corrections.py --input {DATA}/text --chunk-words 300", render=render.corrections
    ),
}


def main() -> None:
    options = _options()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for name in options.only:
        if BENCHMARKS[name].gpu and not has_gpu():
            print(f"{name}: left out, there is no GPU here", flush=True)
            continue
        print(f"{name}: {BENCHMARKS[name].command}", flush=True)
        if RUN in BENCHMARKS[name].line:
            _curate(options.data)
        figures = run(BENCHMARKS[name], options.data)
        (RESULTS / f"{name}.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    document = DOCUMENT.read_text(encoding="utf-8")
    DOCUMENT.write_text(refreshed(document, results()), encoding="utf-8")


def run(benchmark: Benchmark, data: str) -> Figures:
    """Figures of one run; SystemExit where the program fails."""
    words = shlex.split(benchmark.line.replace(DATA, data))
    line = [sys.executable, f"benchmarks/{words[0]}", *words[1:], "--json"]
    done = subprocess.run(line, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{benchmark.command} failed ({done.returncode}): {done.stderr[-2000:]}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def has_gpu() -> bool:
    """Whether torch finds a GPU."""
    import torch

    return torch.cuda.is_available()


def results() -> dict[str, Figures]:
    """The latest figures of each benchmark that has run."""
    files = {name: RESULTS / f"{name}.json" for name in BENCHMARKS}
    return {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items() if file.exists()}


def refreshed(document: str, figures: Mapping[str, Figures]) -> str:
    """The document with the parts of these benchmarks written anew; ValueError where one has no place in it."""
    for name, of_run in figures.items():
        body = f"```\n{BENCHMARKS[name].command}\n```\n\n{BENCHMARKS[name].render(of_run)}"
        document = render.with_part(document, name, body)
    return document


def _curate(data: str) -> None:
    """A finished run with the default recipe; quick where there is one of these inputs already."""
    line = [sys.executable, "-m", "falconmix.cli", "curate", f"{data}/warc", "--output", RUN, "--restart"]
    subprocess.run(line, cwd=REPOSITORY, capture_output=True, check=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names: Sequence[str] = list(BENCHMARKS)
    parser.add_argument("--only", nargs="*", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--data", default=DATA, help=f"folder with warc, gold, langid and text (default {DATA})")
    return parser.parse_args()


if __name__ == "__main__":
    main()
