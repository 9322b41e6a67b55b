"""`falconmix remove OUT`: listed pages are taken out of a finished run.

All files concerned are written anew beside the old ones (`removals/staging/`): shards, the units' tables that a later
run or a replay would publish from, tables with samples of texts, the lookup, the report. Then the removal is committed
and the new files are moved into place; last, the pages leave the index. Run again after an interruption, it goes on.

A page that is taken out is a reject of the stage `takedown`, without its text, whatever it had been before. Copies of
it stay removed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow.parquet as pq

from pipeline import lookup
from pipeline.corpus.why import is_corpus_run
from pipeline.engine import Engine
from pipeline.errors import UsageError
from pipeline.index import read_index, remove_documents
from pipeline.index_removal import held_by
from pipeline.lock import locked
from pipeline.phase import finished
from pipeline.progress import Progress
from pipeline.publish import DAMAGED
from pipeline.recipe import from_data
from pipeline.removals import DOCUMENTS, PENDING, Order, abandon, next_name, pending_of
from pipeline.run import read_description
from pipeline.shards import reject_shards
from pipeline.staging import move_into_place
from pipeline.store import Store
from pipeline.summary import NAME as STATS
from pipeline.summary import check_pages, read_summary, recount, write_report
from pipeline.takedown_tasks import (
    GATHERED,
    SHARDS,
    TAKEDOWN_FOLDER,
    UNITS,
    Staged,
    gather_shard,
    published_names,
    published_reports,
    take_from_shard,
    take_from_unit,
    unit_inputs,
)
from pipeline.taken import Taken, strip_tables
from stages import keys
from stages.cascade import TAKEDOWN
from stages.takedown import spellings

SPELLINGS_SOUGHT = 100
"""Of addresses that match nothing, so many are looked for with another scheme, `www.` or slash at the end."""

T = TypeVar("T")
Record = dict[str, Any]
Outcome = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TakedownJob:
    """What the user asked for.

    index: folder of the index to take the pages out of; None for that of the run, if it was made with one. date: what
    the record of the removal says.
    """

    output: Path
    order: Order
    date: str
    index: Path | None = None


def take_down(job: TakedownJob, start_engine: Callable[[], Engine], progress: Progress) -> Outcome:
    """Take what is listed out of a run; what was done, in numbers. Where nothing is found nothing changes.

    Raises UsageError where there is no finished run, or no index where one is named.
    """
    store = Store(job.output)
    description = _check(store)
    index = job.index or _index_of(description)
    if index:
        read_index(index)
    with locked(job.output):
        if outcome := _go_on(store, job, progress):
            return outcome
        staged = _begin(store, job, index)
        engine = start_engine()
        try:
            return _work(staged, job.order, engine, progress, from_data(description["recipe"], str(job.output)).steps)
        finally:
            engine.close()


def _check(store: Store) -> Record:
    if is_corpus_run(store.root):
        raise UsageError(
            f"{store.root}: written by `falconmix dedup`, from files that are not its own; take the rows out of its "
            "inputs and run it again with --restart; out of its index addresses go by `falconmix remove --index DIR "
            "--urls FILE`"
        )
    return read_description(store)


def _index_of(description: Record) -> Path | None:
    return Path(description["index"]["folder"]) if description["index"] else None


def _go_on(store: Store, job: TakedownJob, progress: Progress) -> Outcome | None:
    """Finish an earlier removal that was committed; its outcome, if it is the one that is asked for."""
    pending = pending_of(store)
    if not pending or not pending["committed"]:
        return None
    is_asked_for = pending["digest"] == job.order.digest
    if is_asked_for and job.index:
        pending["index"] = str(job.index)  # it may have been moved
    outcome = _put_into_place(Staged.of(store), pending)
    if is_asked_for:
        return outcome
    progress.say(f"{store.root}: the removal of {pending['date']}, which was interrupted, is finished")
    return None


def _begin(store: Store, job: TakedownJob, index: Path | None) -> Staged:
    """Write down what is to be done; what the same removal has staged before stays."""
    asked = {"digest": job.order.digest, "index": index and str(index), **asdict(job.order)}
    store.sweep_temporaries()
    pending = pending_of(store)
    if not pending or {name: pending[name] for name in asked} != {**asked, "entries": list(job.order.entries)}:
        abandon(store)
        store.write_json(PENDING, asked | {"date": job.date, "committed": False})
    return Staged.of(store)


def _work(staged: Staged, order: Order, engine: Engine, progress: Progress, steps: Sequence[str]) -> Outcome:
    store = staged.store

    def each(phase: str, task: Callable[..., Record], units: Sequence[T]) -> list[Record]:
        progress.phase(phase, len(units), 0)
        reports = []
        for done in finished(engine, partial(task, root=store.root), units, phase):
            assert done.result
            reports.append(done.result["report"])
            progress.advance(Counter())
        return reports

    shards = each(SHARDS, take_from_shard, _concerned(store, order))
    index = store.read_json(PENDING)["index"]
    held = held_by(index and Path(index), order)
    outcome = _counted(store, order, shards, held)
    if not outcome["pages"]:
        abandon(store)
        return outcome | {"index_documents": remove_documents(Path(index), set(), set(held.values())) if held else 0}
    inputs = {path for report in shards for path in report["inputs"]}
    each(UNITS, take_from_unit, [unit for unit, path in unit_inputs(store) if path in inputs])
    each(GATHERED, gather_shard, reject_shards({TAKEDOWN: outcome["pages"] + _n_taken_before(store)}))
    _stage_rest(staged, steps, outcome)
    pending = store.read_json(PENDING) | {"committed": True, "outcome": outcome}
    store.write_json(PENDING, pending)
    return _put_into_place(staged, pending)


def _concerned(store: Store, order: Order) -> list[str]:
    """Published files that may hold what is listed."""
    if order.kind == "urls":
        wanted = np.unique(np.array([lookup.url_key(url) for url in order.entries], np.uint64))
        return [name for name in lookup.files_with(store, wanted) if name != DAMAGED]
    return published_names(store)


def _counted(store: Store, order: Order, shards: Sequence[Record], held: Container[str]) -> Outcome:
    found = {entry for report in shards for entry in report["entries"]}
    before = {entry for report in shards for entry in report["entries_before"]}
    missing = [entry for entry in order.entries if entry not in found | before and entry not in held]
    asked = missing[:SPELLINGS_SOUGHT] if order.kind == "urls" else []
    likely = {url: [other for other in spellings(url) if lookup.find(store, other)] for url in asked}
    return {
        "kind": order.kind,
        "pages": sum(report["pages"] for report in shards),
        "documents": sum(report["documents"] for report in shards),
        "listed": len(order.entries),
        "removed_before": sorted(before - found),
        "not_found": missing,
        "other_spellings": {url: others for url, others in likely.items() if others},
    }


def _n_taken_before(store: Store) -> int:
    names = store.names(TAKEDOWN_FOLDER, ".parquet")
    return sum(pq.read_metadata(store.path(name)).num_rows for name in names)


def _stage_rest(staged: Staged, steps: Sequence[str], outcome: Outcome) -> None:
    """Stage what goes with the shards: tables with texts, the lookup, the report, the ids, the record."""
    store, new = staged.store, staged.new
    taken = Taken.read(staged)
    strip_tables(staged, taken)
    lookup.update(store, new)
    summary = recount(taken.out_of(read_summary(store)), steps, published_reports(staged))
    check_pages(summary)
    write_report(new, summary)
    earlier = set(store.path(DOCUMENTS).read_text().split()) if store.exists(DOCUMENTS) else set()
    with new.writing(DOCUMENTS) as path:
        path.write_text("".join(f"{page_id}\n" for page_id in sorted(earlier | taken.documents)))
    pending = store.read_json(PENDING)
    told = {name: pending[name] for name in ("date", "kind", "entries", "index")}
    new.write_json(next_name(store), {"format": 1, **told, **outcome})


def _put_into_place(staged: Staged, pending: Record) -> Outcome:
    store = staged.store
    move_into_place(staged.new, store, last=STATS)
    n_indexed = 0
    if pending["index"]:
        taken = Taken.read(staged)
        listed = Order(kind=pending["kind"], entries=tuple(pending["entries"]))
        urls = [*taken.urls, *(listed.entries if listed.kind == "urls" else ())]
        n_indexed = remove_documents(
            Path(pending["index"]), taken.ids, {key for url in urls if (key := keys.url_key(url))}
        )
    abandon(store)
    outcome: Outcome = pending["outcome"]
    return outcome | {"index_documents": n_indexed}
