"""What a guarded process runs: `stages.pages` with its models opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.models import open_language_model
from stages.language import FastText
from stages.pages import Page, PageReader, PageResult, PageRules


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What the child needs to begin."""

    rules: PageRules
    language_model: Path


def open_reader(settings: PageSettings) -> Callable[[Page], PageResult]:
    """The callable that `pipeline.guard` applies to each page."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # its complaints are about single pages
    return PageReader(settings.rules, FastText(open_language_model(settings.language_model)))
