"""The commands between documents and training: tokenize, mix."""

from __future__ import annotations

import argparse
import sys
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from falconmix import decontamination
from falconmix.commands import Commands, add, add_engine, add_json, print_json

PROOF_WORTH_BYTES = 64 << 20
"""Documents from which on a proof of some seconds is earned back by the fast engine."""

if TYPE_CHECKING:
    from mixtures.holdings import Holdings
    from mixtures.spec import Mixture
    from mixtures.tokenization import TokenizeJob
    from mixtures.tokenizer import Tokenizer


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
    decontamination.add_options(command)
    add_engine(command)
    add_json(command)


def _tokenize(options: argparse.Namespace) -> int:
    from mixtures.shards import finish, install_tokenizer, is_done, plan_tokenize, remove_drafts
    from mixtures.tokenization import Rules
    from mixtures.tokenizer import open_tokenizer
    from pipeline.lock import locked
    from pipeline.lookup import url_key

    token_root = options.output.absolute()
    tokenizer = open_tokenizer(options.tokenizer)
    _refuse_unfinished(options.inputs)
    evaluation = decontamination.settings_of(options)
    rules = Rules(url_key=url_key, decontamination=evaluation)
    jobs = plan_tokenize([path.absolute() for path in options.inputs], token_root, tokenizer, rules)
    with locked(token_root):
        remove_drafts(token_root)
        installed = install_tokenizer(tokenizer, token_root)
        left = [job for job in jobs if not is_done(job)]
        if left:
            _settle(tokenizer, installed, left)
            _run(options, left)
        catalogue = finish(jobs, token_root)
    totals = {folder: catalogue.tokens(folder) for folder in sorted(catalogue.folders)}
    found = decontamination.summary(evaluation, [job.output for job in jobs]) if evaluation else None
    if options.json:
        counts = {"shards": len(jobs), "done_earlier": len(jobs) - len(left), "tokens": totals}
        print_json(counts | ({"decontamination": found} if found else {}))
        return 0
    print(f"{len(jobs)} shard(s), {len(jobs) - len(left)} finished earlier")
    for folder, n in totals.items():
        print(f"  {folder:<32} {n:>14,} tokens")
    for line in decontamination.summary_lines(found) if found else ():
        print(line)
    return 0


def _settle(tokenizer: Tokenizer, installed: Path, jobs: list[TokenizeJob]) -> None:
    """Prove, where that is worth its time, that the fast engine gives the same ids; workers read the verdict."""
    from mixtures.fast_bpe.equality import settle
    from mixtures.fast_bpe.verdict import read_verdict

    known = read_verdict(installed, tokenizer.digest) is not None
    if known or sum(job.source.stat().st_size for job in jobs) < PROOF_WORTH_BYTES:
        return
    print("tokenize: holding the fast engine against the tokenizer, once", file=sys.stderr)
    settled = settle(tokenizer, installed)
    if not settled.fast:
        verdict = read_verdict(installed, tokenizer.digest)
        print(f"tokenize: Hugging Face's own engine serves: {verdict.reason if verdict else ''}", file=sys.stderr)


def _refuse_unfinished(inputs: list[Path]) -> None:
    from pipeline.errors import UsageError

    for path in inputs:
        if (path / "run.json").exists() and not (path / "report" / "stats.json").exists():
            raise UsageError(f"{path}: this curation run is not finished; run `falconmix curate` again to finish it")
        if (path / "work" / "begun.json").exists() and not (path / "import.json").exists():
            raise UsageError(f"{path}: this import is not finished; run `falconmix import` again to finish it")


def _run(options: argparse.Namespace, jobs: list[TokenizeJob]) -> None:
    from mixtures.tokenization import tokenize_shard
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
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("--plan", action="store_true", help="tokens and epochs per stage and component, and warnings")
    what.add_argument(
        "--estimate-weights", action="store_true", help="weights for languages by what there is of each; needs --tokens"
    )
    command.add_argument("--tokens", type=_folder, metavar="TOKENS", help="folder of the token files to plan with")
    command.add_argument("--html", type=Path, metavar="FILE", help="draw the plan over training time in one page")
    command.add_argument(
        "--temperature",
        type=_positive_fraction,
        metavar="T",
        help="share ∝ tokens^(1/T): 1 keeps proportions, more evens them out (default 10/3, the exponent .3 of mT5)",
    )
    command.add_argument("--out-of", type=_whole, metavar="N", help="sum of the weights (default 100)")
    add_json(command)


def _folder(text: str) -> Path:
    if "://" in text:
        raise argparse.ArgumentTypeError(
            f"{text} is no folder; plan where the token files were made, then copy `plans` there with them"
        )
    return Path(text)


def _positive_fraction(text: str) -> Fraction:
    try:
        value = Fraction(text)
    except (ValueError, ZeroDivisionError):
        value = Fraction(0)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0; write 2, 3.3 or 10/3")
    return value


def _whole(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number, 1 or more")
    return int(text)


def _mix(options: argparse.Namespace) -> int:
    return _estimate(options) if options.estimate_weights else _plan(options)


def _plan(options: argparse.Namespace) -> int:
    from dataclasses import asdict

    from mixtures.plan import known_values, plan, plan_text
    from mixtures.plan_page import plan_page
    from mixtures.spec import load_mixture

    _refuse(options, ("temperature", "out_of"), "--plan")
    mixture = load_mixture(options.recipe)
    found = _holdings(mixture, options.tokens) if options.tokens else None
    made = plan(mixture, found, known_values(options.recipe))
    if options.html:
        _write(options.html, plan_page(made))
    if options.json:
        print_json(asdict(made))
    else:
        print(plan_text(made))
    return 0


def _estimate(options: argparse.Namespace) -> int:
    from dataclasses import asdict, replace

    from mixtures.catalogue import read_catalogue
    from mixtures.errors import RecipeError
    from mixtures.estimate import OUT_OF, TEMPERATURE, by_folder, component_text, estimate_text, estimates
    from mixtures.spec import load_mixture

    _refuse(options, ("html",), "--estimate-weights")
    if not options.tokens:
        raise RecipeError("--estimate-weights weighs by what there is: give the token files with --tokens TOKENS")
    recipe = load_mixture(options.recipe)
    mixture = by_folder(recipe, read_catalogue(options.tokens))
    parts = [component for component in mixture.components if component not in recipe.components]
    found = _holdings(replace(mixture, changes=()), options.tokens)
    made = estimates(mixture, found, options.temperature or TEMPERATURE, options.out_of or OUT_OF)
    if options.json:
        names = {"components": [component.name for component in parts]} if parts else {}
        print_json({"groups": [asdict(one) for one in made]} | names)
        return 0
    if parts:
        print(f"components: # in place of {made[0].group}, a name that the group takes")
        print("\n".join(map(component_text, parts)))
    print("\n".join(["groups:", *(estimate_text(one, found) for one in made)]))
    return 0


def _holdings(mixture: Mixture, token_root: Path) -> Holdings:
    """What there is, plan files made; nobody else may write to the token files meanwhile."""
    from mixtures.catalogue import read_catalogue
    from mixtures.holdings import holdings
    from pipeline.lock import locked

    read_catalogue(token_root)  # first: a lock makes its folder
    with locked(token_root):
        return holdings(mixture, token_root, lambda line: print(f"mix: {line}", file=sys.stderr))


def _refuse(options: argparse.Namespace, names: tuple[str, ...], beside: str) -> None:
    from mixtures.errors import RecipeError

    for name in names:
        if getattr(options, name) is not None:
            raise RecipeError(f"--{name.replace('_', '-')} says nothing to {beside}; leave one of them out")


def _write(path: Path, page: str) -> None:
    from pipeline.errors import UsageError

    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{path}: cannot be written ({error.strerror}); give a file in a folder that exists"
        ) from error
