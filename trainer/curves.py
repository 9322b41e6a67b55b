"""`curves.html`: loss over tokens, the stages' boundaries and the held-out losses, in one self-contained file."""

from __future__ import annotations

import html
import io
from pathlib import Path
from typing import Any

from trainer import metrics

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}: training curves</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }}
svg {{ width: 100%; height: auto; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .2rem 1rem .2rem 0; text-align: right; border-bottom: 1px solid #ddd; }}
th:first-child, td:first-child {{ text-align: left; }}
</style>
<h1>{title}: training curves</h1>
<p>{summary}</p>
{figure}
<h2>Held-out loss</h2>
<p>Nats per token on documents kept out of training, weighted by the stage's mixture.</p>
<table>
<tr><th>stage</th><th>at its start</th><th>at its end</th></tr>
{rows}
</table>
</html>
"""


def draw(metrics_path: Path, page_path: Path, *, title: str) -> None:
    """Draw the metrics of a run into one HTML file."""
    records = metrics.read(metrics_path)
    steps = [record for record in records if record["kind"] == "step"]
    held_out = [record for record in records if record["kind"] == "held_out"]
    if not steps:
        return
    summary = f"{len(steps):,} steps, {steps[-1]['tokens']:,} tokens; last training loss {steps[-1]['loss']:.3f}."
    page = _PAGE.format(
        title=html.escape(title), summary=summary, figure=_figure(steps, held_out), rows="\n".join(_rows(held_out))
    )
    page_path.write_text(page, encoding="utf-8")


def _rows(held_out: list[dict[str, Any]]) -> list[str]:
    losses: dict[str, dict[str, float]] = {}
    for record in held_out:
        losses.setdefault(record["stage"], {})[record["at"]] = record["loss"]
    cells = {
        stage: "".join(f"<td>{at[when]:.4f}</td>" if when in at else "<td>–</td>" for when in ("start", "end"))
        for stage, at in losses.items()
    }
    return [f"<tr><td>{html.escape(stage)}</td>{cell}</tr>" for stage, cell in cells.items()]


def _figure(steps: list[dict[str, Any]], held_out: list[dict[str, Any]]) -> str:
    """Loss above, learning rate and batch below, as SVG."""
    # Here and not above: a machine that only trains need not draw, and importing this takes a second.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    tokens = [record["tokens"] for record in steps]
    with rc_context({"svg.hashsalt": "falconmix", "svg.fonttype": "none", "font.size": 10}):
        figure = Figure(figsize=(9, 6), layout="constrained")
        above, below = figure.subplots(2, sharex=True, height_ratios=(3, 1))
        above.plot(tokens, [record["loss"] for record in steps], color="#7a9cc6", lw=1, label="training")
        for number, (start, end) in enumerate(_stage_pairs(held_out)):
            x, y = [r["tokens"] for r in (start, end)], [r["loss"] for r in (start, end)]
            above.plot(x, y, "o-", color="#b5482a", ms=5, lw=1, label=None if number else "held out")
        for record in _boundaries(steps):
            for axes in (above, below):
                axes.axvline(record["tokens"], color="#bbb", lw=0.8, zorder=0)
            above.annotate(record["stage"], (record["tokens"], 1), (3, -12), xycoords=("data", "axes fraction"),
                           textcoords="offset points", color="#555")  # fmt: skip
        above.set_ylabel("loss, nats per token")
        above.legend(loc="upper right", frameon=False)
        below.plot(tokens, [record["lr"] for record in steps], color="#555", lw=1)
        below.set(ylabel="learning rate", xlabel="tokens", ylim=(0, None))
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue().partition("<svg")[1] + file.getvalue().partition("<svg")[2]


def _stage_pairs(held_out: list[dict[str, Any]]) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    starts = {record["stage"]: record for record in held_out if record["at"] == "start"}
    ends = {record["stage"]: record for record in held_out if record["at"] == "end"}
    return [(start, ends[stage]) for stage, start in starts.items() if stage in ends]


def _boundaries(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first step of each stage."""
    first: dict[str, dict[str, Any]] = {}
    for record in steps:
        first.setdefault(record["stage"], record)
    return list(first.values())
