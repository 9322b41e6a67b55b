"""The plan's formulae held against a dry run of the code."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from trainer.plan.dry_run import Order, Seen
from trainer.plan.memory import Pass, peak_memory
from trainer.plan.shapes import Division
from trainer.plan.traffic import Groups, collectives_of_a_step
from trainer.plan.work import work_of_a_sequence


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of a step and rank, planned and seen."""

    name: str
    unit: str
    """`bytes`, `FLOPs` or `calls`."""
    planned: float
    seen: float

    @property
    def difference(self) -> float:
        """Of what was seen from the plan, as a share of the plan."""
        if self.planned == 0:
            return 0.0 if self.seen == 0 else float("inf")
        return self.seen / self.planned - 1


def compared(order: Order, seen: Seen) -> list[Row]:
    """Peak memory, arithmetic and every kind of collective."""
    layout = order.config.layout
    sizes = layout.sizes(order.world)
    run = Pass(
        model=order.config.model,
        tied=order.config.stages[order.stage].tied,
        layout=layout,
        division=Division.of(sizes),
        sequences=order.sequences,
        context=order.context,
        several=order.passes > 1,
        width=2 if order.mixed else 4,
    )
    work = work_of_a_sequence(order.config.model, layout, order.context)
    flops = work.hardware * order.sequences * order.passes // (layout.tensor * layout.context)
    calls, sizes_bytes = Counter[str](), Counter[str]()
    for one in collectives_of_a_step(run, Groups.of(sizes), order.passes):
        name = f"{one.kind} over {one.group.size}"
        calls[name] += one.calls
        sizes_bytes[name] += one.bytes
    rows = [
        Row(name="peak memory", unit="bytes", planned=peak_memory(run).total, seen=seen.peak_bytes),
        Row(name="arithmetic", unit="FLOPs", planned=flops, seen=seen.flops),
    ]
    for name in sorted(calls.keys() | seen.calls.keys()):
        rows.append(Row(name=name, unit="calls", planned=calls[name], seen=seen.calls.get(name, 0)))
        rows.append(Row(name=name, unit="bytes", planned=sizes_bytes[name], seen=seen.bytes.get(name, 0)))
    return rows
