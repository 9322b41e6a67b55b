"""The command that plans a training: plan."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falconmix.commands import Commands, add, add_json, print_json

if TYPE_CHECKING:
    from trainer.config import TrainConfig
    from trainer.plan.dry_run import Order


def add_commands(commands: Commands) -> None:
    """Declare the command."""
    command = add(
        commands,
        "plan",
        _plan,
        "say what a training takes: memory, communication, time and GPU-hours",
        "falconmix plan falcon2-11b --gpus 1024 --gpu A100-40GB\n"
        "  falconmix plan falcon2-11b --gpus 1024 --gpu A100-40GB --dry-run --stage stage-1",
    )
    command.add_argument("recipe", metavar="RECIPE", help="a training recipe, by name or file")
    command.add_argument("--gpus", required=True, type=int, metavar="N", help="how many, over all nodes")
    command.add_argument("--gpu", required=True, metavar="TYPE", help="such as A100-40GB; an unknown one lists all")
    command.add_argument(
        "--efficiency",
        type=float,
        metavar="X",
        help="share of the peak that is reached, all stops included (default 0.23: Falcon2-11B's own training)",
    )
    command.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="plan with another micro_batch or layout.* than the recipe's",
    )
    command.add_argument("--hardware", type=Path, metavar="FILE", help="types of GPUs, in place of the known ones")
    command.add_argument("--dry-run", action="store_true", help="also run the trainer's code for single ranks")
    command.add_argument(
        "--ranks", type=_ranks, metavar="A,B", help="data-parallel ranks to run (default: the first and the last)"
    )
    command.add_argument("--stage", metavar="NAME", help="run one stage only (default: all)")
    add_json(command)


def _ranks(text: str) -> list[int]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of numbers; write 0,127")
    return [int(part) for part in text.split(",")]


def _plan(options: argparse.Namespace) -> int:
    from trainer.config import load_recipe, mixture_of
    from trainer.errors import MismatchError
    from trainer.plan.hardware import gpu_type
    from trainer.plan.planned import DEFAULT_EFFICIENCY, Machines, plan_training
    from trainer.plan.settings import with_settings
    from trainer.plan.text import plan_text, plan_values

    if not options.dry_run and (options.ranks is not None or options.stage is not None):
        raise MismatchError("--ranks and --stage say which parts to run: give --dry-run too, or leave them out")
    config = with_settings(load_recipe(options.recipe), options.settings)
    machines = Machines(
        gpu_name=options.gpu,
        gpu=gpu_type(options.gpu, options.hardware),
        gpus=options.gpus,
        efficiency=DEFAULT_EFFICIENCY if options.efficiency is None else options.efficiency,
    )
    plan = plan_training(config, mixture_of(config, options.recipe), machines)
    orders = _orders(config, plan, options) if options.dry_run else []
    if not options.json:
        print(plan_text(plan), flush=True)
    seen = [_run(order, quiet=options.json) for order in orders]
    if options.json:
        print_json(plan_values(plan) | ({"dry_run": seen} if orders else {}))
    return 0


def _orders(config: TrainConfig, plan: Any, options: argparse.Namespace) -> list[Order]:
    from trainer.plan.settings import orders

    return orders(config, plan, options.stage, options.ranks)


def _run(order: Order, *, quiet: bool) -> dict[str, Any]:
    from trainer.plan.compared import compared
    from trainer.plan.dry_run import dry_run
    from trainer.plan.text import seen_text, seen_values

    seen = dry_run(order)
    rows, stage = compared(order, seen), order.config.stages[order.stage].name
    if not quiet:
        print(seen_text(stage, seen, rows), flush=True)
    return seen_values(stage, seen, rows)
