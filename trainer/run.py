"""`falconmix train`: a run in its folder, begun, gone on with, or found to be finished.

RUN/run.json           recipe (resolved), versions, fingerprint, whether it is finished
RUN/metrics.jsonl      see `trainer.metrics`
RUN/curves.html        the loss over tokens
RUN/checkpoints/       see `trainer.checkpoint`
"""

from __future__ import annotations

import shutil
import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.distributed as dist

from mixtures.catalogue import TOKENIZER
from mixtures.roots import TokenRoot, as_root
from mixtures.stream import Stream
from mixtures.tokenizer import check_same
from trainer import checkpoint, curves, record
from trainer.build import Trained, blank, initialise
from trainer.config import TrainConfig, load_recipe, mixture_of
from trainer.data import StepPlan
from trainer.errors import MismatchError, writing
from trainer.layout import Process
from trainer.loader import StepsAhead
from trainer.lock import locked
from trainer.loop import Progress, Setting, train_stages
from trainer.metrics import MetricsLog, Terminal
from trainer.parallel import Mesh, joined, local_parameter_bytes
from trainer.record import Identity, Sources, resolved
from trainer.signals import StopWish, listening

STOPPED = 130
"""Exit code of a run that was asked to stop, as of any command that was interrupted: whoever waits must not go on."""


def train(
    recipe: str | Path,
    *,
    tokens: Path | TokenRoot,
    output: Path,
    restart: bool = False,
    process: Process | None = None,
    stop_after: int | None = None,
) -> int:
    """Train `recipe` on the token files below `tokens`, in the folder `output`; returns the exit code: 0, or STOPPED.

    An unfinished run of the same recipe and tokens in `output` goes on from its last checkpoint; a finished one is
    left as it is. `restart` deletes it first. `stop_after` stops, resumably, after that step; so do SIGTERM and SIGINT
    after the current one. Raises TrainerError or RecipeError.
    """
    process = process or Process()
    order = _ordered(recipe, as_root(tokens), output)
    if not restart and _finished(order):
        _say(process, f"{output}: this run is finished; --restart would begin it again")
        return 0
    torch.set_num_threads(order.config.threads)
    with locked(output) if process.leads else nullcontext():
        process = process.laid_out(order.config.layout)
        with joined(process, order.config.layout) as mesh:
            if process.leads:
                _open_folder(order, restart=restart)
            dist.barrier()
            finished = _train(order, mesh, process, StopWish(after_step=stop_after))
        if process.leads:
            _close_folder(order, finished=finished)
    return 0 if finished else STOPPED


@dataclass(frozen=True, kw_only=True)
class _Order:
    """What was asked for, resolved."""

    config: TrainConfig
    stream: Stream
    tokens: TokenRoot
    output: Path
    identity: Identity

    @property
    def sources(self) -> Sources:
        """Where its sequences come from."""
        return Sources(tokens=self.tokens.address, changes=self.stream.schedule.mixture.changes)


def _ordered(recipe: str | Path, tokens: TokenRoot, output: Path) -> _Order:
    config = load_recipe(recipe)
    mixture = mixture_of(config, recipe)
    stream = Stream.open(mixture, tokens)
    if config.model.vocab < stream.vocab_size:
        raise MismatchError(
            f"recipe {config.name}: model.vocab is {config.model.vocab}, but the tokenizer of {tokens.shown('')} has "
            f"{stream.vocab_size} tokens; raise model.vocab to that or more"
        )
    check_same(stream.local(TOKENIZER), stream.tokenizer_digest)  # export will give it to the model's users
    identity = Identity.of(config, mixture, stream.tokenizer_digest)
    return _Order(config=config, stream=stream, tokens=tokens, output=output, identity=identity)


def _finished(order: _Order) -> bool:
    """Whether the folder holds this run, finished. Raises MismatchError where it holds another."""
    earlier = record.read(order.output)
    if earlier is None:
        _refuse_foreign(order.output)
        return False
    if earlier["fingerprint"] != order.identity.fingerprint:
        fields = ", ".join(order.identity.differences(earlier["identity"])[:5])
        raise MismatchError(
            f"{order.output}: holds a run of another recipe, mixture or tokenizer (differs in {fields}); "
            "give another --output, or --restart to delete it and begin again"
        )
    return bool(earlier["finished"])


def _refuse_foreign(output: Path) -> None:
    """Raise MismatchError where `output`, which has no `run.json`, holds what a run would overwrite."""
    for path in (*output.glob("checkpoints/*"), *output.glob("metrics.jsonl")):
        raise MismatchError(
            f"{path}: is there, but no {output / 'run.json'} that says of which run it is; "
            "give another --output, or --restart to delete it and begin anew"
        )


def _open_folder(order: _Order, *, restart: bool) -> None:
    checkpoints = order.output / "checkpoints"
    with writing(order.output):
        if restart:
            # The record first: should the rest be cut off, nothing calls what is left a finished run.
            (order.output / "run.json").unlink(missing_ok=True)
            if checkpoints.exists():
                shutil.rmtree(checkpoints)
        checkpoint.remove_drafts(checkpoints)
        checkpoints.mkdir(exist_ok=True)
    record.write(order.output, order.config, order.identity, order.sources, finished=False)


def _close_folder(order: _Order, *, finished: bool) -> None:
    page = order.output / "curves.html"
    try:
        with writing(page):
            curves.draw(order.output / "metrics.jsonl", page, title=order.config.name)
    except ImportError as error:
        # A bare GPU machine: what it trained is none the worse for it.
        print(f"{page} was not drawn: {error}; pip install matplotlib", flush=True)
    if finished:
        record.write(order.output, order.config, order.identity, order.sources, finished=True)
        print(f"{order.output}: finished; curves in {page}", flush=True)
    else:
        print(f"{order.output}: stopped with a checkpoint; the same command goes on from it", flush=True)
        print(f"curves so far in {page}", flush=True)


def _train(order: _Order, mesh: Mesh, process: Process, wish: StopWish) -> bool:
    path = checkpoint.latest(order.output / "checkpoints")
    state = checkpoint.read_state(path) if path else None
    stage = order.config.stages[state.stage if state else 0]
    # Nothing draws random numbers while training; should something come to, the recipe has seeded it.
    torch.manual_seed(order.config.seed)
    trained = blank(order.config, stage, mesh, process)
    held, whole = local_parameter_bytes(trained.model), sum(p.nbytes for p in trained.model.parameters())
    _say(
        process,
        f"{order.config.name}: {process.world} process(es); the first holds {held:,} of {whole:,} parameter bytes",
    )
    if path and state:
        progress = _resumed(order, path, state, trained, process)
    else:
        initialise(trained.model, order.config.model, order.config.seed)
        progress = Progress(trained=trained, stage=0)
    plan = StepPlan(order.stream.spans, order.config.stages)
    width, position = order.config.micro_batch, progress.position
    with StepsAhead(order.stream, plan, process, width=width, position=position) as ahead:
        setting = _setting(order, plan, ahead, mesh, process, metrics_bytes=state.metrics_bytes if state else 0)
        try:
            with listening(wish):
                return train_stages(setting, progress, wish)
        finally:
            setting.metrics.close()


def _resumed(order: _Order, path: Path, state: checkpoint.State, trained: Trained, process: Process) -> Progress:
    """Where the checkpoint stood. Raises MismatchError where it is of another recipe or the data has changed."""
    if state.fingerprint != order.identity.fingerprint:
        raise MismatchError(f"{path}: made by another recipe, mixture or tokenizer; remove it, or --restart")
    stream = _stream_then(order, path, state)
    if state.next_sequences and stream.digest(state.position, state.next_sequences) != state.next_digest:
        raise MismatchError(
            f"{order.tokens.shown('')}: the sequences from position {state.position} on are not those that {path} "
            "was to go on with; restore the token files, or --restart"
        )
    checkpoint.restore(path, trained, state, process)
    _say(process, f"going on from {path} (step {state.step}, {state.tokens:,} tokens)")
    return Progress(
        trained=trained,
        stage=state.stage,
        step=state.step,
        position=state.position,
        saved_step=state.step,
        held_out=state.held_out,
    )


def _stream_then(order: _Order, path: Path, state: checkpoint.State) -> Stream:
    """The stream that the checkpoint was to go on with: without entries that the log has got since.

    Raises MismatchError where the log was changed otherwise.
    """
    mixture = order.stream.schedule.mixture
    then, since = replace(mixture, changes=mixture.changes[: state.changes]), mixture.changes[state.changes :]
    if then.fingerprint() != state.mixture or any(change.at < state.position for change in since):
        raise MismatchError(
            f"{path}: entries of the mixture's log are gone or changed, or added before position {state.position}, "
            "where this run stands; the log may only grow, from there on: restore it, or --restart"
        )
    return Stream.open(then, order.tokens) if since else order.stream


def _setting(
    order: _Order, plan: StepPlan, ahead: StepsAhead, mesh: Mesh, process: Process, *, metrics_bytes: int
) -> Setting:
    return Setting(
        config=order.config,
        recipe=resolved(order.config),
        fingerprint=order.identity.fingerprint,
        stream=order.stream,
        plan=plan,
        ahead=ahead,
        mesh=mesh,
        process=process,
        checkpoints=order.output / "checkpoints",
        tokenizer=order.stream.local(TOKENIZER),
        metrics=MetricsLog(order.output / "metrics.jsonl" if process.leads else None, keep_bytes=metrics_bytes),
        terminal=Terminal(sys.stdout if process.leads else None, steps=len(plan)),
    )


def _say(process: Process, text: str) -> None:
    if process.leads:
        print(text, flush=True)
