"""Seeing a step: what the machine made of it, added to its record, and the record handed to all who look on."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mixtures.schedule import StageSpan
from trainer.config import ModelConfig, TrainConfig
from trainer.data import Step, StepPlan
from trainer.layout import Process
from trainer.monitoring.flops import CONVENTION, flops_per_token, peak_of
from trainer.monitoring.metrics import MetricsLog, Terminal
from trainer.monitoring.pace import Pace
from trainer.monitoring.profiling import Profiler
from trainer.monitoring.sinks import Sinks
from trainer.monitoring.stragglers import RollCall
from trainer.record import resolved


class Observer:
    """To be told when a step begins, has its data, and ends. Every process has one; the first one's records stay."""

    def __init__(
        self,
        *,
        model: ModelConfig,
        spans: Sequence[StageSpan],
        process: Process,
        metrics: MetricsLog,
        terminal: Terminal,
        profiler: Profiler | None,
    ) -> None:
        self._model, self._spans, self._process = model, spans, process
        self.metrics, self.terminal, self._profiler = metrics, terminal, profiler
        self._peak = peak_of(process)
        self._pace = Pace(model)
        self._roll_call = RollCall(process)
        self._started = self._data_wait_s = 0.0

    def begins(self, step: Step) -> None:
        """Start the clock of a step."""
        if self._profiler:
            self._profiler.begin(step.number)
        self._started = time.perf_counter()

    def loaded(self, waited_s: float) -> None:
        """Its data are there, and were waited for so long (a collective, see `trainer.monitoring.stragglers`)."""
        self._data_wait_s = waited_s
        self._roll_call.present(waited_s)

    def ended(self, step: Step, record: dict[str, Any]) -> None:
        """Complete the record of a step that has been taken, and write and show it (a collective, now and then)."""
        seconds = time.perf_counter() - self._started
        self._pace.took(step, seconds)
        record |= self._measured(step, seconds)
        self.metrics.write(record)
        self.terminal.step(record)
        slowest = self._roll_call.slowest(step.number)
        if slowest is not None:
            where = {name: record[name] for name in ("step", "tokens", "stage")}
            self.metrics.write({"kind": "stragglers", **where, "slowest": slowest})
        if self._profiler:
            self._profiler.end(step.number)

    def close(self) -> None:
        """End what goes beyond a step."""
        try:
            if self._profiler:
                self._profiler.close()
        finally:
            self.metrics.close()

    def _measured(self, step: Step, seconds: float) -> dict[str, float]:
        each = step.tokens / seconds / self._process.world
        stage_end = self._spans[step.stage].end
        return {
            "tokens_per_second": round(step.tokens / seconds, 1),
            "tokens_per_second_per_process": round(each, 1),
            **utilisation(each * flops_per_token(self._model, step.context), self._peak),
            "memory_bytes": _memory_bytes(self._process),
            "data_wait_s": round(self._data_wait_s, 6),
            "sync_wait_s": round(self._roll_call.sync_wait_s(), 6),
            "eta_stage_s": round(self._pace.left_s(self._spans, step.end, stage_end), 1),
            "eta_run_s": round(self._pace.left_s(self._spans, step.end, self._spans[-1].end), 1),
        }


def observed(
    sinks: Sinks, run: Path, config: TrainConfig, spans: Sequence[StageSpan], process: Process, keep_bytes: int
) -> Observer:
    """What looks on while `run` goes on behind the first `keep_bytes` of its metrics; says what MFU is a share of.

    Raises WriteError, and MismatchError where W&B refuses the run.
    """
    on_gpu, peak = process.device_type == "cuda", peak_of(process)
    if process.leads and peak:
        print(f"MFU is a share of {peak / 1e12:g} TFLOP/s a GPU, counting {CONVENTION}", flush=True)
    elif process.leads and on_gpu:
        print(f"no MFU: the peak of {torch.cuda.get_device_name(process.device)} is not known", flush=True)
    return Observer(
        model=config.model,
        spans=spans,
        process=process,
        metrics=sinks.metrics(run, resolved(config), keep_bytes) if process.leads else MetricsLog(None, keep_bytes=0),
        terminal=Terminal(
            sys.stdout if process.leads else None,
            steps=len(StepPlan(spans, config.stages)),
            each="GPU" if on_gpu else "process",
        ),
        profiler=sinks.profiler(run) if process.leads else None,
    )


def utilisation(flops_per_second: float, peak: float | None) -> dict[str, float]:
    """`mfu`, the share that a process gets out of its GPU, of `mfu_of`, its FLOP/s at the peak; none without a peak."""
    return {"mfu": round(flops_per_second / peak, 5), "mfu_of": peak} if peak else {}


def _memory_bytes(process: Process) -> int:
    """On a GPU, most bytes allocated at once since the last time; on a CPU, what the process has in memory."""
    if process.device_type == "cuda":
        most = torch.cuda.max_memory_allocated(process.device)
        torch.cuda.reset_peak_memory_stats(process.device)
        return most
    try:
        import psutil
    except ImportError:  # a bare machine: the most it ever had
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(psutil.Process().memory_info().rss)
