"""The page's histograms: text length, language score, cluster size."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pipeline.report import figures, tables
from pipeline.report.charts import Bin, Columns, columns
from pipeline.report.markup import Markup, tag
from pipeline.report.stats import Histogram, Stats

_SIZE_RANGES = ((2, 2), (3, 3), (4, 4), (5, 8), (9, 16), (17, 32), (33, 64), (65, 128), (129, 256))
"""Cluster sizes by columns; what is larger stands in a last column of its own."""


def section(stats: Stats) -> Markup:
    """All histograms that the run has."""
    shown = stats.histograms
    drawn = [
        _lengths(shown.text_chars) if shown.text_chars else None,
        _scores(shown.language_score) if shown.language_score else None,
        _clusters(shown.cluster_size),
    ]
    legend = tables.legend(("kept", "kept"), ("removed", "rejected"))
    return tables.section("distributions", "Distributions", legend, tag("div", *drawn, class_="charts"))


def _lengths(histogram: Histogram) -> Markup:
    chart = _chart(histogram, "Length of the main text", "characters", figures.compact)
    return _figure(chart, "Main text", "Pages by characters of main text; the ranges widen to the right.")


def _scores(histogram: Histogram) -> Markup:
    chart = _chart(histogram, "Score of the page's language", "score of the top language", lambda edge: f"{edge:.2g}")
    return _figure(chart, "Language score", "How sure the model is of the language it names.")


def _chart(histogram: Histogram, title: str, axis: str, write: Callable[[float], str]) -> Columns:
    names = [write(edge) for edge in histogram.edges]
    ends = [f"to {name}" for name in names[1:]] + ["and more"]
    series = tuple(histogram.counts)
    return Columns(
        title=title,
        axis=axis,
        series=series,
        bins=tuple(
            Bin(
                label=f"{names[place]} {ends[place]} {axis}",
                counts=tuple(histogram.counts[name][place] for name in series),
            )
            for place in range(histogram.n_bins)
        ),
        ticks=tuple(names),
    )


def _clusters(sizes: Mapping[int, int]) -> Markup:
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
    return _figure(chart, "Near-duplicates", f"Clusters by size; {alone} and are left out here.")


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


def _figure(chart: Columns, name: str, note: str) -> Markup:
    caption = tag("figcaption", tag("strong", name), note)
    return tag("figure", caption, columns(chart), _figures_table(chart))


def _figures_table(chart: Columns) -> Markup:
    """The chart's figures for those who cannot or would not read them from columns."""
    head = (tables.column(chart.axis), *map(tables.figures_column, chart.series))
    rows = [
        (tables.row_name(a_bin.label), *map(tables.figure, map(figures.count, a_bin.counts))) for a_bin in chart.bins
    ]
    return tag("details", tag("summary", "Figures"), tables.table(head, rows, label=f"Figures: {chart.title}"))
