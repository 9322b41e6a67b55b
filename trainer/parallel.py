"""How the model is spread over all processes: one code path for one and for many (see `trainer.layout`).

FSDP2 over a mesh: each block is one group of parameters, gathered when it is used; what is left (embedding, last norm,
head) forms the root's group. With tensor parallelism each is divided first, so that what FSDP gathers is a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore  # type: ignore[attr-defined]
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    SequenceParallel,
    parallelize_module,
)

from trainer.errors import MismatchError
from trainer.layout import DIMENSIONS, Layout, Process
from trainer.model import Falcon2

_PARAMETERS, _LOSSES = "parameters", "losses"


@contextmanager
def joined(process: Process, layout: Layout | None = None) -> Iterator[DeviceMesh]:
    """Join the other processes for the length of the block: NCCL on GPUs, gloo on CPUs; yields the mesh.

    Where they are joined already, they stay so afterwards: torchrun's rendezvous serves one joining only. Raises
    MismatchError where the layout does not fit the number of processes.
    """
    layout = layout or Layout()
    sizes = layout.sizes(process.world)
    if dist.is_initialized():
        yield mesh_of(sizes, process.device_type)
        return
    backend = "nccl" if process.device_type == "cuda" else "gloo"
    # Alone, a store in memory: no port is opened. Under torchrun, its own rendezvous.
    store = HashStore() if process.world == 1 else None
    if process.device_type == "cuda":
        torch.cuda.set_device(process.device)
    dist.init_process_group(backend, store=store, rank=process.rank, world_size=process.world)
    try:
        yield mesh_of(sizes, process.device_type)
    finally:
        dist.destroy_process_group()


def mesh_of(sizes: tuple[int, int, int, int], device_type: str) -> DeviceMesh:
    """The mesh of all processes, with the names by which parameters are sharded and losses summed."""
    mesh = init_device_mesh(device_type, sizes, mesh_dim_names=DIMENSIONS)
    mesh["shard", "context"]._flatten(_PARAMETERS)
    mesh["replicate", "shard", "context"]._flatten(_LOSSES)
    return mesh


def shard(model: Falcon2, mesh: DeviceMesh, layout: Layout) -> None:
    """Turn every parameter into its shard, in place; bf16 compute with fp32 reductions on CUDA, fp32 on CPU.

    Raises MismatchError where the model cannot be divided by `layout.tensor`.
    """
    if layout.tensor > 1:
        _divide(model, mesh["tensor"])
    if layout.context > 1:
        model.context_group = mesh["context"].get_group()
    if layout.float8:
        _to_float8(model)
    mixed = mesh.device_type == "cuda"
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if mixed else None,
        reduce_dtype=torch.float32 if mixed else None,
        # The rotary tables are inputs of a block: cast to bf16 they would lose the far positions.
        cast_forward_inputs=False,
    )
    over = mesh["replicate", _PARAMETERS] if layout.replicate > 1 else mesh[_PARAMETERS]
    for block in model.h:
        block.recompute = layout.recompute
        if layout.compile:
            block.compile()
        fully_shard(block, mesh=over, mp_policy=policy, reshard_after_forward=layout.reshard)
    fully_shard(model, mesh=over, mp_policy=policy, reshard_after_forward=layout.reshard)


def _divide(model: Falcon2, over: DeviceMesh) -> None:
    """Tensor parallelism: attention by groups of heads, MLP by its width, embedding and head by the vocabulary."""
    groups = (
        model.h[0].self_attention.dense.in_features // model.head_width // model.h[0].self_attention.queries_per_group
    )
    if groups % over.size():
        raise MismatchError(
            f"layout: tensor {over.size()} does not divide the model's {groups} key/value heads; choose a divisor"
        )
    stream = SequenceParallel(use_local_output=False)
    partial = RowwiseParallel(output_layouts=Partial(), use_local_output=False)
    embedded = RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1), use_local_output=False)
    parallelize_module(model, over, {"word_embeddings": embedded, "ln_f": stream})
    if model.lm_head is not None:
        parallelize_module(model.lm_head, over, ColwiseParallel(use_local_output=False))
    for block in model.h:
        plan = {
            "input_layernorm": stream,
            "self_attention.query_key_value": ColwiseParallel(),
            "self_attention.dense": partial,
            "mlp.dense_h_to_4h": ColwiseParallel(),
            "mlp.dense_4h_to_h": partial,
        }
        parallelize_module(block, over, plan)


def _to_float8(model: Falcon2) -> None:
    """Products of the blocks in float8 with dynamic scaling; embedding and head stay as they are."""
    try:
        from torchao.float8 import convert_to_float8_training
    except ImportError:
        raise MismatchError("layout: float8 needs the package torchao; install it, or take float8 out") from None
    for block in model.h:
        convert_to_float8_training(block)


def reshard(model: nn.Module) -> None:
    """Drop gathered parameters, so that the model shows its shards; does nothing to a model that is not sharded."""
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def local(tensor: Tensor) -> Tensor:
    """This process's part of a sharded tensor (it may be empty); a plain tensor is returned as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def full(tensor: Tensor) -> Tensor:
    """The whole of a sharded tensor, on every process (a collective); a plain tensor is returned as it is."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local_parameter_bytes(model: nn.Module) -> int:
    """Bytes of parameters that this process holds between steps."""
    return sum(local(parameter).nbytes for parameter in model.parameters())


def summed(values: Tensor, mesh: DeviceMesh) -> Tensor:
    """The sum of `values` over the processes that see different tokens, on each of them."""
    dist.all_reduce(values, group=mesh[_LOSSES].get_group())
    return values
