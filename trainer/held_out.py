"""Loss on documents kept out of training, per component of a stage's mixture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mixtures.stream import Stream
from trainer.data import micro_batches, passes, share, split
from trainer.loss import loss_sums
from trainer.model import Falcon2
from trainer.parallel import Process, reshard, summed


@dataclass(frozen=True, kw_only=True)
class HeldOutLoss:
    """Cross-entropy per token (nats): by component, and weighted by the components' shares in the stage."""

    loss: float
    components: dict[str, float]


def held_out_loss(
    model: Falcon2, stream: Stream, stage: int, *, limit: int, width: int, process: Process
) -> HeldOutLoss | None:
    """Evaluate at most `limit` windows per component in forward passes of `width`; None where nothing is held out.

    Components too small to have a held-out window of this context are left out of both figures.
    """
    mixture = stream.schedule.mixture
    windows = stream.held_out(mixture.stages[stage].context, limit)
    components = {
        name: _mean_loss(model, windows[name], width, process)
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
def _mean_loss(model: Falcon2, windows: npt.NDArray[np.int64], width: int, process: Process) -> float:
    total = torch.zeros((), dtype=torch.float64, device=process.device)
    rows = share(len(windows), process)
    for part in micro_batches(rows, width, passes(len(windows), width, process)):
        batch = split(windows[list(part)], process)
        total += loss_sums(model(batch.inputs), batch.targets).cross_entropy
    targets = int(windows[:, 1:].size)
    return float(summed(total).item()) / targets
