"""The page's histograms: text length, language score; and how any histogram is drawn."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.report import figures, tables
from pipeline.report.charts import Bin, Columns, columns
from pipeline.report.markup import Markup, tag
from pipeline.report.stats import Histogram, Stats


def section(stats: Stats) -> Markup:
    """All histograms that the run has."""
    shown = stats.histograms
    drawn = [
        _lengths(shown.text_chars) if shown.text_chars else None,
        _scores(shown.language_score) if shown.language_score else None,
    ]
    legend = tables.legend(("kept", "kept"), ("removed", "rejected"))
    return tables.section("distributions", "Distributions", legend, tag("div", *drawn, class_="charts"))


def _lengths(histogram: Histogram) -> Markup:
    chart = binned(histogram, "Length of the main text", "characters", figures.compact)
    return captioned(chart, "Main text", "Pages by characters of main text; the ranges widen to the right.")


def _scores(histogram: Histogram) -> Markup:
    chart = binned(histogram, "Score of the page's language", "score of the top language", lambda edge: f"{edge:.2g}")
    return captioned(chart, "Language score", "How sure the model is of the language it names.")


def binned(histogram: Histogram, title: str, axis: str, write: Callable[[float], str]) -> Columns:
    """A histogram as columns, its edges written by `write`."""
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


def captioned(chart: Columns, name: str, note: str) -> Markup:
    """A chart under its name, with its figures folded below it."""
    caption = tag("figcaption", tag("strong", name), note)
    return tag("figure", caption, columns(chart), _figures_table(chart))


def _figures_table(chart: Columns) -> Markup:
    """The chart's figures for those who cannot or would not read them from columns."""
    head = (tables.column(chart.axis), *map(tables.figures_column, chart.series))
    rows = [
        (tables.row_name(a_bin.label), *map(tables.figure, map(figures.count, a_bin.counts))) for a_bin in chart.bins
    ]
    return tag("details", tag("summary", "Figures"), tables.table(head, rows, label=f"Figures: {chart.title}"))
