"""Whole runs by four processes for `test_layouts.py`: four_ranks_train.py RECIPES TOKENS OUTPUT."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from trainer.errors import DivergedError
from trainer.layout import launched
from trainer.parallel import joined
from trainer.run import train

STOPS = (7, 8, 10)
"""In mid-ramp, at the end of a stage, and in mid-stage."""


def main(recipes: Path, tokens: Path, output: Path) -> None:
    """A run by tensor ranks handed over at three places, one from layout to layout, and one that goes back."""
    process = launched(os.environ)
    with joined(process):
        for stop in STOPS:
            recipe = recipes / "tensor" / "recipe.yaml"
            train(recipe, tokens=tokens, output=output / f"tensor-{stop}", process=process, stop_after=stop)
        for name, stop in (("shard", 7), ("tensor", 10), ("context", 14), ("replicate", None)):
            recipe = recipes / name / "recipe.yaml"
            train(recipe, tokens=tokens, output=output / "wandering", process=process, stop_after=stop)
        with suppress(DivergedError):  # when it has gone back as often as it may
            train(recipes / "nervous" / "recipe.yaml", tokens=tokens, output=output / "nervous", process=process)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
