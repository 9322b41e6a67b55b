"""Interleaving by Tijdeman's chairman assignment: every prefix is within one item of every share.

R. Tijdeman, "The chairman assignment problem", Discrete Mathematics 32 (1980). With k shares, every prefix differs from
each share by at most 1 - 1/(2k - 2). The proof is an algorithm: the n-th item of a share has a release time, before
which it would be too much, and a deadline, after which it would be too late; of those released, the earliest deadline
goes.
"""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from heapq import heappop, heappush
from math import lcm
from typing import Final

import numpy as np
import numpy.typing as npt

MAX_PERIOD: Final = 2**20
"""Longest period that is tabulated; shares that need a longer one are rounded to it."""


class Interleaving:
    """The periodic sequence of components for integer `weights`, one period of it as a table."""

    def __init__(self, weights: Mapping[str, int]) -> None:
        self.names = tuple(weights)
        self.weights = tuple(weights.values())
        self.period = sum(self.weights)
        self._table = _chairmen(self.weights)
        self._by_component = np.argsort(self._table, kind="stable")
        self._first = np.cumsum((0, *self.weights))
        self._rank = np.empty(self.period, np.int64)
        self._rank[self._by_component] = np.arange(self.period) - self._first[self._table[self._by_component]]

    def at(self, i: int) -> tuple[str, int]:
        """Component of item `i`, and how many items before `i` are of that component."""
        periods, place = divmod(i, self.period)
        component = int(self._table[place])
        return self.names[component], periods * self.weights[component] + int(self._rank[place])

    def place(self, name: str, count: int) -> int:
        """Which item is the one of component `name` that has `count` of its kind before it."""
        component = self.names.index(name)
        periods, rank = divmod(count, self.weights[component])
        return periods * self.period + int(self._by_component[self._first[component] + rank])

    def count_before(self, name: str, i: int) -> int:
        """How many of the first `i` items are of component `name`; 0 where it has no weight."""
        if name not in self.names:
            return 0
        component = self.names.index(name)
        periods, place = divmod(i, self.period)
        places = self._by_component[self._first[component] : self._first[component + 1]]
        return periods * self.weights[component] + int(np.searchsorted(places, place))


def integer_weights(shares: Mapping[str, Fraction]) -> dict[str, int]:
    """Integer weights for `shares` (sum 1): exact where a period up to 2**20 does, else rounded by largest remainder.

    Raises ValueError for a share that would be rounded to nothing.
    """
    period = lcm(*(share.denominator for share in shares.values()))
    if period > MAX_PERIOD:
        period = MAX_PERIOD
    weights = {name: int(share * period) for name, share in shares.items()}
    short = period - sum(weights.values())
    for name in sorted(shares, key=lambda name: weights[name] - shares[name] * period)[:short]:
        weights[name] += 1
    for name, weight in weights.items():
        if not weight:
            raise ValueError(f"{name}: a share of {shares[name]} is below the finest possible, 1/{MAX_PERIOD}")
    return weights


def _chairmen(weights: tuple[int, ...]) -> npt.NDArray[np.int32]:
    """One period: at each place the index of the component. Ties go to the first."""
    period, k = sum(weights), len(weights)
    table = np.zeros(period, np.int32)
    if k == 1:
        return table
    release, job = _jobs(weights)
    queue: list[int] = []
    released = 0
    for time in range(1, period + 1):
        while released < period and release[released] <= time:
            heappush(queue, job[released])
            released += 1
        table[time - 1] = heappop(queue) % k
    return table


def _jobs(weights: tuple[int, ...]) -> tuple[list[int], list[int]]:
    """Release time and `deadline * k + component` of every item of a period, by release.

    All integers are below 2**63 for periods up to 2**20 and k up to 2**20.
    """
    period, k = sum(weights), len(weights)
    slack = 2 * k - 2
    component = np.repeat(np.arange(k), weights)
    weight = np.repeat(np.array(weights, np.int64), weights)
    done = np.arange(period) - np.repeat(np.cumsum((0, *weights[:-1])), weights)
    release = -(-period * (1 + done * slack) // (weight * slack))
    deadline = period * (slack - 1 + done * slack) // (weight * slack) + 1
    order = np.argsort(release, kind="stable")
    return release[order].tolist(), (deadline * k + component)[order].tolist()
