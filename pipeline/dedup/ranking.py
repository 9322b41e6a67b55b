"""The largest clusters and the most repeated passages, and what is told of each.

Either is a *subject* with a place: a cluster's is its representative, a passage's the byte of a document where its
first copy begins. Counts go to the home of that document, the largest of all homes are chosen, and each group tells of
those what it knows: the languages and domains of its own documents, the text and address of its own first ones.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.dedup.clusters import MEMBERS
from pipeline.dedup.home import Home
from pipeline.dedup.plan import Plan
from pipeline.dedup.tally import KINDS, by_name, counted, kind_codes, largest_of_each, summed
from pipeline.groups import group_of
from pipeline.phase import Report
from stages.runs import run_starts
from stages.schema import TEXT_SAMPLE_CHARS
from stages.urls import domain_column

SUBJECTS = 100
"""Clusters, and passages, that are told."""
NAMES = 5
"""Languages, and domains, told of each."""
CLUSTER = -1
"""`start` of a cluster."""
CHOSEN = "chosen"
"""Exchange of the subjects, for all: `_RANKED`, clusters first, each kind in the order of its rank."""
_COUNTED, _RANKED_NAME = "subjects", "ranked"
_SUBJECT = pa.schema(
    [("doc", pa.int64()), ("start", pa.int64()), ("length", pa.int64()), ("n", pa.int64()), ("id", pa.string())]
)
_RANKED = pa.schema([*_SUBJECT, ("n_bytes", pa.int64())])
_NAMES, _NAMED, _TOTALS, _TEXTS = "subject_names", "subject_named", "subject_totals", "subject_texts"

Rows = NDArray[np.int64]


def send_subjects(plan: Plan, number: int, spans: pa.Table) -> str:
    """Count a group's documents by cluster, and its spans by the place of the first copy and their length."""
    members = plan.exchange(MEMBERS).read([number])
    docs, first, n = np.unique(members["kept"].to_numpy(), return_index=True, return_counts=True)
    ids = members["kept_id"].take(pa.array(first))
    nothing = np.zeros(docs.size, np.int64)
    clusters = pa.Table.from_arrays([docs, nothing + CLUSTER, nothing, n, ids], schema=_SUBJECT)
    length = pc.subtract(spans["end"], spans["start"])
    passages = pa.table({"doc": spans["first_doc"], "start": spans["first_start"], "length": length})
    passages = passages.append_column("id", spans["first_id"]).append_column("n", pa.array(np.ones(len(length), int)))
    passages = summed(passages, ["doc", "start", "length", "id"]).select(_SUBJECT.names)
    rows = pa.concat_tables([clusters, passages])
    return plan.exchange(_COUNTED).write(number, rows, group_of(rows["doc"].to_numpy()), len(plan.homes))


def rank_subjects(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    """Sum the counts of the subjects at one home, and send the largest. Tells also how many clusters have which size.

    A cluster of which one document of this run is left, the others being like documents of an index, is none.
    """
    rows = summed(plan.exchange(_COUNTED).read(plan.group_numbers, number), ["doc", "start", "length", "id"])
    doc, start, length, n = (rows[name].to_numpy() for name in ("doc", "start", "length", "n"))
    order = np.lexsort((length, -n, start, doc))
    begins = np.flatnonzero(run_starts(doc[order], start[order]))
    commonest = rows.take(pa.array(order[begins]))
    total, n_bytes = (np.add.reduceat(column[order], begins) for column in (n, n * length))
    columns = [pa.array(total) if name == "n" else commonest[name] for name in _SUBJECT.names]
    ranked = pa.Table.from_arrays([*columns, pa.array(n_bytes)], schema=_RANKED)
    is_cluster = ranked["start"].to_numpy() == CLUSTER
    ranked = ranked.filter(pa.array(~is_cluster | (total > 1) | (ranked["doc"].to_numpy() < 0)))
    sizes = Counter(ranked["n"].filter(pc.equal(ranked["start"], CLUSTER)).to_pylist())
    return [plan.exchange(_RANKED_NAME).write(number, _largest(ranked))], {
        "cluster_sizes": {str(size): sizes[size] for size in sorted(sizes)}
    }


def choose_subjects(number: int, *, plan: Plan) -> tuple[list[str], Report]:
    """Write `CHOSEN` from what the homes sent."""
    return [plan.exchange(CHOSEN).write(number, _largest(plan.exchange(_RANKED_NAME).read(plan.homes)))], {}


def _largest(ranked: pa.Table) -> pa.Table:
    """The largest clusters, then the passages cut most often; of equals the first in the order of documents."""
    ranked = ranked.sort_by([("doc", "ascending"), ("start", "ascending")])
    is_passage = (ranked["start"].to_numpy() != CLUSTER).astype(np.int64)
    return ranked.take(pa.array(largest_of_each(is_passage, ranked["n"].to_numpy(), SUBJECTS)))


def tell_subjects(plan: Plan, home: Home, spans: pa.Table, n_parts: int) -> list[str]:
    """Send what a group knows of the chosen."""
    chosen = plan.exchange(CHOSEN).read([0])
    chosen = chosen.append_column("subject", pa.array(np.arange(chosen.num_rows)))
    return [_send_names(plan, home, chosen, spans, n_parts), _send_texts(plan, home, chosen)]


def _send_names(plan: Plan, home: Home, chosen: pa.Table, spans: pa.Table, n_parts: int) -> str:
    """Of each subject, how many documents of this group have which language, and which domain."""
    places = chosen.select(["doc", "start", "subject"]).rename_columns(["kept", "first_start", "subject"])
    clusters = places.filter(pc.equal(places["first_start"], CLUSTER)).drop_columns("first_start")
    in_clusters = (
        plan.exchange(MEMBERS).read([home.number]).select(["doc", "kept"]).join(clusters, "kept", None, "inner")
    )
    held = spans.select(["doc", "first_doc", "first_start"])
    held = held.join(places, ["first_doc", "first_start"], ["kept", "first_start"], join_type="inner")
    pairs = pa.concat_tables([in_clusters.select(["subject", "doc"]), held.select(["subject", "doc"])])
    pairs = pairs.group_by(["subject", "doc"]).aggregate([])
    named, row = np.unique(home.rows_of(pairs["doc"].to_numpy()), return_inverse=True)
    columns = (home.table["language"].combine_chunks().take(pa.array(named)), domain_column(home.urls(named)))
    names = {kind: column.take(pa.array(row)) for kind, column in zip(KINDS, columns, strict=True)}
    counts = {"subject": pairs["subject"].to_numpy(), "n": np.ones(row.size, np.int64)}
    table = counted(names, counts, ["subject"])
    return plan.exchange(_NAMES).write(home.number, table, by_name(table, n_parts), n_parts)


def _send_texts(plan: Plan, home: Home, chosen: pa.Table) -> str:
    docs = chosen["doc"].to_numpy()
    mine = chosen.filter(pa.array((docs >= 0) & (group_of(docs) == home.number)))
    docs = mine["doc"].to_numpy()
    rows, row = np.unique(home.rows_of(docs), return_inverse=True)
    urls = home.urls(rows).take(pa.array(row))
    places = zip(home.texts_of(docs), mine["start"].to_pylist(), mine["length"].to_pylist(), strict=True)
    samples = pa.array([_sample(text.as_py(), start, length) for text, start, length in places], pa.string())
    table = pa.table({"subject": mine["subject"], "url": urls, "text": samples})
    return plan.exchange(_TEXTS).write(home.number, table)


def _sample(text: str, start: int, length: int) -> str:
    if start != CLUSTER:
        # White space, which windows do not compare, may be longer in the first copy: the last character may be cut.
        text = text.encode()[start : start + length].decode(errors="ignore")
    return text[:TEXT_SAMPLE_CHARS]


def sum_names(part: int, *, plan: Plan) -> tuple[list[str], Report]:
    """Sum the names of one partition; the commonest of each subject and kind go on, and how many there are."""
    rows = summed(plan.exchange(_NAMES).read(plan.group_numbers, part), ["subject", "kind", "name"])
    totals = rows.select(["subject", "kind", "n"]).append_column("names", pa.array(np.ones(rows.num_rows, np.int64)))
    write = plan.exchange
    return [
        write(_NAMED).write(part, _commonest(rows)),
        write(_TOTALS).write(part, summed(totals, ["subject", "kind"])),
    ], {}


def _commonest(rows: pa.Table) -> pa.Table:
    """The commonest names of each subject and kind; of equals the first in the order of rows."""
    groups = rows["subject"].to_numpy() * len(KINDS) + kind_codes(rows)
    return rows.take(pa.array(largest_of_each(groups, rows["n"].to_numpy(), NAMES)))


def told_subjects(plan: Plan, parts: range) -> list[Report]:
    """The chosen with all that was told of them, in their order: columns of `TOP_CLUSTER` and `TOP_PASSAGE`."""
    rows = [_told(row) for row in plan.exchange(CHOSEN).read([0]).to_pylist()]
    by_rank = [("subject", "ascending"), ("kind", "ascending"), ("name", "ascending")]
    for name in _commonest(plan.exchange(_NAMED).read(parts).sort_by(by_rank)).to_pylist():
        rows[name["subject"]][f"{name['kind']}s"].append({name["kind"]: name["name"], "n_documents": name["n"]})
    for total in summed(plan.exchange(_TOTALS).read(parts), ["subject", "kind"]).to_pylist():
        rows[total["subject"]][f"n_{total['kind']}s"] = total["names"]
        rows[total["subject"]]["n_documents"] = total["n"]
    for told in plan.exchange(_TEXTS).read(plan.group_numbers).to_pylist():
        rows[told["subject"]] |= {"url": told["url"], "text": told["text"]}
    return rows


def _told(row: Report) -> Report:
    told: Report = {"url": None, "text": None} | {f"{kind}s": [] for kind in KINDS}
    if row["start"] == CLUSTER:
        return told | {"representative_id": row["id"]}
    cuts = {"n_cuts": row["n"], "length": row["length"], "n_bytes": row["n_bytes"]}
    return told | {"first_id": row["id"], "first_start": row["start"]} | cuts
