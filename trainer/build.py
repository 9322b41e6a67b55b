"""Making a sharded model whose initial weights depend on the seed and the parameter's name alone.

The model is laid out without memory, sharded, and then filled one parameter at a time: each process draws the whole
tensor from a generator of its own seed and keeps its shard. So any number of processes starts from the same weights,
and no process ever holds more than one whole tensor.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor, distribute_tensor

from trainer.config import ModelConfig, StageConfig, TrainConfig
from trainer.layout import Layout, Process
from trainer.model import Falcon2
from trainer.optim import adamw
from trainer.parallel import Mesh, shard


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training changes: the weights, and the optimiser's moments over them."""

    model: Falcon2
    optimizer: torch.optim.AdamW

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by name (`model.…`, `exp_avg.…`, `exp_avg_sq.…`, `step.…`); memory is shared, not copied."""
        found: dict[str, Tensor] = {}
        for name, parameter in self.model.named_parameters():
            assert parameter in self.optimizer.state, f"{name} is gathered: reshard the model first"
            found[f"model.{name}"] = parameter.detach()
            for kind, tensor in self.optimizer.state[parameter].items():
                found[f"{kind}.{name}"] = tensor
        return found


def blank(config: TrainConfig, stage: StageConfig, mesh: Mesh, process: Process) -> Trained:
    """A model for `stage` whose values are still to be set, and an optimiser that has seen nothing."""
    model = sharded_model(config.model, stage, config.layout, mesh, process)
    return Trained(model=model, optimizer=adamw(model, config.optim))


def sharded_model(config: ModelConfig, stage: StageConfig, layout: Layout, mesh: Mesh, process: Process) -> Falcon2:
    """A model for `stage`, sharded over `mesh`, with memory of its own but values not yet set."""
    with torch.device("meta"):
        model = Falcon2(config, rope_theta=stage.rope_theta, tied=stage.tied)
    shard(model, mesh, layout)
    model.to_empty(device=process.device)
    return model


@torch.no_grad()
def initialise(model: Falcon2, config: ModelConfig, seed: int) -> None:
    """Matrices from N(0, init_std²), norms to the identity."""
    for name, parameter in model.named_parameters():
        whole = torch.empty(parameter.shape, device=parameter.device)
        if parameter.ndim >= 2:
            whole.normal_(0.0, config.init_std, generator=_generator(seed, name, parameter.device))
        else:
            whole.fill_(0.0 if name.endswith("bias") else 1.0)
        parameter.copy_(_sharded_like(parameter, whole))


def _generator(seed: int, name: str, device: torch.device) -> torch.Generator:
    digest = hashlib.blake2b(f"{seed}:{name}".encode(), digest_size=7).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest))


def _sharded_like(parameter: Tensor, whole: Tensor) -> Tensor:
    if not isinstance(parameter, DTensor):
        return whole
    # src_data_rank=None: every process already holds the same tensor, nothing need be sent.
    return distribute_tensor(whole, parameter.device_mesh, parameter.placements, src_data_rank=None)
