"""The histogram of clusters by size."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.report import figures
from pipeline.report.charts import Bin, Columns
from pipeline.report.distributions import captioned
from pipeline.report.markup import Markup, tag

_SIZE_RANGES = ((2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 256))
"""Cluster sizes by columns; what is larger stands in a last column of its own."""


def clusters(sizes: Mapping[int, int]) -> Markup:
    """Published documents by the number of near-duplicates that they stand for."""
    single = sizes.get(1, 0)
    alone = f"{figures.noun(single, 'document stands', 'documents stand')} alone"
    if not any(number for size, number in sizes.items() if size > 1):
        return tag("figure", tag("figcaption", tag("strong", "Near-duplicates"), f"{alone}; no two were alike."))
    chart = Columns(
        title="Clusters of near-duplicates by size",
        axis="pages in the cluster",
        series=("clusters",),
        bins=tuple(_size_bins(sizes)),
        ticks=tuple(a_bin.label for a_bin in _size_bins(sizes)),
        ticks_in_the_middle=True,
    )
    told = f"Clusters by size; {alone} and are left out here." if single else "Clusters by size."
    return captioned(chart, "Near-duplicates", told)


def _size_bins(sizes: Mapping[int, int]) -> list[Bin]:
    """Columns up to the largest cluster there is."""
    largest = max(sizes)
    bins = [
        Bin(label=f"{low}–{high}" if high > low else f"{low}", counts=(_between(sizes, low, high),))
        for low, high in _SIZE_RANGES
        if low <= largest
    ]
    beyond = _SIZE_RANGES[-1][1] + 1
    if largest >= beyond:
        bins.append(Bin(label=f"≥ {beyond}", counts=(_between(sizes, beyond, largest),)))
    return bins


def _between(sizes: Mapping[int, int], low: int, high: int) -> int:
    return sum(number for size, number in sizes.items() if low <= size <= high)
