"""The training loop: stages, steps, and what is written between them."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixtures.stream import Stream
from trainer import checkpoint
from trainer.build import Trained
from trainer.config import TrainConfig
from trainer.data import MicroBatch, Step, StepPlan, tokens_before
from trainer.errors import DivergedError
from trainer.held_out import held_out_loss
from trainer.layout import Process
from trainer.loader import StepsAhead
from trainer.loss import counted, loss_sums, objective
from trainer.metrics import MetricsLog, Terminal
from trainer.optim import learning_rate, tune
from trainer.parallel import Mesh, accumulating, full, summed
from trainer.signals import StopWish
from trainer.transitions import entered


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
    checkpoints: Path
    tokenizer: Path
    metrics: MetricsLog
    terminal: Terminal


@dataclass(kw_only=True)
class Progress:
    """What a step changes; `step` steps are done, `position` sequences taken."""

    trained: Trained
    stage: int
    step: int = 0
    position: int = 0
    saved_step: int = 0
    held_out: dict[str, float] = field(default_factory=dict)


def train_stages(setting: Setting, progress: Progress, wish: StopWish) -> bool:
    """Train from where `progress` stands to the end, or until `wish` holds; True when all stages are done.

    Raises DivergedError before a step that is not a number would touch the weights.
    """
    for span in setting.stream.spans[progress.stage :]:
        if progress.position >= span.end:
            continue
        if span.index != progress.stage:
            stage = setting.config.stages[span.index]
            progress.trained = entered(progress.trained, stage, setting.config, setting.mesh, setting.process)
            progress.stage = span.index
        if progress.position == span.first:
            _evaluate(setting, progress, "start")
        stopped = _steps_of_stage(setting, progress, span.end, wish)
        if progress.position >= span.end:
            _evaluate(setting, progress, "end")
            _save(setting, progress)
        elif stopped:
            _save(setting, progress)
        if stopped and progress.position < len(setting.stream):
            return False
    return True


def _steps_of_stage(setting: Setting, progress: Progress, end: int, wish: StopWish) -> bool:
    """Take steps up to the position `end`; True where they end because some process was asked to stop."""
    every = setting.config.checkpoint.every_steps
    while progress.position < end:
        step = setting.plan.step(progress.step + 1)
        stopped = _take(setting, progress, step, wish)
        if stopped:
            return True
        if progress.step % every == 0 and progress.position < end:
            _save(setting, progress)
    return False


def _take(setting: Setting, progress: Progress, step: Step, wish: StopWish) -> bool:
    """Take one step and record it; True where some process was asked to stop."""
    started = time.perf_counter()
    config, trained = setting.config, progress.trained
    loaded = setting.ahead.take()
    if loaded.step != step:
        raise AssertionError(f"read ahead was {loaded.step}, training is at {step}")
    batches = loaded.batches
    learned = _learned(setting, step, batches)
    sums = _backward(setting, trained, batches, learned, stops=wish.holds_after(step.number))
    cross_entropy, squared_log_z, stops = sums.tolist()
    norm = full(torch.nn.utils.clip_grad_norm_(trained.model.parameters(), config.optim.clip_norm)).item()
    loss = cross_entropy / learned
    _require_finite(step, progress, loss=loss, grad_norm=norm)
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
        "tokens_per_second": round(step.tokens / (time.perf_counter() - started), 1),
        "data_wait_s": round(loaded.waited_s, 6),
    }
    setting.metrics.write(record)
    setting.terminal.step(record)
    return bool(stops)


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
    setting: Setting, trained: Trained, batches: Sequence[MicroBatch], learned: float, *, stops: bool
) -> Tensor:
    """Gradients of a step; returns, summed over all processes, cross-entropy, log² Z and wishes to stop (fp64 [3]).

    The wish travels with the sums, so that all processes stop after the same step.
    """
    process = setting.process
    totals = torch.zeros(3, dtype=torch.float64, device=process.device)
    totals[2] = float(stops)
    for number, batch in enumerate(batches, start=1):
        accumulating(trained.model, setting.config.layout, last=number == len(batches))
        sums = loss_sums(batch.logits(trained.model), batch.targets)
        loss = objective(sums, step_tokens=learned, z_loss=setting.config.optim.z_loss, world=process.shard_world)
        torch.autograd.backward(loss)
        totals[:2] += torch.stack(sums).detach()
    return summed(totals, setting.mesh)


def _require_finite(step: Step, progress: Progress, **values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            kept = f"step {progress.saved_step}" if progress.saved_step else "none yet"
            raise DivergedError(
                f"step {step.number} (sequences {step.first} to {step.end - 1}): {name} is {value}; nothing was "
                f"changed by it, last checkpoint: {kept}. Lower the stage's rate.peak, or look at these sequences"
            )


def _evaluate(setting: Setting, progress: Progress, at: str) -> None:
    config, stage = setting.config, setting.config.stages[progress.stage]
    result = held_out_loss(
        progress.trained.model,
        setting.stream,
        progress.stage,
        limit=config.held_out_sequences,
        width=config.micro_batch,
        mesh=setting.mesh,
        process=setting.process,
    )
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
        }
    )
    setting.terminal.line(f"{stage.name} {at}: held-out loss {result.loss:.4f}")


def _save(setting: Setting, progress: Progress) -> None:
    """Write a checkpoint that holds everything up to here."""
    stream, span = setting.stream, setting.stream.spans[progress.stage]
    coming = min(setting.config.checkpoint.verify_sequences, len(stream) - progress.position)
    state = checkpoint.State(
        step=progress.step,
        position=progress.position,
        tokens=tokens_before(stream.spans, progress.position),
        stage=progress.stage,
        stage_complete=progress.position >= span.end,
        world=setting.process.world,
        fingerprint=setting.fingerprint,
        mixture=stream.schedule.mixture.fingerprint(),
        changes=len(stream.schedule.mixture.changes),
        next_sequences=coming,
        next_digest=stream.digest(progress.position, coming) if coming else "",
        metrics_bytes=setting.metrics.size(),
        context=span.context,
        eod_id=stream.eod_id,
        held_out=progress.held_out,
        recipe=setting.recipe,
    )
    keep_last = setting.config.checkpoint.keep_last
    checkpoint.save(setting.checkpoints, progress.trained, state, setting.tokenizer, keep_last, setting.process)
    progress.saved_step = progress.step
