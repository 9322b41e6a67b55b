import re
from pathlib import Path

from tests.trainer.runs import untimed
from trainer import curves


def table(page: str) -> dict[str, list[str]]:
    """Cells of the page's table by the row's first."""
    rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>.*</tr>", page)]
    return {first: [cell.replace("<br>", " ") for cell in rest] for first, *rest in rows}


def test_the_page_is_self_contained_and_holds_every_stage(uninterrupted: Path) -> None:
    page = (uninterrupted / "curves.html").read_text()
    assert not re.findall(r"""(?:src|href)=["']https?:""", page)
    assert page.count("<svg") == 1
    held_out = [record for record in untimed(uninterrupted) if record["kind"] == "held_out"]
    rows = table(page)
    assert list(rows) == ["", "the stage's mixture", "English", "Europe", "technical", "code", "conversational"]
    assert rows[""] == [f"{stage} {at}" for stage in ("one", "two", "three", "four") for at in ("start", "end")]
    assert rows["the stage's mixture"] == [f"{record['loss']:.4f}" for record in held_out]
    assert rows["English"] == [f"{record['components']['English']:.4f}" for record in held_out[:6]] + ["–"] * 2
    assert "22 steps, 6,000 tokens" in page
    assert all(f">{text}<" in page for text in ("one", "four", "training", "conversational", "learning rate"))


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
    assert table((tmp_path / "page.html").read_text())[""] == ["one start", "one end", "two start"]
