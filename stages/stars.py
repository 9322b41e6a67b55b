"""Connected components of a graph spread over partitions: large-star and small-star, one partition at a time.

Edges turn into stars whose centre is the least node of a component, in rounds of two steps. Each step is a pure
function of one partition, which must hold all rows of its nodes:

    round:  links = both_ways(links)  → rows to the partition of their node → large_star in each
            links = downward(links)   → rows to the partition of their node → small_star in each
    until no partition has changed anything in a whole round

- *large star* of node u: its larger neighbours are linked to the least of its neighbours and itself.
- *small star* of node u: its smaller neighbours and itself are linked to the least of them.

Then each link is (node, representative), one for every node that is not the least of its component. Nodes are any
int64; with places in the dedup order as nodes the representative is the document that is kept.

Neither step makes more links than it is given. A link is 16 bytes; large-star reads each twice, small-star once, so
that a round moves 48 bytes a link; a step takes 98 bytes of memory for each row besides what it is given. Families of
near-duplicates take 5 rounds (`benchmarks/stars.py`), the one that changes nothing included, a chain of 10⁵ nodes 18 in
its own order and 15 in others. One machine's union-find (`stages.clusters`) needs 8 bytes a node and one pass over the
edges: this is for graphs beyond it.

Source: Kiveris, Lattanzi, Mirrokni, Rastogi, Vassilvitskii, "Connected components in MapReduce and beyond", SoCC 2014.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from stages.compiled import compiled
from stages.runs import run_starts
from stages.segment import mix64

Nodes = NDArray[np.int64]
Starts = NDArray[np.intp]


class Links(NamedTuple):
    """Edges as rows (node[i], neighbour[i])."""

    node: Nodes
    neighbour: Nodes


class Star(NamedTuple):
    """What a step made of a partition: its links, each once, the larger end first; and whether that is new."""

    links: Links
    changed: bool


@compiled
def partition_of(nodes: Nodes, n_partitions: int) -> Nodes:
    """The partition, 0 … n_partitions - 1, of each node: by its hash, so that close numbers are spread."""
    out = np.empty(nodes.size, np.int64)
    for i in range(nodes.size):
        out[i] = mix64(np.uint64(nodes[i])) % np.uint64(n_partitions)
    return out


def both_ways(links: Links) -> Links:
    """Each link under both of its ends: what large-star reads."""
    a, b = links
    return Links(np.concatenate([a, b]), np.concatenate([b, a]))


def downward(links: Links) -> Links:
    """Each link under its larger end: what small-star reads, and what both steps return."""
    return Links(np.maximum(*links), np.minimum(*links))


def large_star(links: Links) -> Star:
    """Link the larger neighbours of each node to the least of its neighbours and itself."""
    links, starts = _by_node(links)
    centre = np.repeat(np.minimum(links.node[starts], links.neighbour[starts]), _sizes(starts, links))
    larger = links.neighbour > links.node
    made = Links(links.neighbour[larger], centre[larger])
    return Star(_by_node(made)[0], bool((centre < links.node)[larger].any()))


def small_star(links: Links) -> Star:
    """Link each node and its neighbours, all smaller, to the least of them."""
    links, starts = _by_node(links)
    least = links.neighbour[starts]
    centre = np.repeat(least, _sizes(starts, links))
    others = links.neighbour != centre
    made = Links(np.concatenate([links.node[starts], links.neighbour[others]]), np.concatenate([least, centre[others]]))
    return Star(_by_node(made)[0], bool(others.any()))


def _by_node(links: Links) -> tuple[Links, Starts]:
    """The links sorted by node and neighbour, each once, without loops; and where each node begins."""
    node, neighbour = links
    order = np.lexsort((neighbour, node))
    node, neighbour = node[order], neighbour[order]
    new = run_starts(node, neighbour) & (node != neighbour)
    node, neighbour = node[new], neighbour[new]
    return Links(node, neighbour), np.flatnonzero(run_starts(node))


def _sizes(starts: Starts, links: Links) -> Starts:
    return np.diff(starts, append=links.node.size)
