"""What processes send one another in a step, and over which link.

A ring of n processes passes (n − 1)/n of the whole through each of them, for gathering and for scattering alike, and
twice that for a sum that all keep (collectives as in Thakur et al., 2005, and NCCL's rings).

Ranks follow `trainer.layout`: tensor ranks are neighbours, then contexts, then shards, then replicas; a node holds
consecutive ranks. Where a group lies in one node, all goes over the node's own links. Where it spans nodes, each ring
crosses each border between nodes once, so a node with m of the group's processes sends the whole once, not m times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.layout import Sizes
from trainer.plan.hardware import Gpu
from trainer.plan.memory import Pass

Kind = Literal["all-gather", "reduce-scatter", "all-reduce"]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Processes that collectives run over: how many, and how far apart their ranks are."""

    name: str
    size: int
    stride: int

    def neighbours(self, gpus_per_node: int) -> int:
        """How many of them share a node."""
        return max(1, min(self.size, gpus_per_node // self.stride))


@dataclass(frozen=True, kw_only=True)
class Collective:
    """Calls of one kind over one group; `bytes` is what all calls gather, scatter or sum, whole."""

    kind: Kind
    what: str
    group: Group
    calls: int
    bytes: int

    def times(self, n: int) -> Collective:
        """The same, `n` times."""
        return Collective(kind=self.kind, what=self.what, group=self.group, calls=self.calls * n, bytes=self.bytes * n)

    @property
    def sent_bytes(self) -> int:
        """What goes through each process."""
        rounds = 2 if self.kind == "all-reduce" else 1
        return rounds * self.bytes * (self.group.size - 1) // self.group.size

    def link(self, gpu: Gpu) -> Literal["node", "network"]:
        """The slowest link that it needs."""
        return "node" if self.group.neighbours(gpu.gpus_per_node) == self.group.size else "network"

    def seconds(self, gpu: Gpu) -> float:
        """Time at the full bandwidth of the slowest link."""
        if self.link(gpu) == "node":
            return self.sent_bytes / gpu.node_bandwidth
        within = self.group.neighbours(gpu.gpus_per_node)
        return max(self.sent_bytes / within / gpu.network_bandwidth, self.sent_bytes / gpu.node_bandwidth)


@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups of a layout."""

    tensor: Group
    context: Group
    parameters: Group
    replicate: Group

    @classmethod
    def of(cls, sizes: Sizes) -> Groups:
        """Those of a layout of these sizes."""
        replicate, shard, context, tensor = sizes
        return cls(
            tensor=Group(name="tensor", size=tensor, stride=1),
            context=Group(name="context", size=context, stride=tensor),
            parameters=Group(name="parameters", size=shard * context, stride=tensor),
            replicate=Group(name="replicate", size=replicate, stride=shard * context * tensor),
        )


def collectives_of_a_step(run: Pass, groups: Groups, passes: int) -> list[Collective]:
    """All of one process's in a step of `passes` passes, those of groups of one left out."""
    each_pass = [*_activations(run, groups), _loss(run, groups)]
    found = [*(one.times(passes) for one in each_pass), *_parameters(run, groups, passes)]
    return [one for one in found if one.group.size > 1 and one.calls]


def _parameters(run: Pass, groups: Groups, passes: int) -> list[Collective]:
    """FSDP's: a block or the root at a time."""
    L, layout = run.model.layers, run.layout
    elements = L * run.block.gathered + run.root.gathered
    once = layout.accumulate == "whole" and not layout.reshard
    gathers = (2 if layout.reshard else 1) * (1 if once else passes)
    reductions = 1 if layout.accumulate == "whole" else passes
    over, copies = groups.parameters, groups.replicate
    shards = elements * 4 // over.size
    norms = reductions * (2 * L + 2)
    # Norms are not divided: each tensor rank has the gradient of its part of the positions.
    norm_bytes = norms * run.model.hidden * (4 if run.adds_up_whole else run.width)
    return [
        Collective(
            kind="all-gather",
            what="parameters",
            group=over,
            calls=gathers * (L + 1),
            bytes=gathers * elements * run.width,
        ),
        Collective(
            kind="reduce-scatter",
            what="gradients",
            group=over,
            calls=reductions * (L + 1),
            bytes=reductions * elements * 4,
        ),
        Collective(
            kind="all-reduce", what="gradients", group=copies, calls=reductions * (L + 1), bytes=reductions * shards
        ),
        Collective(kind="all-reduce", what="gradients of norms", group=groups.tensor, calls=norms, bytes=norm_bytes),
    ]


def _activations(run: Pass, groups: Groups) -> list[Collective]:
    """Of one pass: the residual stream over tensor ranks, keys and values over contexts."""
    L, t = run.model.layers, run.layout.tensor
    stream = run.tokens * run.model.hidden * run.width
    gathers = 2 * L + 2 + (L if run.recomputes else 0)
    scatters = 2 * L + 2
    keys = run.sequences * run.context * run.model.kv_heads * run.model.head_width // t * run.width
    kv_gathers = 2 * L * (2 if run.recomputes else 1)
    places = Collective(kind="all-gather", what="places", group=groups.context, calls=1, bytes=run.context * 8)
    return [
        places,
        Collective(kind="all-gather", what="activations", group=groups.tensor, calls=gathers, bytes=gathers * stream),
        Collective(
            kind="reduce-scatter", what="activations", group=groups.tensor, calls=scatters, bytes=scatters * stream
        ),
        Collective(
            kind="all-gather",
            what="keys and values",
            group=groups.context,
            calls=kv_gathers,
            bytes=kv_gathers * keys,
        ),
        Collective(
            kind="reduce-scatter", what="keys and values", group=groups.context, calls=2 * L, bytes=2 * L * keys
        ),
    ]


def _loss(run: Pass, groups: Groups) -> Collective:
    """Of one pass: each row's maximum, then its sum of exponentials and its target's logit, in fp32."""
    return Collective(kind="all-reduce", what="loss", group=groups.tensor, calls=2, bytes=3 * run.tokens * 4)


def seconds_by_link(collectives: Sequence[Collective], gpu: Gpu) -> dict[str, float]:
    """Time of all, by the slowest link of each."""
    found = {"node": 0.0, "network": 0.0}
    for one in collectives:
        found[one.link(gpu)] += one.seconds(gpu)
    return found
