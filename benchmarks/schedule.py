"""Seeking in the whole schedule of falcon2-11b: 5.5 T tokens over some 10^5 token files, of which only a table is made.

    python benchmarks/schedule.py --json

The table gives every component as many tokens as the recipe wants of it at most, in files of uneven size; documents
have 1,000 tokens each. Opening (schedule, table, what is held out) is timed apart from seeking: position -> component,
window, epoch, token files and places in them. `first_ms` is the first seek after opening. Seeks are timed one by one,
at random positions; no token is read. `stages`: sequences and tokens of each stage against its budget.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Final

import numpy as np

from mixtures.catalogue import Catalogue, Shard
from mixtures.document_index import Documents
from mixtures.roots import Folder
from mixtures.run import OpenFiles
from mixtures.schedule import Schedule
from mixtures.spec import Mixture, load_mixture
from mixtures.stream import Stream
from mixtures.supply import drawn_from, supplies_of

MIXTURE: Final = "falcon2-11b"
DOCUMENT_TOKENS: Final = 1_000
SPARE: Final = Fraction(1001, 1000)
"""Tokens of a component over those that the recipe wants: what is held out, and windows that are left over."""
Figures = dict[str, Any]


def main() -> None:
    options = _options()
    mixture = load_mixture(options.recipe)
    catalogue = table(mixture, options.shards)
    started = time.perf_counter()
    stream = opened(mixture, catalogue)
    opening_s = time.perf_counter() - started
    figures = {
        "mixture": mixture.name,
        "shards": sum(map(len, catalogue.folders.values())),
        "tokens_in_shards": sum(map(catalogue.tokens, catalogue.folders)),
        "sequences": len(stream),
        "opening_s": opening_s,
        "seek": seeks(stream, options.seeks),
        "stages": stages(stream),
    }
    print_figures(figures)
    if options.json:
        print(json.dumps(figures))


class TableOnly(OpenFiles):
    """Token files of which only their sizes are known; their documents have `DOCUMENT_TOKENS` each."""

    def __init__(self, catalogue: Catalogue) -> None:
        super().__init__(Folder(Path("no-such-folder")))
        self._sizes = {
            f"{folder}/{shard.file}": shard.tokens for folder, shards in catalogue.folders.items() for shard in shards
        }
        self.documents = self._made  # type: ignore[assignment]

    def _made(self, name: str) -> Documents:
        starts = np.arange(0, self._sizes[name], DOCUMENT_TOKENS, dtype=np.uint64)
        ids = np.frombuffer(b"".join(b"%032x" % number for number in range(len(starts))), np.uint8)
        none = np.zeros(0, np.uint64)
        return Documents(
            starts=starts,
            skipped=np.zeros(len(starts), np.uint32),
            id_ends=np.arange(32, 32 * len(starts) + 1, 32, dtype=np.uint64),
            id_bytes=ids,
            url_keys=none,
            url_documents=none.astype(np.uint32),
            tokens=self._sizes[name],
        )


def table(mixture: Mixture, shards: int) -> Catalogue:
    """A catalogue of about so many shards that holds what the mixture wants; each component has one folder."""
    totals = {component.tokens[0]: total for component, total in _wanted(mixture).items()}
    sizes = divided(totals, shards)
    return Catalogue(tokenizer="ab" * 16, vocab_size=65_024, eod_id=11, folders=sizes)


def divided(totals: Mapping[str, int], shards: int) -> dict[str, tuple[Shard, ...]]:
    """The tokens of each folder in files of uneven size, files in proportion to tokens, at least one."""
    chance, whole = np.random.default_rng(0), sum(totals.values())
    folders = {}
    for folder, total in totals.items():
        shares = chance.uniform(0.5, 1.5, max(1, round(shards * total / whole)))
        ends = (np.cumsum(shares) / shares.sum() * total).astype(np.int64)
        ends[-1] = total
        folders[folder] = tuple(
            Shard(
                file=f"part-{number:05}.tokens",
                source=f"part-{number:05}.parquet",
                tokens=size,
                documents=-(-size // DOCUMENT_TOKENS),
                skipped=0,
                job=f"{number:032x}",
            )
            for number, size in enumerate(np.diff(ends, prepend=0).tolist())
        )
    return folders


def _wanted(mixture: Mixture) -> dict[Any, int]:
    schedule = Schedule(mixture)
    window = max(stage.context for stage in mixture.stages)
    return {
        component: ceil(schedule.tokens(component.name) / component.max_epochs * SPARE) + 2 * window
        for component in drawn_from(schedule)
    }


def opened(mixture: Mixture, catalogue: Catalogue) -> Stream:
    """The stream over that table."""
    files, schedule = TableOnly(catalogue), Schedule(mixture)
    return Stream.of(schedule, catalogue, supplies_of(schedule, catalogue, files), files)


def seek(stream: Stream, position: int) -> tuple[str, int, int, list[tuple[str, int, int]]]:
    """Component, window, epoch, and where its tokens lie: token file, first and end."""
    slot = stream.schedule.at(position)
    window, epoch = stream.window(slot)
    return slot.component, window, epoch, stream.places(position)


def seeks(stream: Stream, count: int) -> Figures:
    """Milliseconds of the first seek, and of `count` others at random positions; the longest by CPU time as well."""
    positions = np.random.default_rng(1).integers(0, len(stream), count + 1).tolist()
    taken_ms, cpu_ms = [], []
    for position in positions:
        started, began = time.perf_counter_ns(), time.thread_time_ns()
        seek(stream, position)
        taken_ms.append((time.perf_counter_ns() - started) / 1e6)
        cpu_ms.append((time.thread_time_ns() - began) / 1e6)
    first, *others = taken_ms
    return {
        "first_ms": first,
        "max_cpu_ms": max(cpu_ms),
        "min_ms": min(others),
        "median_ms": float(np.median(others)),
        "p99_ms": float(np.percentile(others, 99)),
        "max_ms": max(others),
        "count": count,
    }


def stages(stream: Stream) -> list[Figures]:
    """What each stage holds against its budget."""
    return [
        {
            "stage": span.name,
            "context": span.context,
            "sequences": span.end - span.first,
            "tokens": (span.end - span.first) * span.context,
            "budget": stage.tokens,
            "over": (span.end - span.first) * span.context - stage.tokens,
        }
        for span, stage in zip(stream.spans, stream.schedule.mixture.stages, strict=True)
    ]


def print_figures(figures: Figures) -> None:
    """The figures for reading."""
    found = figures["seek"]
    print(
        f"{figures['mixture']}: {figures['sequences']:,} sequences over {figures['shards']:,} token files of "
        f"{figures['tokens_in_shards']:,} tokens, opened in {figures['opening_s']:.1f} s"
    )
    print(
        f"seek: first {found['first_ms']:.3f} ms; of {found['count']:,} others min {found['min_ms']:.4f}, "
        f"median {found['median_ms']:.4f}, p99 {found['p99_ms']:.4f}, max {found['max_ms']:.3f} "
        f"({found['max_cpu_ms']:.3f} of CPU time)"
    )
    for row in figures["stages"]:
        print(f"{row['stage']}: {row['tokens']:,} tokens, {row['over']} over its budget, of {row['context']} at most")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", "--recipe", dest="recipe", default=MIXTURE, help="a mixture, by name or file")
    parser.add_argument("--shards", type=int, default=100_000, metavar="N")
    parser.add_argument("--seeks", type=int, default=100_000, metavar="N")
    parser.add_argument("--json", action="store_true", help="the figures as JSON in the last line")
    return parser.parse_args()


if __name__ == "__main__":
    main()
