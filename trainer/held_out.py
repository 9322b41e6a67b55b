"""Loss on documents kept out of training, per component of a stage's mixture."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from mixtures.assemble import Window
from mixtures.stream import Stream
from trainer.data import micro_batch, micro_batches, passes, share
from trainer.layout import Process
from trainer.loss import counted, loss_sums
from trainer.model import Falcon2
from trainer.parallel import Mesh, reshard, summed


@dataclass(frozen=True, kw_only=True)
class HeldOutLoss:
    """Cross-entropy per token (nats): by component, and weighted by the components' shares in the stage."""

    loss: float
    components: dict[str, float]


def held_out_loss(
    model: Falcon2, stream: Stream, stage: int, *, limit: int, width: int, mesh: Mesh, process: Process
) -> HeldOutLoss | None:
    """Evaluate at most `limit` windows per component in forward passes of `width`; None where nothing is held out.

    Components too small to have a held-out window of this context are left out of both figures.
    """
    mixture = stream.schedule.mixture
    windows = stream.held_out(mixture.stages[stage].context, limit)
    components = {
        name: _mean_loss(model, windows[name], stream, stage, width, mesh, process)
        for name in mixture.shares(mixture.stages[stage])
        if len(windows.get(name, ()))
    }
    # Without a backward pass FSDP leaves the root's parameters gathered, and the model would show those instead of the
    # shards that the optimiser and the checkpoints know.
    reshard(model)
    if not components:
        return None
    shares = {name: float(mixture.shares(mixture.stages[stage])[name]) for name in components}
    weighted = sum(shares[name] * loss for name, loss in components.items())
    return HeldOutLoss(loss=weighted / sum(shares.values()), components=components)


@torch.no_grad()
def _mean_loss(
    model: Falcon2, windows: list[Window], stream: Stream, stage: int, width: int, mesh: Mesh, process: Process
) -> float:
    total = torch.zeros(2, dtype=torch.float64, device=process.device)
    rows, context = share(len(windows), process), stream.spans[stage].context
    for part in micro_batches(rows, width, passes(len(windows), width, process)):
        batch = micro_batch([windows[row] for row in part], context, stream.schedule.mixture)
        batch = batch.parted(process).to(process.device)
        sums = loss_sums(batch.logits(model), batch.targets)
        total += torch.stack((sums.cross_entropy, counted(batch.targets)))
    cross_entropy, targets = summed(total, mesh).tolist()
    return float(cross_entropy) / max(1.0, float(targets))
