"""Reading what runs leave behind, for comparison."""

from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from trainer import checkpoint, metrics


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, whole: weights, moments, counts, RNG states."""
    found = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in FileSystemReader(path).read_metadata().state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    checkpoint.read_tensors(path, found)
    return found


def final_tensors(run: Path) -> dict[str, torch.Tensor]:
    path = checkpoint.latest(run / "checkpoints")
    assert path is not None
    return tensors(path)


def untimed(run: Path) -> list[dict[str, Any]]:
    """The records of a run's metrics less the fields that depend on the machine's speed."""
    records = metrics.read(run / "metrics.jsonl")
    return [{key: value for key, value in record.items() if key not in metrics.TIMINGS} for record in records]


def step_losses(run: Path) -> list[float]:
    return [record["loss"] for record in metrics.read(run / "metrics.jsonl") if record["kind"] == "step"]


def assert_same(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    """Every bit of every tensor."""
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
