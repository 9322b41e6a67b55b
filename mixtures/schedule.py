"""Which component, and which of its windows in turn, stands at each position of the training.

A position is the number of a sequence, counted over all stages; it is the only state. The interleaving restarts at each
stage, and where the log changes the weights or passes sequences over. A component's window counter runs on through all
stages of one context length and has its own count under another, since there the windows are others.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

from mixtures.errors import RecipeError
from mixtures.interleave import Interleaving, integer_weights
from mixtures.log import Change
from mixtures.permute import Permutation
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


@dataclass(frozen=True, kw_only=True)
class Segment:
    """Positions of one stage, `first` up to, not including, `end`, that have one interleaving."""

    stage: int
    context: int
    first: int
    end: int
    interleaving: Interleaving
    drawn_before: Mapping[str, int]
    """Windows of this context that were drawn, or passed over, before the segment, by component."""

    def count_before(self, component: str, position: int) -> int:
        """Windows drawn or passed over before `position`, which lies in the segment or at its end."""
        drawn = self.interleaving.count_before(component, position - self.first)
        return self.drawn_before.get(component, 0) + drawn

    def position(self, component: str, count: int) -> int | None:
        """Where the window stands that is drawn after `count` others; None where that is not in this segment."""
        within = count - self.drawn_before.get(component, 0)
        if within < 0 or component not in self.interleaving.names:
            return None
        position = self.first + self.interleaving.place(component, within)
        return position if position < self.end else None


def window_order(n: int, seed: int, component: str, context: int, epoch: int) -> Permutation:
    """The order in which the `n` windows of a component are drawn in one of its epochs under a context."""
    return Permutation(n, (seed, component, context, epoch))


class Schedule:
    """The order of all sequences of a mixture; it knows nothing of the tokens. Raises RecipeError."""

    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture
        self.spans = _spans(mixture.stages)
        self.segments = _segments(mixture, self.spans)
        self._starts = [segment.first for segment in self.segments]

    def __len__(self) -> int:
        return self.spans[-1].end

    def at(self, position: int) -> Slot:
        """The slot at `position`, in constant time. Raises IndexError outside the training."""
        segment = self.segment(position)
        component, count = segment.interleaving.at(position - segment.first)
        count += segment.drawn_before.get(component, 0)
        return Slot(position=position, stage=segment.stage, context=segment.context, component=component, count=count)

    def segment(self, position: int) -> Segment:
        """The segment that holds `position`. Raises IndexError outside the training."""
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} is outside the mixture's {len(self)} sequences")
        return self.segments[bisect_right(self._starts, position) - 1]

    def of_stage(self, stage: int) -> Iterator[Segment]:
        """The segments of a stage, in order."""
        return (segment for segment in self.segments if segment.stage == stage)

    def contexts(self, component: str) -> list[int]:
        """Context lengths under which a component is drawn from, ascending; none where nothing draws from it."""
        return sorted({s.context for s in self.segments if component in s.interleaving.names})

    def weights(self, stage: int) -> dict[str, int]:
        """Integer weights with which a stage begins, after rounding."""
        interleaving = next(self.of_stage(stage)).interleaving
        return dict(zip(interleaving.names, interleaving.weights, strict=True))

    def count_before(self, component: str, position: int) -> int:
        """Windows drawn from `component`, or passed over, before `position` under the context length there."""
        return self.segment(position).count_before(component, position)

    def sequences(self, stage: int) -> dict[str, int]:
        """Number of sequences that each component gives to a stage."""
        return dict(self._sequences[stage])

    @cached_property
    def _sequences(self) -> tuple[dict[str, int], ...]:
        # Once: it is asked for by every component, and each answer takes a look at all of them.
        return tuple(self._sequences_of(span.index) for span in self.spans)

    def _sequences_of(self, stage: int) -> dict[str, int]:
        found: dict[str, int] = {}
        for segment in self.of_stage(stage):
            for name in segment.interleaving.names:
                drawn = segment.interleaving.count_before(name, segment.end - segment.first)
                found[name] = found.get(name, 0) + drawn
        return found

    def tokens(self, component: str) -> int:
        """Tokens that all stages together draw from `component`."""
        return sum(self._sequences[span.index].get(component, 0) * span.context for span in self.spans)

    def epochs(
        self, component: str, available: int, windows: Callable[[int], int], stages: Iterable[int] | None = None
    ) -> Fraction:
        """How often stages, all if not given, go through a component of `available` tokens.

        By tokens; under best-fit packing, where padding fills the windows up, by them: `windows` says how many it makes
        under a context length.
        """
        asked = range(len(self.spans)) if stages is None else stages
        drawn = [(self._sequences[i].get(component, 0), self.spans[i].context) for i in asked]
        if self.mixture.packing == "concatenate":
            return Fraction(sum(sequences * context for sequences, context in drawn), max(1, available))
        parts = (Fraction(sequences, max(1, windows(context))) for sequences, context in drawn if sequences)
        return sum(parts, Fraction(0))

    def position(self, component: str, context: int, count: int) -> int | None:
        """Where the window stands that is the `count`-th (from 0) of a component under a context; None: nowhere."""
        for segment in self.segments:
            if segment.context == context:
                position = segment.position(component, count)
                if position is not None:
                    return position
        return None


def _spans(stages: tuple[Stage, ...]) -> tuple[StageSpan, ...]:
    spans, first = [], 0
    for index, stage in enumerate(stages):
        end = first + stage.sequences
        spans.append(StageSpan(index=index, name=stage.name, context=stage.context, first=first, end=end))
        first = end
    return tuple(spans)


def _segments(mixture: Mixture, spans: tuple[StageSpan, ...]) -> list[Segment]:
    """The stages, each cut where the log changes its weights or passes sequences over."""
    segments: list[Segment] = []
    drawn: dict[int, dict[str, int]] = {}
    for span in spans:
        for segment in _cut(mixture, span, drawn.get(span.context, {})):
            drawn[span.context] = _drawn(segment, segment.end)
            segments.append(segment)
    return segments


def _cut(mixture: Mixture, span: StageSpan, drawn: Mapping[str, int]) -> Iterator[Segment]:
    """The segments of a stage before which `drawn` were drawn by component; empty ones are left out."""
    changes = [c for c in mixture.changes if span.first <= c.at < span.end and (c.weights or c.skip)]
    ends = [*(change.at for change in changes), span.end]
    interleaving, first = _interleaving(mixture, mixture.stages[span.index]), span.first
    for i, end in enumerate(ends):
        segment = Segment(
            stage=span.index,
            context=span.context,
            first=first,
            end=end,
            interleaving=interleaving,
            drawn_before=drawn,
        )
        if end > first:
            yield segment
        if i < len(changes):
            drawn = _drawn(segment, end + changes[i].skip)
            interleaving = _interleaving(mixture, changes[i]) if changes[i].weights else interleaving
            first = end


def _drawn(segment: Segment, position: int) -> dict[str, int]:
    """Windows drawn from each component before `position`, were the segment to go on until there."""
    names = {*segment.drawn_before, *segment.interleaving.names}
    return {name: segment.count_before(name, position) for name in names}


def _interleaving(mixture: Mixture, weighed: Stage | Change) -> Interleaving:
    try:
        return Interleaving(integer_weights(mixture.shares(weighed)))
    except ValueError as error:
        where = f"stage {weighed.name}" if isinstance(weighed, Stage) else f"the change at {weighed.at}"
        raise RecipeError(f"mixture {mixture.name}, {where}: weights: {error}") from error
