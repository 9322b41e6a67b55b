"""Which keys occur more than once in the whole run, before any of them is sent with its document.

A first pass sends four bytes a key to ranges of hashes; there a sketch counts them, and each group gets back one bit
a key. False for keys that occur once, but for the few that share a counter (`stages.window_sketch`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipeline.dedup.exchange import by_hash
from pipeline.dedup.plan import Plan
from pipeline.phase import Phases, Report
from stages.segment import Hashes
from stages.window_sketch import count, empty_sketch, next_bits, repeated

Mask = NDArray[np.bool_]
Keys = Callable[[int], Iterable[Hashes]]
"""All keys of a group, piece by piece."""

_S32 = np.uint64(32)


def mark_recurring(plan: Plan, phases: Phases, name: str, keys: Keys, groups: range, parts: range) -> None:
    """Send all keys of these groups, and mark those that recur; `Recurring` reads the marks."""
    phases.run(_heads(name), partial(_send, plan=plan, name=name, keys=keys, n_parts=len(parts)), groups)
    phases.run(_marks(name), partial(_mark, plan=plan, name=name, groups=groups), parts)


class Recurring:
    """The marks of one group's keys, asked for piece by piece in the order in which the keys were sent."""

    def __init__(self, plan: Plan, name: str, number: int, parts: range) -> None:
        marks = [plan.exchange(_marks(name)).read([part], number)["marks"].to_numpy() for part in parts]
        self._marks = np.concatenate(marks)
        self._places = 8 * np.cumsum([0, *(packed.size for packed in marks[:-1])])

    def of(self, keys: Hashes) -> Mask:
        """Which of the next keys recur."""
        return next_bits(self._marks, self._places, by_hash(keys, self._places.size))


def _heads(name: str) -> str:
    return f"{name}_heads"


def _marks(name: str) -> str:
    return f"{name}_marks"


def _send(number: int, *, plan: Plan, name: str, keys: Keys, n_parts: int) -> tuple[list[str], Report]:
    """Four bytes a key: those that its partition does not tell already."""
    heads, receivers = [np.empty(0, np.uint32)], [np.empty(0, np.uint32)]
    for piece in keys(number):
        heads.append(piece.astype(np.uint32))
        receivers.append(by_hash(piece, n_parts).astype(np.uint32))
    rows = pa.table({"head": np.concatenate(heads)})
    file = plan.exchange(_heads(name)).write(number, rows, np.concatenate(receivers), n_parts)
    return [file], {"keys": rows.num_rows}


def _mark(part: int, *, plan: Plan, name: str, groups: range) -> tuple[list[str], Report]:
    pieces = [plan.exchange(_heads(name)).read([number], part)["head"].to_numpy() for number in groups]
    sketch = empty_sketch(sum(piece.size for piece in pieces))
    for piece in pieces:
        count(sketch, piece.astype(np.uint64) << _S32)
    marks = [np.packbits(repeated(sketch, piece.astype(np.uint64) << _S32)) for piece in pieces]
    receiver = np.repeat(groups, [packed.size for packed in marks])
    rows = pa.table({"marks": np.concatenate([np.empty(0, np.uint8), *marks])})
    found = sum(int(np.bitwise_count(packed).sum()) for packed in marks)
    return [plan.exchange(_marks(name)).write(part, rows, receiver, len(groups))], {"recurring": found}
