"""trafilatura 2.3.1 with precision, without comments, at less than half the cost and with the same text.

The algorithm stays trafilatura's: its package is loaded a second time under a name of its own, and single parts of
that copy are exchanged for faster ones that return the same. The package that everybody else imports is untouched.

- XPath selections → `stages.extraction.selectors`.
- lxml asks a Python function for the class of every element → a fixed class, known to lxml itself.
- Control characters are sought character by character → all at once.
- Descendants of one name are sought by a path expression → by lxml's iterator (`_Element`).
- Each text is compared with readability's → only where readability's can be the longer one (`_may_be_longer`).

Where the last is not settled, or justext would be asked, trafilatura's own comparison runs.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import re
import sys
from copy import copy
from types import ModuleType
from typing import Any

from lxml import etree, html  # type: ignore[import-untyped]

from stages.extraction.selectors import Selector

VERSION = "2.3.1"
"""The only version of trafilatura that this is known to agree with."""

# Below trafilatura's name, so that its log messages reach the logger that silences them.
_COPY = "trafilatura._falconmix"
_PRUNED = (
    "BOTH_RAW_PRUNINGS",
    "RAW_TREE_PRUNE_XPATH",
    "REMOVE_COMMENTS_AND_LISTS_XPATH",
    "REMOVE_COMMENTS_XPATH",
    "OVERALL_DISCARD_XPATH",
    "TEASER_DISCARD_XPATH",
    "PRECISION_DISCARD_XPATH",
    "DISCARD_IMAGE_ELEMENTS",
)
_UNSEEN = ("script", "style", "fencedframe")  # what readability drops first, and tree cleaning too
_RAW_TEXT = ("xmp", "plaintext", "noembed", "noframes")
_DESCENDANTS = re.compile(r"\.//(\w+)")
_FRAME_TEXT_CHARS = len("VIDEO")  # what readability writes into an embedded video
_HAS_PARAGRAPH_TEXT = etree.XPath("boolean(.//p//text())")


class FastTrafilatura:
    """Extracts as `trafilatura.extract(…, favor_precision=True, include_comments=False, include_tables=True)` does."""

    def __init__(self) -> None:
        self._trafilatura = _accelerated_copy()
        self._options = self._part("settings").Extractor(precision=True, comments=False, tables=True)
        self._comparable = tuple(self._part("external").SANITIZED_XPATH.replace(".//", "").split("|"))

    def extract(self, page: str, url: str) -> str:
        """Return the main text, empty where there is none."""
        options = self._options_for(url)
        try:
            tree = self._part("utils").load_html(page)
            document = None if tree is None else self._document(tree, options)
        except (TypeError, ValueError):  # as trafilatura's `bare_extraction`
            document = None
        except _UnsettledError:
            return self._trafilatura.extract(page, options=options) or ""
        return self._part("core").determine_returnstring(document, options) if document else ""

    def _part(self, name: str) -> Any:
        return sys.modules[f"{_COPY}.{name}"]

    def _options_for(self, url: str) -> Any:
        options = copy(self._options)
        options.url = url or None
        options.source = url.encode("utf-8", "replace").decode("utf-8") or None
        return options

    def _document(self, tree: Any, options: Any) -> Any:
        """The main text as trafilatura's document; None where it is too short.

        Follows `trafilatura_sequence` where the focus is precision and comments are off: then its steps 3 and 4 never
        run. Raises _UnsettledError where readability may have the better text.
        """
        core, external, processing = self._part("core"), self._part("external"), self._part("htmlprocessing")
        xpaths = self._part("xpaths")
        if tree.getparent() is not None:  # a fragment, in the document that the parser made around it
            tree = copy(tree)  # as trafilatura's comparison does with every page
        is_forum = core._forum_thread_page(tree)
        for element in list(tree.iterdescendants(*_UNSEEN)):
            element.drop_tree()
        tree = processing.prune_unwanted_nodes(tree, xpaths.BOTH_RAW_PRUNINGS)
        cleaned = processing.convert_tags(processing.tree_cleaning(copy(tree), options), options, options.url)
        if not is_forum:
            cleaned = processing.prune_unwanted_nodes(cleaned, xpaths.REMOVE_COMMENTS_XPATH)
        body, text = self._part("main_extractor").extract_content(cleaned, options)
        if self._is_wanting(body, text, options):
            backup = processing.tree_cleaning(copy(tree), options)
            body, text = external.compare_extraction(backup, tree, body, text, options)
        elif self._may_be_longer(tree, 2 * len(text)):
            raise _UnsettledError
        return self._part("settings").Document(body=body) if len(text) >= options.min_output_size else None

    def _is_wanting(self, body: Any, text: str, options: Any) -> bool:
        """Whether `compare_extraction` would ask justext, or take a text of readability's that is not twice as long."""
        return (
            len(text) < options.min_extracted_size
            or next(body.iter(*self._comparable), None) is not None
            or not _HAS_PARAGRAPH_TEXT(body)
            or len(body.findall(".//table")) > len(body.findall(".//p"))
        )

    def _may_be_longer(self, tree: Any, limit_chars: int) -> bool:
        """Whether readability's text of `tree` may have more than `limit_chars` characters; consumes the tree.

        Each of its steps only takes text away, and what is left is measured after each. (An embedded video gets five
        characters; elements of raw text, whose markup grows when it is written as XML, are not decided.)
        """
        if next(tree.iter(*_RAW_TEXT), None) is not None:
            return True
        limit_chars -= _FRAME_TEXT_CHARS * sum(1 for _ in tree.iter("iframe"))
        if _fits(tree, limit_chars):
            return False
        self._part("htmlprocessing").prune_unwanted_nodes(tree, self._part("xpaths").OVERALL_DISCARD_XPATH)
        if _fits(tree, limit_chars):
            return False
        try:
            return self._article_may_be_longer(tree, limit_chars)
        except Exception:  # trafilatura goes on without readability then, and shall decide itself
            return True

    def _article_may_be_longer(self, tree: Any, limit_chars: int) -> bool:
        page = self._part("readability_lxml").Document(tree, min_text_length=25)
        page.remove_unlikely_candidates()
        if _fits(tree, limit_chars):
            return False
        page.transform_misused_divs_into_paragraphs()
        candidates = page.score_paragraphs()
        best = page.select_best_candidate(candidates)
        return best is None or not _fits(page.get_article(candidates, best), limit_chars)


class _UnsettledError(Exception):
    """Readability's text must be seen; its trees are used up, so the page is begun again."""


@functools.cache
def _accelerated_copy() -> ModuleType:
    """A second copy of trafilatura, with its slow parts exchanged; made once per process."""
    package = _load_copy()
    utils: Any = importlib.import_module(f"{_COPY}.utils")
    xpaths: Any = importlib.import_module(f"{_COPY}.xpaths")
    # trafilatura prunes the raw tree by the one, then by the other: one walk finds the elements of both.
    xpaths.BOTH_RAW_PRUNINGS = [*xpaths.RAW_TREE_PRUNE_XPATH, *xpaths.REMOVE_COMMENTS_AND_LISTS_XPATH]
    for name in _PRUNED:
        _compile_together(getattr(xpaths, name))
    xpaths.BODY_XPATH[:] = [Selector(e.path) if _is_simple(e) else e for e in xpaths.BODY_XPATH]
    utils.HTML_PARSER.set_element_class_lookup(
        etree.ElementDefaultClassLookup(element=_Element, comment=html.HtmlComment, pi=html.HtmlProcessingInstruction)
    )
    utils.INVALID_XML_CHARS = _ControlCharacters(utils.INVALID_XML_CHARS)
    return package


def _load_copy() -> ModuleType:
    original = importlib.util.find_spec("trafilatura")
    assert original and original.origin
    spec = importlib.util.spec_from_file_location(
        _COPY, original.origin, submodule_search_locations=original.submodule_search_locations
    )
    assert spec and spec.loader
    package = importlib.util.module_from_spec(spec)
    sys.modules[_COPY] = package  # where its modules look for one another
    spec.loader.exec_module(package)
    return package


def _compile_together(expressions: list[Any]) -> None:
    """One selector in place of all XPaths on attributes: whoever prunes takes the matches of the whole list."""
    simple = [expression for expression in expressions if _is_simple(expression)]
    others = [expression for expression in expressions if not _is_simple(expression)]
    expressions[:] = [*others, Selector(*(expression.path for expression in simple))]


def _is_simple(expression: Any) -> bool:
    return "@" in expression.path and "]|" not in expression.path  # neither tags alone nor a union


class _ControlCharacters:
    """Stands for a pattern of characters that XML forbids, of which most pages hold none."""

    _ASCII = bytes([*range(9), 11, 12, *range(14, 32)])
    _OTHERS = "\ufffe\uffff"

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern

    def sub(self, replacement: str, text: str) -> str:
        raw = text.encode("utf-8", "surrogatepass")
        clean = len(raw.translate(None, self._ASCII)) == len(raw) and not any(char in text for char in self._OTHERS)
        return text if clean else self._pattern.sub(replacement, text)


class _Element(html.HtmlElement):  # type: ignore[misc]
    """An HTML element that answers the simple questions, which are most, without a path language."""

    def find(self, path: str, namespaces: Any = None) -> Any:
        simple = _DESCENDANTS.fullmatch(path)
        return next(self.iterdescendants(simple[1]), None) if simple else super().find(path, namespaces)

    def findall(self, path: str, namespaces: Any = None) -> Any:
        simple = _DESCENDANTS.fullmatch(path)
        return list(self.iterdescendants(simple[1])) if simple else super().findall(path, namespaces)

    def text_content(self) -> str:
        text: str = super().text_content() if len(self) else self.text or ""
        return text


def _fits(tree: Any, limit_chars: int) -> bool:
    """Whether the text of `tree`, with white space as trafilatura trims it, has no more than so many characters."""
    text = tree.text_content()
    return len(text) <= limit_chars or len(" ".join(text.split())) <= limit_chars
