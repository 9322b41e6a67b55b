"""A plan, and what a dry run saw, as text and as values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from trainer.plan.compared import Row
from trainer.plan.dry_run import Seen
from trainer.plan.mends import size
from trainer.plan.planned import StagePlan, StepCost, TrainingPlan
from trainer.plan.traffic import Collective

_DAY_S = 86_400


def plan_text(plan: TrainingPlan) -> str:
    """What people read."""
    machines = plan.machines
    gpu = machines.gpu
    layout = " × ".join(f"{name} {n}" for name, n in plan.sizes._asdict().items() if n > 1)
    nodes = "1 node" if machines.nodes == 1 else f"{machines.nodes:,} nodes"
    costly = max((cost for stage in plan.stages for cost in stage.costs), key=lambda cost: cost.memory.total)
    lines = [
        f"{plan.recipe}: {plan.parameters:,} parameters, {plan.tokens:,} tokens",
        f"on {machines.gpus:,} × {machines.gpu_name}, {nodes}: {layout or 'one process'}",
        f"at {machines.efficiency:.3g} of {gpu.peak_flops / 1e12:,.4g} TFLOP/s ({'bf16' if gpu.mixed else 'fp32'}), "
        "downtime included",
        "",
        f"memory of a rank, worst moment ({costly.stage}, {costly.context:,} tokens, batch {costly.batch:,}):",
        *(f"  {name:<12}{size(part):>11}" for name, part in costly.memory.parts().items() if part),
        f"  {'total':<12}{size(plan.peak.total):>11} of {size(gpu.memory_bytes)}: {'fits' if plan.fits else 'too big'}",
        "",
        f"{'stage':<9}{'context':>8}{'batch':>8}{'passes':>8}{'steps':>9}{'s a step':>10}"
        f"{'compute':>10}{'in nodes':>10}{'network':>10}{'memory':>11}{'time':>14}{'GPU-hours':>12}",
    ]
    for stage in plan.stages:
        lines += [_cost_line(cost, machines.gpus) for cost in stage.costs]
    lines += [
        f"{'all':<82}{size(plan.peak.total):>11}{_time(plan.days):>14}{_number(plan.gpu_hours):>12}",
        "",
        f"{plan.tokens_per_second_and_gpu:,.4g} tokens/s a GPU; the model's own operations, attention's causal half "
        f"counted, are {plan.model_flops_utilisation:.1%} of the peak",
        "",
        f"communication of a rank in a step of {costly.stage}, batch {costly.batch:,}:",
        *(_collective_line(one, plan) for one in costly.collectives),
        *([] if costly.collectives else ["  none"]),
    ]
    warnings = [*([plan.advice.too_big] if plan.advice.too_big else []), *plan.advice.warnings]
    return "\n".join(lines + [f"\n! {warning}" for warning in warnings])


def _cost_line(cost: StepCost, gpus: int) -> str:
    days = cost.seconds / _DAY_S
    times = "".join(f"{_number(value):>10}" for value in (cost.step_s, cost.compute_s, cost.node_s, cost.network_s))
    return (
        f"{cost.stage:<9}{cost.context:>8,}{cost.batch:>8,}{cost.passes:>8,}{cost.steps:>9,}{times}"
        f"{size(cost.memory.total):>11}{_time(days):>14}{_number(days * 24 * gpus):>12}"
    )


def _number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 or value == 0 else f"{value:.3g}"


def _time(days: float) -> str:
    if days >= 1:
        return f"{days:,.1f} days"
    return f"{days * 24:.1f} hours" if days * 24 >= 1 else f"{days * 24 * 60:.1f} min"


def _collective_line(one: Collective, plan: TrainingPlan) -> str:
    gpu = plan.machines.gpu
    return (
        f"  {one.kind:<15}{one.what:<20}over {one.group.size:>5,} ({one.group.name}), {one.link(gpu):<8}"
        f"{one.calls:>8,} calls{size(one.sent_bytes):>13} through each rank{one.seconds(gpu):>9.2f} s"
    )


def plan_values(plan: TrainingPlan) -> dict[str, Any]:
    """What programs read; sizes in bytes, times in the unit of the name."""
    machines = plan.machines
    return {
        "recipe": plan.recipe,
        "gpu": machines.gpu_name,
        "gpus": machines.gpus,
        "nodes": machines.nodes,
        "efficiency": machines.efficiency,
        "layout": plan.sizes._asdict(),
        "parameters": plan.parameters,
        "tokens": plan.tokens,
        "fits": plan.fits,
        "peak_bytes_per_rank": plan.peak.total,
        "memory_bytes": machines.gpu.memory_bytes,
        "memory": plan.peak.parts(),
        "days": plan.days,
        "gpu_hours": plan.gpu_hours,
        "tokens_per_second_and_gpu": plan.tokens_per_second_and_gpu,
        "model_flops_utilisation": plan.model_flops_utilisation,
        "too_big": plan.advice.too_big,
        "warnings": list(plan.advice.warnings),
        "stages": [_stage_values(stage, plan) for stage in plan.stages],
    }


def _stage_values(stage: StagePlan, plan: TrainingPlan) -> dict[str, Any]:
    return {
        "name": stage.name,
        "context": stage.context,
        "tokens": stage.tokens,
        "fits": stage.memory.total <= plan.machines.gpu.memory_bytes,
        "peak_bytes_per_rank": stage.memory.total,
        "days": stage.days,
        "gpu_hours": stage.days * 24 * plan.machines.gpus,
        "steps": [_cost_values(cost, plan) for cost in stage.costs],
    }


def _cost_values(cost: StepCost, plan: TrainingPlan) -> dict[str, Any]:
    gpu = plan.machines.gpu
    return {
        "batch": cost.batch,
        "steps": cost.steps,
        "sequences_per_rank": cost.sequences_per_rank,
        "passes": cost.passes,
        "step_s": cost.step_s,
        "compute_s": cost.compute_s,
        "node_s": cost.node_s,
        "network_s": cost.network_s,
        "update_s": cost.update_s,
        "limit": cost.limit,
        "flops_per_rank": cost.flops_per_rank,
        "memory": cost.memory.parts(),
        "collectives": [
            {
                "kind": one.kind,
                "what": one.what,
                "group": one.group.name,
                "processes": one.group.size,
                "link": one.link(gpu),
                "calls": one.calls,
                "bytes": one.bytes,
                "sent_bytes": one.sent_bytes,
                "seconds": one.seconds(gpu),
            }
            for one in cost.collectives
        ],
    }


def seen_text(stage: str, seen: Seen, rows: Sequence[Row]) -> str:
    """What a dry run of one rank saw, beside the plan."""
    shapes = [f"    {name:<44}{' × '.join(map(str, shape))}" for name, shape in seen.shapes.items()]
    lines = [
        f"\n{stage}, rank {seen.rank} of mesh {seen.mesh}; its parts of the parameters, {size(seen.parameter_bytes)}:",
        *shapes,
        *([f"    nothing of {', '.join(seen.empty)}"] if seen.empty else []),
        f"  {'of a step':<26}{'unit':<6}{'planned':>24}{'seen':>24}  difference",
    ]
    for row in rows:
        lines.append(f"  {row.name:<26}{row.unit:<6}{row.planned:>24,.0f}{row.seen:>24,.0f}{row.difference:>+12.2%}")
    return "\n".join(lines)


def seen_values(stage: str, seen: Seen, rows: Sequence[Row]) -> dict[str, Any]:
    """The same for programs."""
    compared = [
        {"name": row.name, "unit": row.unit, "planned": row.planned, "seen": row.seen, "difference": row.difference}
        for row in rows
    ]
    return {"stage": stage, **vars(seen), "compared": compared}
