"""The commands of the training arm: train, trace, export."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from falconmix.commands import Commands, add, add_json
from falconmix.token_root import CACHE_BYTES, add_token_root, token_root


def add_commands(commands: Commands) -> None:
    """Declare the commands of this arm."""
    _add_train(commands)
    _add_trace(commands)
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
    add_token_root(command, required=True, what="what `falconmix tokenize` wrote")
    command.add_argument("--output", required=True, type=Path, metavar="RUN", help="folder of the run")
    command.add_argument("--restart", action="store_true", help="discard what RUN holds and begin anew")
    command.add_argument(
        "--from",
        dest="initial",
        type=Path,
        metavar="CHECKPOINT",
        help="begin with these weights: what `falconmix import-weights` wrote, or another run's checkpoint",
    )
    command.add_argument("--no-tensorboard", action="store_true", help="do not write RUN/tensorboard")
    command.add_argument("--wandb", metavar="PROJECT", help="log to this project of Weights & Biases as well")
    command.add_argument(
        "--profile", type=_steps, metavar="STEP[:N]", help="profile N steps (default: 1) from STEP on into RUN/profile"
    )
    command.add_argument(
        "--launch", type=int, metavar="NODES", help="print the line to start on each of so many nodes, and end"
    )
    command.add_argument("--gpus-per-node", type=int, default=8, metavar="N", help="for --launch (default: 8)")


def _launch(options: argparse.Namespace) -> int:
    from trainer.config import load_recipe
    from trainer.errors import MismatchError
    from trainer.launch import Launch, torchrun_line

    if options.restart:
        raise MismatchError(
            "--restart: the line is run again after each stop, to go on; delete the folder of RUN instead"
        )
    launch = Launch(nodes=options.launch, gpus_per_node=options.gpus_per_node)
    arguments = [options.recipe, "--tokens", options.tokens, "--output", str(options.output)]
    arguments += ["--token-cache", str(options.token_cache)] if options.token_cache else []
    if options.token_cache_bytes != CACHE_BYTES:
        arguments += ["--token-cache-bytes", str(options.token_cache_bytes)]
    arguments += ["--from", str(options.initial)] if options.initial else []
    arguments += ["--no-tensorboard"] if options.no_tensorboard else []
    arguments += ["--wandb", options.wandb] if options.wandb else []
    arguments += ["--profile", "{}:{}".format(*options.profile)] if options.profile else []
    print(torchrun_line(launch, load_recipe(options.recipe).layout, arguments))
    return 0


def _steps(text: str) -> tuple[int, int]:
    first, colon, count = text.partition(":")
    if not (first.isdecimal() and int(first)) or (colon and not (count.isdecimal() and int(count))):
        raise argparse.ArgumentTypeError(f"{text!r} is neither a step nor STEP:N, both from 1")
    return int(first), int(count or 1)


def _train(options: argparse.Namespace) -> int:
    if options.launch is not None:
        return _launch(options)
    from trainer.layout import launched
    from trainer.monitoring.sinks import Sinks
    from trainer.run import train

    return train(
        options.recipe,
        tokens=token_root(options),
        output=options.output,
        restart=options.restart,
        process=launched(os.environ),
        initial=options.initial,
        sinks=Sinks(tensorboard=not options.no_tensorboard, wandb=options.wandb, profile=options.profile),
    )


def _add_trace(commands: Commands) -> None:
    command = add(
        commands,
        "trace",
        _trace,
        "say which documents a training step holds, or which steps a page is seen in",
        "falconmix trace run --step 1200 --rank 3\n  falconmix trace run --url https://example.org/page",
    )
    command.add_argument("folder", type=Path, metavar="RUN", help="folder of a run")
    asked = command.add_mutually_exclusive_group(required=True)
    asked.add_argument("--step", type=int, metavar="N", help="the documents of step N, from 1")
    asked.add_argument("--url", metavar="U", help="the steps in which a page is seen, in any spelling of its address")
    command.add_argument("--rank", type=int, metavar="R", help="what process R sees of the step, from 0")
    command.add_argument("--world", type=int, metavar="W", help="number of processes (default: as last checkpointed)")
    command.add_argument(
        "--passed-over", action="store_true", help="what step N held when the run went back from it, for each time"
    )
    add_token_root(command, required=False, what="the token files, where they have moved")
    add_json(command)


def _trace(options: argparse.Namespace) -> int:
    from falconmix.tracing import trace_step, trace_url

    return trace_step(options) if options.step is not None else trace_url(options)


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
    command.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="type of the weights (default: as they are stored)"
    )


def _export(options: argparse.Namespace) -> int:
    from trainer.hf import export

    print(f"exported to {export(options.checkpoint, options.output, dtype=options.dtype)}")
    return 0
