"""One step's gradients by any number of processes."""

from pathlib import Path
from typing import Any

import torch

from mixtures.stream import Stream
from trainer.build import blank, initialise
from trainer.config import load_recipe, mixture_of
from trainer.data import Step, step_batches
from trainer.loss import loss_sums, objective
from trainer.layout import Process
from trainer.parallel import full, joined, local_parameter_bytes, summed

UNEVEN = Step(number=1, stage=0, context=16, first=3, count=35)
LONELY = Step(number=1, stage=0, context=16, first=40, count=1)
"""Fewer sequences than two processes: one of them has none."""


def gradients(recipe: Path, tokens: Path, process: Process) -> dict[str, Any]:
    """Whole gradients, loss and bytes held, of an untied model at its initial weights."""
    config = load_recipe(recipe)
    stream = Stream.open(mixture_of(config, recipe), tokens)
    torch.set_num_threads(config.threads)
    found: dict[str, Any] = {}
    with joined(process) as mesh:
        model = blank(config, config.stages[3], mesh, process).model
        initialise(model, config.model, config.seed)
        found["bytes"] = local_parameter_bytes(model)
        for name, step in (("uneven", UNEVEN), ("lonely", LONELY)):
            total = torch.zeros((), dtype=torch.float64)
            for batch in step_batches(stream, step, config.micro_batch, process):
                sums = loss_sums(model(batch.inputs), batch.targets)
                loss = objective(sums, step_tokens=step.tokens, z_loss=1e-4, world=process.world)
                torch.autograd.backward(loss)
                total += sums.cross_entropy.detach()
            found[name] = {key: full(p.grad).clone() for key, p in model.named_parameters() if p.grad is not None}
            found[f"{name} loss"] = summed(total, mesh).item()
            model.zero_grad()
    return found
