"""A recipe's rules on extracted texts, outside of a run."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipeline.recipe import Recipe
from stages.decide import TextRules
from stages.schema import EXTRACTED, SIGNAL_NAMES
from stages.stop_words import load_stop_words


def rules_of(recipe: Recipe) -> TextRules:
    """What `stages.decide` asks of a text."""
    return TextRules(
        language=recipe.language_rules,
        repetition=recipe.repetition.rule_set(),
        quality=recipe.quality.rule_set(),
        stop_words=load_stop_words(),
        lines=recipe.lines,
        personal_data=recipe.personal_data,
    )


def text_batch(texts: Sequence[str], languages: Sequence[str | None], scores: Sequence[float | None]) -> pa.RecordBatch:
    """Texts as `stages.decide` takes them, with no capture behind them."""
    known = {"text": texts, "language": languages, "language_score": scores}
    fields = [field for field in EXTRACTED if field.name not in (*SIGNAL_NAMES, "corrected")]
    arrays = [pa.array(known.get(field.name, [None] * len(texts)), field.type) for field in fields]
    return pa.RecordBatch.from_arrays(arrays, [field.name for field in fields])
