"""What two processes do under torchrun for `test_parallel.py`: two_ranks.py RECIPE TOKENS OUTPUT."""

import os
import sys
from pathlib import Path

import torch

from tests.trainer.gradients import gradients
from trainer.layout import launched
from trainer.parallel import joined
from trainer.run import train


def main(recipe: Path, tokens: Path, output: Path) -> None:
    process = launched(os.environ)
    with joined(process):
        torch.save(gradients(recipe, tokens, process), output / f"rank-{process.rank}.pt")
        train(recipe, tokens=tokens, output=output / "whole", process=process)
        for stop in (7, 9, None):
            train(recipe, tokens=tokens, output=output / "stopped", process=process, stop_after=stop)
        train(recipe, tokens=tokens, output=output / "handed-over", process=process, stop_after=9)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
