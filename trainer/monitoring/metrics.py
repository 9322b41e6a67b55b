"""`metrics.jsonl`: one line per step, and the held-out losses at the start and end of each stage; the terminal's line.

A checkpoint remembers how long the file was; a run that goes on from it cuts the file there first. So the file of an
interrupted run equals that of an uninterrupted one, but for the fields in `TIMINGS`.
"""

from __future__ import annotations

import json
import os
import shutil
import textwrap
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from trainer.errors import writing
from trainer.monitoring.pace import duration

TIMINGS = (
    "tokens_per_second",
    "tokens_per_second_per_process",
    "mfu",
    "mfu_of",
    "memory_bytes",
    "data_wait_s",
    "sync_wait_s",
    "eta_stage_s",
    "eta_run_s",
    "slowest",
)
"""Fields that depend on the machine."""

Record = dict[str, Any]
"""A line of the file."""


_UNITS: Final = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


class Sink(Protocol):
    """Somewhere else that records go."""

    def write(self, record: Record) -> None:
        """Take a record."""

    def close(self) -> None:
        """Take no more."""


class MetricsLog:
    """Appends records to a file of JSON lines and hands them on; one without a path (not the first process's) does not.

    Raises WriteError.
    """

    def __init__(self, path: Path | None, *, keep_bytes: int, sinks: Sequence[Sink] = ()) -> None:
        self._file: TextIO | None = None
        self._sinks = sinks
        if path is not None:
            self._path = path
            with writing(path):
                path.touch()
                os.truncate(path, min(keep_bytes, path.stat().st_size))
                self._file = path.open("a", encoding="utf-8")

    def write(self, record: Record) -> None:
        """Append one record."""
        if self._file is not None:
            with writing(self._path):
                self._file.write(json.dumps(record) + "\n")
                self._file.flush()
        for sink in self._sinks:
            sink.write(record)

    def size(self) -> int:
        """Bytes written so far, all of them safely on disk."""
        if self._file is None:
            return 0
        with writing(self._path):
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file, and whatever records were handed on to."""
        with ExitStack() as closing:
            for sink in self._sinks:
                closing.callback(sink.close)
            if self._file is not None:
                # Every record was flushed when it was written; what could not be, has been reported.
                with suppress(OSError):
                    self._file.close()


def read(path: Path, first_bytes: int | None = None) -> list[Record]:
    """All records of a metrics file, or those in its first bytes, in order."""
    with path.open("rb") as file:
        return [json.loads(line) for line in file.read(first_bytes).splitlines()]


class Terminal:
    """Shows where training stands: on a terminal a line, or several on a narrow one, that renews itself; elsewhere one
    line a minute.
    """

    def __init__(self, stream: TextIO | None, *, steps: int, interval_s: float = 60.0, each: str = "process") -> None:
        """`each` is what a process computes with: its tokens per second are shown by that name."""
        self._stream, self._steps, self._interval_s, self._each = stream, steps, interval_s, each
        self._live = stream is not None and stream.isatty()
        self._shown_at = float("-inf")
        self._renew = "\r\x1b[J"
        """Takes away what stands there to be renewed."""

    def step(self, record: Record) -> None:
        """Show a step's record, if it is time to."""
        if self._stream is None or (not self._live and time.monotonic() - self._shown_at < self._interval_s):
            return
        self._shown_at = time.monotonic()
        text = step_line(record, steps=self._steps, each=self._each)
        if not self._live:
            print(text, file=self._stream, flush=True)
            return
        # Wrapped here, so that it is known how many lines are to be renewed.
        lines = textwrap.wrap(text, max(1, shutil.get_terminal_size((120, 24)).columns - 1))
        print(self._renew + "\n".join(lines), end="", file=self._stream, flush=True)
        self._renew = "\r" + "\x1b[A" * (len(lines) - 1) + "\x1b[J"

    def line(self, text: str) -> None:
        """Show a line that stays."""
        if self._stream is not None:
            print((self._renew if self._live else "") + text, file=self._stream, flush=True)
            self._renew = "\r\x1b[J"


def step_line(record: Record, *, steps: int, each: str) -> str:
    """A step's record in a line: 120 columns or less, unless it is very long of a name."""
    parts = [
        f"{record['step']}/{steps} {record['stage']}",
        f"loss {record['loss']:.3f}",
        f"z {record['z_loss']:.0e}",
        f"lr {record['lr']:.1e}",
        f"grad {record['grad_norm']:.2f}",
        f"{_short(record['tokens_per_second_per_process'])} tok/s/{each}",
        *([f"MFU {record['mfu']:.0%} of {_short(record['mfu_of'])}"] if "mfu" in record else []),
        f"{_short(record['memory_bytes'] / 2**30)}GiB",
        f"wait {record['data_wait_s']:.1f}s",
        f"ETA {duration(record['eta_stage_s'])}",
    ]
    return " ".join(parts)


def _short(value: float) -> str:
    """Three digits and a unit: 0.52, 12.3k, 989T."""
    size, unit = next(((size, unit) for size, unit in _UNITS if value >= size), (1.0, ""))
    whole = len(str(int(value / size)))
    return f"{value / size:.{max(0, 3 - whole)}f}{unit}"
