"""Clusters from edges: who stands for whom, and what the table of clusters says of each member.

The edges of all groups meet in one task, as numbers alone: 8 bytes a document that has an edge, four times over while
they are put in order, and 16 an edge. What it decides goes by the group of the representative, which adds its id, to
the group of each member.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import FIRST, OTHER
from pipeline.dedup.edges import EDGES
from pipeline.dedup.home import Home, Step, removals
from pipeline.dedup.plan import Plan
from pipeline.groups import group_of
from pipeline.phase import Phases, Report
from stages.clusters import representatives

MINHASH = "minhash"
MEMBERS = "members"
"""Exchange of a group's documents that are in a cluster of two or more: `MEMBER`."""
MEMBER = pa.schema(
    [
        ("doc", pa.int64()),
        ("kept", pa.int64()),
        ("kept_id", pa.string()),
        ("similarity", pa.float64()),
        ("cluster_size", pa.int64()),
    ]
)
_LABELS, _HEADS = "labels", "heads"


def cluster(plan: Plan, phases: Phases) -> tuple[Step, int]:
    """Write `MEMBERS` and what is removed; also returns the number of edges."""
    reports = phases.run(_LABELS, partial(_label, plan=plan), [0])
    phases.run(_HEADS, partial(_name_heads, plan=plan), plan.group_numbers)
    phases.run(MEMBERS, partial(_settle, plan=plan), plan.group_numbers)
    return (MINHASH, plan.group_numbers), reports[0]["edges"]


def edges_of(plan: Plan, group: int, columns: list[str]) -> pa.Table:
    """Edges whose later document is of this group; an edge that both rounds found stands twice."""
    return pa.concat_tables(plan.exchange(EDGES[pairs]).read([group]).select(columns) for pairs in (FIRST, OTHER))


def _label(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    edges = pa.concat_tables(edges_of(plan, group, ["earlier", "later", "similarity"]) for group in plan.group_numbers)
    earlier, later, similarity = (edges[name].to_numpy() for name in edges.column_names)
    order = np.lexsort((later, earlier))
    new = np.ones(order.size, np.bool_)
    new[1:] = (earlier[order][1:] != earlier[order][:-1]) | (later[order][1:] != later[order][:-1])
    earlier, later, similarity = earlier[order][new], later[order][new], similarity[order][new]
    docs = np.union1d(earlier, later)
    kept = representatives(docs, earlier, later, plan.recipe.minhash.cluster_rule)
    best = np.zeros(docs.size)
    for end in (earlier, later):
        np.maximum.at(best, np.searchsorted(docs, end), similarity)
    heads, size = np.unique(kept, return_counts=True)
    sizes = size[np.searchsorted(heads, kept)]
    clustered = sizes >= 2
    rows = pa.table(
        {
            "doc": docs[clustered],
            "kept": kept[clustered],
            "similarity": best[clustered],
            "cluster_size": sizes[clustered],
        }
    )
    file = plan.exchange(_LABELS).write(number, rows, group_of(kept[clustered]), len(plan.groups))
    return [file], {"edges": int(new.sum())}


def _name_heads(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    home = Home(plan, number)
    rows = plan.exchange(_LABELS).read([0], number)
    ids = home.table["id"].take(pa.array(home.rows_of(rows["kept"].to_numpy())))
    rows = rows.append_column("kept_id", ids).select(MEMBER.names)
    return [plan.exchange(_HEADS).write(number, rows, group_of(rows["doc"].to_numpy()), len(plan.groups))], {}


def _settle(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    members = plan.exchange(_HEADS).read(plan.group_numbers, number).sort_by("doc").cast(MEMBER)
    gone = members.filter(pa.array(members["doc"].to_numpy() != members["kept"].to_numpy()))
    files = [plan.exchange(MEMBERS).write(number, members)]
    files.append(
        plan.exchange(removals(MINHASH)).write(
            number, gone.select(["doc", "kept_id", "similarity"]), number, len(plan.groups)
        )
    )
    return files, {"members": members.num_rows}
