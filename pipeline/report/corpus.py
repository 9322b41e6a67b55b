"""The page of a run of `falconmix dedup`: what came in, what each step left, and what deduplication shows."""

from __future__ import annotations

from typing import Literal

from pipeline.report import deduplication, figures, funnel, tables
from pipeline.report.markup import Markup
from pipeline.report.stats import Count, Deduplication, Figures, Step

_FILES_SHOWN = 50


class CorpusFile(Figures):
    """One input: rows read, rows written, and rows removed by each step."""

    file: str
    rows: Count
    written: Count
    removed: dict[str, Count]


class CorpusStats(Figures):
    """All figures of one run."""

    format: Literal[1]
    recipe: str
    inputs: list[CorpusFile]
    funnel: list[Step]
    deduplication: Deduplication

    @property
    def rows(self) -> int:
        """Rows of all files."""
        return sum(file.rows for file in self.inputs)

    @property
    def written(self) -> int:
        """Rows that were left."""
        return sum(file.written for file in self.inputs)


def title(stats: CorpusStats) -> str:
    """In one line."""
    return f"{figures.noun(stats.rows, 'row')} in, {figures.noun(stats.written, 'row')} out"


def header(stats: CorpusStats) -> Markup:
    """How many rows came in, and how many went out."""
    kept = figures.share(stats.written, stats.rows)
    return tables.headline(
        "falconmix dedup",
        stats.recipe,
        tables.amount(stats.rows, "row", "in"),
        tables.amount(stats.written, "row", "out"),
        f"{kept} of the rows kept · {figures.noun(len(stats.inputs), 'file')}",
    )


def sections(stats: CorpusStats) -> tuple[Markup, ...]:
    """The parts of the page."""
    return (
        funnel.section(stats.funnel, stats.rows),
        _inputs(stats),
        deduplication.section(stats.deduplication, stats.deduplication.cluster_size),
    )


def _inputs(stats: CorpusStats) -> Markup:
    steps = [step.stage for step in stats.funnel]
    head = (tables.column("File"), *map(tables.figures_column, ("Rows", *map(tables.title, steps), "Written")))
    rows = [
        (
            tables.row_name(file.file),
            tables.figure(figures.count(file.rows)),
            *[tables.figure(figures.count(file.removed.get(step, 0))) for step in steps],
            tables.figure(figures.count(file.written)),
        )
        for file in stats.inputs
    ]
    table = tables.folded(head, rows, label="Rows by file", shown=_FILES_SHOWN)
    return tables.section("inputs", "Files", table)
