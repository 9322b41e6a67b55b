"""The data certificate of a checkpoint: what its run has really drawn up to there."""

from __future__ import annotations

from pathlib import Path

from mixtures.certificate import Drawn, drawn
from mixtures.errors import MixtureError
from mixtures.roots import Folder
from mixtures.run import OpenFiles
from mixtures.schedule import Schedule
from mixtures.supply import open_supplies
from trainer import checkpoint, record
from trainer.changes import with_entries


def certificate(path: Path, state: checkpoint.State) -> list[Drawn] | None:
    """What was drawn of each component before the checkpoint `path`; None where its run is not to be found.

    The run is the folder that holds the checkpoint: its `run.json` names the mixture. Where the token files are no
    longer where they were, totals are exact all the same, and only epochs and token folders are left out. Raises
    CheckpointError where `run.json` is damaged.
    """
    folder = path.resolve().parent.parent
    written = record.read(folder)
    if written is None:
        return None
    mixture = with_entries(record.mixture_of(folder, written), state.changes)
    if mixture.fingerprint() != state.mixture:
        return None  # the folder is another run's
    schedule = Schedule(mixture)
    try:
        return drawn(schedule, state.position, open_supplies(schedule, OpenFiles(Folder(Path(written["tokens"]))))[1])
    except (MixtureError, OSError):
        return drawn(schedule, state.position)
