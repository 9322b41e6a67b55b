"""Deduplication as one of a run's phases: beside the run's index, if it has one, to which its documents are added."""

from __future__ import annotations

from pipeline.dedup.plan import Plan
from pipeline.dedup.search import deduplicate
from pipeline.dedup.segment import part_name
from pipeline.engine import Engine
from pipeline.groups import Group
from pipeline.index import append, past_of
from pipeline.phase import Phases, Record
from pipeline.progress import Progress
from pipeline.run import Run


def deduplicate_run(run: Run, groups: tuple[Group, ...], engine: Engine, progress: Progress) -> Record:
    """Run or resume all of it; returns its manifest record."""
    progress.phase("deduplicate", 1, 0)  # phases of many tasks tell of themselves
    past = past_of(run.beside.index, run.beside.segments, len(groups)) if run.beside else None
    phases = Phases(name="dedup", engine=engine, progress=progress, store=run.store, key=run.key)
    return deduplicate(Plan(store=run.store, recipe=run.recipe, groups=groups, past=past), phases)


def append_segment(run: Run, groups: tuple[Group, ...]) -> None:
    """Add the run's documents to its index; the last step, so that later runs see those of a run that is whole."""
    if run.beside:
        parts = [part_name(group.number) for group in groups]
        append(run.beside.index, run.beside.run, run.store, parts, sum(group.n_pages for group in groups))
