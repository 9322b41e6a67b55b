"""`curate --replay`: a finished run is decided again by another recipe, from what it keeps in `work/`.

Nothing is extracted again. What the earlier run read and extracted stands, so settings that shape that must be the
same (`check_reading`). All that is decided on the address, the language and the text is decided anew. A page that a
step before extraction dropped stays dropped where that step is as it was; where it is not, its text is not known: the
page is `undecided`, or, with `reread`, read again from its file.

The same recipe gives the same bytes as the earlier run.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.capture import Capture
from pipeline.errors import UsageError, WorkError
from pipeline.file_report import FileReport
from pipeline.inputs import Input, resolve
from pipeline.manifest import Manifest
from pipeline.models import language_model_file
from pipeline.recipe import Recipe, from_data
from pipeline.removals import record_names, refuse_half_done
from pipeline.run import FINISHED, inputs_of, open_finished, read_description
from pipeline.span import Seam, Span
from pipeline.store import Store, file_digest
from pipeline.tools import Tools, open_tools
from pipeline.unit import PHASE, Sieve, captures_of, finish_unit, table_name
from pipeline.warc import read_head
from stages import schema
from stages.cascade import TAKEDOWN, UNDECIDED, first_verdict
from stages.decide import decide
from stages.pages import EARLY_STAGES

BATCH_ROWS = 1024
_URL_STAGE = "url_filter"
_BEFORE_URLS = (TAKEDOWN, "capture")
_READING = ("extractor", "favor_precision", "second_opinion", "limits")  # of a recipe's `page`; and all of `capture`
_KNOWN_BEFORE_READING = [field.name for field in schema.REJECT if field.name in schema.RECORD.names]


@dataclass(frozen=True, kw_only=True)
class Replay:
    """An earlier run to decide again.

    digests: full digests of its inputs by `warc_path`. finished: names of the units that its results are made of.
    removals: how many there were from it.
    """

    store: Store
    recipe: Recipe
    inputs: tuple[Input, ...]
    fingerprint: str
    digests: dict[str, str]
    finished: tuple[str, ...]
    reread: bool
    removals: int = 0

    @property
    def origin(self) -> dict[str, Any]:
        """What the results depend on besides the new recipe; goes into `run.json`."""
        return {"fingerprint": self.fingerprint, "reread": self.reread}

    def units(self, fingerprint: str) -> list[ReplayUnit]:
        """The earlier run's units, to be decided under `fingerprint`; UsageError where one is no longer whole."""
        manifest = Manifest(self.store, PHASE)
        inputs = {source.warc_path: source for source in self.inputs}
        units = []
        for name in self.finished:
            record = manifest.whole(name)
            if not record:
                raise UsageError(
                    f"{self.store.root}: its work/ was freed by `falconmix clean`; run `falconmix curate` on the inputs"
                )
            source = inputs[record["report"]["warc_path"]]
            unit = ReplayUnit(
                input=source,
                earlier=name,
                earlier_key=record["key"],
                fingerprint=fingerprint,
                removals=self.removals,
            )
            units.append(unit)
        return units


@dataclass(frozen=True, kw_only=True)
class ReplayUnit:
    """One unit of the earlier run, to be decided again."""

    input: Input
    earlier: str
    earlier_key: str
    fingerprint: str
    removals: int = 0

    @property
    def key(self) -> str:
        """Digest of all that the unit's output depends on, as 16 hex digits."""
        return self._digest(f"\0{self.removals}" if self.removals else "")

    @property
    def name(self) -> str:
        """File name of the unit's tables and of its record: the same after a removal, which must leave no table."""
        return f"{self.earlier.rpartition('-')[0]}-{self._digest('')}"

    def _digest(self, removals: str) -> str:
        parts = f"{self.earlier_key}\0{self.fingerprint}{removals}"
        return hashlib.blake2b(parts.encode(), digest_size=8).hexdigest()


def open_replay(output: Path, recipe: Recipe, *, reread: bool) -> Replay:
    """Open the finished run in `output` to be decided by `recipe`.

    Raises UsageError where there is none, where its `work/` is gone, where the recipe asks for another reading, and,
    with `reread`, where an input is gone or has changed.
    """
    store = open_finished(output)
    refuse_half_done(store)
    said = read_description(store)
    inputs = inputs_of(said)
    replay = Replay(
        store=store,
        recipe=from_data(said["recipe"], str(output)),
        inputs=inputs,
        fingerprint=said["fingerprint"],
        digests={source["warc_path"]: source["full_digest"] for source in said["inputs"]},
        finished=tuple(store.read_json(FINISHED)["units"]),
        reread=reread,
        removals=len(record_names(store)),
    )
    check_reading(replay, recipe, said["results_depend_on"]["language_model"])
    replay.units("")
    if reread:
        _check_inputs(inputs)
    return replay


def check_reading(replay: Replay, recipe: Recipe, language_model: str) -> None:
    """Raise UsageError where `recipe` would have read or extracted pages otherwise than the earlier run did."""
    before, now = _reading(replay.recipe), _reading(recipe)
    differing = [name for name in now if before[name] != now[name]]
    if file_digest(language_model_file(recipe)) != language_model:
        differing.append("language_model")
    if differing:
        raise UsageError(
            f"recipe {recipe.name}: {', '.join(differing)}: not as in the run in {replay.store.root}, and pages would "
            "be read otherwise; leave this as it was there, or run `falconmix curate` on the inputs"
        )


def undecided_stages(before: Recipe, now: Recipe) -> frozenset[str]:
    """Steps before extraction that were asked other questions by `before` than `now` asks."""
    changed = set()
    if (before.page.pre_gates, before.page.min_words) != (now.page.pre_gates, now.page.min_words):
        changed.add("visible")
    gates_differ = (before.page.pre_gates, before.page.early_language) != (now.page.pre_gates, now.page.early_language)
    if gates_differ or not set(now.languages) <= set(before.languages):
        changed.add("early_language")
    assert changed <= set(EARLY_STAGES)
    return frozenset(changed)


def replay_unit(unit: ReplayUnit, *, output: Path, recipe: Recipe, replay: Replay) -> dict[str, Any]:
    """Decide one unit again; write its tables, then its manifest record, which is returned."""
    manifest = Manifest(Store(output), PHASE)
    if record := manifest.done(unit.name, unit.key):
        return record
    earlier = Manifest(replay.store, PHASE).done(unit.earlier, unit.earlier_key)
    if not earlier:
        raise WorkError(f"{replay.store.root}: the tables of {unit.earlier} are gone; run `falconmix curate` there")
    tools = open_tools(recipe, output, unit.fingerprint)
    again = _Again(unit, earlier["report"]["span"], replay, tools)
    again.run()
    decided = again.sieve.decided()
    decided["poisoned"] += earlier["report"]["poisoned"]
    return finish_unit(manifest, unit.name, unit.key, again.sieve, earlier["report"] | decided)


class _Again:
    """One unit decided again into `sieve`."""

    def __init__(self, unit: ReplayUnit, span: dict[str, Any], replay: Replay, tools: Tools) -> None:
        self.sieve = Sieve(unit.input, tools)
        self._span = span
        self._unit = unit
        self._replay = replay
        self._tools = tools
        self._doubtful = pa.array(
            sorted({_URL_STAGE, UNDECIDED} | undecided_stages(replay.recipe, tools.recipe)), pa.string()
        )
        self._open: set[int] = set()  # offsets of the pages to read again

    def run(self) -> None:
        for batch in self._earlier("damage", schema.DAMAGE):
            self.sieve.tables["damage"].add(batch)
        with self.sieve.clock("gates"):
            for batch in self._earlier("dropped", schema.REJECT):
                self._dropped(batch)
        with self.sieve.clock("text"):
            for batch in self._earlier("extracted", schema.EXTRACTED):
                self._extracted(batch)
        if self._open:
            self._read_again()

    def _earlier(self, folder: str, declared: pa.Schema) -> Iterator[pa.RecordBatch]:
        path = self._replay.store.path(table_name(folder, self._unit.earlier))
        for batch in pq.ParquetFile(path).iter_batches(BATCH_ROWS):
            yield batch.cast(declared)

    def _dropped(self, batch: pa.RecordBatch) -> None:
        batch = self._by_address(TAKEDOWN, batch)
        stage = batch.column("stage").cast(pa.string())
        at_door = pc.is_in(stage, pa.array(_BEFORE_URLS))
        self.sieve.carry(batch.filter(at_door))
        batch = self._by_address(_URL_STAGE, batch.filter(pc.invert(at_door)))
        doubtful = pc.is_in(batch.column("stage").cast(pa.string()), self._doubtful)
        self.sieve.carry(batch.filter(pc.invert(doubtful)))
        self._leave_open(batch.filter(doubtful))

    def _leave_open(self, batch: pa.RecordBatch) -> None:
        if self._replay.reread:
            self._open.update(batch.column("warc_offset").to_pylist())
            return
        stage = batch.column("stage").cast(pa.string())
        known = pc.equal(stage, UNDECIDED)
        self.sieve.carry(batch.filter(known))
        batch, stage = batch.filter(pc.invert(known)), stage.filter(pc.invert(known))
        # The verdict says which step had dropped the page, and by which of its rules.
        columns = [stage, batch.column("value"), batch.column("threshold"), batch.column("rule")]
        verdicts = pa.StructArray.from_arrays(columns, fields=list(schema.VERDICT))
        self.sieve.drop(batch, verdicts, pa.array([UNDECIDED] * batch.num_rows, pa.string()))

    def _extracted(self, batch: pa.RecordBatch) -> None:
        pages = self._by_address(_URL_STAGE, self._by_address(TAKEDOWN, batch)).select(schema.PAGE.names)
        brought = pc.equal(pages.column("verdict_stage"), "extract")
        columns = {name: pages.column(name) for name in schema.PAGE.names}
        for name in ("verdict", "verdict_stage"):
            columns[name] = pc.if_else(brought, columns[name], pa.scalar(None, columns[name].type))
        pages = pa.RecordBatch.from_arrays(list(columns.values()), schema=schema.PAGE)
        self.sieve.keep(decide(pages, self._tools.text))

    def _by_address(self, step: str, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Drop by one of the steps that look at the address alone; the rows that it leaves are returned."""
        verdicts, steps = first_verdict(batch, [gate for gate in self._tools.gates if gate.name == step])
        found = batch.filter(steps.is_valid()).select(_KNOWN_BEFORE_READING)
        self.sieve.drop(found, verdicts.drop_null(), steps.drop_null())
        return batch.filter(steps.is_null())

    def _read_again(self) -> None:
        self.sieve.take(self._captures())
        if self._open:
            raise WorkError(
                f"{self._unit.input.path}: {len(self._open)} pages to read again are no longer there; "
                "the file has changed: run `falconmix curate` on the inputs"
            )

    def _captures(self) -> Iterator[Capture]:
        """The open pages, each closed as it is met."""
        source, limits = self._unit.input, self._tools.recipe.reader
        with Path(source.path).open("rb") as stream:
            codec = read_head(stream, warc_path=source.warc_path, limits=limits).codec
            start = Seam(**self._span["start"]) if self._span["start"] else None
            stream.seek(start.position if start else 0)
            span = Span(start=start, until=self._span["until"], codec=codec)
            for capture in captures_of(source, stream, span, FileReport(), limits):
                if capture.warc_offset in self._open:
                    self._open.remove(capture.warc_offset)
                    yield capture


def _reading(recipe: Recipe) -> dict[str, Any]:
    return {"capture": recipe.capture} | {name: getattr(recipe.page, name) for name in _READING}


def _check_inputs(inputs: tuple[Input, ...]) -> None:
    now = {source.path: source.digest for source in resolve([source.path for source in inputs])}
    for source in inputs:
        if now.get(source.path) != source.digest:
            raise UsageError(f"{source.path}: has changed since it was read; run `falconmix curate` on the inputs")
