"""falconmix's stages as steps of a datatrove pipeline.

    from datatrove.executor import LocalPipelineExecutor
    from falconmix.interop.datatrove import StageStep, text_stage

    LocalPipelineExecutor([reader, StageStep(text_stage("refinedweb")), writer], tasks=8).run()

A stage takes an Arrow batch and returns the same rows plus columns. Here a document is a row: `id` and `text`, and from
its metadata `url`, `language`, `language_score` and any signals. What the stage adds goes back into the metadata; a
text that it changed replaces the document's; a verdict drops it.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from datatrove.data import Document, DocumentsPipeline
from datatrove.pipeline.base import PipelineStep
from datatrove.pipeline.writers.disk_base import DiskWriter
from datatrove.utils.batching import batched
from datatrove.utils.typeshelper import StatHints

from pipeline import recipe
from pipeline.tools import text_rules
from stages.decide import TextRules, decide
from stages.schema import PAGE, SIGNAL_NAMES, SIGNALS, VERDICT

Stage = Callable[[pa.RecordBatch], pa.RecordBatch]
"""Any function of `stages/` with its settings bound: `functools.partial(filter_language, rules=LanguageRules())`."""

_COLUMNS = [PAGE.field(name) for name in ("id", "text", "url", "language", "language_score")]


class StageStep(PipelineStep):  # type: ignore[misc]  # datatrove is untyped
    """One stage in a datatrove pipeline.

    exclusion_writer: takes the documents that the stage drops, with `filter_reason`, `filter_value` and
    `filter_threshold` in their metadata. batch_size: documents that the stage sees at once; changes no result.
    """

    name = "🦅 falconmix stage"
    type = "🔻 - FILTER"

    def __init__(self, stage: Stage, *, exclusion_writer: DiskWriter | None = None, batch_size: int = 256) -> None:
        super().__init__()
        self.stage = stage
        self.exclusion_writer = exclusion_writer
        self.batch_size = batch_size

    def run(self, data: DocumentsPipeline, rank: int = 0, world_size: int = 1) -> DocumentsPipeline:  # noqa: ARG002
        """Yield the documents that the stage keeps, in their order."""
        with self.exclusion_writer or contextlib.nullcontext() as writer:
            for documents in batched(data, self.batch_size):
                with self.track_time("batch"):
                    reasons = apply(self.stage, documents)
                for document, reason in zip(documents, reasons, strict=True):
                    self.stat_update(StatHints.total)
                    if reason is None:
                        self.stat_update(StatHints.forwarded)
                        self.update_doc_stats(document)
                        yield document
                    else:
                        self.stat_update(StatHints.dropped, f"dropped_{reason}")
                        if writer:
                            writer.write(document, rank)


def apply(stage: Stage, documents: Sequence[Document]) -> list[str | None]:
    """Apply `stage`, writing what it says into the documents; for each, why it is dropped (`step:rule`), or None."""
    batch = _batch_of(documents)
    result = stage(batch)
    reasons: list[str | None] = [None] * len(documents)
    for name, values in _changes(batch, result):
        for row, (document, value) in enumerate(zip(documents, values.to_pylist(), strict=True)):
            if name == "text":
                document.text = value
            elif values.type != VERDICT:
                document.metadata[name] = value
            elif value is not None and reasons[row] is None:
                reasons[row] = f"{name}:{value['rule']}"
                document.metadata |= {
                    "filter_reason": reasons[row],
                    "filter_value": value["value"],
                    "filter_threshold": value["threshold"],
                }
    return reasons


def text_stage(name_or_file: str) -> Stage:
    """All that a recipe does to an extracted text, as one stage: signals, filters, corrections, masking.

    Raises UsageError where there is no such recipe.
    """
    return functools.partial(_decide, rules=text_rules(recipe.load(name_or_file)))


def _decide(batch: pa.RecordBatch, rules: TextRules) -> pa.RecordBatch:
    decision = decide(_pages(batch), rules).pages
    steps, verdicts = decision.column("verdict_stage"), decision.column("verdict")
    columns = {name: decision.column(name) for name in (*batch.schema.names, *SIGNAL_NAMES)}
    columns["text"] = pc.coalesce(decision.column("corrected"), decision.column("text"))
    for step in steps.unique().drop_null().to_pylist():
        columns[step] = pc.if_else(pc.equal(steps, step), verdicts, pa.scalar(None, VERDICT))
    return pa.RecordBatch.from_pydict(columns)


def _pages(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The columns that `decide` wants; a document of datatrove's has no place in a WARC file."""
    arrays = []
    for field in PAGE:
        if field.name in batch.schema.names:
            arrays.append(batch.column(field.name).cast(field.type))
        else:
            arrays.append(pa.array([None if field.nullable else _nothing(field.type)] * len(batch), field.type))
    return pa.RecordBatch.from_arrays(arrays, schema=PAGE)


def _nothing(kind: pa.DataType) -> Any:
    return [] if pa.types.is_list(kind) else "" if pa.types.is_string(kind) else 0


def _batch_of(documents: Sequence[Document]) -> pa.RecordBatch:
    """One row a document; of the signals those that the first document's metadata holds."""
    known = documents[0].metadata
    fields = _COLUMNS + [field for field in SIGNALS if field.name in known]
    arrays = []
    for field in fields:
        if field.name in ("id", "text"):
            values = [getattr(document, field.name) for document in documents]
        else:
            values = [document.metadata.get(field.name) for document in documents]
        if field.name == "url":
            values = [url or "" for url in values]
        arrays.append(pa.array(values, field.type))
    return pa.RecordBatch.from_arrays(arrays, names=[field.name for field in fields])


def _changes(before: pa.RecordBatch, after: pa.RecordBatch) -> Iterator[tuple[str, pa.Array]]:
    """Columns that a stage added or changed."""
    for name, values in zip(after.schema.names, after.columns, strict=True):
        if name not in before.schema.names or not values.equals(before.column(name)):
            yield name, values
