"""`curves.html`: loss over tokens, the stages' boundaries and the held-out losses, in one self-contained file."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

from trainer import metrics

Record = dict[str, Any]
"""A line of `metrics.jsonl`."""

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}: training curves</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
svg {{ width: 100%; height: auto; }}
.wide {{ overflow-x: auto; }}
table {{ border-collapse: collapse; font-variant-numeric: tabular-nums; }}
th, td {{ padding: .2rem 1rem .2rem 0; text-align: right; border-bottom: 1px solid #ddd; font-weight: normal; }}
th:first-child {{ text-align: left; }}
tbody tr:first-child > *, thead th {{ font-weight: bold; }}
</style>
<h1>{title}: training curves</h1>
<p>{summary}</p>
{figure}
<h2>Held-out loss</h2>
<p>Nats per token on documents kept out of training, at the start and the end of each stage. Components that a stage
does not draw from, or whose held-out documents do not fill one of its windows, have none.</p>
<div class="wide">
<table>
<thead>
{head}
</thead>
<tbody>
{rows}
</tbody>
</table>
</div>
</html>
"""


def draw(metrics_path: Path, page_path: Path, *, title: str) -> None:
    """Draw the metrics of a run into one HTML file; nothing where no step was taken. Needs matplotlib."""
    records = metrics.read(metrics_path)
    steps = [record for record in records if record["kind"] == "step"]
    held_out = [record for record in records if record["kind"] == "held_out"]
    if not steps:
        return
    summary = f"{len(steps):,} steps, {steps[-1]['tokens']:,} tokens; last training loss {steps[-1]['loss']:.3f}."
    head, *rows = _table(held_out)
    page = _PAGE.format(
        title=html.escape(title), summary=summary, figure=_figure(steps, held_out), head=head, rows="\n".join(rows)
    )
    page_path.write_text(page, encoding="utf-8")


def _table(held_out: list[Record]) -> list[str]:
    """Rows of the table: one column per evaluation; the mixture first, then each component."""
    stages = [f"{html.escape(record['stage'])}<br>{record['at']}" for record in held_out]
    mixture = [record["loss"] for record in held_out]
    components = {
        html.escape(name): [record["components"].get(name) for record in held_out] for name in _components(held_out)
    }
    rows = [_row("the stage's mixture", mixture), *(_row(*component) for component in components.items())]
    return ["<tr><th></th>" + "".join(f"<th>{stage}</th>" for stage in stages) + "</tr>", *rows]


def _row(name: str, losses: list[float | None]) -> str:
    cells = "".join("<td>–</td>" if loss is None else f"<td>{loss:.4f}</td>" for loss in losses)
    return f"<tr><th>{name}</th>{cells}</tr>"


def _components(held_out: list[Record]) -> list[str]:
    """Components in the order in which they appear."""
    return list(dict.fromkeys(name for record in held_out for name in record["components"]))


def _figure(steps: list[Record], held_out: list[Record]) -> str:
    """Loss, held-out loss by component, learning rate, one above the other over tokens, as SVG."""
    # Here and not above: a machine that only trains need not draw, and importing this takes a second.
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    file = io.StringIO()
    with rc_context({"svg.hashsalt": "falconmix", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9, 9), layout="constrained")
        above, between, below = figure.subplots(3, sharex=True, height_ratios=(3, 3, 1))
        _draw_losses(above, steps, held_out)
        _draw_components(between, held_out)
        below.plot([record["tokens"] for record in steps], [record["lr"] for record in steps], color="#555", lw=1)
        below.set(ylabel="learning rate", xlabel="tokens", ylim=(0, None))
        below.xaxis.set_major_formatter(EngFormatter())
        for name, tokens in _stage_starts(steps):
            for axes in (above, between, below):
                axes.axvline(tokens, color="#bbb", lw=0.8, zorder=0)
            above.annotate(name, (tokens, 1), (3, 3), ("data", "axes fraction"), "offset points", color="#555")
        figure.savefig(file, format="svg", metadata={"Date": None})
    drawn = file.getvalue()
    return drawn[drawn.index("<svg") :]  # less the XML declaration, which HTML does not know


def _draw_losses(axes: Any, steps: list[Record], held_out: list[Record]) -> None:
    """Training loss as a line; held-out loss as points, joined where they belong to one stage."""
    axes.plot([record["tokens"] for record in steps], [record["loss"] for record in steps], color="#7a9cc6", lw=1)
    axes.plot([], [], color="#7a9cc6", label="training")
    axes.plot([], [], "o:", color="#b5482a", ms=5, label="held out, at start and end of a stage")
    for stage in dict.fromkeys(record["stage"] for record in held_out):
        points = [(record["tokens"], record["loss"]) for record in held_out if record["stage"] == stage]
        axes.plot(*zip(*points, strict=True), "o:", color="#b5482a", ms=5, lw=1)
    axes.set_ylabel("loss, nats per token")
    axes.legend(loc="lower left", frameon=False)


def _draw_components(axes: Any, held_out: list[Record]) -> None:
    """A line for each component; the windows are others from stage to stage, so that it is broken between them."""
    for number, name in enumerate(_components(held_out)):
        style: dict[str, Any] = {"color": f"C{number % 10}", "marker": "os^Dv"[number // 10 % 5], "ms": 4, "lw": 1}
        axes.plot([], [], label=name, **style)
        for stage in dict.fromkeys(record["stage"] for record in held_out):
            measured = [record for record in held_out if record["stage"] == stage and name in record["components"]]
            axes.plot([r["tokens"] for r in measured], [r["components"][name] for r in measured], **style)
    axes.set_ylabel("held out, by component")
    if not held_out:
        return
    axes.legend(loc="upper right", frameon=False, ncols=2, fontsize=8)


def _stage_starts(steps: list[Record]) -> list[tuple[str, int]]:
    """Name of each stage, and the tokens seen before it."""
    before = [0, *(record["tokens"] for record in steps)]
    starts: dict[str, int] = {}
    for record, tokens in zip(steps, before, strict=False):
        starts.setdefault(record["stage"], tokens)
    return list(starts.items())
