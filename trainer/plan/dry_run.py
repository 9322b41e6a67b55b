"""The trainer's own code, run for one rank of many without memory and without neighbours.

`python -m trainer.plan.dry_run` reads an order (JSON) from its input and writes what it saw to its output. It is a
process of its own, for a fake process group once joined stays: collectives return at once, tensors have shapes and no
content, so that 1,024 ranks with all their parameters take a few seconds of one core and some hundred MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from itertools import pairwise

import torch
import torch.distributed as dist
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing._internal.distributed.fake_pg import FakeStore

from mixtures.strict import load
from trainer.build import sharded_model
from trainer.config import TrainConfig
from trainer.data import MicroBatch
from trainer.errors import TrainerError
from trainer.layout import Process
from trainer.loss import loss_sums, objective
from trainer.model import Falcon2
from trainer.optim import adamw
from trainer.parallel import Mesh, accumulating, local, local_parameter_bytes
from trainer.plan.ledger import Ledger


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run: one rank, one stage."""

    config: TrainConfig
    world: int
    data_rank: int
    """Of those that see different sequences; its first context and tensor rank is run."""
    stage: int
    context: int
    sequences: int
    """Of one pass."""
    passes: int
    """Of a step."""
    mixed: bool


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one rank has and does; figures are of a whole step."""

    rank: int
    mesh: str
    shapes: dict[str, tuple[int, ...]]
    """Of this rank's parts of the parameters; equal blocks once."""
    empty: list[str]
    """Parameters of which this rank holds nothing."""
    parameter_bytes: int
    optimizer_bytes: int
    peak_bytes: int
    """With the optimiser's; the pass that needs most."""
    flops: int
    calls: dict[str, int]
    """Collectives by kind and number of processes, `all-gather over 128`."""
    bytes: dict[str, int]


def dry_run(order: Order) -> Seen:
    """Run an order in a process of its own. Raises TrainerError where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "trainer.plan.dry_run"],
        input=json.dumps(asdict(order)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no message"]
        raise TrainerError(f"dry run of data rank {order.data_rank}: {reason[0]}")
    content = json.loads(done.stdout)
    content["shapes"] = {name: tuple(shape) for name, shape in content["shapes"].items()}
    return Seen(**content)


def run(order: Order) -> Seen:
    """Run an order in this process, which joins a fake process group for it."""
    layout = order.config.layout
    rank = order.data_rank * layout.context * layout.tensor
    process = Process(rank=rank, world=order.world, device_type="meta").laid_out(layout)
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=order.world)
    mesh = replace(Mesh.of(layout.sizes(order.world), "cpu", saving="fake"), mixed=order.mixed)
    small, model = (_laid_out(order, mesh, process, layers) for layers in (2, order.config.model.layers))
    with FakeTensorMode(allow_non_fake_inputs=True):
        batch = _batch(order, process)
        for one in (small, model):
            one.to_empty(device="cpu")
        # First on two blocks: what DTensor works out once, on tensors of the whole's shape, is no work of this rank's.
        for last in (False, True):
            _take(small, batch, order, process, last=last)
        optimizer = adamw(model, order.config.optim)
        moments = sum(local(t).nbytes for state in optimizer.state.values() for t in state.values())
        ledger = Ledger([*model.parameters(), batch.inputs, batch.targets])
        tally = _tallied(ledger, lambda last: _take(model, batch, order, process, last=last), order.passes)
    return Seen(
        rank=rank,
        mesh=" × ".join(f"{name} {size}" for name, size in zip(_names(mesh), mesh.whole.shape, strict=True)),
        shapes=_shapes(model),
        empty=[name for name, parameter in model.named_parameters() if not local(parameter).numel()],
        parameter_bytes=local_parameter_bytes(model),
        optimizer_bytes=moments,
        peak_bytes=ledger.peak_bytes + moments,
        flops=tally["flops"],
        calls={name.removeprefix("calls "): n for name, n in tally.items() if name.startswith("calls ")},
        bytes={name.removeprefix("bytes "): n for name, n in tally.items() if name.startswith("bytes ")},
    )


def _names(mesh: Mesh) -> tuple[str, ...]:
    names = mesh.whole.mesh_dim_names
    assert names is not None
    return names


def _laid_out(order: Order, mesh: Mesh, process: Process, layers: int) -> Falcon2:
    config = replace(order.config.model, layers=layers)
    return sharded_model(config, order.config.stages[order.stage], order.config.layout, mesh, process)


def _batch(order: Order, process: Process) -> MicroBatch:
    tokens = torch.zeros(order.sequences, order.context, dtype=torch.long)
    return MicroBatch(inputs=tokens, targets=tokens.clone()).parted(process)


def _take(model: Falcon2, batch: MicroBatch, order: Order, process: Process, *, last: bool) -> None:
    """One pass, as `trainer.loop` makes it."""
    accumulating(model, order.config.layout, last=last)
    sums = loss_sums(batch.logits(model), batch.targets)
    torch.autograd.backward(
        objective(sums, step_tokens=1.0, z_loss=order.config.optim.z_loss, world=process.shard_world)
    )


def _tallied(ledger: Ledger, take: Callable[[bool], None], passes: int) -> Counter[str]:
    """Figures of a step of `passes`: the first, one like all in the middle, and the last are made."""
    tallies = [Counter[str]()]
    with ledger:
        for number in sorted({1, min(2, passes), passes}):
            take(number == passes)
            tallies.append(_figures(ledger))
    each = [after - before for before, after in pairwise(tallies)]
    step = Counter[str]()
    for counted, times in zip(each, [1] * len(each) if passes < 3 else [1, passes - 2, 1], strict=True):
        step.update({name: n * times for name, n in counted.items()})
    return step


def _figures(ledger: Ledger) -> Counter[str]:
    found = Counter(flops=ledger.flops)
    for (kind, size), calls in ledger.calls.items():
        found[f"calls {kind} over {size}"] = calls
        found[f"bytes {kind} over {size}"] = ledger.bytes[kind, size]
    return found


def _shapes(model: Falcon2) -> dict[str, tuple[int, ...]]:
    """Shapes of this rank's parts; one block stands for all."""
    return {
        name.replace("h.0.", "h.*."): tuple(local(parameter).shape)
        for name, parameter in model.named_parameters()
        if not name.startswith("h.") or name.startswith("h.0.")
    }


if __name__ == "__main__":
    print(json.dumps(asdict(run(load(Order, json.load(sys.stdin), name="order")))))
