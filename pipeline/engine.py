"""The engine's interface: run a callable over named units, somewhere, and hand back what became of each.

The callable and its units must be picklable. Between phases data goes through files, so a result is small: counts and
names, never rows.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from pipeline.interrupt import Stop

U = TypeVar("U")
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[U, R]):
    """What became of one unit: a result, or the error that it failed with for good."""

    unit: U
    result: R | None = None
    error: BaseException | None = None
    node: str = ""


class Engine(Protocol):
    """Runs work over units."""

    def run(self, work: Callable[[U], R], units: Iterable[U]) -> Iterator[Outcome[U, R]]:
        """Yield one outcome per unit, in the order in which they finish; KeyboardInterrupt where a stop was asked."""
        ...

    def close(self) -> None:
        """Let go of what the engine holds."""
        ...


class SerialEngine:
    """Runs units one after another in this process: for tests, and for reading a traceback."""

    def __init__(self, stop: Stop | None = None) -> None:
        self._stop = stop or Stop()

    def run(self, work: Callable[[U], R], units: Iterable[U]) -> Iterator[Outcome[U, R]]:
        """Yield one outcome per unit, in the order given."""
        for unit in units:
            self._stop.check()
            try:
                yield Outcome(unit=unit, result=work(unit), node=socket.gethostname())
            except Exception as error:
                yield Outcome(unit=unit, error=error, node=socket.gethostname())
        self._stop.check()

    def close(self) -> None:
        """Nothing to let go of."""
