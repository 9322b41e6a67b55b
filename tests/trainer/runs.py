"""Reading what runs leave behind, and asking a model, for comparison."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from trainer import checkpoint, checksums
from trainer.model import Falcon2
from trainer.monitoring import metrics
from trainer.weights import assembled, described, read_stored


def tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint, whole: weights, moments, counts, RNG states."""
    found = {
        name: torch.empty(entry.size, dtype=entry.properties.dtype)
        for name, entry in FileSystemReader(path).read_metadata().state_dict_metadata.items()
        if isinstance(entry, TensorStorageMetadata)
    }
    checkpoint.read_tensors(path, found)
    return found


def with_checksums(path: Path) -> None:
    """Let a checkpoint that a test has made or changed pass for one that was written so."""
    names = {file.name for file in path.iterdir()} - {checksums.SUMS}
    checksums.write(path, checksums.checksums(path, names))


def final_tensors(run: Path) -> dict[str, torch.Tensor]:
    path = checkpoint.latest(run / "checkpoints")
    assert path is not None
    return tensors(path)


def read_model(source: Path) -> Falcon2:
    """The trainer's own model of a checkpoint, or of a run's last one."""
    path = checkpoint.found(source)
    weights = described(path)
    return assembled(weights, read_stored(path, weights))


@torch.no_grad()
def greedy(model: nn.Module, prompt_BT: Tensor, count: int) -> Tensor:
    """The `count` likeliest next tokens one after the other, [B, count]."""
    tokens = prompt_BT
    for _ in range(count):
        following = model(tokens)[:, -1].argmax(dim=-1, keepdim=True)
        tokens = torch.cat((tokens, following), dim=1)
    return tokens[:, prompt_BT.shape[1] :]


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
