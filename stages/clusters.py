"""Clusters: the connected components of verified edges, each with the representative that is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.schema import CLUSTER
from stages.verify import Edges

Rows = NDArray[np.int64]


def components(n: int, earlier: Rows, later: Rows) -> Rows:
    """Connected components of n rows under edges (earlier[i], later[i]): for each row its component's lowest row."""
    return _components(n, np.asarray(earlier, np.int64), np.asarray(later, np.int64))


def cluster_table(ids: pa.Array[Any], order_rank: Rows, edges: Edges) -> pa.Table:
    """Clusters of two documents or more, in the schema `CLUSTER`; documents without an edge are not in it.

    The representative is the earliest of its cluster, the similarity the best of a document's verified edges. Rows
    are sorted by the representative's place in the order, then by their own.
    """
    n = len(order_rank)
    row_of_rank = np.argsort(order_rank)
    labels = components(n, order_rank[edges.earlier], order_rank[edges.later])  # in ranks: the label is the earliest
    best = np.zeros(n)
    for end in (edges.earlier, edges.later):
        np.maximum.at(best, order_rank[end], edges.similarity)
    size = np.bincount(labels, minlength=n)[labels]
    clustered = np.flatnonzero(size >= 2)
    clustered = clustered[np.argsort(labels[clustered], kind="stable")]
    representative = ids.take(row_of_rank[labels[clustered]])
    columns = [
        ids.take(row_of_rank[clustered]),
        representative,
        representative,
        pa.array(best[clustered]),
        pa.array(size[clustered]),
    ]
    return pa.Table.from_arrays(columns, schema=CLUSTER)


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
