"""Whole runs by four processes for `test_layouts.py`: four_ranks_train.py RECIPES TOKENS OUTPUT."""

import os
import sys
from pathlib import Path

from trainer.layout import launched
from trainer.parallel import joined
from trainer.run import train

STOPS = (7, 8, 10)
"""In mid-ramp, at the end of a stage, and in mid-stage."""


def main(recipes: Path, tokens: Path, output: Path) -> None:
    """A run by tensor ranks that is handed over at three places, and one that goes from layout to layout."""
    process = launched(os.environ)
    with joined(process):
        for stop in STOPS:
            recipe = recipes / "tensor" / "recipe.yaml"
            train(recipe, tokens=tokens, output=output / f"tensor-{stop}", process=process, stop_after=stop)
        for name, stop in (("shard", 7), ("tensor", 10), ("context", 14), ("replicate", None)):
            recipe = recipes / name / "recipe.yaml"
            train(recipe, tokens=tokens, output=output / "wandering", process=process, stop_after=stop)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
