"""SIGTERM and SIGINT as a wish that the loop grants at the end of the step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class StopWish:
    """Whether this process was asked to stop; `after_step` asks in advance."""

    asked: bool = False
    after_step: int | None = None

    def holds_after(self, step: int) -> bool:
        """Whether to stop once `step` is done."""
        return self.asked or (self.after_step is not None and step >= self.after_step)


@contextmanager
def listening(wish: StopWish) -> Iterator[None]:
    """Let the first SIGTERM or SIGINT set the wish; a second one acts as it did before.

    In a thread other than the main one, as Ray Train has it, no signal can be heard, and none is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    watched = (signal.SIGTERM, signal.SIGINT)
    before = {number: signal.getsignal(number) for number in watched}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(_number: int, _frame: FrameType | None) -> None:
        wish.asked = True
        restore()

    for number in watched:
        signal.signal(number, note)
    try:
        yield
    finally:
        restore()
