"""Charts as inline SVG: crisp at any size, coloured by the page's style sheet, readable without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.report import figures
from pipeline.report.markup import Markup, join, tag

_WIDTH, _HEIGHT = 330, 210
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 14, 10, 42
_PLOT_WIDTH = _WIDTH - _LEFT - _RIGHT
_PLOT_HEIGHT = _HEIGHT - _TOP - _BOTTOM
_LABEL_WIDTH = 40
"""Pixels that an axis label needs, so that neighbours never touch."""
_TICK_STEPS = [factor * 10**power for power in range(6) for factor in (1, 2, 5)]


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One column: its name in full, and its count in each series, bottom first."""

    label: str
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A column chart: `series` are classes of the style sheet, `ticks` label the bins' borders or middles."""

    title: str
    axis: str
    series: tuple[str, ...]
    bins: tuple[Bin, ...]
    ticks: tuple[str, ...]
    ticks_in_the_middle: bool = False


def bar(parts: Sequence[tuple[str, int]], whole: int) -> Markup:
    """A horizontal bar of coloured parts (class, size), as wide as its container; decoration beside written figures."""
    rects = []
    start = 0.0
    for name, part in parts:
        width = max(100 * part / whole, 0.0) if whole > 0 else 0.0
        # A sliver stays visible: a rule that took one page of a million took one.
        rects.append(_rect(name, start, 0, max(width, 0.4) if part > 0 else 0, 10))
        start += width
    return tag(
        "svg",
        *rects,
        class_="bar",
        viewBox="0 0 100 10",
        preserveAspectRatio="none",
        aria_hidden="true",
        focusable="false",
    )


def columns(chart: Columns) -> Markup:
    """The chart as one image, named and with its figures in the columns' tooltips."""
    top, step = nice_scale(max((sum(a_bin.counts) for a_bin in chart.bins), default=0))
    grid = [_grid_line(value, top) for value in range(0, top + 1, step)]
    return tag(
        "svg",
        tag("title", chart.title),
        *grid,
        *[_column(chart, place, top) for place in range(len(chart.bins))],
        *_ticks(chart),
        _text(chart.axis, _LEFT + _PLOT_WIDTH / 2, _HEIGHT - 4, "middle"),
        class_="chart",
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=chart.title,
    )


def nice_scale(largest: int) -> tuple[int, int]:
    """Return the axis' top and step: a step of 1, 2 or 5 times a power of ten, at most five of them, top ≥ largest."""
    if largest <= 0:
        return 1, 1
    power = 10 ** max(math.floor(math.log10(largest)) - 1, 0)
    step = next(power * factor for factor in (1, 2, 5, 10, 20, 50) if power * factor * 5 >= largest)
    return step * -(-largest // step), step


def _column(chart: Columns, place: int, top: int) -> Markup:
    a_bin = chart.bins[place]
    width = _PLOT_WIDTH / len(chart.bins)
    gap = min(2.0, width / 4)
    drawn = []
    floor = float(_TOP + _PLOT_HEIGHT)
    for name, count in zip(chart.series, a_bin.counts, strict=True):
        height = max(_PLOT_HEIGHT * count / top, 1.0) if count else 0.0
        floor -= height
        drawn.append(_rect(name, _LEFT + place * width + gap / 2, floor, width - gap, height))
    told = ", ".join(
        f"{figures.count(count)} {name}" if len(chart.series) > 1 else figures.count(count)
        for name, count in zip(chart.series, a_bin.counts, strict=True)
    )
    return tag("g", tag("title", f"{a_bin.label}: {told}"), *drawn)


def _ticks(chart: Columns) -> list[Markup]:
    if not chart.bins:
        return []
    width = _PLOT_WIDTH / len(chart.bins)
    every = next(every for every in _TICK_STEPS if every * width >= _LABEL_WIDTH or every > len(chart.bins))
    start = _LEFT + (width / 2 if chart.ticks_in_the_middle else 0)
    return [
        _text(label, start + place * width, _HEIGHT - 24, "middle")
        for place, label in enumerate(chart.ticks)
        if place % every == 0
    ]


def _grid_line(value: int, top: int) -> Markup:
    y = _TOP + _PLOT_HEIGHT * (1 - value / top)
    line = tag("line", x1=_LEFT, x2=_WIDTH - _RIGHT, y1=_number(y), y2=_number(y), class_="grid" if value else "axis")
    return join(line, _text(figures.compact(value), _LEFT - 6, y + 3.5, "end"))


def _rect(name: str, x: float, y: float, width: float, height: float) -> Markup:
    return tag("rect", class_=name, x=_number(x), y=_number(y), width=_number(width), height=_number(height))


def _text(label: str, x: float, y: float, anchor: str) -> Markup:
    return tag("text", label, x=_number(x), y=_number(y), text_anchor=anchor)


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".")
