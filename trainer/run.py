"""`falconmix train`: a run in its folder, begun, gone on with, or found to be finished.

RUN/run.json           recipe (resolved), versions, fingerprint, whether it is finished
RUN/metrics.jsonl      see `trainer.monitoring.metrics`
RUN/report.html        see `trainer.monitoring.report`
RUN/changes.yaml       see `trainer.changes`
RUN/checkpoints/       see `trainer.checkpoint`
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
import torch.distributed as dist

from mixtures.catalogue import TOKENIZER
from mixtures.errors import TokenizerError
from mixtures.roots import TokenRoot, as_root
from mixtures.stream import Stream
from mixtures.tokenizer import check_same
from trainer import checkpoint, record
from trainer.changes import path_of, with_own
from trainer.config import load_recipe, mixture_of
from trainer.errors import MemoryShortError, MismatchError, writing
from trainer.layout import Process
from trainer.lock import locked
from trainer.monitoring import report
from trainer.monitoring.sinks import Sinks, forget
from trainer.parallel import joined
from trainer.record import Identity
from trainer.saving import remove_drafts
from trainer.session import Order, run_to_end, say
from trainer.signals import StopWish

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
    initial: Path | None = None,
    sinks: Sinks | None = None,
) -> int:
    """Train `recipe` on the token files below `tokens`, in the folder `output`; returns the exit code: 0, or STOPPED.

    An unfinished run of the same recipe and tokens in `output` goes on from its last checkpoint; a finished one is
    left as it is. `restart` deletes it first. `stop_after` stops, resumably, after that step; so do SIGTERM, SIGUSR1
    (both with exit code 0: whoever preempts a run means to start it again) and SIGINT after the current one. `initial`
    are weights to begin with: imported ones, or another run's. `sinks` says what is made of the run's records beside
    `metrics.jsonl`. Raises TrainerError or RecipeError.
    """
    process = process or Process()
    order = _ordered(recipe, as_root(tokens), output, initial, restart=restart)
    order = replace(order, sinks=sinks or Sinks())
    if not restart and _finished(order):
        say(process, f"{output}: this run is finished; --restart would begin it again")
        return 0
    torch.set_num_threads(order.config.threads)
    with locked(output) if process.leads else nullcontext():
        process = process.laid_out(order.config.layout)
        with joined(process, order.config.layout, hang_s=order.config.watch.hang_s) as mesh:
            if process.leads:
                _open_folder(order, restart=restart)
            dist.barrier()
            wish = StopWish(after_step=stop_after)
            with _said_if_too_large(process):
                finished = run_to_end(order, mesh, process, wish)
        if process.leads:
            _close_folder(order, finished=finished)
    return 0 if finished or wish.preempted else STOPPED


@contextmanager
def _said_if_too_large(process: Process) -> Iterator[None]:
    """Say what helps where a GPU's memory is short. Raises MemoryShortError."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        raise MemoryShortError(
            f"process {process.rank}: the GPU's memory is short ({str(error).splitlines()[0][:300]}); lower "
            "micro_batch, set layout.recompute to selective or full, or shard over more GPUs: the run goes on from its "
            "last checkpoint. `falconmix plan` says which part takes how much"
        ) from error


def _ordered(recipe: str | Path, tokens: TokenRoot, output: Path, initial: Path | None, *, restart: bool) -> Order:
    config = load_recipe(recipe)
    mixture = mixture_of(config, recipe)
    stream = Stream.open(mixture if restart else with_own(mixture, output), tokens)
    if config.model.vocab < stream.vocab_size:
        raise MismatchError(
            f"recipe {config.name}: model.vocab is {config.model.vocab}, but the tokenizer of {tokens.shown('')} has "
            f"{stream.vocab_size} tokens; raise model.vocab to that or more"
        )
    check_same(stream.local(TOKENIZER), stream.tokenizer_digest)  # export will give it to the model's users
    _refuse_other_tokenizer(initial, stream)
    identity = Identity.of(config, mixture, stream.tokenizer_digest, initial)
    return Order(config=config, stream=stream, tokens=tokens, output=output, identity=identity, initial=initial)


def _refuse_other_tokenizer(initial: Path | None, stream: Stream) -> None:
    if initial is None:
        return
    theirs = checkpoint.found(initial) / TOKENIZER
    try:
        check_same(theirs, stream.tokenizer_digest)
    except TokenizerError as error:
        raise MismatchError(
            f"{initial}: its weights do not belong to these tokens ({error}); tokenise with the weights' tokenizer"
        ) from error


def _finished(order: Order) -> bool:
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


def _open_folder(order: Order, *, restart: bool) -> None:
    checkpoints = order.output / "checkpoints"
    with writing(order.output):
        if restart:
            # The record first: should the rest be cut off, nothing calls what is left a finished run.
            (order.output / "run.json").unlink(missing_ok=True)
            path_of(order.output).unlink(missing_ok=True)
            forget(order.output)
            if checkpoints.exists():
                shutil.rmtree(checkpoints)
        remove_drafts(checkpoints)
        checkpoints.mkdir(exist_ok=True)
    if record.read(order.output) is None:
        record.write(order.output, order.config, order.identity, order.sources, finished=False)


def _close_folder(order: Order, *, finished: bool) -> None:
    page = order.output / "report.html"
    drawn = _drawn(order, page)
    if finished:
        record.write(order.output, order.config, order.identity, order.sources, finished=True)
        print(f"{order.output}: finished" + (f"; report in {page}" if drawn else ""), flush=True)
        return
    print(f"{order.output}: stopped with a checkpoint; the same command goes on from it", flush=True)
    if drawn:
        print(f"report so far in {page}", flush=True)


def _drawn(order: Order, page: Path) -> bool:
    """Draw the report; False on a bare GPU machine: what it trained is none the worse for it."""
    try:
        with writing(page):
            report.draw(order.output / "metrics.jsonl", page, title=order.config.name)
    except ImportError as error:
        print(f"{page} was not drawn: {error}; pip install matplotlib", flush=True)
        return False
    return True
