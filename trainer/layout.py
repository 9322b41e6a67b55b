"""How a model is spread over processes: what the recipe wants, and where this process stands in it.

    rank = ((replicate · S + shard) · C + context) · T + tensor        for S shards, C contexts, T tensor ranks

`replicate` and `shard` see different sequences (`data_rank`); `context` ranks see parts of the same sequences, `tensor`
ranks the same tokens. Parameters are sharded over `shard` and `context` together (FSDP2), copied over `replicate`
(HSDP), and divided by rows or columns over `tensor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch

from trainer.errors import MismatchError


class Sizes(NamedTuple):
    """Ranks along each dimension; their product is the number of processes."""

    replicate: int
    shard: int
    context: int
    tensor: int

    @property
    def data(self) -> int:
        """Parts that a step's sequences are dealt into."""
        return self.replicate * self.shard


@dataclass(frozen=True, kw_only=True)
class Layout:
    """What a recipe says of it; it decides speed and memory, not what is learnt."""

    replicate: int = 1
    shard: int | None = None
    """None: as many as there are processes left."""
    context: int = 1
    """Ranks that a sequence is cut into."""
    tensor: int = 1
    reshard: bool = True
    """Drop a block's gathered parameters after its forward pass (ZeRO-3), or keep them until its backward (ZeRO-2)."""
    accumulate: Literal["sharded", "whole"] = "sharded"
    """What a step of several passes adds up: shards, with all parameters gathered and all gradients reduced in each
    pass; or whole gradients, with both done once a step, which costs a whole fp32 gradient per tensor rank (and, with
    `reshard: false`, whole parameters between the passes)."""
    recompute: Literal["none", "selective", "full"] = "none"
    """Activations that the backward pass computes again: none, all but matrix products, or all of a block."""
    compile: bool = False
    """Compile each block with torch.compile."""
    float8: bool = False
    """Matrix products of the blocks in float8 (torchao, on GPUs that have it)."""

    def __post_init__(self) -> None:
        for name in ("replicate", "context", "tensor"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: {getattr(self, name)} must be at least 1")
        if self.shard is not None and self.shard < 1:
            raise ValueError(f"shard: {self.shard} must be at least 1; leave it out for all processes left")

    def sizes(self, world: int) -> Sizes:
        """Sizes of the dimensions for `world` processes. Raises MismatchError where they do not fit."""
        others = self.replicate * self.context * self.tensor
        shard = self.shard if self.shard is not None else max(1, world // others)
        if others * shard != world:
            raise MismatchError(
                f"layout: replicate {self.replicate} × shard {shard} × context {self.context} × tensor {self.tensor} "
                f"is {others * shard} processes, but there are {world}; start as many, or change the layout"
            )
        return Sizes(self.replicate, shard, self.context, self.tensor)

    def refuse_undivided(self, *, kv_heads: int, mlp: int) -> None:
        """Raise MismatchError unless the tensor ranks divide a model of so many key/value heads and columns."""
        n = self.tensor
        for count, what in ((kv_heads, "key/value heads"), (mlp, "columns of the MLP")):
            if count % n:
                raise MismatchError(f"layout: tensor {n} does not divide the {count} {what}; choose a divisor")


@dataclass(frozen=True, kw_only=True)
class Process:
    """One of `world` processes; `local_rank` picks its GPU."""

    rank: int = 0
    local_rank: int = 0
    world: int = 1
    device_type: str = "cpu"
    context_world: int = 1
    tensor_world: int = 1

    def laid_out(self, layout: Layout) -> Process:
        """The same process in a layout. Raises MismatchError where it does not fit the number of processes."""
        layout.sizes(self.world)
        return replace(self, context_world=layout.context, tensor_world=layout.tensor)

    @property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device("cuda", self.local_rank) if self.device_type == "cuda" else torch.device(self.device_type)

    @property
    def leads(self) -> bool:
        """Whether this process writes what all share: metrics, run record, checkpoint names."""
        return self.rank == 0

    @property
    def data_world(self) -> int:
        """How many parts a step's sequences are dealt into."""
        return self.world // (self.context_world * self.tensor_world)

    @property
    def data_rank(self) -> int:
        """Which of these parts this process takes."""
        return self.rank // (self.context_world * self.tensor_world)

    @property
    def shard_world(self) -> int:
        """How many processes see different tokens: as many gradients FSDP averages over."""
        return self.world // self.tensor_world

    @property
    def context_rank(self) -> int:
        """Which part of its sequences it takes."""
        return self.rank // self.tensor_world % self.context_world


def launched(environment: Mapping[str, str]) -> Process:
    """This process as torchrun's variables describe it; alone where they are not set."""
    return Process(
        rank=int(environment.get("RANK", 0)),
        local_rank=int(environment.get("LOCAL_RANK", 0)),
        world=int(environment.get("WORLD_SIZE", 1)),
        device_type="cuda" if torch.cuda.is_available() else "cpu",
    )
