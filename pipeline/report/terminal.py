"""The removal funnel on a terminal, or as plain text in a log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console, ConsoleOptions, RenderableType
from rich.table import Table
from rich.text import Text

from pipeline.report import figures
from pipeline.report.stats import InputFile, Stats, Step
from pipeline.report.tables import title

_BAR_WIDTH = 20
_REASONS = 2
_LOG_WIDTH = 120
_FILES_TOLD = 10


@dataclass(frozen=True, kw_only=True)
class Glyphs:
    """Signs for what is left, what was dropped, what went before, sums that hold or do not, and minus."""

    left: str
    removed: str
    gone: str
    holds: str
    fault: str
    minus: str


UNICODE = Glyphs(left="█", removed="▒", gone=" ", holds="✓", fault="✗", minus="−")
ASCII = Glyphs(left="#", removed="-", gone=" ", holds="ok:", fault="WRONG:", minus="-")


@dataclass(frozen=True, kw_only=True)
class Funnel:
    """The funnel and its two sums as something that `rich` prints, in ASCII where the terminal has nothing else."""

    stats: Stats

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        glyphs = ASCII if options.ascii_only else UNICODE
        yield _table(self.stats, glyphs)
        yield _headline(self.stats)
        yield from (_sums(source, glyphs) for source in _told(self.stats))
        yield _sums(self.stats.totals, glyphs)


def print_to(stream: TextIO | None, funnel: Funnel) -> None:
    """Print to the stream (standard output by default): colours on a terminal, plain lines elsewhere."""
    stream = stream or sys.stdout
    console = Console(file=stream, width=None if stream.isatty() else _LOG_WIDTH, highlight=False)
    console.print(funnel)


def _table(stats: Stats, glyphs: Glyphs) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("step", no_wrap=True)
    table.add_column("pages left", justify="right", no_wrap=True)
    table.add_column("of all", justify="right", no_wrap=True)
    table.add_column("", min_width=_BAR_WIDTH, no_wrap=True)
    table.add_column("removed", justify="right", no_wrap=True)
    table.add_column("mostly by", style="dim", overflow="ellipsis", no_wrap=True)
    for step in stats.funnel:
        table.add_row(*_row(step, stats.totals.captures, glyphs))
    return table


def _row(step: Step, captures: int, glyphs: Glyphs) -> tuple[Text, ...]:
    removed = figures.loss(step.removed).replace("−", glyphs.minus)
    return (
        Text(title(step.stage)),
        Text(figures.count(step.left)),
        Text(figures.share(step.left, captures).replace("–", "-")),
        _bar(step, captures, glyphs),
        Text(removed, style="yellow" if step.removed else "dim"),
        Text(_reasons(step)),
    )


def _bar(step: Step, captures: int, glyphs: Glyphs) -> Text:
    reached, left = (_cells(pages, captures) for pages in (step.entered, step.left))
    return Text.assemble(
        (glyphs.left * left, "green"),
        (glyphs.removed * max(reached - left, 0), "yellow"),
        glyphs.gone * (_BAR_WIDTH - max(reached, left)),
    )


def _cells(pages: int, captures: int) -> int:
    return min(round(_BAR_WIDTH * pages / captures), _BAR_WIDTH) if captures else 0


def _reasons(step: Step) -> str:
    ordered = sorted(step.rules.items(), key=lambda rule: (-rule[1], rule[0]))
    told = [f"{title(rule)} {figures.count(toll)}" for rule, toll in ordered if toll]
    more = len(told) - _REASONS
    return ", ".join(told[:_REASONS]) + (f", {more} more" if more > 0 else "")


def _headline(stats: Stats) -> Text:
    totals = stats.totals
    pages = f"{figures.noun(totals.captures, 'page')} in, {figures.noun(totals.published, 'document')} out"
    kept = f" ({figures.share(totals.published, totals.captures)})" if totals.captures else ""
    return Text(f"{pages}{kept}, {figures.noun(len(stats.inputs), 'file')}", style="bold")


def _told(stats: Stats) -> list[InputFile]:
    """The files whose sums are printed: all of a few, else those that do not add up."""
    return [source for source in stats.inputs if len(stats.inputs) <= _FILES_TOLD or not source.adds_up]


def _sums(source: InputFile, glyphs: Glyphs) -> Text:
    """The two sums of invariant 1: where the bytes went, and where the pages went."""
    mark, style = (glyphs.holds, "green") if source.adds_up else (glyphs.fault, "bold red")
    bytes_went = (
        f"{source.size_bytes:,} bytes = {source.record_bytes:,} records + {source.padding_bytes:,} padding "
        f"+ {source.damaged_bytes:,} damaged"
    )
    pages_went = f"{source.captures:,} pages = {source.published:,} published + {source.rejected:,} rejected"
    return Text(f"{mark} {source.warc_path}\n    {bytes_went}\n    {pages_went}", style=style)
