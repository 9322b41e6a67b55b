"""Watching the loss for spikes: a robust z-score of each step's loss over the steps before it.

The median and the median absolute deviation of the last steps stand for their level and spread, so that one spike does
not hide the next; 1.4826 makes the deviation comparable to a standard deviation of normal noise.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

_NORMAL: Final = 1.4826
_LEAST: Final = 1e-3
"""Least spread, relative to the level: a run that has learnt all there is has none."""


@dataclass(frozen=True, kw_only=True)
class WatchConfig:
    """When a loss counts as a spike, and what follows."""

    steps: int = 128
    """Steps before it that a loss is held against; as many must have been taken."""
    z_score: float = 10.0
    """From which score on a step is a spike."""
    in_a_row: int = 3
    """How many spikes, one after another, are trouble; a single bad batch passes."""
    action: Literal["warn", "rewind"] = "warn"
    """Say so; or go back to the last checkpoint before it and pass over these sequences, written into the log."""
    most_rewinds: int = 3
    """After so many the run stops: then the data are not to blame."""
    hang_s: float = 1800.0
    """How long a process waits for others before it says for whom, and ends."""

    def __post_init__(self) -> None:
        if self.steps < 8 or self.in_a_row < 1 or self.z_score <= 0 or self.most_rewinds < 0:
            raise ValueError("steps must be at least 8, in_a_row at least 1, z_score above 0, most_rewinds at least 0")
        if self.hang_s <= 0:
            raise ValueError(f"hang_s: {self.hang_s} must be above 0")


class Watch:
    """The losses of the last steps; spikes are not among them, so that a long one does not become the level."""

    def __init__(self, config: WatchConfig, recent: Iterable[float] = (), spikes: int = 0, first: int = 0) -> None:
        self.config = config
        self.recent = deque(recent, maxlen=config.steps)
        self.spikes = spikes
        """Spikes in a row up to now."""
        self.first = first
        """Position at which they began."""

    def score(self, loss: float) -> float:
        """How far a loss lies above the level, in spreads; 0 before there are enough steps to say."""
        if len(self.recent) < self.config.steps:
            return 0.0
        level = median(self.recent)
        spread = _NORMAL * median(abs(earlier - level) for earlier in self.recent)
        return (loss - level) / max(spread, _LEAST * abs(level))

    def trouble(self, loss: float, position: int = 0) -> bool:
        """Take the loss of a step from `position` on into account; True where the row of spikes is long enough."""
        if self.score(loss) < self.config.z_score:
            self.recent.append(loss)
            self.spikes = 0
            return False
        if not self.spikes:
            self.first = position
        self.spikes += 1
        return self.spikes >= self.config.in_a_row
