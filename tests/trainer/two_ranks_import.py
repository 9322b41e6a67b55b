"""What two processes do under torchrun for `test_hf_import.py`: two_ranks_import.py RECIPE CHECKPOINT OUTPUT."""

import os
import sys
from pathlib import Path

import torch
import torch.distributed as dist

from trainer.build import blank
from trainer.config import load_recipe
from trainer.hf_import import initial_weights
from trainer.layout import launched
from trainer.parallel import full, joined, local


def main(recipe: Path, checkpoint: Path, output: Path) -> None:
    process, config = launched(os.environ), load_recipe(recipe)
    with joined(process) as mesh:
        trained = blank(config, config.stages[3], mesh, process)
        initial_weights(checkpoint, trained, config.model)
        found = {name: full(parameter.detach()) for name, parameter in trained.model.named_parameters()}
        held = sum(local(parameter).numel() for parameter in trained.model.parameters())
        dist.barrier()  # whoever is done first must not hang up on the other
        torch.save({"weights": found, "held": held}, output / f"rank-{process.rank}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
