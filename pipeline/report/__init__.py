"""The report of a run: one self-contained page, and the same funnel on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TextIO

from pipeline.report.corpus import CorpusStats
from pipeline.report.page import corpus_page, page
from pipeline.report.stats import Stats, StatsError, read_as, read_stats
from pipeline.report.terminal import Funnel, print_to

__all__ = ["Funnel", "Stats", "StatsError", "funnel", "print_funnel", "read_stats", "render", "render_corpus"]


def render(stats: Mapping[str, Any]) -> str:
    """Return `report/index.html` for the content of `stats.json`: one file that loads nothing.

    Raises `StatsError` naming the field where the figures are not as declared.
    """
    return page(read_stats(stats))


def render_corpus(stats: Mapping[str, Any]) -> str:
    """The same for a run of `falconmix dedup`."""
    return corpus_page(read_as(CorpusStats, stats))


def funnel(stats: Mapping[str, Any]) -> Funnel:
    """Return the removal funnel as something that `rich` prints."""
    return Funnel(stats=read_stats(stats))


def print_funnel(stats: Mapping[str, Any], stream: TextIO | None = None) -> None:
    """Print the removal funnel: in colour on a terminal, as plain text of 120 columns elsewhere."""
    print_to(stream, funnel(stats))
