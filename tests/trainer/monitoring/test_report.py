import html
import json
import re
from pathlib import Path
from statistics import mean, median
from typing import Any

import pytest

from tests.trainer.runs import untimed
from trainer.monitoring import metrics, report
from trainer.monitoring.pace import duration
from trainer.monitoring.report_charts import POINTS, thinned


def tables(page: str) -> list[dict[str, list[str]]]:
    """Cells of each of the page's tables by the row's first, heads included."""
    found = []
    for table in re.findall(r"<table>(.*?)</table>", page, re.S):
        rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr.*?>(.*?)</tr>", table)]
        found.append({html.unescape(first): [html.unescape(cell) for cell in rest] for first, *rest in rows})
    return found


def drawn(records: list[dict[str, Any]], folder: Path) -> str:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    report.draw(folder / "metrics.jsonl", folder / "page.html", title="tiny")
    return (folder / "page.html").read_text()


@pytest.fixture(scope="module")
def records(uninterrupted: Path) -> list[dict[str, Any]]:
    return metrics.read(uninterrupted / "metrics.jsonl")


def test_the_page_is_self_contained_and_holds_every_held_out_loss(uninterrupted: Path) -> None:
    page = (uninterrupted / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']https?:""", page)
    assert page.count("<svg") == 1
    held_out = [record for record in untimed(uninterrupted) if record["kind"] == "held_out"]
    rows = tables(page)[1]
    names = ["English", "Europe", "technical", "code", "conversational", "english_web", "de"]
    assert list(rows) == ["", "the stage's mixture", *names]
    assert rows[""] == [f"{stage} {at}" for stage in ("one", "two", "three", "four") for at in ("start", "end")]
    assert rows["the stage's mixture"] == [f"{record['loss']:.4f}" for record in held_out]
    assert rows["English"] == [f"{record['components']['English']:.4f}" for record in held_out[:6]] + ["–"] * 2
    assert rows["de"][4:6] == [f"{record['languages']['de']:.4f}" for record in held_out[4:6]]
    assert "22 steps, 6,000 tokens" in page
    words = ("one", "four", "training", "conversational", "learning rate", "gradient norm", "for data", "memory, bytes")
    assert all(f">{text}<" in page for text in words)
    assert ">MFU<" not in page[: page.index("</svg>")]


def test_a_row_of_each_stage(records: list[dict[str, Any]], uninterrupted: Path) -> None:
    rows = tables((uninterrupted / "report.html").read_text())[0]
    assert list(rows) == ["stage", "one", "two", "three", "four"]
    one = dict(zip(rows["stage"], rows["one"], strict=True))
    steps = [record for record in records if record["kind"] == "step" and record["stage"] == "one"]
    assert (one["steps"], one["tokens"], one["sequences a step"]) == ("8", "2,000", "9 to 18")
    assert one["learning rate, highest"] == f"{max(step['lr'] for step in steps):.2e}"
    assert one["last"] == "3.00e-03"
    assert one["training loss"] == f"{steps[-1]['loss']:.4f}"
    held_out = [record["loss"] for record in records if record["kind"] == "held_out"]
    assert (one["held out, start"], one["end"]) == (f"{held_out[0]:.4f}", f"{held_out[1]:.4f}")
    assert one["tokens/s/process"] == f"{median(step['tokens_per_second_per_process'] for step in steps):,.0f}"
    assert (one["MFU"], one["for others"]) == ("–", "0.0%")
    seconds = sum(step["sequences"] * 16 / step["tokens_per_second"] for step in steps)
    assert one["time in steps"] == duration(seconds)
    assert one["waiting for data"] == f"{sum(step['data_wait_s'] for step in steps) / seconds:.1%}"


def test_mfu_events_and_who_is_slowest_are_shown_where_there_are_any(
    records: list[dict[str, Any]], tmp_path: Path
) -> None:
    on_gpus = [
        record | {"mfu": 0.4 + record["step"] / 1000, "mfu_of": 989.4e12} if record["kind"] == "step" else record
        for record in records
    ]
    places = {"rank": 3, "s": 0.25, "median_s": 0.05}
    slowest = {"data_wait": places, "arrived_last": places | {"rank": 1, "s": 0.0}, "product": places | {"rank": 2}}
    on_gpus[5:5] = [
        {"kind": "rewind", "step": 4, "position": 36, "skip": 9, "reason": "loss <spike>"},
        {"kind": "stragglers", "step": 4, "tokens": 576, "stage": "one", "slowest": slowest},
    ]
    page = drawn(on_gpus, tmp_path)
    stages, _, events, ranks = tables(page)
    mfu = dict(zip(stages["stage"], stages["one"], strict=True))["MFU"]
    assert mfu == f"{median(0.4 + step / 1000 for step in range(1, 9)):.1%}"
    assert "MFU is of 989.4 TFLOP/s a GPU." in page
    assert events["rewind"] == ["4", "576", "position: 36; skip: 9; reason: loss <spike>"]
    assert ranks["waited longest for data"] == ["3 (1×)", "200 ms"]
    assert ranks["came last to the roll call"] == ["1 (1×)", "50 ms"]
    assert ranks["multiplied slowest"][0] == "2 (1×)"
    assert page.count(">rewind<") == 2  # in the drawing and in the table
    assert ">MFU<" in page[: page.index("</svg>")]


def test_names_from_a_recipe_are_escaped(uninterrupted: Path, tmp_path: Path) -> None:
    report.draw(uninterrupted / "metrics.jsonl", tmp_path / "page.html", title="<script>alert(1)</script>")
    assert "<script>" not in (tmp_path / "page.html").read_text()


def test_the_same_metrics_give_the_same_page(uninterrupted: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        report.draw(uninterrupted / "metrics.jsonl", tmp_path / name, title="tiny")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_stage_under_way_has_no_end_yet(records: list[dict[str, Any]], tmp_path: Path) -> None:
    stages, held_out, *_ = tables(drawn(records[:14], tmp_path))
    assert held_out[""] == ["one start", "one end", "two start"]
    assert dict(zip(stages["stage"], stages["two"], strict=True))["end"] == "–"


def test_of_many_steps_neighbours_are_drawn_together() -> None:
    y = [float(n % 7) for n in range(5001)]
    x, means, lowest, highest = thinned(range(5001), y, POINTS)
    assert len(x) == POINTS
    assert x[-1] == 5000
    assert (means[0], lowest[0], highest[0]) == (mean(y[:5]), 0.0, 4.0)
    assert (lowest.min(), highest.max()) == (0.0, 6.0)
    few, same, *_ = thinned([1, 2, 3], [4.0, 5.0, 9.0], POINTS)
    assert (few.tolist(), same.tolist()) == ([1, 2, 3], [4.0, 5.0, 9.0])
