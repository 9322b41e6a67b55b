"""`falconmix dedup`: the files read → deduplication → the same files without the copies, each step resumable."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.corpus.files import Columns
from pipeline.corpus.units import CorpusFile, id_prefix, read_file, sources_of, write_file
from pipeline.dedup.job import append_segment, deduplicate_run
from pipeline.document_files import SUFFIXES, is_document_file
from pipeline.engine import Engine
from pipeline.errors import UsageError, WorkError
from pipeline.groups import Group, groups_of
from pipeline.index import open_index
from pipeline.inputs import resolve
from pipeline.lock import locked
from pipeline.phase import finished
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.report import render_corpus
from pipeline.run import Run, open_run
from pipeline.store import Store
from pipeline.summary import read_summary, write_report

Record = dict[str, Any]
Stats = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class DedupJob:
    """What the user asked for; of the recipe only the sections of deduplication count."""

    inputs: tuple[str, ...]
    output: Path
    recipe: Recipe
    columns: Columns
    index: Path | None = None
    restart: bool = False


def dedup(job: DedupJob, start_engine: Callable[[], Engine], progress: Progress) -> Stats:
    """Run or resume `job`; return its numbers.

    Raises UsageError before any work for wrong input, WorkError where a file cannot be read (finished ones are kept).
    """
    inputs = resolve(job.inputs)
    for source in inputs:
        if not is_document_file(source.path):
            raise UsageError(f"{source.path}: no file of documents ({', '.join(SUFFIXES)})")
    index = open_index(job.index, job.recipe) if job.index else None
    with locked(job.output):
        origin = {"dedup": asdict(job.columns)}
        run = open_run(Store(job.output), inputs, job.recipe, restart=job.restart, origin=origin, index=index)
        if run.state == "finished":
            progress.say(f"{job.output}: this run is finished; nothing to do")
            stats: Stats = read_summary(run.store)
            return stats
        return _begin(run, job.columns, start_engine, progress)


def _begin(run: Run, columns: Columns, start_engine: Callable[[], Engine], progress: Progress) -> Stats:
    prefix = id_prefix(run.inputs)
    files = [
        CorpusFile(input=source, number=number, prefix=prefix, columns=columns, fingerprint=run.fingerprint)
        for number, source in enumerate(run.inputs)
    ]
    for file in files:
        file.open()  # before any work: a file without the column
    run.store.sweep_temporaries()
    run.begin()
    engine = start_engine()
    try:
        return _work(run, files, engine, progress)
    finally:
        engine.close()


def _work(run: Run, files: Sequence[CorpusFile], engine: Engine, progress: Progress) -> Stats:
    read = _tasks(engine, progress, "read", partial(read_file, output=run.store.root, recipe=run.recipe), files)
    sources = [source for file, record in zip(files, read, strict=True) for source in sources_of(file, record)]
    groups = groups_of(sources, run.recipe.dedup.group_pages)
    decided = deduplicate_run(run, groups, engine, progress)
    written = _write(run, files, groups, engine, progress)
    stats = _stats(run, files, read, decided, written)
    write_report(run.store, stats, render_corpus)
    append_segment(run, groups)
    run.finish({}, [file.unit.name for file in files])
    return stats


def _tasks(
    engine: Engine,
    progress: Progress,
    phase: str,
    work: Callable[[CorpusFile], Record],
    files: Sequence[CorpusFile],
) -> list[Record]:
    """One task a file; the records in their order."""
    progress.phase(phase, len(files), 0)
    records: dict[int, Record] = {}
    for outcome in finished(engine, work, files, phase, lambda file: file.input.path):
        assert outcome.result
        records[outcome.unit.number] = outcome.result
        progress.advance(Counter())
    return [records[file.number] for file in files]


def _write(
    run: Run, files: Sequence[CorpusFile], groups: tuple[Group, ...], engine: Engine, progress: Progress
) -> list[Record]:
    groups_of_file: defaultdict[str, set[int]] = defaultdict(set)
    for group in groups:
        for source in group.sources:
            groups_of_file[source.warc_path].add(group.number)
    names = tuple(file.input.warc_path for file in files)
    settings: dict[str, Any] = {"names": names, "output": run.store.root, "recipe": run.recipe, "key": run.key}
    work = partial(_write_one, groups_of_file=dict(groups_of_file), **settings)
    return _tasks(engine, progress, "write", work, files)


def _write_one(file: CorpusFile, *, groups_of_file: dict[str, set[int]], **settings: Any) -> Record:
    return write_file(file, groups=sorted(groups_of_file[file.input.warc_path]), **settings)


def _stats(
    run: Run, files: Sequence[CorpusFile], read: Sequence[Record], decided: Record, written: Sequence[Record]
) -> Stats:
    """The numbers; invariant 1: every row of every file is written or removed."""
    inputs, removed = [], Counter[str]()
    for file, before, after in zip(files, read, written, strict=True):
        stages = after["report"]["stages"]
        rows, kept = before["report"]["rows"], after["report"]["rows"]
        if rows != kept + sum(stages.values()):
            raise WorkError(
                f"{file.input.path}: {rows} rows, but {kept} written and {sum(stages.values())} removed; "
                "please report this file"
            )
        removed.update(stages)
        inputs.append({"file": file.input.warc_path, "rows": rows, "written": kept, "removed": stages})
    told = decided["report"]
    cpu_s = {
        "read": sum(record["report"]["cpu_s"] for record in read),
        "deduplicate": sum(told["cpu_s"].values()),
        "write": sum(record["report"]["cpu_s"] for record in written),
    }
    steps, left = [], sum(source["rows"] for source in inputs)
    for step in ("url_dedup", "exact_dedup", "minhash", "substrings"):
        if step in run.recipe.steps:
            steps.append({"stage": step, "in": left, "out": left - removed[step]})
            left -= removed[step]
    counts = {name: told[name] for name in ("edges", "cut", "spans", "orphaned", "bridged")}
    return {
        "format": 1,
        "recipe": run.recipe.name,
        "inputs": inputs,
        "funnel": steps,
        **counts,
        "deduplication": told["highlights"],
        "cpu_seconds": cpu_s,
    }
