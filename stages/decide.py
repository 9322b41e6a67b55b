"""After extraction: signals of every page, then the filters on its text, in their order."""

from __future__ import annotations

from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from stages.cascade import Step, first_verdict
from stages.language import LanguageRules, filter_language
from stages.lines import LineRules, correct, filter_corrected, line_counts
from stages.opt_out import OptOutRules, filter_opt_out
from stages.pii import PiiRules, mask
from stages.rules import RuleSet, apply_rules
from stages.schema import EXTRACTED
from stages.signals import add_signals
from stages.stop_words import StopWords

LINE_CORRECTIONS = "line_corrections"


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """What an extracted text must be, and what is changed in it; None leaves lines, or personal data, as they are."""

    language: LanguageRules
    repetition: RuleSet
    quality: RuleSet
    stop_words: StopWords
    opt_out: OptOutRules = field(default_factory=OptOutRules)
    lines: LineRules | None = None
    personal_data: PiiRules | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The filters before corrections, in their order."""
        return (
            Step("opt_out_filter", lambda batch: filter_opt_out(batch, self.opt_out)),
            Step("language_filter", lambda batch: filter_language(batch, self.language)),
            Step("repetition", lambda batch: apply_rules(batch, self.repetition, "repetition")),
            Step("quality", lambda batch: apply_rules(batch, self.quality, "quality")),
        )


@dataclass(frozen=True, kw_only=True)
class Decision:
    """Pages in the schema `EXTRACTED`, and what was changed in the texts of those that stay.

    lines: lines dropped or edited, by language, then by rule. masked: addresses replaced, by kind.
    """

    pages: pa.RecordBatch
    lines: dict[str, dict[str, int]]
    masked: dict[str, int]


def decide(pages: pa.RecordBatch, rules: TextRules) -> Decision:
    """Measure and judge pages that reached extraction, then correct the text of those that pass.

    `pages` has the columns of `EXTRACTED` less the signals and `corrected`; a verdict that it brings stays.
    Signals are computed for dropped pages as well, so that thresholds can be tried on all; they are those of the text
    before corrections.
    """
    measured = add_signals(pages, rules.stop_words)
    verdicts, steps = _decided(measured, rules)
    text, lines, masked = _where(steps.is_null(), pages.column("text")), {}, {}
    if rules.lines:
        done = correct(text, pages.column("language"), rules.lines)
        found = filter_corrected(measured, done, rules.lines).column(LINE_CORRECTIONS)
        newly = pc.and_(steps.is_null(), found.is_valid())
        verdicts, steps = pc.if_else(newly, found, verdicts), pc.if_else(newly, LINE_CORRECTIONS, steps)
        text, lines = _where(steps.is_null(), done.text), line_counts(done, pages.column("language"))
    if rules.personal_data:
        result = mask(text, rules.personal_data)
        text, masked = result.text, {"emails": int(result.n_emails.sum()), "ips": int(result.n_ips.sum())}
    columns = dict(zip(measured.schema.names, measured.columns, strict=True))
    columns |= {"verdict": verdicts, "verdict_stage": steps, "corrected": text}
    batch = pa.RecordBatch.from_arrays([columns[name] for name in EXTRACTED.names], schema=EXTRACTED)
    return Decision(pages=batch, lines=lines, masked=masked)


def _decided(pages: pa.RecordBatch, rules: TextRules) -> tuple[pa.Array, pa.Array]:
    """Verdict and step of each row: the one it came with, or that of the first filter that fires."""
    found, found_step = first_verdict(pages.drop_columns(["verdict", "verdict_stage"]), rules.steps)
    brought = pages.column("verdict_stage").is_valid()
    return (
        pc.if_else(brought, pages.column("verdict"), found),
        pc.if_else(brought, pages.column("verdict_stage"), found_step),
    )


def _where(kept: pa.Array, text: pa.Array) -> pa.Array:
    """The texts of kept rows, null for the others."""
    return pc.if_else(kept, text, pa.scalar(None, text.type))
