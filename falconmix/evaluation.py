"""The commands around finished models: evaluate, import-weights."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from falconmix.commands import Commands, add, add_json, print_json
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from trainer.results import Evaluation

SUITES = ("open-llm-v1", "zero-shot", "multilingual", "humaneval")


def add_commands(commands: Commands) -> None:
    """Declare the commands of this group."""
    _add_evaluate(commands)
    _add_import_weights(commands)


def _add_evaluate(commands: Commands) -> None:
    command = add(
        commands,
        "evaluate",
        _evaluate,
        "evaluate a Hugging Face model with lm-eval, beside the published figures",
        "falconmix evaluate hf --suite open-llm-v1 --device cuda --batch-size auto\n"
        "  falconmix evaluate hf --tasks my-tasks",
    )
    command.add_argument("model", type=Path, metavar="HF_DIR", help="what `falconmix export` wrote, or any such model")
    command.add_argument("--suite", choices=SUITES, help="settings and published figures of one of Falcon2's tables")
    command.add_argument(
        "--tasks",
        type=Path,
        metavar="DIR",
        help="local task files of lm-eval, in place of the suite's of the same names; without --suite, all of them",
    )
    command.add_argument("--limit", type=_positive, metavar="N", help="ask only the first N questions of each task")
    command.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, … (default: a GPU where there is one)")
    command.add_argument(
        "--batch-size", type=_batch_size, default="8", metavar="N", help="a number, or auto (default: 8)"
    )
    command.add_argument("--output", type=Path, metavar="FILE", help="results (default: HF_DIR/evaluation.json)")
    command.add_argument(
        "--allow-code-execution",
        action="store_true",
        help="run code that the model writes, on this machine (humaneval)",
    )
    add_json(command)


def _evaluate(options: argparse.Namespace) -> int:
    if options.suite is None and options.tasks is None:
        raise UsageError(f"what to evaluate? Give --suite ({', '.join(SUITES)}), or --tasks DIR, or both")
    _settle_environment(options)
    from trainer.evaluate import Settings, evaluate
    from trainer.results import table
    from trainer.suite import load_suite

    settings = Settings(
        suite=load_suite(options.suite) if options.suite else None,
        tasks=options.tasks,
        limit=options.limit,
        device=options.device,
        batch_size=options.batch_size,
        code_execution=options.allow_code_execution,
    )
    found = evaluate(options.model, settings, lambda text: print(text, file=sys.stderr, flush=True))
    written = _write(found, options)
    if options.json:
        print_json(asdict(found))
    else:
        print(table(found))
        print(f"results in {written}")
    return 0


def _write(found: Evaluation, options: argparse.Namespace) -> Path:
    from trainer.results import keep, write

    facts = _facts(options.model)
    if options.output is None:
        return keep(found, options.model, facts)
    write(options.output, {found.suite: asdict(found) | {"evaluated": facts}})
    path: Path = options.output
    return path


def _facts(model: Path) -> dict[str, Any]:
    """Which model it was."""
    from trainer.hf import read_record

    record = read_record(model) or {"folder": model.resolve().name}
    return {key: value for key, value in record.items() if key not in ("settings", "data")}


def _settle_environment(options: argparse.Namespace) -> None:
    """What the libraries read when they are imported."""
    if not sys.stderr.isatty():
        os.environ.setdefault("TQDM_MININTERVAL", "60")  # seconds between two lines of progress
    if options.allow_code_execution:
        os.environ["HF_ALLOW_CODE_EVAL"] = "1"


def _add_import_weights(commands: Commands) -> None:
    command = add(
        commands,
        "import-weights",
        _import_weights,
        "make a checkpoint to start from out of a Hugging Face model, such as the released Falcon-11B",
        "falconmix import-weights falcon-11B start",
    )
    command.add_argument(
        "model", type=Path, metavar="HF_DIR", help="folder with config, safetensors and tokenizer.json"
    )
    command.add_argument("output", type=Path, metavar="CHECKPOINT", help="folder to write")


def _import_weights(options: argparse.Namespace) -> int:
    from trainer.hf_import import import_weights

    found = import_weights(options.model, options.output)
    model = found.weights.model
    print(
        f"imported to {options.output}: {found.tensors} tensors, {model.layers} blocks of width {model.hidden}, "
        f"{'tied' if found.weights.tied else 'untied'} head, rotary base {found.weights.rope_theta:,.0f}, "
        f"context {found.weights.context:,}"
    )
    return 0


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _batch_size(text: str) -> str:
    if text != "auto":
        _positive(text)
    return text
