"""Rounds, CPU time and memory of connected components by large-star and small-star, on families of power-law sizes.

    python benchmarks/stars.py --nodes 1000000 --json

The graph is made, not read: families of documents whose sizes follow a power law, each document linked to three of its
family at random, numbers in random order, so that a family is about as hard as any that verification makes. All is one
process with the partitions one after another; the memory is the peak that a partition's step allocates, for each link
that it reads. Union-find over the same edges stands beside.
"""

from __future__ import annotations

import argparse
import json
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np

from stages.clusters import components
from stages.stars import Links, Star, both_ways, downward, large_star, partition_of, small_star

LINKS_PER_NODE = 3


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--json", action="store_true", help="end with one JSON line")
    options = parser.parse_args()
    figures = measure(families(options.nodes, seed=0), options.partitions)
    for name, value in figures.items():
        print(f"{name:<26} {value:,.2f}")
    if options.json:
        print(json.dumps(figures))


def families(n_nodes: int, seed: int) -> Links:
    """Links within families: the largest has some hundredths of the nodes, most have two to ten."""
    rng = np.random.default_rng(seed)
    sizes = np.minimum(1 + rng.pareto(1.0, n_nodes).astype(np.int64), n_nodes // 50)
    sizes = sizes[: np.searchsorted(np.cumsum(sizes), n_nodes)]
    starts = np.repeat(np.cumsum(sizes) - sizes, sizes)
    node = np.tile(np.arange(starts.size), LINKS_PER_NODE)
    others = [starts + (rng.random(starts.size) * np.repeat(sizes, sizes)).astype(np.int64) for _ in range(3)]
    names = rng.permutation(starts.size)
    return Links(names[node], names[np.concatenate(others)])


def measure(links: Links, n_partitions: int) -> dict[str, Any]:
    """Run to the fixed point; figures by name."""
    n_nodes, n_links = int(np.max(links) + 1), links.node.size
    start_s = time.process_time()
    labels = components(n_nodes, *links)
    union_find_s = time.process_time() - start_s
    partition_of(links.node[:1], 1)  # compiles
    peak_bytes, n_rounds, changed, start_s = 0.0, 0, True, time.process_time()
    while changed:
        links, by_large, large_bytes = _step(large_star, both_ways(links), n_partitions)
        links, by_small, small_bytes = _step(small_star, downward(links), n_partitions)
        peak_bytes = max(peak_bytes, large_bytes, small_bytes)
        n_rounds, changed = n_rounds + 1, by_large or by_small
    elapsed_s = time.process_time() - start_s
    found = np.arange(n_nodes)
    found[links.node] = links.neighbour
    assert (found == labels).all()
    return {
        "nodes": n_nodes,
        "links": n_links,
        "rounds": n_rounds,
        "stars_us_per_link": 1e6 * elapsed_s / n_links,
        "union_find_us_per_link": 1e6 * union_find_s / n_links,
        "peak_bytes_per_row": peak_bytes,
    }


def _step(step: Callable[[Links], Star], links: Links, n_partitions: int) -> tuple[Links, bool, float]:
    """One step over all partitions: links, whether one changed, and the largest peak of bytes a row read."""
    partition = partition_of(links.node, n_partitions)
    made, changed, peak = [], False, 0.0
    for i in range(n_partitions):
        rows = Links(*(end[partition == i] for end in links))
        tracemalloc.start()
        star = step(rows)
        peak = max(peak, tracemalloc.get_traced_memory()[1] / max(rows.node.size, 1))
        tracemalloc.stop()
        made.append(star.links)
        changed |= star.changed
    return Links(*(np.concatenate(column) for column in zip(*made, strict=True))), changed, peak


if __name__ == "__main__":
    main()
