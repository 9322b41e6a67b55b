"""Which component, and which of its windows in turn, stands at each position of the training.

A position is the number of a sequence, counted over all stages; it is the only state. The interleaving restarts at each
stage. A component's window counter runs on through all stages of one context length and has its own count under
another, since there the windows are others.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from mixtures.errors import RecipeError
from mixtures.interleave import Interleaving, integer_weights
from mixtures.spec import Mixture, Stage


@dataclass(frozen=True, kw_only=True)
class StageSpan:
    """Positions of one stage: `first` up to, not including, `end`."""

    index: int
    name: str
    context: int
    first: int
    end: int


@dataclass(frozen=True, kw_only=True)
class Slot:
    """What stands at a position: the `count`-th window drawn from `component` under this context, from 0."""

    position: int
    stage: int
    context: int
    component: str
    count: int


class Schedule:
    """The order of all sequences of a mixture; it knows nothing of the tokens. Raises RecipeError."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.spans = _spans(mixture.stages)
        self._starts = [span.first for span in self.spans]
        self._interleavings = [_interleaving(mixture, stage) for stage in mixture.stages]
        self._drawn_before = [self._drawn(stage) for stage in range(len(self.spans))]

    def __len__(self) -> int:
        return self.spans[-1].end

    def at(self, position: int) -> Slot:
        """The slot at `position`, in constant time. Raises IndexError outside the training."""
        stage = self._stage(position)
        span = self.spans[stage]
        component, count = self._interleavings[stage].at(position - span.first)
        count += self._drawn_before[stage].get(component, 0)
        return Slot(position=position, stage=stage, context=span.context, component=component, count=count)

    def weights(self, stage: int) -> dict[str, int]:
        """Integer weights of a stage as they are used, after rounding."""
        interleaving = self._interleavings[stage]
        return dict(zip(interleaving.names, interleaving.weights, strict=True))

    def count_before(self, component: str, position: int) -> int:
        """Windows drawn from `component` before `position` under the context length at `position`."""
        stage = self._stage(position)
        before = self._drawn_before[stage].get(component, 0)
        return before + self._interleavings[stage].count_before(component, position - self._starts[stage])

    def sequences(self, stage: int) -> dict[str, int]:
        """Number of sequences that each component gives to a stage."""
        interleaving, length = self._interleavings[stage], self.spans[stage].end - self.spans[stage].first
        return {name: interleaving.count_before(name, length) for name in interleaving.names}

    def tokens(self, component: str) -> int:
        """Tokens that all stages together draw from `component`."""
        return sum(self.sequences(span.index).get(component, 0) * span.context for span in self.spans)

    def _stage(self, position: int) -> int:
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} is outside the mixture's {len(self)} sequences")
        return bisect_right(self._starts, position) - 1

    def _drawn(self, stage: int) -> dict[str, int]:
        """Windows drawn from each component by earlier stages of the same context."""
        drawn: dict[str, int] = {}
        for earlier in range(stage):
            if self.spans[earlier].context == self.spans[stage].context:
                for name, count in self.sequences(earlier).items():
                    drawn[name] = drawn.get(name, 0) + count
        return drawn


def _spans(stages: tuple[Stage, ...]) -> tuple[StageSpan, ...]:
    spans, first = [], 0
    for index, stage in enumerate(stages):
        end = first + stage.sequences
        spans.append(StageSpan(index=index, name=stage.name, context=stage.context, first=first, end=end))
        first = end
    return tuple(spans)


def _interleaving(mixture: Mixture, stage: Stage) -> Interleaving:
    try:
        return Interleaving(integer_weights(mixture.shares(stage)))
    except ValueError as error:
        raise RecipeError(f"mixture {mixture.name}, stage {stage.name}: weights: {error}") from error
