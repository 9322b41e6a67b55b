"""A phase: one callable over numbered tasks, each finished once and for all.

A task's files are listed in its manifest record; one whose record is there under the run's key is not done again.
"""

from __future__ import annotations

import errno
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from pipeline.engine import Engine, Outcome
from pipeline.errors import WorkError
from pipeline.manifest import Manifest
from pipeline.progress import Progress
from pipeline.store import Store

T = TypeVar("T")
Record = dict[str, Any]
Report = dict[str, Any]
Work = Callable[[int], tuple[list[str], Report]]
"""What a task does: number in, names of the files that it wrote and its report out."""

FAILURES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Phases:
    """Runs the phases of one piece of work one after another.

    name: that of the whole. key: changes with all that results depend on. cpu_s: CPU seconds of the tasks, by phase.
    """

    name: str
    engine: Engine
    progress: Progress
    store: Store
    key: str
    cpu_s: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def run(self, phase: str, work: Work, numbers: Sequence[int]) -> list[Report]:
        """Do what is not done yet; the reports in the order of `numbers`, each with `cpu_s`."""
        folder = f"{self.name}/{phase}"
        manifest = Manifest(self.store, folder)
        records = {n: record for n in numbers if (record := manifest.done(task_name(n), self.key))}
        shown = len(numbers) > 1  # dozens of phases of one task each are nothing to look at
        if shown:
            self.progress.phase(folder, len(numbers), len(records))
            for _ in records:
                self.progress.advance(Counter())
        left = [n for n in numbers if n not in records]
        task = partial(_task, work=work, root=self.store.root, folder=folder, key=self.key)
        for outcome in finished(self.engine, task, left, folder):
            assert outcome.result
            records[outcome.unit] = outcome.result
            if shown:
                self.progress.advance(Counter())
        reports = [records[n]["report"] for n in numbers]
        self.cpu_s[phase] += sum(report["cpu_s"] for report in reports)
        return reports


def task_name(number: int) -> str:
    """File name of a task's outputs."""
    return f"{number:06d}"


def finished(
    engine: Engine,
    work: Callable[[T], Record],
    units: Iterable[T],
    phase: str,
    name: Callable[[T], str] = str,
) -> Iterator[Outcome[T, Record]]:
    """Yield the outcomes that succeeded; after all have been tried, raise WorkError if any failed for good.

    name: what to call a unit in the error.
    """
    failed: list[Outcome[T, Record]] = []
    for outcome in engine.run(work, units):
        if outcome.error is None:
            yield outcome
            continue
        if isinstance(outcome.error, OSError) and outcome.error.errno == errno.ENOSPC:
            raise outcome.error
        failed.append(outcome)
    if failed:
        shown = "\n".join(f"  {name(outcome.unit)}: {outcome.error!r}" for outcome in failed[:FAILURES_SHOWN])
        raise WorkError(
            f"{phase}: {len(failed)} unit(s) failed for good; what was finished is kept. The first:\n{shown}\n"
            "Mend the cause and run the same command again: only these are retried."
        )


def _task(number: int, *, work: Work, root: Path, folder: str, key: str) -> Record:
    manifest = Manifest(Store(root), folder)
    if record := manifest.done(task_name(number), key):
        return record
    started_s = time.process_time()
    files, report = work(number)
    return manifest.finish(task_name(number), key, files, {**report, "cpu_s": time.process_time() - started_s})
