"""Main-content extraction and tidy-up: from a page's HTML to the text that a reader came for.

RefinedWeb (arXiv 2306.01116, section 3.1): trafilatura, then "we limit new lines to two consecutive ones, and remove
all URLs". The text is otherwise left as the page has it: no Unicode normalisation, no change of case or quotes.
"""

from __future__ import annotations

import re
from typing import Literal, Protocol

import trafilatura
from resiliparse.extract.html2text import extract_plain_text

from stages.extraction.fast_trafilatura import VERSION, FastTrafilatura

ExtractorName = Literal["trafilatura", "resiliparse"]

# A URL ends at white space, a quote or an angle bracket; closing punctuation belongs to the sentence around it.
_URL = re.compile(r"""\b(?:https?://|ftp://|www\.)(?=\w)[^\s<>"'“”«»]*[^\s<>"'“”«».,;:!?()\[\]{}]""", re.IGNORECASE)
_SPACES = re.compile(r"[ \t]{2,}")
_TRAILING = re.compile(r"[ \t]+$", re.MULTILINE)
_NEWLINES = re.compile(r"\n{3,}")
_LINE_ENDS = re.compile(r"\r\n?|[\u2028\u2029\x85]")


class Extractor(Protocol):
    """Finds the main text of a page; holds no state from one page to the next."""

    name: str
    reads_json: bool
    """Whether its text may come from a page's embedded JSON, as well as from its elements."""

    def extract(self, html: str, url: str) -> str:
        """Return the main text, lines separated by a newline; empty where there is none. May raise anything."""
        ...


class Trafilatura:
    """trafilatura, without comments, and with tables as text, as RefinedWeb and datatrove call it.

    `deduplicate` stays off: it remembers the paragraphs of earlier pages, so that a result would depend on the order
    of the pages. It logs through the logger `trafilatura`; whoever owns the process decides what becomes of that.
    `fast`: by way of `FastTrafilatura`, which gives the same text in less than half the time, where the version of
    trafilatura is the one that it was compared with, and precision is wanted.
    """

    name = "trafilatura"

    def __init__(self, *, favor_precision: bool = True, fast: bool = True) -> None:
        self._favor_precision = favor_precision
        # Its baseline reads JSON-LD, and is left out when precision is wanted (`trafilatura_sequence`, 2.3).
        self.reads_json = not favor_precision
        self._fast = FastTrafilatura() if fast and favor_precision and trafilatura.__version__ == VERSION else None

    def extract(self, html: str, url: str) -> str:
        """See `Extractor.extract`."""
        if self._fast:
            return self._fast.extract(html, url)
        text = trafilatura.extract(
            html,
            url=url or None,
            favor_precision=self._favor_precision,
            include_comments=False,
            include_tables=True,
            deduplicate=False,
        )
        return text or ""


class Resiliparse:
    """resiliparse's rule-based main content: several times faster than trafilatura, and less precise."""

    name = "resiliparse"
    reads_json = False

    def extract(self, html: str, url: str) -> str:  # noqa: ARG002 - the interface is the same for all
        """See `Extractor.extract`."""
        text: str = extract_plain_text(html, main_content=True, alt_texts=False, list_bullets=False)
        return text


def extractor(name: ExtractorName, *, favor_precision: bool = True) -> Extractor:
    """Return the extractor of that name; `favor_precision` is trafilatura's."""
    return Trafilatura(favor_precision=favor_precision) if name == "trafilatura" else Resiliparse()


def tidy(text: str) -> str:
    """Return `text` without URLs, without white space at ends of lines, with at most two newlines in a row."""
    if any(end in text for end in "\r\u2028\u2029\x85"):  # each pattern is tried only where it can match
        text = _LINE_ENDS.sub("\n", text)
    if "://" in text or "www." in text.lower():
        text, n_urls = _URL.subn("", text)
        if n_urls:
            text = _SPACES.sub(" ", text)
    if " \n" in text or "\t\n" in text:
        text = _TRAILING.sub("", text)
    return _NEWLINES.sub("\n\n", text).strip()
