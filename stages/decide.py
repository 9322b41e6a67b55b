"""After extraction: signals of every page, then the filters on its text and the changes to it, in their order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from stages.c4 import C4Rules, clean
from stages.cascade import Step, first_verdict
from stages.language import LanguageRules, filter_language
from stages.lines import LineRules, correct, filter_corrected, line_counts
from stages.opt_out import OptOutRules, filter_opt_out
from stages.pii import PiiRules, mask
from stages.rules import RuleSet, apply_rules
from stages.schema import EXTRACTED
from stages.signals import add_signals
from stages.stop_words import StopWords
from stages.verdicts import with_verdicts


@dataclass(frozen=True, kw_only=True)
class TextRules:
    """What an extracted text must be, and what is changed in it; a step that is None is left out.

    The order is fixed (docs/decisions/0018): repetition, quality, c4 (which cuts lines), fineweb (over the text that c4
    has left), lines, personal data.
    """

    language: LanguageRules
    stop_words: StopWords
    opt_out: OptOutRules = field(default_factory=OptOutRules)
    repetition: RuleSet | None = None
    quality: RuleSet | None = None
    c4: C4Rules | None = None
    fineweb: RuleSet | None = None
    lines: LineRules | None = None
    personal_data: PiiRules | None = None

    @property
    def steps(self) -> tuple[Step, ...]:
        """The filters on the text as extracted, in their order."""
        rule_sets = {"repetition": self.repetition, "quality": self.quality}
        return (
            Step("opt_out_filter", lambda batch: filter_opt_out(batch, self.opt_out)),
            Step("language_filter", lambda batch: filter_language(batch, self.language)),
            *(_rule_step(name, rules) for name, rules in rule_sets.items() if rules is not None),
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
    before corrections. The rules of `fineweb` are the one exception: they look at the text that `c4` has left, whose
    signals are not kept.
    """
    measured = add_signals(pages, rules.stop_words)
    language = pages.column("language")
    judged = _judged(measured, rules)
    lines: dict[str, NDArray[np.int64]] = {}
    if rules.c4:
        cleaned = clean(judged.text, rules.c4)
        judged = judged.after("c4", with_verdicts(pages, "c4", cleaned.verdicts), cleaned.text)
        lines |= cleaned.lines
    if rules.fineweb:
        judged = judged.after("fineweb", _measured_again(judged.text, language, rules.stop_words, rules.fineweb))
    if rules.lines:
        done = correct(judged.text, language, rules.lines)
        judged = judged.after("line_corrections", filter_corrected(measured, done, rules.lines), done.text)
        lines |= done.lines
    text, masked = judged.text, {}
    if rules.personal_data:
        result = mask(text, rules.personal_data)
        text, masked = result.text, {"emails": int(result.n_emails.sum()), "ips": int(result.n_ips.sum())}
    columns = dict(zip(measured.schema.names, measured.columns, strict=True))
    columns |= {"verdict": judged.verdicts, "verdict_stage": judged.steps, "corrected": text}
    batch = pa.RecordBatch.from_arrays([columns[name] for name in EXTRACTED.names], schema=EXTRACTED)
    return Decision(pages=batch, lines=line_counts(lines, language), masked=masked)


class _Judged(NamedTuple):
    """Texts of the pages that are still in, null for the others; verdicts so far, and the steps that gave them."""

    text: pa.Array
    verdicts: pa.Array
    steps: pa.Array

    def after(self, step: str, judged: pa.RecordBatch, text: pa.Array | None = None) -> _Judged:
        """Take over the verdicts in the column `step` where there is none yet, and the changed `text`, if any."""
        found = judged.column(step)
        newly = pc.and_(self.steps.is_null(), found.is_valid())
        steps = pc.if_else(newly, step, self.steps)
        kept_text = _where(steps.is_null(), self.text if text is None else text)
        return _Judged(kept_text, pc.if_else(newly, found, self.verdicts), steps)


def _judged(pages: pa.RecordBatch, rules: TextRules) -> _Judged:
    """Verdict and step of each row: the one it came with, or that of the first filter that fires."""
    found, found_step = first_verdict(pages.drop_columns(["verdict", "verdict_stage"]), rules.steps)
    brought = pages.column("verdict_stage").is_valid()
    steps = pc.if_else(brought, pages.column("verdict_stage"), found_step)
    verdicts = pc.if_else(brought, pages.column("verdict"), found)
    return _Judged(_where(steps.is_null(), pages.column("text")), verdicts, steps)


def _rule_step(name: str, rules: RuleSet) -> Step:
    return Step(name, lambda batch: apply_rules(batch, rules, name))


def _measured_again(text: pa.Array, language: pa.Array, stop_words: StopWords, rules: RuleSet) -> pa.RecordBatch:
    """Judge by the signals of a changed text; a null text is not judged."""
    batch = pa.RecordBatch.from_arrays([text, language], names=["text", "language"])
    return apply_rules(add_signals(batch, stop_words), rules, "fineweb")


def _where(kept: pa.Array, text: pa.Array) -> pa.Array:
    """The texts of kept rows, null for the others."""
    return pc.if_else(kept, text, pa.scalar(None, text.type))
