"""Signals as a wish to stop that the loop grants at the end of the step.

SIGTERM and SIGUSR1 come from a scheduler that wants the machine back, now or in a while: the run ends well, and whoever
started it starts it again. They may come more than once: Slurm signals torchrun and each of its processes, and torchrun
passes on to these what it got. SIGINT comes from a person, and a second one from a person who will not wait.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final

_PREEMPTING: Final = (signal.SIGTERM, signal.SIGUSR1)
_INTERRUPTED, _PREEMPTED = 1.0, 2.0**20
"""Wishes as numbers: the sum over up to a million processes tells whether any was preempted."""


@dataclass
class StopWish:
    """Whether this process was asked to stop, and how; `after_step` asks in advance."""

    interrupted: bool = False
    preempted: bool = False
    after_step: int | None = None

    def after(self, step: int) -> float:
        """The wish once `step` is done, as a number to be summed over all processes; 0 for none."""
        if self.preempted:
            return _PREEMPTED
        asked = self.interrupted or (self.after_step is not None and step >= self.after_step)
        return _INTERRUPTED if asked else 0.0

    def take(self, summed: float) -> bool:
        """Take over what all processes wish; True where any wants to stop."""
        self.preempted = self.preempted or summed >= _PREEMPTED
        return summed > 0


@contextmanager
def listening(wish: StopWish) -> Iterator[None]:
    """Let signals set the wish; a second SIGINT acts as it did before.

    In a thread other than the main one, as Ray Train has it, no signal can be heard, and none is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (*_PREEMPTING, signal.SIGINT)}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, _frame: FrameType | None) -> None:
        if number in _PREEMPTING:
            wish.preempted = True
        else:
            wish.interrupted = True
            signal.signal(number, before[signal.Signals(number)])

    for number in before:
        signal.signal(number, note)
    try:
        yield
    finally:
        restore()
