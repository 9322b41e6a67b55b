"""The commands between documents and training: tokenize, mix."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from falconmix.commands import Commands, add, add_engine, add_json, print_json

if TYPE_CHECKING:
    from mixtures.shards import TokenizeJob


def add_commands(commands: Commands) -> None:
    """Declare the commands of this part."""
    _add_tokenize(commands)
    _add_mix(commands)


def _add_tokenize(commands: Commands) -> None:
    command = add(
        commands,
        "tokenize",
        _tokenize,
        "turn documents into token files",
        "falconmix tokenize out corpora/code.jsonl --tokenizer tokenizer.json --output tokens",
    )
    command.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="OUT|FILE",
        help="a curation run's folder, or parquet or jsonl documents",
    )
    command.add_argument(
        "--tokenizer", required=True, metavar="NAME|FILE", help="a tokenizer.json, or a name on the hub"
    )
    command.add_argument("--output", required=True, type=Path, metavar="TOKENS", help="folder of the token files")
    add_engine(command)
    add_json(command)


def _tokenize(options: argparse.Namespace) -> int:
    from mixtures.shards import finish, install_tokenizer, is_done, plan_tokenize
    from mixtures.tokenizer import open_tokenizer
    from pipeline.lock import locked
    from pipeline.lookup import url_key

    token_root = options.output.absolute()
    tokenizer = open_tokenizer(options.tokenizer)
    _refuse_unfinished(options.inputs)
    jobs = plan_tokenize([path.absolute() for path in options.inputs], token_root, tokenizer, url_key)
    with locked(token_root):
        install_tokenizer(tokenizer, token_root)
        left = [job for job in jobs if not is_done(job)]
        if left:
            _run(options, left)
        catalogue = finish(jobs, token_root)
    totals = {folder: catalogue.tokens(folder) for folder in sorted(catalogue.folders)}
    if options.json:
        print_json({"shards": len(jobs), "done_earlier": len(jobs) - len(left), "tokens": totals})
        return 0
    print(f"{len(jobs)} shard(s), {len(jobs) - len(left)} finished earlier")
    for folder, n in totals.items():
        print(f"  {folder:<32} {n:>14,} tokens")
    return 0


def _refuse_unfinished(inputs: list[Path]) -> None:
    from pipeline.errors import UsageError

    for path in inputs:
        if (path / "run.json").exists() and not (path / "report" / "stats.json").exists():
            raise UsageError(f"{path}: this curation run is not finished; run `falconmix curate` again to finish it")


def _run(options: argparse.Namespace, jobs: list[TokenizeJob]) -> None:
    from mixtures.shards import tokenize_shard
    from pipeline.errors import WorkError
    from pipeline.ray_engine import RayEngine

    engine = RayEngine(options.workers, options.address, options.stop)
    failed = []
    try:
        for done, outcome in enumerate(engine.run(tokenize_shard, jobs), start=1):
            if outcome.error is not None:
                failed.append(f"  {_located(outcome.unit.source, outcome.error)}")
            print(f"tokenize: {done}/{len(jobs)} {outcome.unit.output.parent.name}", file=sys.stderr)
    finally:
        engine.close()
    if failed:
        raise WorkError(
            "\n".join([f"{len(failed)} shard(s) failed; what was finished is kept. The first:", *failed[:5]])
        )


def _located(source: Path, error: object) -> str:
    """The error with the shard's path in front, unless it names it itself."""
    return str(error) if str(source) in str(error) else f"{source}: {error}"


def _add_mix(commands: Commands) -> None:
    command = add(
        commands,
        "mix",
        _mix,
        "show what each stage of a mixture will see",
        "falconmix mix falcon2-11b --plan --tokens tokens",
    )
    command.add_argument("recipe", metavar="RECIPE", help="a mixture recipe, by name or file")
    command.add_argument("--plan", action="store_true", required=True, help="tokens and epochs per stage and component")
    command.add_argument("--tokens", type=Path, metavar="TOKENS", help="token files to plan with")
    add_json(command)


def _mix(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from mixtures.plan import available_tokens, plan, plan_text
    from mixtures.spec import load_mixture

    mixture = load_mixture(options.recipe)
    made = plan(mixture, available_tokens(mixture, options.tokens) if options.tokens else None)
    if options.json:
        print_json(asdict(made))
    else:
        print(plan_text(made))
    return 0
