"""What a plan says of itself: what is too big, what waits, what does not divide, and what to change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from trainer.config import TrainConfig

if TYPE_CHECKING:
    from trainer.plan.planned import StepCost, TrainingPlan


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Sentences."""

    too_big: str | None = None
    """Why it does not fit, and the mend; None where it does."""
    warnings: tuple[str, ...] = ()


def advice(plan: TrainingPlan, config: TrainConfig) -> Advice:
    """All there is to say."""
    costs = [cost for stage in plan.stages for cost in stage.costs]
    data = plan.sizes.data
    uneven = [cost for cost in costs if cost.batch % data]
    partly = [cost for cost in costs if not cost.batch % data and cost.sequences_per_rank % config.micro_batch]
    waiting = [cost for cost in costs if cost.limit != "compute"]
    warnings = [
        *(_uneven(cost, data) for cost in uneven[:1]),
        *(_partly(cost, config) for cost in partly[:1] if cost.sequences_per_rank > config.micro_batch),
        *(_waiting(cost, plan, config) for cost in sorted(waiting, key=lambda cost: -cost.seconds)[:1]),
        *_across_nodes(plan),
    ]
    return Advice(too_big=None if plan.fits else _too_big(plan, config), warnings=tuple(warnings))


def _too_big(plan: TrainingPlan, config: TrainConfig) -> str:
    peak, machines = plan.peak, plan.machines
    stage = max(plan.stages, key=lambda stage: stage.memory.total)
    parts = peak.parts()
    largest = max((name for name in parts if name != "reserve"), key=lambda name: parts[name])
    return (
        f"does not fit: {stage.name} needs {size(peak.total)} a rank, {machines.gpu_name} has "
        f"{size(machines.gpu.memory_bytes)}; largest are {largest}, {size(parts[largest])}: {_mend(largest, config)}"
    )


def _mend(part: str, config: TrainConfig) -> str:
    layout = config.layout
    tensor = "raise layout.tensor" if layout.tensor < config.model.kv_heads else "cut sequences with layout.context"
    if part in ("activations", "logits"):
        if config.micro_batch > 1:
            return "lower micro_batch"
        return "set layout.recompute: full" if part == "activations" and layout.recompute != "full" else tensor
    if part == "gradients" and layout.accumulate == "whole":
        return f"set layout.accumulate: sharded, or {tensor}"
    if part in ("gathered", "reducing"):
        return "set layout.reshard: true" if part == "gathered" and not layout.reshard else tensor
    replicas = ", or lower layout.replicate" if layout.replicate > 1 else ""
    return f"take more GPUs, so that each holds less{replicas}"


def _uneven(cost: StepCost, data: int) -> str:
    return (
        f"{cost.stage}: a batch of {cost.batch:,} sequences does not divide evenly over {data:,} data-parallel ranks; "
        f"some have {cost.sequences_per_rank:,}, others one fewer, and wait"
    )


def _partly(cost: StepCost, config: TrainConfig) -> str:
    return (
        f"{cost.stage}: {cost.sequences_per_rank:,} sequences a rank do not divide evenly by micro_batch "
        f"{config.micro_batch}; the last of {cost.passes:,} passes is partly empty"
    )


def _waiting(cost: StepCost, plan: TrainingPlan, config: TrainConfig) -> str:
    layout, gpu = config.layout, plan.machines.gpu
    link = "network" if cost.limit == "network" else "node"
    longest = max((one for one in cost.collectives if one.link(gpu) == link), key=lambda one: one.seconds(gpu))
    mend = "raise the batch, or take fewer GPUs"
    if longest.group.name in ("tensor", "context"):
        mend = f"lower layout.{longest.group.name}"
    elif cost.passes > 1 and layout.accumulate == "sharded":
        mend = "set layout.accumulate: whole with layout.reshard: false, or raise micro_batch"
    elif cost.passes > 1 and layout.reshard:
        mend = "set layout.reshard: false, or raise micro_batch"
    waits = max(cost.node_s, cost.network_s)
    return (
        f"{cost.stage}, batch {cost.batch:,}: a step waits for the {cost.limit}, {waits:.2f} s against "
        f"{cost.compute_s:.2f} s of computing; {mend}"
    )


def _across_nodes(plan: TrainingPlan) -> list[str]:
    tensor, per_node = plan.sizes.tensor, plan.machines.gpu.gpus_per_node
    if tensor <= per_node and per_node % tensor == 0:
        return []
    return [f"layout: tensor {tensor} spans nodes of {per_node}; choose a divisor of {per_node}"]


def size(size_bytes: float) -> str:
    """A size as people read it."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if size_bytes >= unit:
            return f"{size_bytes / unit:,.1f} {name}"
    return f"{size_bytes / 1024:,.1f} KiB"
