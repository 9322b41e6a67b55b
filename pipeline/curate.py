"""The curation run: units → deduplication → published shards → lookup → report, each phase resumable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

from pipeline import lookup, publish
from pipeline.dedup.job import append_segment, deduplicate_run
from pipeline.engine import Engine
from pipeline.errors import UsageError, WorkError
from pipeline.groups import Group, Source, groups_of
from pipeline.index import open_index
from pipeline.inputs import Input, resolve
from pipeline.lock import locked
from pipeline.manifest import Manifest
from pipeline.models import compile_block_table
from pipeline.phase import finished
from pipeline.progress import Progress
from pipeline.recipe import Recipe
from pipeline.removals import FOLDER as REMOVALS
from pipeline.removals import removed_from
from pipeline.replay import Replay, ReplayUnit, open_replay, replay_unit
from pipeline.run import Run, open_run
from pipeline.shards import PUBLISHED, Shard, document_shards, reject_shards
from pipeline.store import Store
from pipeline.summary import Summary, check_pages, collect, read_summary, write_report
from pipeline.unit import PHASE, Unit, extract_unit
from pipeline.unit_chain import Chains, units_of
from stages.cascade import UNDECIDED

Record = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class CurateJob:
    """What the user asked for.

    replay: folder of a finished run to decide again, in place of `inputs`; reread: see `pipeline.replay`.
    index: folder of an index of earlier dumps, to compare with and to append to.
    """

    inputs: tuple[str, ...]
    output: Path
    recipe: Recipe
    replay: Path | None = None
    reread: bool = False
    index: Path | None = None
    restart: bool = False
    strict: bool = False


def curate(job: CurateJob, start_engine: Callable[[], Engine], progress: Progress) -> Summary:
    """Run, resume or extend `job`; return its numbers.

    Raises UsageError before any work for wrong input, WorkError where units failed for good (finished ones are kept).
    """
    if job.replay and job.replay.resolve() == job.output.resolve():
        raise UsageError(f"{job.output}: --output is the run to decide again; choose another folder")
    replay = open_replay(job.replay, job.recipe, reread=job.reread) if job.replay else None
    inputs = replay.inputs if replay else resolve(job.inputs)
    index = open_index(job.index, job.recipe) if job.index else None
    with locked(job.output):
        origin = replay.origin if replay else None
        run = open_run(
            Store(job.output),
            inputs,
            job.recipe,
            restart=job.restart,
            origin=origin,
            index=index,
            removals=replay.removals if replay else 0,
        )
        if run.state == "finished":
            progress.say(f"{job.output}: this run is finished; nothing to do")
            summary = read_summary(run.store)
        else:
            summary = _begin(run, replay, start_engine, progress)
    damaged = summary["totals"]["damaged_ranges"]
    if job.strict and damaged:
        raise WorkError(f"--strict: {damaged} damaged range(s), listed in {run.store.path(publish.DAMAGED)}")
    return summary


def _begin(run: Run, replay: Replay | None, start_engine: Callable[[], Engine], progress: Progress) -> Summary:
    run.store.sweep_temporaries()
    run.begin()
    listed = removed_from(run.store)
    if listed:
        n = len(listed.urls) + len(listed.domains)
        progress.say(f"{n:,} listed address(es) and domain(s) stay taken out: {run.store.path(REMOVALS)}")
    compile_block_table(run.store, run.recipe)
    engine = start_engine()
    try:
        return _work(run, replay, engine, progress)
    finally:
        engine.close()


def _work(run: Run, replay: Replay | None, engine: Engine, progress: Progress) -> Summary:
    store = run.store
    extracted, nodes = _extract(run, replay, engine, progress)
    _say_undecided(extracted, progress)
    _check_bytes(run.inputs, extracted)
    _warn_of_damage(extracted, progress)
    groups = groups_of(_sources(run, extracted), run.recipe.dedup.group_pages)
    decided = deduplicate_run(run, groups, engine, progress)
    shards = _shards(extracted, decided)
    published = _publish(run, engine, progress, groups, shards)
    publish.publish_damage(store, groups)
    _remove_stale(store, shards)
    lookup.build(store)
    summary = collect(run, extracted, decided, list(zip(shards, published, strict=True)), nodes)
    check_pages(summary)
    write_report(store, summary)
    append_segment(run, groups)
    digests = {record["report"]["warc_path"]: record["report"]["full_digest"] for record in extracted}
    run.finish(replay.digests if replay else digests, [unit for record in extracted for unit in record["units"]])
    return summary


def _extract(run: Run, replay: Replay | None, engine: Engine, progress: Progress) -> tuple[list[Record], Counter[str]]:
    """Extract, or decide again, what is not finished yet; one record per input, and how many units each node did."""
    chains = Chains(_files(run, replay), run.store)
    work: Callable[[Any], Record] = partial(extract_unit, output=run.store.root, recipe=run.recipe)
    if replay:
        work = partial(replay_unit, output=run.store.root, recipe=run.recipe, replay=replay)
    manifest = Manifest(run.store, PHASE)
    done = {unit.name: record for unit in chains.units if (record := manifest.done(unit.name, unit.key))}
    left = [unit for unit in chains.units if unit.name not in done]
    if left and run.store.names(f"manifest/{PHASE}") and not run.store.exists("work/extracted"):
        progress.say("work/ was freed by `falconmix clean`: extraction is done again")
    progress.phase("extract", len(chains.units), len(done))
    for unit in chains.units:
        if record := done.get(unit.name):
            chains.add(unit, record)
            progress.advance(Counter(record["report"]["funnel"]))
    nodes: Counter[str] = Counter()
    again = not left
    while left or (left := chains.to_redo()):
        if again:
            progress.phase("extract behind false cuts", len(left), 0)
        for outcome in finished(engine, work, left, "extract", _name):
            assert outcome.result
            chains.add(outcome.unit, outcome.result)
            nodes[outcome.node] += 1
            progress.advance(Counter() if again else Counter(outcome.result["report"]["funnel"]))
        again, left = True, []
    return chains.records(), nodes


def _files(run: Run, replay: Replay | None) -> list[Sequence[Unit | ReplayUnit]]:
    """The units of each input."""
    if replay:
        units = groupby(replay.units(run.fingerprint), lambda unit: unit.input.warc_path)
        return [list(group) for _, group in units]
    reader = run.recipe.reader
    return [units_of(source, run.fingerprint, reader.unit_bytes, reader) for source in run.inputs]


def _sources(run: Run, extracted: Sequence[Record]) -> Iterator[Source]:
    manifest = Manifest(run.store, PHASE)
    for record in extracted:
        for unit in record["units"]:
            told = manifest.whole(unit)
            assert told, f"{unit} is finished"
            report = told["report"]
            yield Source(unit, report["warc_path"], report["captures"], report["funnel"].get("kept", 0))


def _shards(extracted: Sequence[Record], decided: Record) -> list[Shard]:
    """Which files to publish, from the totals alone."""
    rejects = Counter(decided["report"]["stages"])
    for record in extracted:
        rejects.update({stage: n for stage, n in record["report"]["funnel"].items() if stage != "kept"})
    return document_shards(decided["report"]["text_bytes"]) + reject_shards(rejects)


def _publish(
    run: Run, engine: Engine, progress: Progress, groups: tuple[Group, ...], shards: Sequence[Shard]
) -> list[Record]:
    progress.phase("publish", len(shards), 0)
    work = partial(publish.publish_shard, output=run.store.root, groups=groups, recipe=run.recipe, key=run.key)
    records: dict[str, Record] = {}
    for outcome in finished(engine, work, shards, "publish", _name):
        assert outcome.result
        records[outcome.unit.name] = outcome.result
        progress.advance(Counter())
    return [records[shard.name] for shard in shards]


def _name(unit: object) -> str:
    match unit:
        case Unit(input=source, end=int()):
            return f"{source.path}, bytes {unit.begin} to {unit.end}"
        case Unit(input=source) | ReplayUnit(input=source):
            return source.path
        case Shard(name=name):
            return name
    return str(unit)


def _say_undecided(extracted: Sequence[Record], progress: Progress) -> None:
    if n := sum(record["report"]["funnel"].get(UNDECIDED, 0) for record in extracted):
        progress.say(
            f"{n:,} page(s) are undecided: they were dropped before extraction, by what this recipe asks otherwise; "
            f"rejected/stage={UNDECIDED} lists them, --reread reads them again"
        )


def _check_bytes(inputs: Sequence[Input], extracted: Sequence[Record]) -> None:
    """Invariant 1, first sum: every byte of an input is in a record, in padding, or in a damaged range."""
    for source, record in zip(inputs, extracted, strict=True):
        report = record["report"]
        size = report["size"] if report["single_stream"] else source.size  # offsets are those of the inflated stream
        if size != report["record_bytes"] + report["padding_bytes"] + report["damaged_bytes"]:
            raise WorkError(
                f"{report['warc_path']}: {size} bytes, but records {report['record_bytes']} + padding "
                f"{report['padding_bytes']} + damaged {report['damaged_bytes']}; please report this file"
            )


def _warn_of_damage(extracted: Sequence[Record], progress: Progress) -> None:
    for record in extracted:
        report = record["report"]
        if report["damaged_ranges"]:
            progress.say(
                f"warning: {report['warc_path']}: {report['damaged_ranges']} range(s) could not be read "
                f"({report['damaged_bytes']:,} bytes; first: {report['first_damage']}); see {publish.DAMAGED}"
            )


def _remove_stale(store: Store, shards: Sequence[Shard]) -> None:
    """Delete parts of an earlier, smaller set of inputs that this one does not write."""
    ours = {shard.name for shard in shards}
    for folder in PUBLISHED:
        for name in store.names(folder, ".parquet"):
            if name not in ours:
                store.remove(name)
