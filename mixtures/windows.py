"""How the tokens of a component are cut into windows of T + 1 tokens: T to read, T to predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import numpy.typing as npt

CHUNK: Final = np.dtype([("start", "<u8"), ("length", "<u4")])
"""Tokens of a component's run that stand in a window together."""


class Windows(Protocol):
    """The windows of one component under one context length."""

    def __len__(self) -> int: ...

    def chunks(self, window: int) -> list[tuple[int, int]]:
        """Start and length, in the run, of what a window holds; together at most T + 1 tokens, the rest is padding."""
        ...

    def holding(self, start: int, end: int) -> Iterator[int]:
        """Windows that hold some of the run's tokens from `start` up to `end`, ascending."""
        ...


@dataclass(frozen=True, kw_only=True)
class Concatenated:
    """Documents one after another, cut at every `context` tokens; a window shares its last token with the next.

    An incomplete last window is left out.
    """

    tokens: int
    context: int

    def __len__(self) -> int:
        return max(0, self.tokens - 1) // self.context

    def chunks(self, window: int) -> list[tuple[int, int]]:
        """One: the window's T + 1 tokens."""
        return [(window * self.context, self.context + 1)]

    def holding(self, start: int, end: int) -> Iterator[int]:
        """Windows that hold some of the run's tokens from `start` up to `end`, ascending."""
        return iter(range(max(0, start - 1) // self.context, min(len(self), -(-end // self.context))))


@dataclass(frozen=True, kw_only=True)
class Planned:
    """Windows by a plan: window w holds the chunks from number `first[w]` up to `first[w + 1]`."""

    first: npt.NDArray[np.uint64]
    """[windows + 1]."""
    table: npt.NDArray[Any]
    """[chunks] of CHUNK."""

    def __len__(self) -> int:
        return len(self.first) - 1

    def chunks(self, window: int) -> list[tuple[int, int]]:
        """Start and length of what a window holds."""
        found: list[tuple[int, int]] = self.table[int(self.first[window]) : int(self.first[window + 1])].tolist()
        return found

    def holding(self, start: int, end: int) -> Iterator[int]:
        """Windows that hold some of the run's tokens from `start` up to `end`, ascending."""
        starts = self.table["start"]
        (hits,) = np.nonzero((starts < end) & (starts + self.table["length"] > start))
        return iter(np.unique(np.searchsorted(self.first, hits, side="right") - 1).tolist())
