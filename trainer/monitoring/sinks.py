"""Where a run's records go beside `metrics.jsonl`: TensorBoard, Weights & Biases.

`metrics.jsonl` is what holds. When a run goes on, the others are opened with the records that the file still has, and
are to show those and what follows, each once.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from trainer.errors import MismatchError
from trainer.monitoring.metrics import MetricsLog, Record, Sink, read
from trainer.monitoring.profiling import Profiler

TENSORBOARD, PROFILE, WANDB = "tensorboard", "profile", "wandb-id"
"""What they have in a run's folder: two folders, and a file that names the run at W&B."""


@dataclass(frozen=True, kw_only=True)
class Sinks:
    """What else is made of a run's records. Raises MismatchError where a package for it is missing."""

    tensorboard: bool = False
    """Write RUN/tensorboard, if the package is there."""
    wandb: str | None = None
    """Project of Weights & Biases to log to."""
    profile: tuple[int, int] | None = None
    """First step to be profiled, and how many."""

    def __post_init__(self) -> None:
        # Here, since every process comes by before any of them waits for another.
        if self.wandb is not None and find_spec("wandb") is None:
            raise MismatchError("--wandb: the package wandb is not installed; pip install wandb, or leave --wandb out")

    def metrics(self, run: Path, recipe: dict[str, Any], keep_bytes: int) -> MetricsLog:
        """The run's log with all that was asked for, to go on behind its first `keep_bytes`. Raises WriteError."""
        path = run / "metrics.jsonl"
        kept = read(path, keep_bytes) if keep_bytes else []
        return MetricsLog(path, keep_bytes=keep_bytes, sinks=list(self._opened(run, recipe, kept)))

    def profiler(self, run: Path) -> Profiler | None:
        """What profiles the run's first process, where that was asked for."""
        return Profiler(run / PROFILE, *self.profile) if self.profile else None

    def _opened(self, run: Path, recipe: dict[str, Any], kept: Sequence[Record]) -> Iterator[Sink]:
        # Imported here: neither package is needed by whoever does not ask for it.
        if self.tensorboard and find_spec("tensorboard") is None:
            print(f"{run / TENSORBOARD} is left out: pip install tensorboard", flush=True)
        elif self.tensorboard:
            from trainer.monitoring.tensorboard import TensorBoard

            yield TensorBoard(run / TENSORBOARD, kept)
        if self.wandb is not None:
            from trainer.monitoring.wandb_log import WandB

            yield WandB(run, run / WANDB, self.wandb, recipe)


def forget(run: Path) -> None:
    """Delete what earlier sinks have written of a run that begins anew; what W&B has, it keeps as a run of its own."""
    for folder in (TENSORBOARD, PROFILE):
        if (run / folder).exists():
            shutil.rmtree(run / folder)
    (run / WANDB).unlink(missing_ok=True)
