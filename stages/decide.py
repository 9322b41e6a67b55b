"""After extraction: signals of every page, then the filters on its text, in their order."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from stages.cascade import Step, first_verdict
from stages.language import LanguageRules, filter_language
from stages.rules import RuleSet, apply_rules
from stages.schema import EXTRACTED
from stages.signals import compute
from stages.stop_words import StopWords


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """What an extracted text must be."""

    language: LanguageRules
    repetition: RuleSet
    quality: RuleSet
    stop_words: StopWords

    @property
    def steps(self) -> tuple[Step, ...]:
        """The filters in their order."""
        return (
            Step("language_filter", lambda batch: filter_language(batch, self.language)),
            Step("repetition", lambda batch: apply_rules(batch, self.repetition, "repetition")),
            Step("quality", lambda batch: apply_rules(batch, self.quality, "quality")),
        )


def decide(pages: pa.RecordBatch, rules: TextRules) -> pa.RecordBatch:
    """Measure and judge pages that reached extraction; returns them in the schema `EXTRACTED`.

    `pages` has the columns of `EXTRACTED` less the signals and `corrected`; a verdict that it brings stays.
    Signals are computed for dropped pages as well, so that thresholds can be tried on all.
    """
    signals = compute(pages.column("text"), pages.column("language"), rules.stop_words)
    measured = _with_columns(pages, signals)
    verdicts, steps = _decided(measured, rules)
    corrected = pc.if_else(steps.is_null(), pages.column("text"), pa.scalar(None, pa.string()))
    columns = dict(zip(measured.schema.names, measured.columns, strict=True))
    columns |= {"verdict": verdicts, "verdict_stage": steps, "corrected": corrected}
    return pa.RecordBatch.from_arrays([columns[name] for name in EXTRACTED.names], schema=EXTRACTED)


def _decided(pages: pa.RecordBatch, rules: TextRules) -> tuple[pa.Array, pa.Array]:
    """Verdict and step of each row: the one it came with, or that of the first filter that fires."""
    found, found_step = first_verdict(pages.drop_columns(["verdict", "verdict_stage"]), rules.steps)
    brought = pages.column("verdict_stage").is_valid()
    return (
        pc.if_else(brought, pages.column("verdict"), found),
        pc.if_else(brought, pages.column("verdict_stage"), found_step),
    )


def _with_columns(batch: pa.RecordBatch, columns: dict[str, pa.Array]) -> pa.RecordBatch:
    for name, column in columns.items():
        batch = batch.append_column(name, column)
    return batch
