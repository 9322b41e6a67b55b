"""What two processes do under torchrun for `test_run.py`: two_gpus.py DEVICE OUTPUT."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import torch

from tests.gpu.models import CONFIG, batch
from tests.gpu.test_model import STAGE
from trainer.build import initialise, sharded_model
from trainer.data import MicroBatch, share
from trainer.layout import Layout, Process, launched
from trainer.loss import loss_sums, objective
from trainer.parallel import full, joined

LAYOUTS = {
    "shard": Layout(),
    "replicate": Layout(replicate=2),
    "tensor": Layout(tensor=2),
    "context": Layout(context=2),
    "shard, compiled, full": Layout(compile=True, recompute="full"),
    "tensor, compiled": Layout(tensor=2, compile=True),
}


def gradients_of(process: Process, layout: Layout) -> dict[str, torch.Tensor]:
    """Whole gradients of four sequences, three by one process and one by the other, where both see different ones."""
    process = process.laid_out(layout)
    with joined(process, layout) as mesh:
        model = sharded_model(CONFIG, STAGE, layout, mesh, process)
        initialise(model, CONFIG, 1)
        inputs, targets = batch(torch.device("cpu"), rows=4)
        mine = slice(*((0, 3), (3, 4))[process.data_rank]) if process.data_world > 1 else slice(0, 4)
        assert process.data_world > 1 or list(share(4, process)) == [0, 1, 2, 3]
        part = MicroBatch(inputs=inputs[mine], targets=targets[mine]).parted(process).to(process.device)
        sums = loss_sums(part.logits(model), part.targets)
        world = process.shard_world
        torch.autograd.backward(objective(sums, step_tokens=targets.numel(), z_loss=1e-4, world=world))
        return {name: full(p.grad).float().cpu() for name, p in model.named_parameters() if p.grad is not None}


def main(device_type: str, output: Path) -> None:
    process = replace(launched(os.environ), device_type=device_type)
    torch.set_num_threads(1)
    with joined(process):
        for name, layout in LAYOUTS.items():
            if layout.compile and device_type == "cpu":
                continue
            found = gradients_of(process, layout)
            if process.leads:
                torch.save(found, output / f"{name}.pt")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
