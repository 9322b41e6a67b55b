"""Clusters of verified edges, each with the representative that is kept.

Two rules. `components`: a cluster is a connected component, its representative the earliest of it. `earlier-neighbour`:
a document is removed if and only if it has an edge to an earlier one; it goes with the earliest of those, and so on to
a document that is kept.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled

Rows = NDArray[np.int64]
ClusterRule = Literal["components", "earlier-neighbour"]


def components(n: int, earlier: Rows, later: Rows) -> Rows:
    """Connected components of n rows under edges (earlier[i], later[i]): for each row its component's lowest row."""
    return _components(n, np.asarray(earlier, np.int64), np.asarray(later, np.int64))


def earliest_neighbours(n: int, earlier: Rows, later: Rows) -> Rows:
    """For each of n rows the row that its chain of earliest neighbours ends at: the row itself where it has none."""
    parent = np.arange(n)
    np.minimum.at(parent, later, earlier)
    return _ends(parent)


def representatives(docs: Rows, earlier: Rows, later: Rows, rule: ClusterRule) -> Rows:
    """For each of `docs` (ascending, holding both ends of all edges) the document that stands for it."""
    find = components if rule == "components" else earliest_neighbours
    return np.asarray(docs[find(docs.size, np.searchsorted(docs, earlier), np.searchsorted(docs, later))], np.int64)


@compiled
def _components(n: int, earlier: Rows, later: Rows) -> Rows:
    """Union-find with path halving; the lower root wins, so a root is the lowest row of its component."""
    parent = np.arange(n)
    for i in range(earlier.size):
        a, b = _root(parent, earlier[i]), _root(parent, later[i])
        parent[max(a, b)] = min(a, b)
    for row in range(n):
        parent[row] = _root(parent, row)
    return parent


@compiled
def _root(parent: Rows, row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


@compiled
def _ends(parent: Rows) -> Rows:
    for row in range(parent.size):  # a parent is lower, so it has been followed to its end already
        parent[row] = parent[parent[row]]
    return parent
