"""A run of Weights & Biases beside the one in the folder.

RUN/wandb-id    which run it is: it goes on with the folder's
RUN/wandb/      what the package keeps; with WANDB_MODE=offline, all of it, for `wandb sync`
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import wandb

from trainer.errors import MismatchError, writing
from trainer.monitoring.metrics import Record
from trainer.monitoring.scalars import ALARMING, event, scalars


class WandB:
    """Logs records by step, to be drawn over tokens, to the run whose id is in the file `path`, or a new one.

    W&B takes no step twice: what a run does again after it was broken off is passed over there, and is the same.
    Raises MismatchError where W&B refuses the run, and WriteError.
    """

    def __init__(self, run: Path, path: Path, project: str, recipe: dict[str, Any]) -> None:
        with writing(path):
            if not path.exists():
                path.write_text(uuid.uuid4().hex[:12], encoding="utf-8")
            known = path.read_text(encoding="utf-8").strip()
        try:
            self._run = wandb.init(
                project=project, name=run.name, id=known, resume="allow", dir=str(run), config=recipe
            )
        except wandb.Error as error:
            raise MismatchError(
                f"--wandb {project}: {error}; log in with `wandb login`, or set WANDB_MODE=offline"
            ) from error
        self._run.define_metric("tokens")
        self._run.define_metric("*", step_metric="tokens")

    def write(self, record: Record) -> None:
        """Log a record's figures; what is alarming is an alert."""
        figures = scalars(record)
        if figures:
            # What is measured before a stage's first step goes with that: a run that goes on there has passed the last.
            step = record["step"] + (record.get("at") == "start")
            self._run.log(figures | {"tokens": record["tokens"]}, step=step)
        said = event(record)
        if said is not None and record["kind"] in ALARMING:
            self._run.alert(title=record["kind"], text=said)

    def close(self) -> None:
        """Hand over what is left."""
        self._run.finish()
