"""Clusters from edges: who stands for whom, and what the table of clusters says of each member.

What is decided (`components`) goes by the group of the representative, which adds its id, to the group of each member.

A document with an edge to one of an index is removed whatever its cluster. So a cluster may keep a member of which one
run over everything would have made the representative's copy, by way of another member: such pages are `bridged`, and
listed.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa

from pipeline.dedup.components import LABELS, edges_of, edges_within, label
from pipeline.dedup.home import Home, Step, removals
from pipeline.dedup.plan import Plan
from pipeline.groups import Docs, group_of
from pipeline.phase import Phases, Report
from stages.runs import run_starts
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
_HEADS, _SIMILARITIES = "heads", "similarities"


def cluster(plan: Plan, phases: Phases, n_edges: int) -> tuple[Step, int]:
    """Write `MEMBERS`, `BRIDGED` and what is removed. Returns also the number of edges within the run.

    n_edges: how many there are, those that both rounds found counted twice.
    """
    senders = label(plan, phases, n_edges)
    phases.run(_HEADS, partial(_name_heads, plan=plan, senders=senders), plan.group_numbers)
    reports = phases.run(_SIMILARITIES, partial(_send_similarities, plan=plan), plan.group_numbers)
    phases.run(MEMBERS, partial(_settle, plan=plan), plan.group_numbers)
    return (MINHASH, plan.group_numbers), sum(report["edges"] for report in reports)


def _name_heads(number: int, *, plan: Plan, senders: range) -> tuple[list[str], Report]:
    """All members of the clusters whose representative is of this group."""
    home = Home(plan, number)
    labels = plan.exchange(LABELS).read(senders, number)
    heads, size = np.unique(labels["kept"].to_numpy(), return_counts=True)
    docs = np.append(labels["doc"].to_numpy(), heads)
    kept = np.append(labels["kept"].to_numpy(), heads)
    head = np.searchsorted(heads, kept)
    ids = home.table["id"].take(pa.array(home.rows_of(heads)[head]))
    rows = pa.table({"doc": docs, "kept": kept, "kept_id": ids, "cluster_size": 1 + size[head]})
    return [plan.exchange(_HEADS).write(number, rows, group_of(docs), len(plan.groups))], {}


def _send_similarities(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    """The edges of this group's documents, for the groups of both ends; how many there are, each counted once."""
    edges = edges_within(plan, number)
    earlier, later, similarity = (edges[name].to_numpy() for name in ("earlier", "later", "similarity"))
    ends = np.append(earlier, later)
    rows = pa.table({"doc": ends, "similarity": np.append(similarity, similarity)})
    file = plan.exchange(_SIMILARITIES).write(number, rows, group_of(ends), len(plan.groups))
    return [file], {"edges": distinct(Pairs(earlier, later)).later.size}


def _settle(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    clustered = _members(plan, number)
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


def _members(plan: Plan, number: int) -> pa.Table:
    """This group's documents in clusters of the run, each with the best similarity of its edges: `MEMBER`."""
    rows = plan.exchange(_HEADS).read(plan.group_numbers, number)
    told = plan.exchange(_SIMILARITIES).read(plan.group_numbers, number)
    docs, row = np.unique(told["doc"].to_numpy(), return_inverse=True)
    best = np.zeros(docs.size)
    np.maximum.at(best, row, told["similarity"].to_numpy())
    mine = np.searchsorted(docs, rows["doc"].to_numpy())
    return rows.append_column("similarity", pa.array(best[mine])).select(MEMBER.names).cast(MEMBER)


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
    return order[run_starts(later[order])]
