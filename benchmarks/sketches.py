"""Time of verifying candidates by odd sketches, beside the exact shingle sets.

    python benchmarks/sketches.py --json

The sets are made, not read: random shingles, each document sharing most of them with its neighbour. Documents are
compared in random order, as candidates come, so that sketches and sets are fetched from memory and not from a cache.
CPU time of one process; the best of several rounds counts, as others share the machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from stages.compiled import compiled
from stages.minhash import ShingleSets, jaccard
from stages.odd_sketch import Floats, Rows, similarities, sketches


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--shingles", type=int, default=500, help="of each document")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    options = parser.parse_args()
    figures = measure(pairs(options.documents // 2, options.shingles), options.rounds)
    for name, value in figures.items():
        print(f"{name:<26} {value:,.2f}")
    if options.json:
        print(json.dumps(figures))


def pairs(n_pairs: int, n_shingles: int) -> ShingleSets:
    """Documents 2i and 2i + 1 share nine shingles of ten."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 2**64, (2 * n_pairs, n_shingles), dtype=np.uint64)
    values[1::2, : n_shingles * 9 // 10] = values[::2, : n_shingles * 9 // 10]
    values.sort(axis=1)
    return ShingleSets(values.ravel(), np.arange(2 * n_pairs + 1) * n_shingles)


def measure(sets: ShingleSets, rounds: int) -> dict[str, Any]:
    """Figures by name; the largest difference of an estimate from the exact similarity with them."""
    made = sketches(sets)
    n = made.sizes.size
    rows = np.random.default_rng(1).permutation(n // 2) * 2
    exact = _exact(sets, rows, rows + 1)
    error = np.abs(similarities(made, rows, made, rows + 1) - exact).max()
    return {
        "documents": n,
        "bytes_per_document": made.data.size / n,
        "sketch_us_per_document": 1e6 * _best_s(lambda: sketches(sets), rounds) / n,
        "estimate_ns_per_pair": 1e9 * _best_s(lambda: similarities(made, rows, made, rows + 1), rounds) / rows.size,
        "exact_ns_per_pair": 1e9 * _best_s(lambda: _exact(sets, rows, rows + 1), rounds) / rows.size,
        "largest_error": float(error),
    }


def _best_s(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds of the quickest round."""
    seconds = []
    for _ in range(rounds):
        start_s = time.process_time()
        work()
        seconds.append(time.process_time() - start_s)
    return min(seconds)


@compiled
def _exact(sets: ShingleSets, rows_a: Rows, rows_b: Rows) -> Floats:
    out = np.empty(rows_a.size)
    for i in range(rows_a.size):
        a, b = rows_a[i], rows_b[i]
        set_a = sets.values[sets.offsets[a] : sets.offsets[a + 1]]
        out[i] = jaccard(set_a, sets.values[sets.offsets[b] : sets.offsets[b + 1]])
    return out


if __name__ == "__main__":
    main()
