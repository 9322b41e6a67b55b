"""The training loop: stages, steps, and what is written between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from mixtures.certificate import drawn
from mixtures.stream import Stream
from trainer import checkpoint
from trainer.ahead import digest_ahead
from trainer.build import Trained
from trainer.changes import digests
from trainer.config import TrainConfig
from trainer.data import MicroBatch, Step, StepPlan, tokens_before
from trainer.errors import DivergedError, RewindError
from trainer.heartbeat import Heartbeat
from trainer.held_out import HeldOutLoss, held_out_loss
from trainer.layout import Process
from trainer.loader import StepsAhead
from trainer.loss import counted, loss_sums, objective
from trainer.monitoring.metrics import MetricsLog, Terminal
from trainer.monitoring.observer import Observer
from trainer.optim import learning_rate, tune
from trainer.parallel import Mesh, accumulating, full, summed
from trainer.saving import Saver
from trainer.signals import StopWish
from trainer.transitions import entered
from trainer.watch import Watch


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What stays the same during a run."""

    config: TrainConfig
    recipe: dict[str, Any]
    fingerprint: str
    stream: Stream
    plan: StepPlan
    ahead: StepsAhead
    mesh: Mesh
    process: Process
    saver: Saver
    heart: Heartbeat
    metrics: MetricsLog
    terminal: Terminal
    observer: Observer


@dataclass(kw_only=True)
class Progress:
    """What a step changes; `step` steps are done, `position` sequences taken."""

    trained: Trained
    stage: int
    step: int = 0
    position: int = 0
    saved_step: int = 0
    held_out: dict[str, float] = field(default_factory=dict)
    watch: Watch


def train_stages(setting: Setting, progress: Progress, wish: StopWish) -> bool:
    """Train from where `progress` stands to the end, or until `wish` holds; True when all stages are done.

    Raises DivergedError before a step that is not a number would touch the weights.
    """
    for span in setting.stream.spans[progress.stage :]:
        if progress.position >= span.end:
            continue
        if span.index != progress.stage:
            _enter(setting, progress, span.index)
        if progress.position == span.first:
            _evaluate(setting, progress, "start")
        stopped = _steps_of_stage(setting, progress, span.end, wish)
        if progress.position >= span.end:
            _evaluate(setting, progress, "end")
            _save(setting, progress)
        elif stopped:
            _save(setting, progress)
        if stopped and progress.position < len(setting.stream):
            setting.saver.finish()
            return False
    setting.saver.finish()
    return True


def _enter(setting: Setting, progress: Progress, stage: int) -> None:
    """Make the model ready for a stage; where its rotary base changes, measure what that does to the held-out loss."""
    before = progress.trained.model.rope_theta
    progress.trained = entered(
        progress.trained, setting.config.stages[stage], setting.config, setting.mesh, setting.process
    )
    progress.stage = stage
    after = progress.trained.model.rope_theta
    if after == before:
        return
    losses = []
    for base in (before, after):
        progress.trained.model.rope_theta = base
        measured = _held_out(setting, progress)
        if measured is not None:
            losses.append(measured.loss)
    name = setting.config.stages[stage].name
    record = {"kind": "transition", "step": progress.step, "stage": name, "rope_theta": [before, after], "loss": losses}
    setting.metrics.write(record)
    shown = f", held-out loss {losses[0]:.4f} → {losses[1]:.4f}" if losses else ""
    setting.terminal.line(f"{name}: rotary base {before:,.0f} → {after:,.0f}{shown}")


def _steps_of_stage(setting: Setting, progress: Progress, end: int, wish: StopWish) -> bool:
    """Take steps up to the position `end`; True where they end because some process was asked to stop."""
    every = setting.config.checkpoint.every_steps
    while progress.position < end:
        step = setting.plan.step(progress.step + 1)
        stopped = _take(setting, progress, step, wish)
        setting.saver.finish()
        if stopped:
            return True
        if progress.step % every == 0 and progress.position < end:
            _save(setting, progress)
    return False


def _take(setting: Setting, progress: Progress, step: Step, wish: StopWish) -> bool:
    """Take one step and record it; True where some process was asked to stop."""
    config, trained = setting.config, progress.trained
    setting.observer.begins(step)
    setting.heart.at(step.number, "waiting for data")
    loaded = setting.ahead.take()
    if loaded.step != step:
        raise AssertionError(f"read ahead was {loaded.step}, training is at {step}")
    setting.heart.at(step.number, "waiting for others' data")
    setting.observer.loaded(loaded.waited_s)
    batches = loaded.batches
    learned = _learned(setting, step, batches)
    setting.heart.at(step.number, "forward and backward")
    sums = _backward(setting, trained, batches, learned, wish=wish.after(step.number))
    cross_entropy, squared_log_z, wishes = sums.tolist()
    norm = full(torch.nn.utils.clip_grad_norm_(trained.model.parameters(), config.optim.clip_norm)).item()
    loss = cross_entropy / learned
    _look_at(setting, progress, step, loss=loss, grad_norm=norm)
    rate = _update(setting, trained, step)
    progress.step, progress.position = step.number, step.end
    record = {
        "kind": "step",
        "step": step.number,
        "position": step.end,
        "tokens": tokens_before(setting.stream.spans, step.end),
        "stage": config.stages[step.stage].name,
        "sequences": step.count,
        "loss": loss,
        "z_loss": config.optim.z_loss * squared_log_z / learned,
        "lr": rate,
        "grad_norm": norm,
    }
    setting.observer.ended(step, record)
    return wish.take(wishes)


def _update(setting: Setting, trained: Trained, step: Step) -> float:
    """Let the optimiser use and clear the gradients of `step`; returns its learning rate."""
    stage, span = setting.config.stages[step.stage], setting.stream.spans[step.stage]
    stage_tokens, seen = (span.end - span.first) * span.context, (step.end - span.first) * span.context
    rate = learning_rate(stage.rate, stage_tokens, seen)
    tune(trained.optimizer, rate=rate, eps=stage.adam_eps)
    trained.optimizer.step()
    trained.optimizer.zero_grad()
    return rate


def _learned(setting: Setting, step: Step, batches: Sequence[MicroBatch]) -> float:
    """Targets of a step that the loss counts, over all processes; at least 1, so that it can be divided by."""
    if setting.stream.learns_all_before(step.end):
        return step.tokens
    mine = sum(counted(batch.targets).item() for batch in batches)
    total = torch.tensor([mine], dtype=torch.float64, device=setting.process.device)
    return max(1.0, float(summed(total, setting.mesh).item()))


def _backward(
    setting: Setting, trained: Trained, batches: Sequence[MicroBatch], learned: float, *, wish: float
) -> Tensor:
    """Gradients of a step; returns, summed over all processes, cross-entropy, log² Z and wishes to stop (fp64 [3]).

    The wish travels with the sums, so that all processes stop after the same step.
    """
    process = setting.process
    totals = torch.zeros(3, dtype=torch.float64, device=process.device)
    totals[2] = wish
    for number, batch in enumerate(batches, start=1):
        accumulating(trained.model, setting.config.layout, last=number == len(batches))
        sums = loss_sums(batch.logits(trained.model), batch.targets)
        loss = objective(sums, step_tokens=learned, z_loss=setting.config.optim.z_loss, world=process.shard_world)
        torch.autograd.backward(loss)
        totals[:2] += torch.stack(sums).detach()
    return summed(totals, setting.mesh)


def _look_at(setting: Setting, progress: Progress, step: Step, *, loss: float, grad_norm: float) -> None:
    """Before a step's update: raise DivergedError or RewindError where it must not be made, warn of spikes."""
    watch = progress.watch
    for name, value in (("loss", loss), ("grad_norm", grad_norm)):
        if not math.isfinite(value):
            reason = f"step {step.number}: {name} is {value}"
            if watch.config.action == "rewind":
                raise RewindError(first=step.first, end=step.end, reason=reason)
            setting.saver.finish()
            kept = f"step {progress.saved_step}" if progress.saved_step else "none yet"
            raise DivergedError(
                f"step {step.number} (sequences {step.first} to {step.end - 1}): {name} is {value}; nothing was "
                f"changed by it, last checkpoint: {kept}. Lower the stage's rate.peak, or look at these sequences: "
                f"`falconmix trace RUN --step {step.number}`"
            )
    score = watch.score(loss)
    if watch.trouble(loss, step.first):
        _react(setting, watch, step, score)


def _react(setting: Setting, watch: Watch, step: Step, score: float) -> None:
    reason = f"loss spike: {watch.spikes} steps in a row up to step {step.number}, the last {score:.1f} spreads high"
    if watch.config.action == "rewind":
        raise RewindError(first=watch.first, end=step.end, reason=reason)
    if watch.spikes == watch.config.in_a_row:
        setting.metrics.write({"kind": "spike", "step": step.number, "first": watch.first, "score": score})
        setting.terminal.line(f"{reason}; `falconmix trace RUN --step {step.number}` says what it saw")


def _evaluate(setting: Setting, progress: Progress, at: str) -> None:
    stage = setting.config.stages[progress.stage]
    result = _held_out(setting, progress)
    if result is None:
        return
    progress.held_out = result.components
    setting.metrics.write(
        {
            "kind": "held_out",
            "step": progress.step,
            "tokens": tokens_before(setting.stream.spans, progress.position),
            "stage": stage.name,
            "at": at,
            "loss": result.loss,
            "components": result.components,
            "languages": result.languages,
        }
    )
    setting.terminal.line(f"{stage.name} {at}: held-out loss {result.loss:.4f}")


def _held_out(setting: Setting, progress: Progress) -> HeldOutLoss | None:
    """The loss on held-out windows of the stage's context, with the model as it is."""
    setting.heart.at(progress.step, "evaluating")
    return held_out_loss(
        progress.trained.model,
        setting.stream,
        progress.stage,
        limit=setting.config.held_out_sequences,
        width=setting.config.micro_batch,
        mesh=setting.mesh,
        process=setting.process,
    )


def _save(setting: Setting, progress: Progress) -> None:
    """Write a checkpoint that holds everything up to here."""
    stream, span = setting.stream, setting.stream.spans[progress.stage]
    setting.heart.at(progress.step, "hashing what comes next")
    coming = setting.plan.sequences_of(progress.position, setting.config.checkpoint.verify_batches)
    state = checkpoint.State(
        step=progress.step,
        position=progress.position,
        tokens=tokens_before(stream.spans, progress.position),
        stage=progress.stage,
        stage_complete=progress.position >= span.end,
        world=setting.process.world,
        fingerprint=setting.fingerprint,
        mixture=stream.schedule.mixture.fingerprint(),
        changes=digests(stream.schedule.mixture),
        next_sequences=coming,
        next_digest=digest_ahead(stream, progress.position, coming, setting.process),
        metrics_bytes=setting.metrics.size(),
        context=span.context,
        eod_id=stream.eod_id,
        held_out=progress.held_out,
        losses=list(progress.watch.recent),
        spikes=progress.watch.spikes,
        spike_first=progress.watch.first,
        consumed={part.component: part.tokens for part in drawn(stream.schedule, progress.position)},
        recipe=setting.recipe,
    )
    setting.heart.at(progress.step, "saving")
    setting.saver.begin(progress.trained, state)
    progress.saved_step = progress.step
