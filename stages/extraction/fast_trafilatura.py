"""trafilatura 2.3.1 with precision, without comments, at less than half the cost and with the same text.

The algorithm stays trafilatura's: its package is loaded a second time under a name of its own, and single parts of
that copy are exchanged for faster ones that return the same. The package that everybody else imports is untouched.

- The page's source, as it is → without what nobody reads of it (`stages.extraction.slimming`).
- XPath selections → one look at all attributes (`stages.extraction.selectors`).
- Elements are deleted tag by tag, list by list, each tested for links → fewer walks (`stages.extraction.pruning`).
- justext hashes a hundred stop lists for each page → once.
- lxml asks a Python function for the class of every element → a fixed class, known to lxml itself.
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

from stages.extraction.pruning import Pruning
from stages.extraction.selectors import SelectorSet, alternatives, literal_of
from stages.extraction.slimming import TESTED, Slimmer

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
    "SECTIONS",
)
_UNSEEN = ("script", "style", "fencedframe")  # what readability drops first, and tree cleaning too
_RAW_TEXT = ("xmp", "plaintext", "noembed", "noframes")
_ASKED_OF_NO_VALUE_ALONE = ("videoRe", "okMaybeItsACandidateRe")  # an address; only of what passed another
# In classes and ids: of main content, headings, code blocks, and what is cleaned away before justext.
_OTHER_LITERALS = (
    *("main", "schema-faq-question", "hljs", "highlight", "w3-code"),
    *("footer", "cookie", "consent", "borlabs", "cmplz", "onetrust", "moove"),
)
_HEAD_CHARS = 8192
_DESCENDANTS = re.compile(r"\.//(\w+)")
_FRAME_TEXT_CHARS = len("VIDEO")  # what readability writes into an embedded video
_HAS_PARAGRAPH_TEXT = etree.XPath("boolean(.//p//text())")


class FastTrafilatura:
    """Extracts as `trafilatura.extract(…, favor_precision=True, include_comments=False, include_tables=True)` does."""

    def __init__(self) -> None:
        _accelerated_copy()
        self._options = self._part("settings").Extractor(precision=True, comments=False, tables=True)
        self.literals = _literals(self._part("readability_lxml"), self._part("xpaths").SELECTORS)
        """See `Slimmer`."""
        self._slimmed = Slimmer(self.literals)
        self._comparable = tuple(self._part("external").SANITIZED_XPATH.replace(".//", "").split("|"))

    def extract(self, page: str, url: str) -> str:
        """Return the main text, empty where there is none."""
        options = self._options_for(url)
        try:
            document = self._document(page, options)
        except (TypeError, ValueError):  # as trafilatura's `bare_extraction`
            document = None
        return self._part("core").determine_returnstring(document, options) if document else ""

    def _part(self, name: str) -> Any:
        return sys.modules[f"{_COPY}.{name}"]

    def _tree(self, page: str) -> Any:
        """The tree as trafilatura's `load_html` makes it, less what nobody looks at; None where it refuses the page."""
        utils, head = self._part("utils"), page[:_HEAD_CHARS]
        if "\n" in head:  # all repairs are made in the first line or the first 4,096 characters
            repaired = utils.repair_faulty_html(head, head[:50].lower())
            slimmed = self._slimmed(page if repaired == head else repaired + page[_HEAD_CHARS:])
            tree = _parsed(slimmed, utils.HTML_PARSER) if slimmed else None
            if tree is not None and len(tree) >= 2:  # trafilatura parses others once more, or refuses them
                return tree
        return utils.load_html(page)

    def _options_for(self, url: str) -> Any:
        options = copy(self._options)
        options.url = url or None
        options.source = url.encode("utf-8", "replace").decode("utf-8") or None
        return options

    def _raw(self, page: str) -> tuple[Any, bool]:
        """The tree of a page, pruned as a first step, and whether it is a forum's; (None, False) where there is none.

        As the beginning of `trafilatura_sequence`, where comments are off and the focus is precision.
        """
        tree = self._tree(page)
        if tree is None:
            return None, False
        if tree.getparent() is not None:  # a fragment, in the document that the parser made around it
            tree = copy(tree)  # as trafilatura's comparison does with every page
        is_forum = self._part("core")._forum_thread_page(tree)
        etree.strip_elements(tree, *_UNSEEN, with_tail=False)
        return self._part("htmlprocessing").prune_unwanted_nodes(tree, self._part("xpaths").BOTH_RAW_PRUNINGS), is_forum

    def _document(self, page: str, options: Any) -> Any:
        """The main text as trafilatura's document; None where there is none, or too little.

        Follows `trafilatura_sequence` where the focus is precision and comments are off: then its steps 3 and 4 never
        run.
        """
        processing = self._part("htmlprocessing")
        tree, is_forum = self._raw(page)
        if tree is None:
            return None
        cleaned = processing.convert_tags(processing.tree_cleaning(copy(tree), options), options, options.url)
        if not is_forum:
            cleaned = processing.prune_unwanted_nodes(cleaned, self._part("xpaths").REMOVE_COMMENTS_XPATH)
        body, text = self._part("main_extractor").extract_content(cleaned, options)
        is_wanting = self._is_wanting(body, text, options)
        if is_wanting or self._may_be_longer(tree, 2 * len(text)):
            if not is_wanting:
                tree, _ = self._raw(page)  # the other is used up
            backup = processing.tree_cleaning(copy(tree), options)
            body, text = self._part("external").compare_extraction(backup, tree, body, text, options)
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


@functools.cache
def _accelerated_copy() -> ModuleType:
    """A second copy of trafilatura, with its slow parts exchanged; made once per process."""
    package = _load_copy()
    utils: Any = importlib.import_module(f"{_COPY}.utils")
    xpaths: Any = importlib.import_module(f"{_COPY}.xpaths")
    _compile(xpaths)
    _exchange_pruning()
    external: Any = importlib.import_module(f"{_COPY}.external")
    # justext keeps what it makes of a list by the list's hash, which a frozenset remembers and a tuple does not.
    external.jt_stoplist_init = functools.cache(lambda read=external.jt_stoplist_init: frozenset(read()))
    external.JT_STOPLIST = None
    utils.HTML_PARSER.set_element_class_lookup(
        etree.ElementDefaultClassLookup(element=_Element, comment=html.HtmlComment, pi=html.HtmlProcessingInstruction)
    )
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


def _compile(xpaths: Any) -> None:
    """One selector for all XPaths on attributes in a list: whoever prunes takes the matches of the whole list."""
    xpaths.BOTH_RAW_PRUNINGS = [*xpaths.RAW_TREE_PRUNE_XPATH, *xpaths.REMOVE_COMMENTS_AND_LISTS_XPATH]
    xpaths.SECTIONS = [
        *xpaths.DISCARD_IMAGE_ELEMENTS,
        *xpaths.TEASER_DISCARD_XPATH,
        *xpaths.PRECISION_DISCARD_XPATH,
    ]
    paths = {name: [e.path for e in getattr(xpaths, name) if _is_simple(e)] for name in _PRUNED}
    bodies = {f"BODY_XPATH {i}": [e.path] for i, e in enumerate(xpaths.BODY_XPATH) if _is_simple(e)}
    selectors = xpaths.SELECTORS = SelectorSet(paths | bodies)
    for name in _PRUNED:
        expressions = getattr(xpaths, name)
        expressions[:] = [*(e for e in expressions if not _is_simple(e)), selectors[name]]
    for i, name in enumerate(f"BODY_XPATH {i}" for i in range(len(xpaths.BODY_XPATH))):
        if name in bodies:
            xpaths.BODY_XPATH[i] = selectors[name]


def _literals(readability: Any, selectors: SelectorSet) -> set[str]:
    """Of these each class, id or style of which any rule takes notice holds one, in whatever case."""
    patterns = [pattern for name, pattern in readability.REGEXES.items() if name not in _ASKED_OF_NO_VALUE_ALONE]
    by_readability = {literal_of(part).lower() for pattern in patterns for part in alternatives(pattern.pattern)}
    return {*by_readability, *_OTHER_LITERALS}.union(*(selectors.literals[name] for name in TESTED))


def _exchange_pruning() -> None:
    modules: dict[str, Any] = {
        name: importlib.import_module(f"{_COPY}.{name}")
        for name in ("htmlprocessing", "settings", "xpaths", "main_extractor", "external", "core")
    }
    xpaths = modules["xpaths"]
    pruning = Pruning(modules["htmlprocessing"], modules["settings"], xpaths.OVERALL_DISCARD_XPATH, xpaths.SECTIONS)
    for function in (pruning.tree_cleaning, pruning.prune_unwanted_sections):
        for module in modules.values():
            if hasattr(module, function.__name__):
                setattr(module, function.__name__, function)


def _is_simple(expression: Any) -> bool:
    return "@" in expression.path and "]|" not in expression.path  # neither tags alone nor a union


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


def _parsed(page: bytes, parser: Any) -> Any:
    try:
        return html.fromstring(page, parser=parser)
    except (etree.LxmlError, ValueError):
        return None


def _fits(tree: Any, limit_chars: int) -> bool:
    """Whether the text of `tree`, with white space as trafilatura trims it, has no more than so many characters."""
    text = tree.text_content()
    return len(text) <= limit_chars or len(" ".join(text.split())) <= limit_chars
