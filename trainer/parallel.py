"""How the model is spread over all processes: one code path for one and for many (see `trainer.layout`).

FSDP2 over a mesh: each block is one group of parameters, gathered when it is used; what is left (embedding, last norm,
head) forms the root's group. With tensor parallelism each is divided first, so that what FSDP gathers is a part.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import HashStore, ProcessGroup  # type: ignore[attr-defined]
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
from trainer.layout import Layout, Process
from trainer.model import Falcon2

_AFTER_HEARTBEAT_S: Final = 300.0
"""How much later than the heartbeat torch itself gives up a collective: it would end the process without a name."""


@contextmanager
def joined(process: Process, layout: Layout | None = None, *, hang_s: float | None = None) -> Iterator[Mesh]:
    """Join the other processes for the length of the block: NCCL on GPUs, gloo on CPUs; yields the mesh.

    Where they are joined already, they stay so afterwards: torchrun's rendezvous serves one joining only. `hang_s` is
    how long a heartbeat lets them wait for one another; without one, torch's own limits hold. Raises MismatchError
    where the layout does not fit the number of processes.
    """
    layout = layout or Layout()
    sizes = layout.sizes(process.world)
    if dist.is_initialized():
        yield _patient(Mesh.of(sizes, process.device_type), hang_s)
        return
    backend = "nccl" if process.device_type == "cuda" else "gloo"
    # Alone, a store in memory: no port is opened. Under torchrun, its own rendezvous.
    store = HashStore() if process.world == 1 else None
    if process.device_type == "cuda":
        torch.cuda.set_device(process.device)
    dist.init_process_group(backend, store=store, rank=process.rank, world_size=process.world)
    try:
        yield _patient(Mesh.of(sizes, process.device_type), hang_s)
    finally:
        dist.destroy_process_group()


def _patient(mesh: Mesh, hang_s: float | None) -> Mesh:
    """`mesh`, whose groups (and all others of this process) wait in a collective for longer than the heartbeat."""
    if hang_s is not None:
        limit = timedelta(seconds=hang_s + _AFTER_HEARTBEAT_S)
        for group in list(dist.distributed_c10d._world.pg_map):
            dist.distributed_c10d._set_pg_timeout(limit, group)
    return mesh


@dataclass(frozen=True, kw_only=True, eq=False)
class Mesh:
    """All processes, by what they share."""

    whole: DeviceMesh
    """Replicate × parameters × tensor, where parameters are the shards and contexts together."""
    context: ProcessGroup | None
    """Those that hold parts of the same sequences; None where each holds whole ones."""
    losses: ProcessGroup
    """Those that see different tokens."""
    saving: ProcessGroup | None
    """All, for writing checkpoints beside training (on CPUs: DCP asks for that); None for one process on a CPU."""
    mixed: bool
    """Whether they compute in bf16 and reduce gradients in fp32, as on GPUs; else all is fp32."""

    @classmethod
    def of(cls, sizes: tuple[int, int, int, int], device_type: str, *, saving: str = "gloo") -> Mesh:
        """The mesh for as many replicas, shards, contexts and tensor ranks; `saving` is that group's backend."""
        replicate, shard, context, tensor = sizes
        names = ("replicate", "parameters", "tensor")
        whole = init_device_mesh(device_type, (replicate, shard * context, tensor), mesh_dim_names=names)
        parted = whole["parameters"]._unflatten(0, (shard, context), ("shard", "context")) if context > 1 else None
        return cls(
            whole=whole,
            context=parted["context"].get_group() if parted is not None else None,
            losses=whole["replicate", "parameters"]._flatten("losses").get_group(),
            saving=dist.new_group(backend=saving) if whole.size() > 1 or device_type != "cpu" else None,
            mixed=device_type == "cuda",
        )

    @property
    def sharded(self) -> DeviceMesh:
        """What FSDP shards parameters over, and copies them over where there are replicas."""
        return self.whole["replicate", "parameters"] if self.whole.size(0) > 1 else self.whole["parameters"]

    @property
    def tensor(self) -> DeviceMesh:
        """What divides each parameter before that."""
        return self.whole["tensor"]


def shard(model: Falcon2, mesh: Mesh, layout: Layout) -> None:
    """Turn every parameter into its shard, in place; bf16 compute with fp32 reductions on CUDA, fp32 on CPU.

    Raises MismatchError where the model cannot be divided by `layout.tensor`.
    """
    layout.refuse_undivided(kv_heads=model.kv_heads, mlp=model.blocks[0].mlp.dense_h_to_4h.out_features)
    if layout.float8:
        _to_float8(model)  # before dividing, which hangs itself on the modules that this replaces
    if layout.tensor > 1:
        _divide(model, mesh.tensor)
    model.context_group = mesh.context
    if layout.compile:
        _prepare_compiling()
    policy = MixedPrecisionPolicy(
        param_dtype=torch.bfloat16 if mesh.mixed else None,
        reduce_dtype=torch.float32 if mesh.mixed else None,
        # The rotary tables are inputs of a block: cast to bf16 they would lose the far positions.
        cast_forward_inputs=False,
    )
    for block in model.blocks:
        block.recompute = layout.recompute
        if layout.compile:
            block.compile()
        fully_shard(block, mesh=mesh.sharded, mp_policy=policy, reshard_after_forward=layout.reshard)
    fully_shard(model, mesh=mesh.sharded, mp_policy=policy, reshard_after_forward=layout.reshard)


def _divide(model: Falcon2, over: DeviceMesh) -> None:
    """Tensor parallelism: attention by groups of heads, MLP by its width, embedding and head by the vocabulary."""
    stream = SequenceParallel(use_local_output=False)
    partial = RowwiseParallel(output_layouts=Partial(), use_local_output=False)
    embedded = RowwiseParallel(input_layouts=Replicate(), output_layouts=Shard(1), use_local_output=False)
    parallelize_module(model, over, {"word_embeddings": embedded, "ln_f": stream})
    if model.lm_head is not None:
        parallelize_module(model.lm_head, over, ColwiseParallel(use_local_output=False))
    for block in model.blocks:
        plan = {
            "input_layernorm": stream,
            "self_attention.query_key_value": ColwiseParallel(),
            "self_attention.dense": partial,
            "mlp.dense_h_to_4h": ColwiseParallel(),
            "mlp.dense_4h_to_h": partial,
        }
        parallelize_module(block, over, plan)


def _prepare_compiling() -> None:
    """Compile in each process by itself, and as often as there are shapes.

    Code in torch's cache on disk names the process group it was compiled for: a process of another tensor group would
    find it, and fail with "Could not resolve the process group" or worse. After eight shapes of one block (contexts,
    widths of a micro-batch, with gradients and without) torch would go on without compiling, and without a word.
    """
    from torch._dynamo import config as dynamo
    from torch._functorch import config as autograd
    from torch._inductor import config as inductor

    inductor.fx_graph_cache = False
    autograd.enable_autograd_cache = False
    dynamo.recompile_limit = 64


def _to_float8(model: Falcon2) -> None:
    """Products of the blocks in float8 with dynamic scaling; embedding and head stay as they are."""
    try:
        from torchao.float8 import convert_to_float8_training  # type: ignore[import-not-found]
    except ImportError:
        raise MismatchError("layout: float8 needs the package torchao; install it, or take float8 out") from None
    for block in model.blocks:
        convert_to_float8_training(block)


def accumulating(model: nn.Module, layout: Layout, *, last: bool) -> None:
    """Make ready for one of a step's passes; where whole gradients add up, the `last` one alone reduces them."""
    if layout.accumulate == "whole" and isinstance(model, FSDPModule):
        model.set_requires_gradient_sync(last)
        model.set_reshard_after_backward(layout.reshard or last)


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


def summed(values: Tensor, mesh: Mesh) -> Tensor:
    """The sum of `values` over the processes that see different tokens, on each of them."""
    dist.all_reduce(values, group=mesh.losses)
    return values
