"""What four processes do under torchrun for `test_layouts.py`: four_ranks.py RECIPE TOKENS OUTPUT NAME…"""

import os
import sys
from pathlib import Path

import torch

from tests.trainer import float8
from tests.trainer.gradients import TIED, UNTIED, gradients
from trainer.layout import Layout, launched
from trainer.parallel import joined

LAYOUTS = {
    "shard": Layout(),
    "shard, kept": Layout(reshard=False),
    "shard, full": Layout(recompute="full"),
    "shard, selective": Layout(recompute="selective"),
    "shard, whole": Layout(accumulate="whole"),
    "shard, kept, whole": Layout(accumulate="whole", reshard=False),
    "replicate and tensor, whole": Layout(replicate=2, tensor=2, accumulate="whole"),
    "tensor, kept, whole": Layout(tensor=2, accumulate="whole", reshard=False),
    "replicate": Layout(replicate=2),
    "tensor": Layout(tensor=2),
    "tensor, full": Layout(tensor=2, recompute="full"),
    "tensor, selective": Layout(tensor=2, recompute="selective"),
    "replicate and tensor": Layout(replicate=2, tensor=2),
    "context": Layout(context=2),
    "context and tensor": Layout(context=2, tensor=2),
    "tensor, float8": Layout(tensor=2, float8=True),
    "shard, compiled": Layout(compile=True),
    "tensor, compiled": Layout(tensor=2, compile=True),
    "tensor, compiled, full": Layout(tensor=2, compile=True, recompute="full"),
    "tensor, compiled, selective": Layout(tensor=2, compile=True, recompute="selective"),
    "context, compiled": Layout(context=2, compile=True),
    "context, compiled, selective": Layout(context=2, compile=True, recompute="selective"),
}


def main(recipe: Path, tokens: Path, output: Path, *names: str) -> None:
    process = launched(os.environ)
    float8.install()
    with joined(process):
        for name in names:
            for stage in (TIED, UNTIED):
                found = gradients(recipe, tokens, process, LAYOUTS[name], stage=stage)
                torch.save(found, output / f"{name}-{stage}-{process.rank}.pt")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]), *sys.argv[4:])
