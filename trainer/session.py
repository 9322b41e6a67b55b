"""From an opened run to its end: the model begun, or gone on with, trained, and taken back where it went wrong."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
import torch.distributed as dist

from mixtures.catalogue import TOKENIZER
from mixtures.roots import TokenRoot
from mixtures.stream import Stream
from trainer import checkpoint, record
from trainer.ahead import digest_ahead
from trainer.build import Trained, blank, initialise
from trainer.changes import own_changes, passed_over, with_entries, with_own, without
from trainer.config import TrainConfig
from trainer.data import StepPlan
from trainer.errors import DivergedError, MismatchError, RewindError
from trainer.heartbeat import Heartbeat
from trainer.hf_import import initial_weights
from trainer.layout import Process
from trainer.loader import StepsAhead
from trainer.loop import Progress, Setting, train_stages
from trainer.monitoring.observer import observed
from trainer.monitoring.sinks import Sinks
from trainer.parallel import Mesh, local_parameter_bytes
from trainer.record import Identity, Sources, resolved
from trainer.saving import Saver
from trainer.signals import StopWish, listening
from trainer.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Order:
    """What was asked for, resolved."""

    config: TrainConfig
    stream: Stream
    tokens: TokenRoot
    output: Path
    identity: Identity
    initial: Path | None
    """Weights to begin with."""
    sinks: Sinks = field(default_factory=Sinks)
    """What is made of its records beside `metrics.jsonl`."""
    rewind: RewindError | None = None
    """Why it was taken back just now."""

    @property
    def checkpoints(self) -> Path:
        """Folder of the run's checkpoints."""
        return self.output / "checkpoints"

    @property
    def sources(self) -> Sources:
        """Where its sequences come from."""
        return Sources(tokens=self.tokens.address, changes=self.stream.schedule.mixture.changes)


def run_to_end(order: Order, mesh: Mesh, process: Process, wish: StopWish) -> bool:
    """Train from the last checkpoint, or from the start; True when all stages are done.

    Where the recipe says so, goes back before what went wrong, as often as it may. Raises TrainerError.
    """
    with Heartbeat(rank=process.rank, world=process.world, hang_s=order.config.watch.hang_s) as heart, listening(wish):
        while True:
            try:
                return _trained(order, mesh, process, wish, heart)
            except RewindError as rewind:
                # Less its traceback, which would keep the model that went wrong beside the next one.
                order = _rewound(order, rewind.with_traceback(None), process)


def say(process: Process, text: str) -> None:
    """Print once for all processes."""
    if process.leads:
        print(text, flush=True)


def _trained(order: Order, mesh: Mesh, process: Process, wish: StopWish, heart: Heartbeat) -> bool:
    path = checkpoint.latest(order.checkpoints)
    state = checkpoint.read_state(path) if path else None
    stage = order.config.stages[state.stage if state else 0]
    # Nothing draws random numbers while training; should something come to, the recipe has seeded it.
    torch.manual_seed(order.config.seed)
    trained = blank(order.config, stage, mesh, process)
    held, whole = local_parameter_bytes(trained.model), sum(p.nbytes for p in trained.model.parameters())
    say(
        process,
        f"{order.config.name}: {process.world} process(es); the first holds {held:,} of {whole:,} parameter bytes",
    )
    progress = _resumed(order, path, state, trained, process) if path and state else _begun(order, trained, process)
    if process.leads:  # not before the log was held against the checkpoint: a run that is refused leaves all as it was
        record.write(order.output, order.config, order.identity, order.sources, finished=False)
    plan = StepPlan(order.stream.spans, order.config.stages)
    width, position = order.config.micro_batch, progress.position
    with StepsAhead(order.stream, plan, process, width=width, position=position) as ahead:
        kept = state.metrics_bytes if state else 0
        setting = _setting(order, plan, ahead, mesh, process, heart, metrics_bytes=kept)
        if order.rewind:
            at, reason = order.rewind.first, order.rewind.reason
            setting.metrics.write({"kind": "rewind", "step": progress.step, "position": at, "reason": reason})
        try:
            return train_stages(setting, progress, wish)
        except RewindError:
            setting.saver.finish()
            raise
        finally:
            setting.observer.close()


def _begun(order: Order, trained: Trained, process: Process) -> Progress:
    """The start of a run, from random weights or from given ones."""
    config = order.config
    initialise(trained.model, config.model, config.seed)
    if order.initial is not None:
        weights = initial_weights(order.initial, trained, config.model)
        say(process, f"begun with the weights of {order.initial}")
        if weights.rope_theta != config.stages[0].rope_theta:
            base = config.stages[0].rope_theta
            say(process, f"their rotary base is {weights.rope_theta:,.0f}, the recipe begins with {base:,.0f}")
    return Progress(trained=trained, stage=0, watch=Watch(config.watch))


def _resumed(order: Order, path: Path, state: checkpoint.State, trained: Trained, process: Process) -> Progress:
    """Where the checkpoint stood. Raises MismatchError where it is of another recipe or the data has changed."""
    if state.fingerprint != order.identity.fingerprint:
        raise MismatchError(f"{path}: made by another recipe, mixture or tokenizer; remove it, or --restart")
    stream = _stream_then(order, path, state)
    if digest_ahead(stream, state.position, state.next_sequences, process) != state.next_digest:
        raise MismatchError(
            f"{order.tokens.shown('')}: the sequences from position {state.position} on are not those that {path} "
            "was to go on with; restore the token files, or --restart"
        )
    checkpoint.restore(path, trained, state, process)
    say(process, f"going on from {path} (step {state.step}, {state.tokens:,} tokens)")
    return Progress(
        trained=trained,
        stage=state.stage,
        step=state.step,
        position=state.position,
        saved_step=state.step,
        held_out=state.held_out,
        watch=Watch(order.config.watch, state.losses, state.spikes, state.spike_first),
    )


def _stream_then(order: Order, path: Path, state: checkpoint.State) -> Stream:
    """The stream that the checkpoint was to go on with: without entries that the log has got since.

    Raises MismatchError where the log was changed otherwise.
    """
    mixture = order.stream.schedule.mixture
    then = with_entries(mixture, state.changes)
    since = without(mixture, then.changes).changes
    if then.fingerprint() != state.mixture or any(change.at < state.position for change in since):
        raise MismatchError(
            f"{path}: entries of the mixture's log are gone or changed, or added before position {state.position}, "
            "where this run stands; the log may only grow, from there on: restore it, or --restart"
        )
    return Stream.open(then, order.tokens) if since else order.stream


def _rewound(order: Order, rewind: RewindError, process: Process) -> Order:
    """The run without the checkpoints since the trouble began, and with an entry in its log that passes it over.

    Raises DivergedError where that was done too often, or there is no checkpoint to go back to.
    """
    if len(own_changes(order.output)) >= order.config.watch.most_rewinds:
        raise DivergedError(
            f"{rewind.reason}; gone back {order.config.watch.most_rewinds} time(s) already (watch.most_rewinds): the "
            "data are not to blame. Lower the stage's rate.peak, or look at what changed"
        )
    states = {path: checkpoint.read_state(path) for path in checkpoint.complete(order.checkpoints)}
    if not any(state.position <= rewind.first for state in states.values()):
        raise DivergedError(f"{rewind.reason}; there is no checkpoint before it to go back to; lower rate.peak")
    span = next(span for span in order.stream.spans if span.first <= rewind.first < span.end)
    skip = min(rewind.end, span.end) - rewind.first
    dist.barrier()  # all have read what the first one now changes
    if process.leads:
        for path, state in states.items():
            if state.position > rewind.first:
                shutil.rmtree(path)
        passed_over(order.output, at=rewind.first, skip=skip, reason=rewind.reason)
    dist.barrier()
    # Not the step in which it was seen: that one may be of the next stage, and the entry ends with this one.
    step = StepPlan(order.stream.spans, order.config.stages).at(rewind.first + skip - 1).number
    say(
        process,
        f"{rewind.reason}: going back, and passing over sequences {rewind.first} to {rewind.first + skip - 1}; "
        f"`falconmix trace {order.output} --step {step} --passed-over` says what they were",
    )
    stream = Stream.open(with_own(order.stream.schedule.mixture, order.output), order.tokens)
    return replace(order, stream=stream, rewind=rewind)


def _setting(
    order: Order,
    plan: StepPlan,
    ahead: StepsAhead,
    mesh: Mesh,
    process: Process,
    heart: Heartbeat,
    *,
    metrics_bytes: int,
) -> Setting:
    tokenizer = order.stream.local(TOKENIZER)
    keep_last = order.config.checkpoint.keep_last
    observer = observed(order.sinks, order.output, order.config, order.stream.spans, process, metrics_bytes)
    return Setting(
        config=order.config,
        recipe=resolved(order.config),
        fingerprint=order.identity.fingerprint,
        stream=order.stream,
        plan=plan,
        ahead=ahead,
        mesh=mesh,
        process=process,
        saver=Saver(order.checkpoints, tokenizer, keep_last=keep_last, process=process, group=mesh.saving),
        heart=heart,
        metrics=observer.metrics,
        terminal=observer.terminal,
        observer=observer,
    )
