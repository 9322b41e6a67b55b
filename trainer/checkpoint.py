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
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load as load_tensors
from torch.distributed.checkpoint.state_dict_saver import save as save_tensors

from mixtures.catalogue import TOKENIZER
from mixtures.strict import load
from trainer.build import Trained
from trainer.config import TrainConfig
from trainer.errors import CheckpointError, WriteError
from trainer.layout import Process

_STATE = "state.json"
_INSTEAD = "use the checkpoint before it (a run takes its last one: remove this folder)"
_FULL_BYTES = 2**20
"""With less than this left, a failed write is put down to a full disk: torch's own message does not tell."""


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
    changes: int
    """Entries that the log had."""
    next_sequences: int
    next_digest: str
    metrics_bytes: int
    context: int
    eod_id: int
    held_out: dict[str, float]
    """The latest held-out loss per component."""
    recipe: dict[str, Any]

    @property
    def config(self) -> TrainConfig:
        """The recipe that made this checkpoint."""
        return load(TrainConfig, self.recipe, name="checkpoint's recipe")


def save(folder: Path, trained: Trained, state: State, tokenizer: Path, keep_last: int, process: Process) -> Path:
    """Write a checkpoint below `folder` (a collective), then drop those that the policy does not keep.

    Raises WriteError where it cannot be written; earlier checkpoints stay as they are.
    """
    path = folder / f"step-{state.step:08d}"
    with _drafted(path, process) as draft:
        tensors = trained.tensors() | _rng(process)
        save_tensors(tensors, storage_writer=FileSystemWriter(draft, sync_files=True))
        if process.leads:
            shutil.copyfile(tokenizer, draft / TOKENIZER)
            (draft / _STATE).write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
    if process.leads:
        _prune(folder, keep_last)
    return path


def restore(path: Path, trained: Trained, state: State, process: Process) -> None:
    """Read a checkpoint into `trained`, in place; the processes may be fewer or more than those that wrote it.

    RNG states are restored where their number is the same.
    """
    rng = _rng(process) if state.world == process.world else {}
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
        raise CheckpointError(f"{path}: cannot be read ({_cause(error)}); {_INSTEAD}") from error


def read_state(path: Path) -> State:
    """The state in a checkpoint. Raises CheckpointError."""
    try:
        return State(**json.loads((path / _STATE).read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: not a checkpoint ({_STATE} is missing); give a run's folder or one of its checkpoints/step-…"
        ) from None
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path / _STATE}: cannot be read ({error}); {_INSTEAD}") from error


def latest(folder: Path) -> Path | None:
    """The newest complete checkpoint below `folder`, None where there is none."""
    return max(folder.glob("step-*"), default=None)


def found(path: Path) -> Path:
    """The checkpoint that `path` means: itself, or the latest of a run's folder. Raises CheckpointError."""
    if not path.exists():
        raise CheckpointError(f"{path}: no such folder; give a run's folder or one of its checkpoints/step-…")
    return latest(path / "checkpoints") or path


def remove_drafts(folder: Path) -> None:
    """Remove what runs that were killed while writing a checkpoint have left below `folder`."""
    for draft in folder.glob(".step-*.draft"):
        shutil.rmtree(draft)


@contextmanager
def _drafted(path: Path, process: Process) -> Iterator[Path]:
    """A folder to write in, which is called `path` once all is on disk, and is gone where something fails."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        if process.leads:
            draft.mkdir()
        dist.barrier()
        yield draft
        if process.leads:
            _publish(draft, path)
    except (CheckpointException, OSError) as error:
        full = shutil.disk_usage(path.parent).free < _FULL_BYTES
        raise WriteError.of(path, "the disk is full" if full else _cause(error)) from error
    finally:
        if process.leads:
            shutil.rmtree(draft, ignore_errors=True)
    dist.barrier()


def _rng(process: Process) -> dict[str, Tensor]:
    return {f"rng.{process.rank}": torch.get_rng_state()}


def _publish(draft: Path, path: Path) -> None:
    """Give a finished draft its name; one of the same step, left by a run cut off right here, is replaced."""
    for written in (*draft.iterdir(), draft):
        _sync(written)
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    _sync(path.parent)


def _prune(folder: Path, keep_last: int) -> None:
    for path in sorted(folder.glob("step-*"))[:-keep_last]:
        if not read_state(path).stage_complete:
            shutil.rmtree(path)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _cause(error: BaseException) -> str:
    """First line of what lies behind an error; DCP gathers the failures of all ranks in one."""
    if isinstance(error, CheckpointException) and error.failures:
        error = next(iter(error.failures.values()))[0]
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
