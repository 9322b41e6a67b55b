"""A profile of a few steps: what each operator takes, and a trace that chrome://tracing and Perfetto show.

RUN/profile/steps-12-14.json    the trace
RUN/profile/steps-12-14.txt     the dearest operators
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import torch
from torch.profiler import ProfilerActivity, profile

from trainer.errors import writing

ROWS: Final = 40
"""Operators in the table."""


class Profiler:
    """Profiles the steps `first` … `first + count - 1` of this process, as far as it takes them."""

    def __init__(self, folder: Path, first: int, count: int) -> None:
        self._folder = folder
        self._steps = range(first, first + count)
        self._running: profile | None = None
        self._begun = self._done = 0

    def begin(self, step: int) -> None:
        """Begin with a step, if it is one of these."""
        if step in self._steps and self._running is None:
            self._running = profile(activities=_activities())
            self._begun = step
            self._running.start()

    def end(self, step: int) -> None:
        """Write the profile after the last of these steps. Raises WriteError."""
        self._done = step
        if step + 1 not in self._steps:
            self.close()

    def close(self) -> None:
        """Write what there is, if anything is not written yet. Raises WriteError."""
        running, self._running = self._running, None
        if running is None:
            return
        running.stop()
        if self._done < self._begun:
            return
        name = f"steps-{self._begun}-{self._done}"
        with writing(self._folder):
            self._folder.mkdir(exist_ok=True)
            running.export_chrome_trace(str(self._folder / f"{name}.json"))
            dearest = "self_cuda_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
            table = running.key_averages().table(sort_by=dearest, row_limit=ROWS)
            (self._folder / f"{name}.txt").write_text(table, encoding="utf-8")


def _activities() -> list[ProfilerActivity]:
    on_gpu = [ProfilerActivity.CUDA] if torch.cuda.is_available() else []
    return [ProfilerActivity.CPU, *on_gpu]
