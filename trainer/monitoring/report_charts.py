"""The curves of a run as one SVG: losses, rate, gradient, speed, waiting and memory over tokens."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, PercentFormatter

from trainer.monitoring.metrics import Record

POINTS: Final = 1000
"""Points of a line at most; of more steps, runs of neighbours are drawn by their mean, lowest and highest."""
_TRAINING, _HELD_OUT, _EVENT, _BAND = "#7a9cc6", "#b5482a", "#c02020", "#f4f2ec"
Panel = Callable[[Any], None]
Values = npt.NDArray[Any]


def figure(steps: Sequence[Record], held_out: Sequence[Record], events: Sequence[Record]) -> str:
    """The drawing, the same for the same records."""
    panels: list[tuple[int, Panel]] = [
        (3, lambda axes: _losses(axes, steps, held_out)),
        (3, lambda axes: _held_out(axes, held_out, "components", "held out, by component")),
        (3, lambda axes: _held_out(axes, held_out, "languages", "held out, by language")),
        (1, lambda axes: _line(axes, steps, "lr", "learning rate")),
        (1, lambda axes: _line(axes, steps, "grad_norm", "gradient norm")),
        (1, lambda axes: _line(axes, steps, "tokens_per_second", "tokens per second", EngFormatter())),
        *(
            [(1, lambda axes: _line(axes, steps, "mfu", "MFU", PercentFormatter(1)))]
            if any("mfu" in step for step in steps)
            else []
        ),
        (1, lambda axes: _waits(axes, steps)),
        (1, lambda axes: _line(axes, steps, "memory_bytes", "memory, bytes", EngFormatter())),
    ]
    file = io.StringIO()
    with rc_context({"svg.hashsalt": "falconmix", "svg.fonttype": "none", "font.size": 10}):
        heights = [height for height, _ in panels]
        drawn = Figure(figsize=(10, 1.35 * sum(heights)), layout="constrained")
        everywhere = drawn.subplots(len(panels), sharex=True, height_ratios=heights)
        for axes, (_, panel) in zip(everywhere, panels, strict=True):
            panel(axes)
            _bands(axes, steps)
            for event in events:
                axes.axvline(event["tokens"], color=_EVENT, lw=1, ls="--", zorder=1)
        _names(everywhere[0], steps, events)
        everywhere[-1].set_xlabel("tokens")
        everywhere[-1].xaxis.set_major_formatter(EngFormatter())
        drawn.align_ylabels()
        drawn.savefig(file, format="svg", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]  # less the XML declaration, which HTML does not know


def thinned(x: Sequence[float], y: Sequence[float], points: int) -> tuple[Values, Values, Values, Values]:
    """Runs of neighbours, `points` at most: the last x of each, and the mean, lowest and highest y."""
    at = np.linspace(0, len(x), min(len(x), points) + 1).astype(int)
    starts, lengths = at[:-1], np.diff(at)
    values = np.asarray(y, np.float64)
    means = np.add.reduceat(values, starts) / lengths
    return np.asarray(x)[at[1:] - 1], means, np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)


def _line(axes: Any, steps: Sequence[Record], field: str, label: str, ticks: Any = None) -> None:
    """A field of the steps, from 0 on."""
    _curve(axes, steps, field, "#555")
    axes.set(ylabel=label, ylim=(0, None))
    if ticks is not None:
        axes.yaxis.set_major_formatter(ticks)


def _curve(axes: Any, steps: Sequence[Record], field: str, color: str, label: str | None = None) -> None:
    having = [step for step in steps if field in step]
    x, means, lowest, highest = thinned([s["tokens"] for s in having], [s[field] for s in having], POINTS)
    if len(having) > POINTS:
        axes.fill_between(x, lowest, highest, color=color, alpha=0.25, lw=0)
    axes.plot(x, means, color=color, lw=1, label=label)


def _losses(axes: Any, steps: Sequence[Record], held_out: Sequence[Record]) -> None:
    """Training loss as a line; held-out loss as points, joined where they belong to one stage."""
    _curve(axes, steps, "loss", _TRAINING, "training")
    axes.plot([], [], "o:", color=_HELD_OUT, ms=5, label="held out, at start and end of a stage")
    for stage in dict.fromkeys(record["stage"] for record in held_out):
        points = [(record["tokens"], record["loss"]) for record in held_out if record["stage"] == stage]
        axes.plot(*zip(*points, strict=True), "o:", color=_HELD_OUT, ms=5, lw=1)
    axes.set_ylabel("loss, nats per token")
    axes.legend(loc="lower left", frameon=False)


def _held_out(axes: Any, held_out: Sequence[Record], kind: str, label: str) -> None:
    """A line for each name; the windows are others from stage to stage, so that it is broken between them."""
    for number, name in enumerate(dict.fromkeys(name for record in held_out for name in record[kind])):
        style: dict[str, Any] = {"color": f"C{number % 10}", "marker": "os^Dv"[number // 10 % 5], "ms": 4, "lw": 1}
        axes.plot([], [], label=name, **style)
        for stage in dict.fromkeys(record["stage"] for record in held_out):
            measured = [record for record in held_out if record["stage"] == stage and name in record[kind]]
            axes.plot([r["tokens"] for r in measured], [r[kind][name] for r in measured], **style)
    axes.set_ylabel(label)
    if held_out:
        axes.legend(loc="upper right", frameon=False, ncols=2, fontsize=8)


def _waits(axes: Any, steps: Sequence[Record]) -> None:
    """Waiting as a share of each step."""
    shares = [
        {
            "tokens": step["tokens"],
            "data": step["data_wait_s"] / step["seconds"],
            "others": step["sync_wait_s"] / step["seconds"],
        }
        for step in steps
    ]
    _curve(axes, shares, "data", _HELD_OUT, "for data")
    _curve(axes, shares, "others", _TRAINING, "for other processes")
    axes.set(ylabel="waiting, of a step", ylim=(0, None))
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="upper right", frameon=False, ncols=2, fontsize=8)


def _spans(steps: Sequence[Record]) -> list[tuple[str, int, int]]:
    """Name of each stage, the tokens seen before it and those at its last step."""
    spans: dict[str, tuple[int, int]] = {}
    for step in steps:
        first, _ = spans.get(step["stage"], (step["tokens"] - step["step_tokens"], 0))
        spans[step["stage"]] = first, step["tokens"]
    return [(name, first, last) for name, (first, last) in spans.items()]


def _bands(axes: Any, steps: Sequence[Record]) -> None:
    """Every second stage has a ground of its own."""
    for number, (_, first, last) in enumerate(_spans(steps)):
        axes.axvline(first, color="#bbb", lw=0.8, zorder=0)
        if number % 2:
            axes.axvspan(first, last, color=_BAND, lw=0, zorder=0)


def _names(axes: Any, steps: Sequence[Record], events: Sequence[Record]) -> None:
    for name, first, _ in _spans(steps):
        axes.annotate(name, (first, 1), (3, 3), ("data", "axes fraction"), "offset points", color="#555")
    for event in events:
        where = (event["tokens"], 1)
        axes.annotate(event["kind"], where, (3, -11), ("data", "axes fraction"), "offset points", color=_EVENT)
