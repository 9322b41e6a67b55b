"""What this process is, and how the model is spread over all of them.

One code path for one process and for many: a mesh with the dimension `shard`, and FSDP2 over it. Each block is one
group of parameters, gathered when it is used; what is left (embedding, last norm, head) forms the root's group.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from trainer.model import Falcon2


@dataclass(frozen=True, kw_only=True)
class Process:
    """One of `world` processes; `local_rank` picks its GPU."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1
    device_type: str = "cpu"

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device("cuda", self.local_rank) if self.device_type == "cuda" else torch.device("cpu")

    @property
    def leads(self) -> bool:
        """Whether this process writes what all share: metrics, run record, checkpoint names."""
        return self.rank == 0


def launched(environment: Mapping[str, str]) -> Process:
    """This process as torchrun's variables describe it; alone where they are not set."""
    return Process(
        rank=int(environment.get("RANK", 0)),
        local_rank=int(environment.get("LOCAL_RANK", 0)),
        world=int(environment.get("WORLD_SIZE", 1)),
        device_type="cuda" if torch.cuda.is_available() else "cpu",
    )


@contextmanager
def joined(process: Process) -> Iterator[DeviceMesh]:
    """Join the other processes for the length of the block: NCCL on GPUs, gloo on CPUs; yields the mesh.

    Where they are joined already, they stay so afterwards: torchrun's rendezvous serves one joining only.
    """
    if dist.is_initialized():
        yield _mesh(process)
        return
    backend = "nccl" if process.device_type == "cuda" else "gloo"
    # Alone, a store in memory: no port is opened. Under torchrun, its own rendezvous.
    store = HashStore() if process.world == 1 else None
    if process.device_type == "cuda":
        torch.cuda.set_device(process.device)
    dist.init_process_group(backend, store=store, rank=process.rank, world_size=process.world)
    try:
        yield _mesh(process)
    finally:
        dist.destroy_process_group()


def _mesh(process: Process) -> DeviceMesh:
    return init_device_mesh(process.device_type, (process.world,), mesh_dim_names=("shard",))


def shard(model: Falcon2, mesh: DeviceMesh) -> None:
    """Turn every parameter into its shard, in place; bf16 compute with fp32 reductions on CUDA, fp32 on CPU."""
    mixed = mesh.device_type == "cuda"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if mixed else None,
        reduce_dtype=torch.float32 if mixed else None,
        # The rotary tables are inputs of a block: cast to bf16 they would lose the far positions.
        cast_forward_inputs=False,
    )
    for block in model.h:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh, mp_policy=policy)


def reshard(model: nn.Module) -> None:
    """Drop gathered parameters, so that the model shows its shards; does nothing to a model that is not sharded."""
    if isinstance(model, FSDPModule):
        model.reshard()


def local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor (it may be empty); a plain tensor is returned as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor, on every process (a collective); a plain tensor is returned as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_parameter_bytes(model: nn.Module) -> int:
    """Bytes of parameters that this process holds between steps."""
    return sum(local(parameter).nbytes for parameter in model.parameters())


def summed(values: Tensor) -> Tensor:
    """The sum of `values` over all processes, on each of them."""
    dist.all_reduce(values)
    return values
