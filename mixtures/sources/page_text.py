"""The text that a browser would show of an HTML file, for measuring it."""

from __future__ import annotations

import functools

from lxml import etree, html  # type: ignore[import-untyped]


@functools.lru_cache(maxsize=1)  # two rules in a row ask for the same page
def visible_text(page: str) -> str:
    """Text outside of scripts, styles, comments and the head, blanks put together."""
    try:
        root = html.document_fromstring(page.encode(), parser=html.HTMLParser(encoding="utf-8", huge_tree=True))
    except (etree.ParserError, ValueError):
        return ""
    etree.strip_elements(root, "script", "style", "head", "noscript", "template", etree.Comment, with_tail=False)
    return " ".join(" ".join(root.itertext()).split())
