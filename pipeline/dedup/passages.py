"""Exact substrings: passages that stand earlier too, found by hashed windows, proven on the texts.

Windows that recur go to ranges of hashes, where the earliest of each hash is found. What repeats goes to the group of
its document, as do the texts of the documents that hold the first copies; there the words are compared, and spans made.
Where two windows of one hash differ, which no dump may ever see, all windows of that hash are decided again by their
words, in one task. The steps and the rule are those of `stages.repeats` and `stages.substrings`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.dedup.exchange import by_hash
from pipeline.dedup.home import Home, Step, removals
from pipeline.dedup.plan import Plan
from pipeline.dedup.recurring import Recurring, mark_recurring
from pipeline.groups import Docs, group_of
from pipeline.phase import Phases, Report
from pipeline.token_words import split_of
from stages.repeats import Documents, documents_of, first_occurrences, in_order, only, settle, ties, without
from stages.schema import WINDOW
from stages.segment import Hashes
from stages.substrings import cut, filter_substrings, spans_of
from stages.windows import Split, text_window_hashes, window_hashes, words_of

SUBSTRINGS = "substrings"
SPANS = "spans"
"""Exchange of a group's spans: `doc` and `first_doc` before the columns of `SPAN`."""
CUT_BYTES = "cut_bytes"
"""Exchange of what spans take from each document of a group: `doc`, `removed_bytes`."""
SOURCES = "span_sources"
"""Exchange of the documents that spans name as their first copy, `doc` once for each span, for their groups."""

_WINDOWS, _REPEATS, _WANTED, _TEXTS = "windows", "repeats", "wanted_texts", "texts"
_SETTLED, _SETTLED_TEXTS = "settled", "settled_texts"
_TEXT = pa.schema([("doc", pa.int64()), ("id", pa.string()), ("text", pa.large_string())])
_BYTES_PER_WORD = 5  # at least, in any of the languages: for the number of partitions

Rows = NDArray[np.int64]


def find_passages(plan: Plan, phases: Phases, earlier: Sequence[Step], text_bytes: int) -> Step:
    """Write `SPANS` and `SOURCES` of the pages that earlier steps left, and which of them have too little left."""
    parts = plan.partitions(text_bytes // _BYTES_PER_WORD)
    mark_recurring(plan, phases, _WINDOWS, partial(_all_windows, plan=plan, earlier=earlier), plan.group_numbers, parts)
    phases.run(_WINDOWS, partial(_send_windows, plan=plan, earlier=earlier, parts=parts), plan.group_numbers)
    phases.run(_REPEATS, partial(_find_first, plan=plan), parts)
    phases.run(_TEXTS, partial(_send_texts, plan=plan, parts=parts), plan.group_numbers)
    make = partial(_make_spans, plan=plan, parts=parts)
    reports = phases.run(removals(SUBSTRINGS), partial(make, tied=()), plan.group_numbers)
    if tied := tuple(sorted({key for report in reports for key in report["tied"]})):
        phases.run(_SETTLED, partial(_settle, plan=plan, parts=parts, tied=tied), [0])
        phases.run(f"{removals(SUBSTRINGS)}_again", partial(make, tied=tied), plan.group_numbers)
    return SUBSTRINGS, plan.group_numbers


def _windows(number: int, plan: Plan, earlier: Sequence[Step]) -> Iterator[tuple[Docs, Hashes, Rows]]:
    """Windows of a group, unit by unit: (documents, hashes, offsets of each document's hashes)."""
    home, rules = Home(plan, number), plan.recipe.substrings
    assert rules
    split = split_of(rules)
    for rows, text in home.text_batches(home.living(earlier)):
        found = text_window_hashes(text, rules.k) if split is words_of else window_hashes(split(text), rules.k)
        yield home.docs[rows], found.hashes, found.offsets


def _all_windows(number: int, *, plan: Plan, earlier: Sequence[Step]) -> Iterator[Hashes]:
    for _, hashes, _ in _windows(number, plan, earlier):
        yield hashes


def _send_windows(number: int, *, plan: Plan, earlier: Sequence[Step], parts: range) -> tuple[list[str], Report]:
    recurring = Recurring(plan, _WINDOWS, number, parts)
    tables = [WINDOW.empty_table()]
    for docs, hashes, offsets in _windows(number, plan, earlier):
        found = np.flatnonzero(recurring.of(hashes))
        text = np.searchsorted(offsets, found, side="right") - 1
        columns = [pa.array(column) for column in (hashes[found], docs[text], found - offsets[text])]
        tables.append(pa.Table.from_arrays(columns, schema=WINDOW))
    windows = pa.concat_tables(tables)
    receiver = by_hash(windows["hash"].to_numpy(), len(parts))
    return [plan.exchange(_WINDOWS).write(number, windows, receiver, len(parts))], {"windows": windows.num_rows}


def _find_first(part: int, *, plan: Plan) -> tuple[list[str], Report]:
    repeats = first_occurrences(plan.exchange(_WINDOWS).read(plan.group_numbers, part))
    to = group_of(repeats["rank"].to_numpy())
    files = [plan.exchange(_REPEATS).write(part, repeats, to, len(plan.groups))]
    wanted = _each_once(pa.table({"doc": repeats["first_rank"], "to": to}))
    files.append(plan.exchange(_WANTED).write(part, wanted, group_of(wanted["doc"].to_numpy()), len(plan.groups)))
    return files, {"repeats": repeats.num_rows}


def _send_texts(number: int, *, plan: Plan, parts: range) -> tuple[list[str], Report]:
    """The texts that groups want of this one, but for those that they have themselves."""
    wanted = _each_once(plan.exchange(_WANTED).read(parts, number))
    wanted = wanted.filter(pc.not_equal(wanted["to"], number)).sort_by([("to", "ascending"), ("doc", "ascending")])
    rows = _texts(Home(plan, number), wanted["doc"].to_numpy())
    return [plan.exchange(_TEXTS).write(number, rows, wanted["to"].to_numpy(), len(plan.groups))], {}


def _make_spans(number: int, *, plan: Plan, parts: range, tied: Sequence[int]) -> tuple[list[str], Report]:
    """Compare the repeats of a group with their first copies, make spans of them, and see what they leave."""
    rules, home = plan.recipe.substrings, Home(plan, number)
    assert rules
    repeats = plan.exchange(_REPEATS).read(parts, number)
    texts = [plan.exchange(_TEXTS).read(plan.group_numbers, number)]
    if tied:
        settled = plan.exchange(_SETTLED).read([0], number)
        repeats = pa.concat_tables([without(repeats, np.array(tied, np.uint64)), settled])
        texts.append(plan.exchange(_SETTLED_TEXTS).read([0], number))
    repeats = in_order(repeats)
    documents = _documents(home, repeats, pa.concat_tables(texts), split_of(rules))
    doubtful = ties(repeats, documents, rules.k)
    if tied:
        assert not doubtful.size, "settled windows are equal to their first copies"
    elif doubtful.size:
        return [], {"tied": doubtful.tolist()}
    spans = spans_of(repeats, documents, rules.k)
    return [*_write_spans(plan, number, home, documents, spans)], {"tied": []}


def _write_spans(plan: Plan, number: int, home: Home, documents: Documents, spans: pa.Table) -> list[str]:
    rules = plan.recipe.substrings
    assert rules
    doc, first = (_docs(spans[name], documents) for name in ("id", "first_id"))
    docs = np.unique(doc)
    texts = _texts(home, docs)
    done = cut(texts["id"].combine_chunks(), texts["text"].combine_chunks(), spans)
    (batch,) = texts.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], _TEXT)]
    verdict = filter_substrings(batch, done, rules).column(SUBSTRINGS)
    gone = verdict.is_valid()
    removed = {"doc": docs, "kept_id": pa.nulls(docs.size, pa.string())}
    removed |= {name: pc.struct_field(verdict, name) for name in ("rule", "value", "threshold")}
    left = pa.table(removed)
    lost = {"doc": docs, "removed_bytes": done.removed_bytes}
    numbered = spans.add_column(0, "first_doc", pa.array(first)).add_column(0, "doc", pa.array(doc))
    write = plan.exchange
    return [
        write(removals(SUBSTRINGS)).write(number, left.filter(gone), number, len(plan.groups)),
        write(SPANS).write(number, numbered),
        write(CUT_BYTES).write(number, pa.table(lost)),
        write(SOURCES).write(number, pa.table({"doc": first}), group_of(first), len(plan.groups)),
    ]


def _settle(number: int, *, plan: Plan, parts: range, tied: Sequence[int]) -> tuple[list[str], Report]:
    """Decide all windows of some hashes by their words, with the texts of whatever groups."""
    rules, hashes = plan.recipe.substrings, np.array(tied, np.uint64)
    assert rules
    concerned = np.unique(by_hash(hashes, len(parts))).tolist()
    windows = pa.concat_tables(
        only(plan.exchange(_WINDOWS).read(plan.group_numbers, part), hashes) for part in concerned
    )
    docs = np.unique(windows["rank"].to_numpy())
    groups = group_of(docs)
    texts = pa.concat_tables(_texts(Home(plan, group), docs[groups == group]) for group in np.unique(groups).tolist())
    documents = documents_of(*_columns(texts), split_of(rules))
    repeats = settle(windows, documents, rules.k)
    to = group_of(repeats["rank"].to_numpy())
    wanted = _each_once(pa.table({"doc": repeats["first_rank"], "to": to}))
    place = pc.index_in(wanted["doc"], texts["doc"].combine_chunks())
    sent = texts.take(place.combine_chunks())
    return [
        plan.exchange(_SETTLED).write(number, repeats, to, len(plan.groups)),
        plan.exchange(_SETTLED_TEXTS).write(number, sent, wanted["to"].to_numpy(), len(plan.groups)),
    ], {}


def _documents(home: Home, repeats: pa.Table, foreign: pa.Table, split: Split) -> Documents:
    """The documents that repeats name: this group's own, and those sent by others."""
    named = np.union1d(repeats["rank"].to_numpy(), repeats["first_rank"].to_numpy())
    own = _texts(home, named[group_of(named) == home.number])
    foreign = foreign.filter(pa.array(group_of(foreign["doc"].to_numpy()) != home.number))
    _, once = np.unique(foreign["doc"].to_numpy(), return_index=True)
    return documents_of(*_columns(pa.concat_tables([own, foreign.take(pa.array(once))])), split)


def _each_once(wanted: pa.Table) -> pa.Table:
    """Which document goes to which group, (doc, to)."""
    return wanted.group_by(["doc", "to"]).aggregate([])


def _texts(home: Home, docs: Docs) -> pa.Table:
    """Documents of this group, in the order of `docs`."""
    return pa.Table.from_arrays([pa.array(docs), home.ids_of(docs), home.texts_of(docs)], schema=_TEXT)


def _columns(texts: pa.Table) -> tuple[pa.Array, pa.Array, Docs]:
    return texts["id"].combine_chunks(), texts["text"].combine_chunks(), texts["doc"].to_numpy()


def _docs(ids: pa.ChunkedArray, documents: Documents) -> Docs:
    rows = pc.index_in(ids, documents.ids).to_numpy()
    docs: Docs = documents.ranks[rows.astype(np.int64)]
    return docs
