"""How long is left, from how long the last steps took."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import Final

from mixtures.schedule import StageSpan
from trainer.config import ModelConfig
from trainer.data import Step
from trainer.monitoring.flops import flops_per_token

STEPS: Final = 64
"""So many steps are looked back: a checkpoint or a slow step among them moves their median little."""


class Pace:
    """Seconds for a FLOP, as the median over the last steps; by it, what is left.

    By FLOPs and not by steps, since batches grow in a ramp and contexts grow from stage to stage. Evaluations and
    checkpoints are not in it.
    """

    def __init__(self, model: ModelConfig) -> None:
        self._model = model
        self._recent: deque[float] = deque(maxlen=STEPS)

    def took(self, step: Step, seconds: float) -> None:
        """Take into account how long a step took."""
        self._recent.append(seconds / (step.tokens * flops_per_token(self._model, step.context)))

    def left_s(self, spans: Sequence[StageSpan], position: int, end: int) -> float:
        """Seconds from `position` to `end`; 0 before the first step."""
        return median(self._recent) * self._work(spans, position, end) if self._recent else 0.0

    def _work(self, spans: Sequence[StageSpan], position: int, end: int) -> float:
        """FLOPs of the sequences from `position` up to `end`."""
        tokens = {span: max(0, min(end, span.end) - max(position, span.first)) * span.context for span in spans}
        return sum(n * flops_per_token(self._model, span.context) for span, n in tokens.items())


def duration(seconds: float) -> str:
    """A duration in its two largest units: 45s, 3m20s, 5h07m, 12d04h."""
    whole = round(seconds)
    for unit, size, next_unit, next_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{unit}{whole % size // next_size:02d}{next_unit}"
    return f"{whole}s"
