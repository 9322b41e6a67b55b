"""`metrics.jsonl`: one line per step, and the held-out losses at the start and end of each stage.

A checkpoint remembers how long the file was; a run that goes on from it cuts the file there first. So the file of an
interrupted run equals that of an uninterrupted one, but for the fields in `TIMINGS`.
"""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from trainer.errors import writing

TIMINGS = ("tokens_per_second", "data_wait_s")
"""Fields that depend on the machine's speed."""


class MetricsLog:
    """Appends records to a file of JSON lines; a log without a path (processes other than the first) writes nothing.

    Raises WriteError.
    """

    def __init__(self, path: Path | None, *, keep_bytes: int) -> None:
        self._file: TextIO | None = None
        if path is not None:
            self._path = path
            with writing(path):
                path.touch()
                os.truncate(path, min(keep_bytes, path.stat().st_size))
                self._file = path.open("a", encoding="utf-8")

    def write(self, record: dict[str, Any]) -> None:
        """Append one record."""
        if self._file is not None:
            with writing(self._path):
                self._file.write(json.dumps(record) + "\n")
                self._file.flush()

    def size(self) -> int:
        """Bytes written so far, all of them safely on disk."""
        if self._file is None:
            return 0
        with writing(self._path):
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            # Every record was flushed when it was written; what could not be, has been reported.
            with suppress(OSError):
                self._file.close()


def read(path: Path) -> list[dict[str, Any]]:
    """All records of a metrics file, in order."""
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


class Terminal:
    """Shows where training stands: a line that renews itself on a terminal, one line a minute elsewhere."""

    def __init__(self, stream: TextIO | None, *, steps: int, interval_s: float = 60.0) -> None:
        self._stream, self._steps, self._interval_s = stream, steps, interval_s
        self._live = stream is not None and stream.isatty()
        self._shown_at = float("-inf")

    def step(self, record: dict[str, Any]) -> None:
        """Show a step's record, if it is time to."""
        if self._stream is None or (not self._live and time.monotonic() - self._shown_at < self._interval_s):
            return
        self._shown_at = time.monotonic()
        text = (
            f"step {record['step']}/{self._steps}  {record['stage']}  loss {record['loss']:.4f}"
            f"  z {record['z_loss']:.1e}  lr {record['lr']:.2e}  grad {record['grad_norm']:.3f}"
            f"  {record['tokens']:,} tokens  {record['tokens_per_second']:,.0f} tokens/s"
        )
        print(f"\r\x1b[K{text}" if self._live else text, end="" if self._live else "\n", file=self._stream, flush=True)

    def line(self, text: str) -> None:
        """Show a line that stays."""
        if self._stream is not None:
            print(f"\r\x1b[K{text}" if self._live else text, file=self._stream, flush=True)
