"""Checkpoints: a folder each, complete from the moment it has its name.

    checkpoints/step-00000120/
        *.distcp, .metadata   weights, moments and RNG states, by torch.distributed.checkpoint, sharded as in memory
        state.json            where training stood, and the recipe: a checkpoint explains itself
        tokenizer.json        the tokenizer its embeddings belong to, so that export needs nothing else
        B2SUMS                a checksum of each of these files

A checkpoint is written under another name and renamed when all of it is on disk, so a name `step-…` is never half a
checkpoint, and the highest number is the latest one.
"""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors

from mixtures.strict import load
from trainer import checksums
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

    RNG states are restored where the processes are as many, each that of the same kind of device.
    """
    rng = rng_states(process) if state.world == process.world else {}
    read_tensors(path, trained.tensors(), where_kept=rng)
    if rng:
        torch.set_rng_state(rng[_rng(process)])
        if process.device_type == "cuda":
            torch.cuda.set_rng_state(rng[_rng(process, "cuda")], process.device)


def read_tensors(path: Path, tensors: dict[str, Tensor], where_kept: dict[str, Tensor] | None = None) -> None:
    """Fill `tensors` from a checkpoint by name, alone or as a collective; those of `where_kept` that it has, too.

    Raises CheckpointError.
    """
    alone = not dist.is_initialized()
    _refuse(path, checksums.fault_of_any(path, alone=alone))
    kept = _metadata(path).state_dict_metadata  # of one that is damaged torch would log a traceback of its own
    tensors = tensors | {name: tensor for name, tensor in (where_kept or {}).items() if name in kept}
    try:
        with warnings.catch_warnings():
            # Said whenever one process reads by itself, which is what is meant here.
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            load_tensors(tensors, checkpoint_id=path, no_dist=alone)
    except (CheckpointException, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: cannot be read ({cause_of(error)}); {_INSTEAD}") from error


def read_metadata(path: Path) -> Metadata:
    """What a checkpoint says of its tensors. Raises CheckpointError."""
    _refuse(path, checksums.fault(path, ".metadata"))
    return _metadata(path)


def _metadata(path: Path) -> Metadata:
    try:
        return FileSystemReader(path).read_metadata()
    except (OSError, ValueError, EOFError, LookupError, pickle.UnpicklingError, AttributeError, ImportError) as error:
        raise CheckpointError(f"{path}: cannot be read (.metadata: {error}); {_INSTEAD}") from error


def read_state(path: Path) -> State:
    """The state in a checkpoint. Raises CheckpointError."""
    try:
        content = (path / STATE).read_text(encoding="utf-8")
        _refuse(path, checksums.fault(path, STATE))
        return load(State, json.loads(content), name="of a wrong form")
    except CheckpointError:
        raise
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: not a checkpoint ({STATE} is missing); give a run's folder or one of its checkpoints/step-…"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path / STATE}: cannot be read ({error}); {_INSTEAD}") from error


def _refuse(path: Path, fault: str | None) -> None:
    if fault:
        raise CheckpointError(f"{path}: cannot be read ({fault}); {_INSTEAD}")


def complete(folder: Path) -> list[Path]:
    """The complete checkpoints below `folder`, the earliest first."""
    return sorted(path for path in folder.glob("step-" + "[0-9]" * 8) if path.is_dir())


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint below `folder`, None where there is none."""
    return max(complete(folder), default=None)


def found(path: Path) -> Path:
    """The checkpoint that `path` means: itself, or the latest of a run's folder. Raises CheckpointError."""
    if not path.exists():
        raise CheckpointError(f"{path}: no such folder; give a run's folder or one of its checkpoints/step-…")
    return latest(path / "checkpoints") or path


def rng_states(process: Process) -> dict[str, Tensor]:
    """This process's states of torch's random generators, its GPU's among them, by name."""
    states = {_rng(process): torch.get_rng_state()}
    if process.device_type == "cuda":
        states[_rng(process, "cuda")] = torch.cuda.get_rng_state(process.device)
    return states


def _rng(process: Process, device_type: str = "cpu") -> str:
    return f"rng.{process.rank}" if device_type == "cpu" else f"rng.{device_type}.{process.rank}"


def cause_of(error: BaseException) -> str:
    """First line of what lies behind an error; DCP gathers the failures of all ranks in one."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
