"""What a run shows while it works: a live table on a terminal, one line per minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.table import Table

LINE_EVERY_S = 60.0


class Progress(Protocol):
    """Told of each finished unit."""

    def phase(self, name: str, total: int, done: int) -> None:
        """A phase begins; `done` of its `total` units were finished earlier, and `advance` tells of them, too."""
        ...

    def advance(self, funnel: Counter[str]) -> None:
        """One unit is finished; `funnel` counts its rows by the step that dropped them (`kept` for the rest)."""
        ...

    def say(self, line: str) -> None:
        """One line that the user must see."""
        ...

    def close(self) -> None:
        """The run is over."""
        ...


class Quiet:
    """Shows warnings alone."""

    def phase(self, name: str, total: int, done: int) -> None:
        """Shows nothing."""

    def advance(self, funnel: Counter[str]) -> None:
        """Shows nothing."""

    def say(self, line: str) -> None:
        """Print to stderr."""
        print(line, file=sys.stderr)

    def close(self) -> None:
        """Nothing is open."""


class _Console(Console):
    """A console whose reader may go away: the work goes on, unseen."""

    def on_broken_pipe(self) -> None:
        self.quiet = True


class Terminal:
    """The funnel as it fills.

    steps: the names of the funnel in their order.
    """

    def __init__(self, steps: Iterable[str]) -> None:
        self._steps = list(steps)
        self._console = _Console(stderr=True)
        self._live = (
            Live(console=self._console, transient=True, refresh_per_second=4) if self._console.is_terminal else None
        )
        if self._live:
            self._live.start()
        self._funnel: Counter[str] = Counter()
        self._name, self._total, self._done = "", 0, 0
        self._phase_started = self._line_shown = time.monotonic()

    def phase(self, name: str, total: int, done: int) -> None:
        """Begin a phase."""
        self._name, self._total, self._done = name, total, 0
        self._phase_started = time.monotonic()
        earlier = f", {done} finished earlier" if done else ""
        self.say(f"{name}: {total} unit{'s' if total != 1 else ''}{earlier}")

    def advance(self, funnel: Counter[str]) -> None:
        """Count a unit in."""
        self._done += 1
        self._funnel.update(funnel)
        if self._live:
            self._live.update(self._table())
        elif time.monotonic() - self._line_shown >= LINE_EVERY_S:
            self._line_shown = time.monotonic()
            self.say(self._line())

    def say(self, line: str) -> None:
        """Print above the table."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def close(self) -> None:
        """Take the table down."""
        if self._live:
            self._live.stop()

    def _line(self) -> str:
        units = f"{self._name}: {self._done}/{self._total} units"
        pages, kept = self._funnel.total(), self._funnel["kept"]
        return f"{units}, {pages} pages in, {kept} kept so far" if pages else units

    def _table(self) -> Table:
        table = Table(title=f"{self._line()}, {self._rate()}", title_justify="left")
        for column in ("step", "dropped", "left", "share left"):
            table.add_column(column, justify="left" if column == "step" else "right")
        pages = left = self._funnel.total()
        for step in self._steps:
            if dropped := self._funnel[step]:
                left -= dropped
                table.add_row(step, f"{dropped:,}", f"{left:,}", f"{left / pages:.1%}")
        return table

    def _rate(self) -> str:
        seconds = time.monotonic() - self._phase_started
        return f"{self._done / seconds:.2f} units/s" if seconds > 1 else "starting"
