"""What the stages of a mixture draw from each of its components, beside what there is of it."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from mixtures.holdings import Holdings
from mixtures.schedule import Schedule, Segment
from mixtures.spec import Mixture


class Demand:
    """What is drawn, from the schedule, and what of it there is, as far as that is known. Raises RecipeError."""

    def __init__(self, mixture: Mixture, found: Holdings) -> None:
        self.mixture, self.found = mixture, found
        self.schedule = Schedule(mixture)
        self.drawn = [
            {name: n * span.context for name, n in self.schedule.sequences(span.index).items()}
            for span in self.schedule.spans
        ]
        """For each stage, tokens by component."""

    def windows(self, component: str, context: int) -> int:
        """Windows that a component makes under a context length; one epoch of them."""
        fit = self.found.fit(component, context)
        return fit.windows if fit else max(0, self.found.available[component] - 1) // context

    def epochs(self, component: str, stages: Iterable[int] | None = None) -> Fraction | None:
        """How often stages, all if not given, go through a component; None where what it has is not known."""
        there = self.found.available.get(component)
        if not there:
            return None
        return self.schedule.epochs(component, there, lambda context: self.windows(component, context), stages)

    def unseen(self, component: str) -> int:
        """Tokens that no stage draws: without repetition within one context length, independently between several."""
        there, left = self.found.available[component], Fraction(1)
        for context in {span.context for span in self.schedule.spans}:
            stages = [of for of, span in zip(self.drawn, self.schedule.spans, strict=True) if span.context == context]
            fit, drawn = self.found.fit(component, context), sum(of.get(component, 0) for of in stages)
            whole = fit.windows * context if fit else there
            left *= max(Fraction(0), 1 - Fraction(drawn, whole)) if whole else 0
        return round(left * there)

    def passed(self, component: str, limit: Fraction) -> tuple[str, int]:
        """The stage in which `limit` tokens of a component are passed, and the tokens of training before that.

        Raises ValueError where they never are.
        """
        first, so_far = 0, 0
        for segment in self.schedule.segments:
            tokens, drawn = (segment.end - segment.first) * segment.context, _tokens(segment, component)
            if so_far + drawn > limit:
                return self.schedule.spans[segment.stage].name, first + int((limit - so_far) * tokens / drawn)
            first, so_far = first + tokens, so_far + drawn
        raise ValueError(f"{component}: no more than {limit} tokens are drawn")


def _tokens(segment: Segment, component: str) -> int:
    """Tokens that a segment draws from a component."""
    return segment.interleaving.count_before(component, segment.end - segment.first) * segment.context
