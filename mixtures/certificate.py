"""What a training has really drawn up to a position: tokens of each component, and of each of its token folders.

A pure function of the mixture with its log and, for what needs to know how many windows there are, of the token files.
Tokens are counted as the training counts them, as targets: T for a sequence of context T, padding and targets that the
loss passes over included. Sequences that the log passes over are not drawn, hence not counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from mixtures.run import TokenRun
from mixtures.schedule import Schedule, window_order
from mixtures.supply import Supply
from mixtures.windows import Concatenated

MOST_COUNTED: Final = 2**23
"""Windows of epochs cut short that are looked up one by one; seconds. Above, folders are not told apart."""
_AT_ONCE: Final = 2**18


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What was drawn of one component."""

    component: str
    kind: str
    sequences: int
    tokens: int
    available: int | None
    """Tokens that it has to train on; None where the token files are not at hand."""
    folders: dict[str, int] | None
    """Tokens by token folder, for the European web by language; None where that is not known: without token files,
    under best-fit packing, and for more than `MOST_COUNTED` windows."""

    @property
    def epochs(self) -> float | None:
        """How often its tokens were seen, on average."""
        return self.tokens / self.available if self.available else None


def drawn(schedule: Schedule, position: int, supplies: Mapping[str, Supply] | None = None) -> list[Drawn]:
    """What the sequences before `position` hold, by component in the recipe's order; components not drawn are left out.

    Token totals are exact in any case; `supplies`, as `mixtures.supply.open_supplies` gives them, add the rest.
    """
    found = []
    for component in schedule.mixture.all_components:
        stretches = list(_stretches(schedule, component.name, position))
        sequences = sum(stretch.end - stretch.first for stretch in stretches)
        supply = supplies.get(component.name) if supplies else None
        if sequences:
            found.append(
                Drawn(
                    component=component.name,
                    kind=component.kind,
                    sequences=sequences,
                    tokens=sum((stretch.end - stretch.first) * stretch.context for stretch in stretches),
                    available=len(supply.train) if supply else None,
                    folders=_by_folder(supply, stretches, schedule.mixture.seed) if supply else None,
                )
            )
    return found


@dataclass(frozen=True, kw_only=True)
class _Stretch:
    """The windows drawn from a component under one context, from the `first`-th up to, not including, the `end`-th."""

    context: int
    first: int
    end: int


def _stretches(schedule: Schedule, component: str, position: int) -> Iterator[_Stretch]:
    for segment in schedule.segments:
        end = min(segment.end, position)
        if end > segment.first:
            first, last = (segment.count_before(component, at) for at in (segment.first, end))
            if last > first:
                yield _Stretch(context=segment.context, first=first, end=last)


def _by_folder(supply: Supply, stretches: list[_Stretch], seed: int) -> dict[str, int] | None:
    spans = _folder_spans(supply.train)
    if len(spans) == 1:
        total = sum((stretch.end - stretch.first) * stretch.context for stretch in stretches)
        return {spans[0][0]: total}
    found = {name: 0 for name, _, _ in spans}
    for stretch in stretches:
        windows = supply.windows(stretch.context)
        if not isinstance(windows, Concatenated) or _cut_short(stretch, len(windows)) > MOST_COUNTED:
            return None
        for numbers, times in _windows(stretch, len(windows), (seed, supply.component.name, stretch.context)):
            for name, start, end in spans:
                found[name] += times * _overlap(numbers, stretch.context, start, end)
    return found


def _folder_spans(run: TokenRun) -> list[tuple[str, int, int]]:
    """Token folders of a run, with where each begins and ends in it; one may have several spans."""
    spans: list[tuple[str, int, int]] = []
    for piece, start, end in zip(
        run.pieces["file"].tolist(), run.starts[:-1].tolist(), run.starts[1:].tolist(), strict=True
    ):
        folder = run.files[piece].rpartition("/")[0]
        if spans and spans[-1][0] == folder:
            start = spans.pop()[1]
        spans.append((folder, start, end))
    return spans


def _cut_short(stretch: _Stretch, n: int) -> int:
    """Windows of a stretch that are in epochs of which it has only a part."""
    head = min(-stretch.first % n, stretch.end - stretch.first)
    return head + (stretch.end - stretch.first - head) % n


def _windows(
    stretch: _Stretch, n: int, key: tuple[int, str, int]
) -> Iterator[tuple[npt.NDArray[np.int64] | range, int]]:
    """Numbers of windows, in blocks, with how often each of a block is drawn.

    A whole epoch draws each window once, in whatever order; of an epoch cut short, the order says which were drawn.
    """
    first = stretch.first
    while first < stretch.end:
        epoch, turn = divmod(first, n)
        end = min(stretch.end, (epoch + 1) * n)
        if end - first == n:
            epochs = (stretch.end - first) // n
            yield range(n), epochs
            first += epochs * n
            continue
        order = window_order(n, *key, epoch)
        for low in range(turn, turn + end - first, _AT_ONCE):
            turns = np.arange(low, min(low + _AT_ONCE, turn + end - first), dtype=np.uint64)
            yield order.forward(turns).astype(np.int64), 1
        first = end


def _overlap(numbers: npt.NDArray[np.int64] | range, context: int, start: int, end: int) -> int:
    """Targets of those windows that lie in the run's tokens from `start` up to `end`; window w's begin at w T + 1."""
    if isinstance(numbers, range):
        return max(0, min(end, numbers.stop * context + 1) - max(start, numbers.start * context + 1))
    firsts = numbers * context + 1
    shared = np.minimum(firsts + context, end) - np.maximum(firsts, start)
    return int(np.maximum(shared, 0).sum())
