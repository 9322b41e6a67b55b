"""RUN/report.html: a run's curves, stages, held-out losses and events, in one self-contained file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from pathlib import Path
from statistics import mean, median
from string import Template
from typing import Final

from trainer.monitoring import metrics
from trainer.monitoring.metrics import Record
from trainer.monitoring.pace import duration
from trainer.monitoring.scalars import ALARMING, FIGURES

_STAGES: Final = (
    "stage",
    "steps",
    "tokens",
    "sequences a step",
    "learning rate, highest",
    "last",
    "training loss",
    "held out, start",
    "end",
    "tokens/s/process",
    "MFU",
    "waiting for data",
    "for others",
    "memory, GiB",
    "time in steps",
)
_MEASURES: Final = {
    "data_wait": "waited longest for data",
    "arrived_last": "came last to the roll call",
    "product": "multiplied slowest",
}
_FEW: Final = 5
"""Ranks named for each measure."""


def draw(metrics_path: Path, page_path: Path, *, title: str) -> None:
    """Draw the metrics of a run into one HTML file; nothing where no step was taken. Needs matplotlib."""
    # Here and not above: a machine that only trains need not draw, and importing this takes a second.
    from trainer.monitoring.report_charts import POINTS, figure

    records = metrics.read(metrics_path)
    steps = steps_of(records)
    if not steps:
        return
    held_out = of_kind(records, "held_out")
    thinned = f"Lines are means of runs of steps, shades their lowest and highest ({len(steps):,} steps)."
    page = Template((resources.files("trainer.monitoring") / "report.html").read_text(encoding="utf-8")).substitute(
        title=escape(title),
        summary=f"{len(steps):,} steps, {steps[-1]['tokens']:,} tokens; last training loss {steps[-1]['loss']:.3f}.",
        figure=figure(steps, held_out, [e for e in events_of(records) if e["kind"] in ALARMING]),
        thinned=thinned if len(steps) > POINTS else "Every step is drawn.",
        memory="most that was allocated at once on its GPU" if "mfu" in steps[-1] else "what it had resident",
        mfu=_denominators(steps),
        stages=_table(_STAGES, [_stage_row(name, steps, held_out) for name in stages_of(steps)]),
        held_out=_held_out_table(held_out),
        events=_events_table(events_of(records)),
        slowest=_slowest_table(of_kind(records, "stragglers")),
    )
    page_path.write_text(page, encoding="utf-8")


def of_kind(records: Iterable[Record], kind: str) -> list[Record]:
    """The records of a kind."""
    return [record for record in records if record["kind"] == kind]


def steps_of(records: Iterable[Record]) -> list[Record]:
    """The steps, each with its own tokens as `step_tokens` and how long it took as `seconds`."""
    before, found = 0, []
    for record in of_kind(records, "step"):
        own = record["tokens"] - before
        before = record["tokens"]
        found.append(record | {"step_tokens": own, "seconds": own / record["tokens_per_second"]})
    return found


def stages_of(records: Iterable[Record]) -> list[str]:
    """Stages in the order in which they appear."""
    return list(dict.fromkeys(record["stage"] for record in records))


def events_of(records: Iterable[Record]) -> list[Record]:
    """Rewinds, spikes, changes of the rotary base and the like, each with the tokens seen before it."""
    tokens, found = 0, []
    for record in records:
        tokens = record.get("tokens", tokens)
        if record["kind"] not in FIGURES:
            found.append(record | {"tokens": tokens})
    return found


def _denominators(steps: Sequence[Record]) -> str:
    peaks = sorted({step["mfu_of"] for step in steps if "mfu_of" in step})
    if not peaks:
        return "MFU is left out: no peak is known of what computed."
    return f"MFU is of {' and '.join(f'{peak / 1e12:g}' for peak in peaks)} TFLOP/s a GPU."


def _stage_row(name: str, steps: Sequence[Record], held_out: Sequence[Record]) -> list[str]:
    own = [step for step in steps if step["stage"] == name]
    losses = {record["at"]: record["loss"] for record in held_out if record["stage"] == name}
    sizes = sorted({step["sequences"] for step in own[:-1] or own})
    last = own[-max(1, len(own) // 10) :]
    utilisations = [step["mfu"] for step in own if "mfu" in step]
    seconds = sum(step["seconds"] for step in own)
    return [
        escape(name),
        f"{len(own):,}",
        f"{sum(step['step_tokens'] for step in own):,}",
        f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}",
        f"{max(step['lr'] for step in own):.2e}",
        f"{own[-1]['lr']:.2e}",
        f"{mean(step['loss'] for step in last):.4f}",
        *(f"{losses[at]:.4f}" if at in losses else "–" for at in ("start", "end")),
        f"{median(step['tokens_per_second_per_process'] for step in own):,.0f}",
        f"{median(utilisations):.1%}" if utilisations else "–",
        *(f"{sum(step[wait] for step in own) / seconds:.1%}" for wait in ("data_wait_s", "sync_wait_s")),
        f"{max(step['memory_bytes'] for step in own) / 2**30:.2f}",
        duration(seconds),
    ]


def _held_out_table(held_out: Sequence[Record]) -> str:
    """One column an evaluation; the mixture first, then each component, then each language."""
    heads = ["", *(f"{record['stage']} {record['at']}" for record in held_out)]
    rows = [["the stage's mixture", *(f"{record['loss']:.4f}" for record in held_out)]]
    for kind in ("components", "languages"):
        names = parts_of(held_out, kind)
        rows += [[escape(name), *(_loss(record[kind].get(name)) for record in held_out)] for name in names]
    return _table(heads, rows, whole=1)


def parts_of(held_out: Sequence[Record], kind: str) -> list[str]:
    """Components, or languages, in the order in which they appear."""
    return list(dict.fromkeys(name for record in held_out for name in record[kind]))


def _loss(loss: float | None) -> str:
    return "–" if loss is None else f"{loss:.4f}"


def _events_table(events: Sequence[Record]) -> str:
    if not events:
        return "<p>None.</p>"
    rows = [[escape(e["kind"]), f"{e['step']:,}", f"{e['tokens']:,}", escape(_said(e))] for e in events]
    return _table(("event", "at step", "tokens", "what"), rows)


def _said(event: Record) -> str:
    shown = {name: value for name, value in event.items() if name not in ("kind", "step", "tokens")}
    return "; ".join(f"{name}: {value}" for name, value in shown.items())


def _slowest_table(stragglers: Sequence[Record]) -> str:
    """For each measure the ranks that were slowest most often."""
    if not stragglers:
        return "<p>Not compared: one process, or too few steps.</p>"
    rows = []
    for measure, meaning in _MEASURES.items():
        found = [record["slowest"][measure] for record in stragglers]
        often = Counter(one["rank"] for one in found).most_common(_FEW)
        apart = median(abs(one["s"] - one["median_s"]) for one in found)
        rows.append([meaning, ", ".join(f"{rank} ({times}×)" for rank, times in often), f"{apart * 1000:.3g} ms"])
    note = f"<p>{len(stragglers):,} comparison(s) of all processes. Chance alone spreads the ranks evenly.</p>"
    return note + _table(("", "rank (how often)", "apart from the median rank"), rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], whole: int = 0) -> str:
    """Heads are text, cells HTML; the first `whole` rows are emphasised."""
    lines = ["<table>", "<thead>", "<tr>" + "".join(f"<th>{escape(head)}</th>" for head in heads) + "</tr>", "</thead>"]
    for number, (first, *rest) in enumerate(rows):
        row = ' class="whole"' if number < whole else ""
        lines.append(f"<tr{row}><th>{first}</th>" + "".join(f"<td>{cell}</td>" for cell in rest) + "</tr>")
    return "\n".join([*lines, "</table>"])
