import re
from pathlib import Path

from tests.trainer.runs import untimed
from trainer import curves


def test_the_page_is_self_contained_and_holds_every_stage(uninterrupted: Path) -> None:
    page = (uninterrupted / "curves.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']https?:""", page)
    assert page.count("<svg") == 1
    losses = [f"{record['loss']:.4f}" for record in untimed(uninterrupted) if record["kind"] == "held_out"]
    rows = re.findall(r"<tr><td>(\w+)</td><td>([\d.]+)</td><td>([\d.]+)</td></tr>", page)
    assert [row[0] for row in rows] == ["one", "two", "three", "four"]
    assert [loss for row in rows for loss in row[1:]] == losses
    assert "22 steps, 6,000 tokens" in page


def test_names_from_a_recipe_are_escaped(uninterrupted: Path, tmp_path: Path) -> None:
    curves.draw(uninterrupted / "metrics.jsonl", tmp_path / "page.html", title="<script>alert(1)</script>")
    assert "<script>" not in (tmp_path / "page.html").read_text()


def test_the_same_metrics_give_the_same_page(uninterrupted: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        curves.draw(uninterrupted / "metrics.jsonl", tmp_path / name, title="tiny")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_stage_under_way_has_no_end_yet(uninterrupted: Path, tmp_path: Path) -> None:
    lines = (uninterrupted / "metrics.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "metrics.jsonl").write_text("".join(lines[:14]))
    curves.draw(tmp_path / "metrics.jsonl", tmp_path / "page.html", title="tiny")
    assert re.search(r"<tr><td>two</td><td>[\d.]+</td><td>–</td></tr>", (tmp_path / "page.html").read_text())
