"""Groups of units: what one task of deduplication or publishing reads, and how documents are numbered.

A document's number is its place in the order of `stages.dedup_order` over the whole run, followed by the number of its
group in the low bits: numbers sort as the order does, and say where a document lies. Documents of an index have
negative places: they come before all of the run.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GROUP_BITS = 24
MAX_GROUPS = 1 << GROUP_BITS
PAGE_BYTES = 5_000
"""Of text: a group whose pages are longer than that on average has fewer of them. Tasks hold five times the text."""

Docs = NDArray[np.int64]


@dataclass(frozen=True)
class Source:
    """A finished unit: its table name, the one input it holds, its captures, and those that the recipe keeps.

    text_bytes: of these pages, where that is known.
    """

    unit: str
    warc_path: str
    n_captures: int = 0
    n_pages: int = 0
    text_bytes: int = 0


@dataclass(frozen=True)
class Group:
    """Units that lie together, in the order of their places."""

    number: int
    sources: tuple[Source, ...]

    @property
    def n_pages(self) -> int:
        """Pages that the recipe keeps."""
        return sum(source.n_pages for source in self.sources)


@dataclass(frozen=True)
class Past:
    """A part of an index: a group of documents of earlier dumps.

    path: its file. base: what is added to the places of its documents, negative.
    """

    number: int
    path: str
    base: int


def groups_of(sources: Iterable[Source], pages_per_group: int) -> tuple[Group, ...]:
    """Cut units, ordered by input, into groups of at least so many pages or `PAGE_BYTES` for each; one at least.

    Raises ValueError where there would be more groups than numbers for them.
    """
    groups: list[Group] = []
    current: list[Source] = []
    n_pages = text_bytes = 0
    for source in sorted(sources, key=lambda source: source.warc_path):  # stable: ranges of an input keep their order
        current.append(source)
        n_pages += source.n_pages
        text_bytes += source.text_bytes
        if n_pages >= pages_per_group or text_bytes >= pages_per_group * PAGE_BYTES:
            groups.append(Group(len(groups), tuple(current)))
            current, n_pages, text_bytes = [], 0, 0
    if current or not groups:
        groups.append(Group(len(groups), tuple(current)))
    if len(groups) > MAX_GROUPS:
        raise ValueError(f"{len(groups)} groups of {pages_per_group} pages; make the recipe's dedup.group_pages larger")
    return tuple(groups)


def numbered(places: NDArray[np.int64], group: int) -> Docs:
    """Document numbers from places in the order, for documents of one group."""
    return (places << GROUP_BITS) | group


def group_of(docs: Docs) -> NDArray[np.int64]:
    """The group of each document."""
    return docs & (MAX_GROUPS - 1)
