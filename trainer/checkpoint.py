"""Checkpoints: a folder each, complete from the moment it has its name.

    checkpoints/step-00000120/
        *.distcp, .metadata   weights, moments and RNG states, by torch.distributed.checkpoint, sharded as in memory
        state.json            where training stood, and the recipe: a checkpoint explains itself
        tokenizer.json        the tokenizer its embeddings belong to, so that export needs nothing else

A checkpoint is written under another name and renamed when all of it is on disk, so a name `step-…` is never half a
checkpoint, and the highest number is the latest one.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors

from mixtures.strict import load
from trainer.build import Trained
from trainer.config import TrainConfig
from trainer.errors import CheckpointError
from trainer.layout import Process

STATE = "state.json"
_INSTEAD = "use the checkpoint before it (a run takes its last one: remove this folder)"


@dataclass(frozen=True, kw_only=True)
class State:
    """Where training stood after `step` steps; `position` alone decides what comes next."""

    step: int
    position: int
    tokens: int
    stage: int
    stage_complete: bool
    world: int
    fingerprint: str
    mixture: str
    """Fingerprint of the mixture with its log as it was."""
    changes: list[str]
    """Digests of the entries that the log had (`trainer.changes`)."""
    next_sequences: int
    next_digest: str
    metrics_bytes: int
    context: int
    eod_id: int
    held_out: dict[str, float]
    """The latest held-out loss per component."""
    losses: list[float]
    """Of the last steps, as far as the watch for spikes remembers them."""
    spikes: int
    """Spikes in a row up to here."""
    spike_first: int
    """Position at which they began."""
    consumed: dict[str, int]
    """Tokens drawn from each component up to here (`mixtures.certificate`)."""
    recipe: dict[str, Any]

    @property
    def config(self) -> TrainConfig:
        """The recipe that made this checkpoint."""
        return load(TrainConfig, self.recipe, name="checkpoint's recipe")


def restore(path: Path, trained: Trained, state: State, process: Process) -> None:
    """Read a checkpoint into `trained`, in place; the processes may be fewer or more than those that wrote it.

    RNG states are restored where their number is the same.
    """
    rng = rng_states(process) if state.world == process.world else {}
    read_tensors(path, trained.tensors() | rng)
    for states in rng.values():
        torch.set_rng_state(states)


def read_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Fill `tensors` from a checkpoint by name, alone or as a collective. Raises CheckpointError."""
    alone = not dist.is_initialized()
    if not (path / ".metadata").is_file():  # torch would log a traceback of its own
        raise CheckpointError(f"{path}: cannot be read (its .metadata is missing); {_INSTEAD}")
    try:
        with warnings.catch_warnings():
            # Said whenever one process reads by itself, which is what is meant here.
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            load_tensors(tensors, checkpoint_id=path, no_dist=alone)
    except (CheckpointException, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({cause_of(error)}); {_INSTEAD}") from error


def read_state(path: Path) -> State:
    """The state in a checkpoint. Raises CheckpointError."""
    try:
        return State(**json.loads((path / STATE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: not a checkpoint ({STATE} is missing); give a run's folder or one of its checkpoints/step-…"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path / STATE}: cannot be read ({error}); {_INSTEAD}") from error


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint below `folder`, None where there is none."""
    return max(folder.glob("step-*"), default=None)


def found(path: Path) -> Path:
    """The checkpoint that `path` means: itself, or the latest of a run's folder. Raises CheckpointError."""
    if not path.exists():
        raise CheckpointError(f"{path}: no such folder; give a run's folder or one of its checkpoints/step-…")
    return latest(path / "checkpoints") or path


def rng_states(process: Process) -> dict[str, Tensor]:
    """This process's state of torch's random generator, by name."""
    return {f"rng.{process.rank}": torch.get_rng_state()}


def cause_of(error: BaseException) -> str:
    """First line of what lies behind an error; DCP gathers the failures of all ranks in one."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
