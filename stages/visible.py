"""What a page could say at most: its whole text and its limits, known before any tree is built.

Extraction costs some 15 ms a page, this 1 ms. `words_at_most` bounds the words of any extraction from above, so a
page below the quality rules' minimum can be dropped here without losing one that they would have kept.
"""

from __future__ import annotations

import html as entities
import re
from dataclasses import dataclass

from stages.markup import Markup, scan

# trafilatura's baseline reads schema.org texts from JSON-LD scripts, and Discourse's posts from an attribute; these
# are the names it looks for before it parses the script (trafilatura/baseline.py, `_JSON_HOOKS`, 2.3).
_JSON_LD = "ld+json"
_JSON_TEXTS = ("articleBody", "reviewBody", "recipeInstructions", "acceptedAnswer")
_JSON_TYPES = ('"HowTo"', '"Product"', '"VideoObject"')
_DISCOURSE = "data-preloaded"
_SPAN = re.compile(r"(?:col|row)span", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PageLimits:
    """Deterministic limits, far above any honest page: a page beyond them is dropped before the tree is built.

    Extraction takes some 30 µs a tag. Browsers stop nesting at 512 elements, libxml2 at 256; the count here also
    takes elements as open that they would close.
    """

    max_chars: int = 16 << 20
    max_tags: int = 200_000
    max_depth: int = 5_000
    max_attributes: int = 1_000
    """Of one tag; libxml2's time grows with their square. Real pages: 73 at most."""
    max_cells: int = 20_000
    """Of one row; trafilatura's time grows with their square."""


@dataclass(frozen=True)
class Visible:
    """A page's text on one line, and its measures.

    `text` holds all that stands outside tags, comments, scripts and styles, whether a browser would show it or not.
    `metas`: the attributes of its meta tags.
    `words_at_most` bounds the white-space separated words of whatever an extractor makes of the elements, table bars
    and list marks included; None where no bound is known.
    """

    text: str
    n_tags: int
    max_depth: int
    max_attributes: int
    max_cells: int
    words_at_most: int | None
    metas: tuple[str, ...]


def _unescape(text: str) -> str:
    try:
        return entities.unescape(text)
    except ValueError:  # a numeric reference of more digits than Python converts
        return text


def has_hidden_text(html: str) -> bool:
    """Whether an extractor that reads JSON may find text in it that is not visible."""
    return _DISCOURSE in html or (_JSON_LD in html and any(name in html for name in _JSON_TEXTS + _JSON_TYPES))


def _marks_at_most(html: str, markup: Markup) -> int | None:
    """The most table bars and list marks that an extractor may add; None where spans multiply the cells.

    trafilatura writes a table as rows of equal width, `| a | b |`, with one more row of dashes below a header.
    """
    if markup.n_cells and _SPAN.search(html):
        return None
    return markup.n_items + 2 * (markup.n_rows + 1) * (markup.n_cells + 1) * (markup.n_cells > 0)


def measure(html: str) -> Visible:
    """Return the visible text of `html` and its measures; linear in its length, whatever it holds."""
    markup = scan(html)
    words = _unescape(markup.text.decode("utf-8", "replace")).split()
    marks = _marks_at_most(html, markup)
    bound = None if marks is None else len(words) + marks
    return Visible(
        text=" ".join(words),
        n_tags=markup.n_tags,
        max_depth=markup.max_depth,
        max_attributes=markup.max_attributes,
        max_cells=markup.max_cells,
        words_at_most=bound,
        metas=markup.metas,
    )


def beyond_limits(visible: Visible, limits: PageLimits) -> tuple[str, int, int] | None:
    """Return (rule, value, limit) where a page has too many tags, or crowds attributes or cells."""
    if visible.n_tags > limits.max_tags:
        return "tags", visible.n_tags, limits.max_tags
    if visible.max_depth > limits.max_depth:
        return "depth", visible.max_depth, limits.max_depth
    if visible.max_attributes > limits.max_attributes:
        return "attributes", visible.max_attributes, limits.max_attributes
    if visible.max_cells > limits.max_cells:
        return "cells", visible.max_cells, limits.max_cells
    return None
