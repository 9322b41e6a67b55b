"""Which document stands for which: links from edges, by union-find in one task, or by stars in many.

One task holds some 64 bytes an edge and 16 a document that has one: 2 GB for 25 million edges, 40 GB for 500 million
documents with as many edges. Above the recipe's `dedup.edges_in_one_task` connected components are found in rounds over
partitions (`stages.stars`). Chains of earlier neighbours are always followed in one task.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import count

import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import FIRST, OTHER
from pipeline.dedup.edges import EDGES
from pipeline.dedup.plan import Plan
from pipeline.groups import group_of
from pipeline.phase import Phases, Report
from stages.clusters import representatives
from stages.stars import Links, both_ways, downward, large_star, partition_of, small_star

LABELS = "labels"
"""Exchange of (doc, kept), for the groups of the latter: documents that another stands for."""
_ENDS = "edge_ends"
_STEPS = {"large_star": (large_star, downward), "small_star": (small_star, both_ways)}
"""What is done with a partition's links, and how they are turned for the step that follows."""


def edges_of(plan: Plan, group: int) -> pa.Table:
    """Edges whose later document is of this group; an edge that both rounds found stands twice."""
    return pa.concat_tables(plan.exchange(EDGES[pairs]).read([group]) for pairs in (FIRST, OTHER))


def edges_within(plan: Plan, group: int) -> pa.Table:
    """The same without those that lead to an index."""
    edges = edges_of(plan, group)
    return edges.filter(pa.array(edges["earlier"].to_numpy() >= 0))


def label(plan: Plan, phases: Phases, n_edges: int) -> range:
    """Write `LABELS`; returns its senders."""
    in_one = n_edges <= plan.recipe.dedup.edges_in_one_task
    if in_one or plan.recipe.minhash.cluster_rule != "components":
        senders = range(1)
        phases.run(LABELS, partial(_label, plan=plan), senders)
    else:
        senders = _label_by_stars(plan, phases, n_edges)
    return senders


def _label(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    edges = pa.concat_tables(edges_within(plan, group).select(["earlier", "later"]) for group in plan.group_numbers)
    earlier, later = edges["earlier"].to_numpy(), edges["later"].to_numpy()
    docs = np.union1d(earlier, later)
    kept = representatives(docs, earlier, later, plan.recipe.minhash.cluster_rule)
    others = docs != kept
    return [_send_labels(plan, number, Links(docs[others], kept[others]))], {}


def _label_by_stars(plan: Plan, phases: Phases, n_edges: int) -> range:
    parts = plan.partitions(2 * n_edges)
    phases.run(_ENDS, partial(_send_ends, plan=plan, n_parts=len(parts)), plan.group_numbers)
    name, senders = _ENDS, plan.group_numbers
    for n in count(1):
        changed = False
        for step in _STEPS:
            work = partial(
                _star, plan=plan, step=step, name=f"{step}_{n}", of=name, senders=senders, n_parts=len(parts)
            )
            reports = phases.run(f"{step}_{n}", work, parts)
            changed |= any(report["changed"] for report in reports)
            name, senders = f"{step}_{n}", parts
        if not changed:
            break
    phases.run(LABELS, partial(_label_part, plan=plan, of=name, senders=parts), parts)
    return parts


def _send_ends(number: int, *, plan: Plan, n_parts: int) -> tuple[list[str], Report]:
    edges = edges_within(plan, number)
    links = both_ways(Links(edges["later"].to_numpy(), edges["earlier"].to_numpy()))
    return [_send_links(plan, _ENDS, number, links, n_parts)], {}


def _star(
    part: int, *, plan: Plan, step: str, name: str, of: str, senders: Sequence[int], n_parts: int
) -> tuple[list[str], Report]:
    act, turn = _STEPS[step]
    star = act(_read_links(plan, of, senders, part))
    return [_send_links(plan, name, part, turn(star.links), n_parts)], {"changed": star.changed}


def _label_part(part: int, *, plan: Plan, of: str, senders: Sequence[int]) -> tuple[list[str], Report]:
    """The last small-star sent its links both ways."""
    node, kept = _read_links(plan, of, senders, part)
    others = node > kept
    return [_send_labels(plan, part, Links(node[others], kept[others]))], {}


def _send_labels(plan: Plan, number: int, links: Links) -> str:
    rows = pa.table({"doc": links.node, "kept": links.neighbour})
    return plan.exchange(LABELS).write(number, rows, group_of(links.neighbour), len(plan.groups))


def _send_links(plan: Plan, name: str, number: int, links: Links, n_parts: int) -> str:
    rows = pa.table({"node": links.node, "neighbour": links.neighbour})
    return plan.exchange(name).write(number, rows, partition_of(links.node, n_parts), n_parts)


def _read_links(plan: Plan, name: str, senders: Sequence[int], part: int) -> Links:
    rows = plan.exchange(name).read(senders, part)
    return Links(rows["node"].to_numpy(), rows["neighbour"].to_numpy())
