"""The commands of the training arm: train, export."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from falconmix.commands import Commands, add


def add_commands(commands: Commands) -> None:
    """Declare the commands of this arm."""
    _add_train(commands)
    _add_export(commands)


def _add_train(commands: Commands) -> None:
    command = add(
        commands,
        "train",
        _train,
        "train a model through the stages of a mixture",
        "falconmix train demo --tokens tokens --output run\n"
        "  torchrun --nproc-per-node 8 -m falconmix.cli train falcon2-11b --tokens tokens --output run",
    )
    command.add_argument("recipe", metavar="RECIPE", help="a training recipe, by name or file")
    command.add_argument("--tokens", required=True, type=Path, metavar="TOKENS", help="what `falconmix tokenize` wrote")
    command.add_argument("--output", required=True, type=Path, metavar="RUN", help="folder of the run")
    command.add_argument("--restart", action="store_true", help="discard what RUN holds and begin anew")


def _train(options: argparse.Namespace) -> int:
    from trainer.parallel import launched
    from trainer.run import train

    return train(
        options.recipe,
        tokens=options.tokens,
        output=options.output,
        restart=options.restart,
        process=launched(os.environ),
    )


def _add_export(commands: Commands) -> None:
    command = add(
        commands,
        "export",
        _export,
        "write a checkpoint as a Hugging Face model",
        "falconmix export run hf",
    )
    command.add_argument("checkpoint", type=Path, metavar="CHECKPOINT", help="a checkpoint, or a run (its last one)")
    command.add_argument("output", type=Path, metavar="HF_DIR", help="folder to write")


def _export(options: argparse.Namespace) -> int:
    from trainer.hf import export

    print(f"exported to {export(options.checkpoint, options.output)}")
    return 0
