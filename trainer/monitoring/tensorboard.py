"""RUN/tensorboard: every figure by steps (`steps/`), losses and learning rate by tokens as well (`tokens/`)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from torch.utils.tensorboard import SummaryWriter

from trainer.errors import writing
from trainer.monitoring.metrics import Record
from trainer.monitoring.scalars import event, scalars

_BY_TOKENS: Final = ("training/", "held_out/")


class TensorBoard:
    """Writes records; of a run that goes on, TensorBoard shows each point once. Raises WriteError."""

    def __init__(self, folder: Path, kept: Sequence[Record]) -> None:
        self._folder = folder
        last = kept[-1] if kept else {"step": 0, "tokens": 0}
        tokens = next((record["tokens"] for record in reversed(kept) if "tokens" in record), 0)
        with writing(folder):
            # From the last step that is kept on, what was written before is void; it itself is written once more, for
            # the evaluation after it may be, or not be, among what is kept.
            self._steps = _writer(folder / "steps", last["step"])
            self._tokens = _writer(folder / "tokens", tokens)
        for record in kept:
            if record["step"] == last["step"]:
                self.write(record)

    def write(self, record: Record) -> None:
        """Write a record's figures, or what it says."""
        with writing(self._folder):
            for name, value in scalars(record).items():
                self._steps.add_scalar(name, value, record["step"])
                if name.startswith(_BY_TOKENS):
                    self._tokens.add_scalar(f"{name} by tokens", value, record["tokens"])
            said = event(record)
            if said is not None:
                self._steps.add_text("log", said, record["step"])

    def close(self) -> None:
        """Write what is left."""
        for writer in (self._steps, self._tokens):
            writer.close()


def _writer(folder: Path, void_from: int) -> SummaryWriter:
    """A writer of a new file, before which everything from `void_from` on is void."""
    # TensorBoard reads files in the order of their names, and these begin with the second.
    newest = max((int(path.name.split(".")[3]) for path in folder.glob("events.out.tfevents.*")), default=0)
    while int(time.time()) == newest:
        time.sleep(0.05)
    return SummaryWriter(str(folder), purge_step=void_from, flush_secs=30)
