"""SIGINT and SIGTERM as a request to stop that no library can lose.

A handler that raises KeyboardInterrupt is heard at once, but wherever Python happens to be: inside a destructor, a weak
reference's callback or a function that C calls (LLVM's, while numba compiles) the exception is printed and dropped, and
inside Ray's calls it leaves half-made state. So the request is remembered too, looked up at safe points, and calls that
must not be cut short hold the exception back.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

WATCHED = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Stop:
    """Whether this process was asked to stop; `depth` counts the blocks of `held_back` around the running code."""

    asked: bool = False
    depth: int = 0

    def check(self) -> None:
        """A safe point: raise KeyboardInterrupt where stopping was asked for."""
        if self.asked:
            raise KeyboardInterrupt

    @contextmanager
    def held_back(self) -> Iterator[None]:
        """Let a first signal wait until the block's end."""
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1
        self.check()


@contextmanager
def listening() -> Iterator[Stop]:
    """Turn the first signal into KeyboardInterrupt and leave later ones to the system, which ends the process at once.

    An error that follows a request to stop counts as its consequence: KeyboardInterrupt is raised from it. Signals that
    the process was started to ignore, as a shell's jobs in the background ignore SIGINT, stay ignored.
    """
    stop = Stop()
    before = {number: signal.getsignal(number) for number in WATCHED}
    watched = [number for number, handler in before.items() if handler is not signal.SIG_IGN]

    def hear(_number: int, _frame: FrameType | None) -> None:
        again, stop.asked = stop.asked, True
        for number in watched:
            signal.signal(number, signal.SIG_DFL)  # even a hung call in C can be ended
        if again or not stop.depth:
            raise KeyboardInterrupt

    for number in watched:
        signal.signal(number, hear)
    try:
        yield stop
    except Exception as error:
        if stop.asked:
            raise KeyboardInterrupt from error
        raise
    finally:
        for number in watched:
            signal.signal(number, before[number])
