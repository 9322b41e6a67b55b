"""One step's gradients by any number of processes, in any layout."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from mixtures.stream import Stream
from trainer.build import blank, initialise
from trainer.config import load_recipe, mixture_of
from trainer.data import Step, step_batches
from trainer.layout import Layout, Process
from trainer.loss import loss_sums, objective
from trainer.parallel import accumulating, full, joined, local_parameter_bytes, summed

UNEVEN = Step(number=1, stage=0, context=16, first=3, count=35)
LONELY = Step(number=1, stage=0, context=16, first=40, count=1)
"""Fewer sequences than two processes: one of them has none."""
TIED, UNTIED = 0, 3
"""Stages with the one kind of head and with the other."""


def gradients(
    recipe: Path, tokens: Path, process: Process, layout: Layout | None = None, *, stage: int = UNTIED
) -> dict[str, Any]:
    """Whole gradients, loss and bytes held, of a model at its initial weights."""
    config = load_recipe(recipe)
    config = replace(config, layout=layout or config.layout)
    process = process.laid_out(config.layout)
    stream = Stream.open(mixture_of(config, recipe), tokens)
    torch.set_num_threads(config.threads)
    found: dict[str, Any] = {}
    with joined(process, config.layout) as mesh:
        model = blank(config, config.stages[stage], mesh, process).model
        initialise(model, config.model, config.seed)
        found["bytes"] = local_parameter_bytes(model)
        found["weights"] = {name: full(p).detach().clone() for name, p in model.named_parameters()}
        for name, step in (("uneven", UNEVEN), ("lonely", LONELY)):
            total = torch.zeros((), dtype=torch.float64)
            batches = list(step_batches(stream, step, config.micro_batch, process))
            for number, batch in enumerate(batches, start=1):
                accumulating(model, config.layout, last=number == len(batches))
                sums = loss_sums(batch.logits(model), batch.targets)
                loss = objective(sums, step_tokens=step.tokens, z_loss=1e-4, world=process.shard_world)
                torch.autograd.backward(loss)
                total += sums.cross_entropy.detach()
            found[name] = {key: full(p.grad).clone() for key, p in model.named_parameters() if p.grad is not None}
            found[f"{name} norm"] = full(torch.nn.utils.clip_grad_norm_(model.parameters(), 1e9)).item()
            found[f"{name} loss"] = summed(total, mesh).item()
            model.zero_grad()
    return found


def worst(ours: dict[str, Any], theirs: dict[str, Any], step: str) -> dict[str, float]:
    """Relative difference of each parameter's gradient."""
    assert ours[step].keys() == theirs[step].keys()
    return {name: float((ours[step][name] - g).norm() / g.norm()) for name, g in theirs[step].items()}


def is_first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0
