"""Clusters from edges: who stands for whom, and what the table of clusters says of each member.

The edges of all groups meet in one task, as numbers alone: 8 bytes a document that has an edge, four times over while
they are put in order, and 24 an edge. What it decides goes by the group of the representative, which adds its id, to
the group of each member.

A document with an edge to one of an index is removed whatever its cluster. So a cluster may keep a member of which one
run over everything would have made the representative's copy, by way of another member: such pages are `bridged`, and
listed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.dedup.candidates import FIRST, OTHER
from pipeline.dedup.edges import EDGES
from pipeline.dedup.home import Home, Step, removals
from pipeline.dedup.plan import Plan
from pipeline.groups import Docs, group_of
from pipeline.phase import Phases, Report
from stages.clusters import representatives
from stages.verify import Pairs, distinct

MINHASH = "minhash"
MEMBERS = "members"
"""Exchange of a group's documents that are in a cluster of two or more, or like one of an index: `MEMBER`."""
MEMBER = pa.schema(
    [
        ("doc", pa.int64()),
        ("kept", pa.int64()),
        ("kept_id", pa.string()),
        ("similarity", pa.float64()),
        ("cluster_size", pa.int64()),
    ]
)
BRIDGED = "bridged"
"""Exchange of (kept, indexed_id): representatives whose cluster has a member that is like a document of an index."""
_LABELS, _HEADS = "labels", "heads"


def cluster(plan: Plan, phases: Phases) -> tuple[Step, int]:
    """Write `MEMBERS`, `BRIDGED` and what is removed; also returns the number of edges within the run."""
    reports = phases.run(_LABELS, partial(_label, plan=plan), [0])
    phases.run(_HEADS, partial(_name_heads, plan=plan), plan.group_numbers)
    phases.run(MEMBERS, partial(_settle, plan=plan), plan.group_numbers)
    return (MINHASH, plan.group_numbers), reports[0]["edges"]


def edges_of(plan: Plan, group: int) -> pa.Table:
    """Edges whose later document is of this group; an edge that both rounds found stands twice."""
    return pa.concat_tables(plan.exchange(EDGES[pairs]).read([group]) for pairs in (FIRST, OTHER))


def _label(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    tables = [edges_of(plan, group).drop_columns("earlier_id") for group in plan.group_numbers]
    edges = pa.concat_tables(table.filter(pa.array(table["earlier"].to_numpy() >= 0)) for table in tables)
    earlier, later, similarity = (edges[name].to_numpy() for name in edges.column_names)
    docs = np.union1d(earlier, later)
    kept = representatives(docs, earlier, later, plan.recipe.minhash.cluster_rule)
    best = np.zeros(docs.size)
    for end in (earlier, later):
        np.maximum.at(best, np.searchsorted(docs, end), similarity)
    heads, size = np.unique(kept, return_counts=True)
    sizes = size[np.searchsorted(heads, kept)]
    rows = pa.table({"doc": docs, "kept": kept, "similarity": best, "cluster_size": sizes}).filter(pa.array(sizes >= 2))
    file = plan.exchange(_LABELS).write(number, rows, group_of(rows["kept"].to_numpy()), len(plan.groups))
    return [file], {"edges": distinct(Pairs(earlier, later)).later.size}


def _name_heads(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    home = Home(plan, number)
    rows = plan.exchange(_LABELS).read([0], number)
    ids = home.table["id"].take(pa.array(home.rows_of(rows["kept"].to_numpy())))
    rows = rows.append_column("kept_id", ids).select(MEMBER.names)
    return [plan.exchange(_HEADS).write(number, rows, group_of(rows["doc"].to_numpy()), len(plan.groups))], {}


def _settle(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    clustered = plan.exchange(_HEADS).read(plan.group_numbers, number).cast(MEMBER)
    indexed = _indexed(plan, number)
    of_index = np.isin(clustered["doc"].to_numpy(), indexed["doc"].to_numpy())
    bridges = clustered.filter(pa.array(of_index)).join(
        indexed.select(["doc", "kept_id"]), "doc", right_suffix="_indexed"
    )
    members = pa.concat_tables([clustered.filter(pa.array(~of_index)), indexed]).sort_by("doc")
    gone = members.filter(pa.array(members["doc"].to_numpy() != members["kept"].to_numpy()))
    bridged = pa.table({"kept": bridges["kept"], "indexed_id": bridges["kept_id_indexed"]}).sort_by(
        [("kept", "ascending"), ("indexed_id", "ascending")]
    )
    write, n_groups = plan.exchange, len(plan.groups)
    return [
        write(MEMBERS).write(number, members),
        write(removals(MINHASH)).write(number, gone.select(["doc", "kept_id", "similarity"]), number, n_groups),
        write(BRIDGED).write(number, bridged, group_of(bridged["kept"].to_numpy()), n_groups),
    ], {"members": members.num_rows, "indexed": indexed.num_rows}


def _indexed(plan: Plan, number: int) -> pa.Table:
    """Documents like one of an index, each with the earliest such: `MEMBER`, a cluster of the two."""
    edges = edges_of(plan, number)
    edges = edges.filter(pa.array(edges["earlier"].to_numpy() < 0))
    earlier, later = edges["earlier"].to_numpy(), edges["later"].to_numpy()
    first = _first_of_each_later(earlier, later)
    rows = edges.take(pa.array(first))
    columns = [rows["later"], rows["earlier"], rows["earlier_id"], rows["similarity"], pa.array(np.full(first.size, 2))]
    return pa.Table.from_arrays(columns, schema=MEMBER)


def _first_of_each_later(earlier: Docs, later: Docs) -> Docs:
    order = np.lexsort((earlier, later))
    new = np.ones(order.size, np.bool_)
    new[1:] = later[order][1:] != later[order][:-1]
    return order[new]
