"""What a guarded process runs: `stages.pages` with its models opened."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipeline.models import open_language_model
from stages.language import FastText
from stages.pages import Page, PageReader, PageResult, PageRules

_SENTENCE = "The harbour lies behind the old mill, and <a href='/boats'>the boats</a> go out before it is light. "
_FIRST = Page(
    url="http://example.org/",
    payload=(
        "<html><head><title>Harbour</title><meta name='description' content='Boats'></head><body class='page'>"
        f"<div id='menu'><ul><li>Home</li></ul></div><article><h1>Harbour</h1>{f'<p>{_SENTENCE}</p>' * 9}"
        "<table><tr><td>Tide</td></tr></table></article><footer>Imprint</footer></body></html>"
    ).encode(),
    http_charset="utf-8",
    content_type="text/html",
    record_type="response",
)
"""Read before all others, whose CPU time is limited: on a fresh machine kernels take half a minute to compile."""


@dataclass(frozen=True, kw_only=True)
class PageSettings:
    """What the child needs to begin."""

    rules: PageRules
    language_model: Path


def open_reader(settings: PageSettings) -> Callable[[Page], PageResult]:
    """The callable that `pipeline.guard` applies to each page."""
    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # its complaints are about single pages
    reader = PageReader(settings.rules, FastText(open_language_model(settings.language_model)))
    reader(_FIRST)
    return reader
