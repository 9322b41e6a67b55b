"""Parts of trafilatura that take elements out of a tree, each in fewer steps over the same tree.

They are exchanged in a copy of trafilatura that extracts with precision, with tables, without images and links
(`stages.extraction.fast_trafilatura`), and hold for those settings alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from lxml.etree import strip_elements, strip_tags  # type: ignore[import-untyped]

_CONTAINERS_OF_PARAGRAPHS = ("item", "td", "th")


class Pruning:
    """The exchanged functions, bound to the modules of the copy that they belong to."""

    def __init__(self, processing: Any, settings: Any, overall: list[Any], sections: list[Any]) -> None:
        """`overall`, `sections`: callables from a tree to the elements to delete, guarded and unguarded."""
        self._processing = processing
        self._overall, self._sections = overall, sections
        self._cleaned = [tag for tag in settings.MANUALLY_CLEANED if tag != "form"]
        self._stripped = settings.MANUALLY_STRIPPED

    def tree_cleaning(self, tree: Any, options: Any) -> Any:
        """As trafilatura's, all unwanted elements at once."""
        self._processing.recover_math(tree)
        for element in tree.iter("figure", "table"):
            is_layout = element.get("role") in ("presentation", "none")
            if is_layout if element.tag == "table" else element.find(".//table") is not None:
                element.tag = "div"
        strip_tags(tree, self._stripped)
        self._delete(tree, self._cleaned)
        self._processing._handle_forms(tree)
        return self._processing.prune_html(tree, options.focus)

    def prune_unwanted_sections(self, tree: Any, potential_tags: set[str], _options: Any, **_: Any) -> Any:
        """As trafilatura's: its unguarded selections at once, and no second pass where the first deleted nothing."""
        processing = self._processing
        tree = processing.prune_unwanted_nodes(tree, self._overall, with_backup=True)
        tree = processing.prune_unwanted_nodes(tree, self._sections)
        for _pass in range(2):
            n_deleted = self._delete_by_link_density(tree, "div", backtracking=True)
            n_deleted += self._delete_by_link_density(tree, "list")
            n_deleted += self._delete_by_link_density(tree, "p")
            if not n_deleted:
                break
        for table in [table for table in tree.iter("table") if processing.link_density_test_tables(table)]:
            processing.delete_element(table, keep_tail=False)
        while len(tree) > 0 and tree[-1].tag == "head":
            processing.delete_element(tree[-1], keep_tail=False)
        self._delete_by_link_density(tree, "head")
        self._delete_by_link_density(tree, "quote")
        strip_tags(tree, "span", *(() if "ref" in potential_tags else ("ref",)))
        return tree

    def _delete(self, tree: Any, tags: list[str]) -> None:
        """Delete the elements below `tree` with such tags, and keep their tails.

        trafilatura's walk goes on inside an element that it has just deleted where that holds another of its tag, and
        then ends with it: such trees are left to a walk like trafilatura's.
        """
        if any(next(element.iterancestors(element.tag), None) is not None for element in tree.iter(tags)):
            for tag in tags:
                for element in tree.iter(tag):
                    self._processing.delete_element(element)
        else:
            strip_elements(tree, tags, with_tail=False)

    def _delete_by_link_density(self, tree: Any, tag: str, *, backtracking: bool = False) -> int:
        """As trafilatura's with precision; elements that hold no link are not looked at. Returns how many went."""
        deletions = []
        for element in _with_links(tree, tag):
            is_dense, is_short = self._processing.link_density_test(element, True)
            if is_dense or (backtracking and is_short and len(element) >= 1 and len(_trimmed(element)) < 200):
                parent = element.getparent()
                if tag != "p" or parent is None or parent.tag not in _CONTAINERS_OF_PARAGRAPHS:
                    deletions.append(element)
        for element in deletions:
            self._processing.delete_element(element)
        return len(deletions)


def _with_links(tree: Any, tag: str) -> Iterable[Any]:
    """`tree` and the elements below it that have such a tag and hold a link."""
    holders: dict[Any, None] = {}
    for link in tree.iterdescendants("ref"):
        for holder in link.iterancestors():
            if holder in holders:
                break
            holders[holder] = None
            if holder is tree:
                break
    return [holder for holder in holders if holder.tag == tag]


def _trimmed(element: Any) -> str:
    return " ".join(element.text_content().split())
