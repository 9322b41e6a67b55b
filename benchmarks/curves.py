"""The curves of near-duplicate search, computed and not measured, written into `docs/deduplication.md`.

    python benchmarks/curves.py

Draws `docs/curves.svg`, with what probability each preset makes a pair a candidate, and writes the tables of the
document anew that stand between `<!-- begin NAME -->` and `<!-- end NAME -->`: that probability in figures, and the
errors of verification by sketch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from render import table, with_part
from stages.minhash import PRESETS, collision_probability
from stages.odd_sketch import acceptance, error_curve

DOCS = Path(__file__).resolve().parent.parent / "docs"
DOCUMENT, DRAWING = DOCS / "deduplication.md", DOCS / "curves.svg"
THRESHOLD = 0.75

SIMILARITIES = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
ERROR_SIMILARITIES = (0.65, 0.7, 0.72, 0.74, 0.75, 0.76, 0.78, 0.8)
SIZES = (200, 1000, 4000, 8192, 20_000, 200_000)

COLOURS: Mapping[str, str] = {"refinedweb": "#1f6feb", "refinedweb-paper": "#c9510c", "fineweb": "#57606a"}
WIDTH, HEIGHT, LEFT, TOP, FIRST = 640, 320, 44, 14, 0.4
RIGHT, BOTTOM = WIDTH - 16, HEIGHT - 38


def main() -> None:
    DRAWING.write_text(drawing(), encoding="utf-8")
    DOCUMENT.write_text(refreshed(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")


def drawing() -> str:
    """Candidates' probability over similarity, a line for each preset, and the threshold of verification."""
    at = np.linspace(FIRST, 1, 61)
    lines = [_line("#d0d7de", [(FIRST, y / 4), (1, y / 4)], "1") for y in range(5)]
    lines += [_text(LEFT - 8, _y(y / 4) + 4, f"{y / 4:g}", "end") for y in range(5)]
    lines += [_text(_x(x / 10), BOTTOM + 17, f"{x / 10:g}") for x in range(4, 11)]
    lines.append(_text((LEFT + RIGHT) / 2, HEIGHT - 6, "Jaccard similarity of two documents' 5-word shingles"))
    lines.append(_line("#1a7f37", [(THRESHOLD, 0), (THRESHOLD, 1)], '1.5" stroke-dasharray="5 4'))
    lines.append(_text(_x(THRESHOLD) + 6, BOTTOM - 8, f"refinedweb: edges below {THRESHOLD} are dropped", "start"))
    for place, (name, colour) in enumerate(COLOURS.items()):
        geometry, y = PRESETS[name], TOP + 22 + 19 * place
        lines.append(_line(colour, [(x, collision_probability(x, geometry)) for x in at], "2"))
        lines.append(f'<path d="M{LEFT + 12} {y - 4}h22" stroke="{colour}" stroke-width="2"/>')
        lines.append(_text(LEFT + 40, y, f"{name}, {geometry.bands} bands × {geometry.rows} rows", "start"))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    title = "<title>Probability that two documents become candidates</title>"
    return "\n".join(
        [f'{head} font-size="12">', title, '<rect width="100%" height="100%" fill="#fff"/>', *lines, "</svg>\n"]
    )


def tables() -> dict[str, str]:
    """The tables of the document, by name."""
    return {"candidates": _candidates(), "sketch-errors": _sketch_errors()}


def refreshed(document: str) -> str:
    """The document with its tables written anew."""
    for name, text in tables().items():
        document = with_part(document, name, text)
    return document


def lost_at_most(similarity: float) -> float:
    """The largest probability that a pair of this similarity fails `THRESHOLD` by sketch, of sets up to 200,000."""
    sizes, loss = np.arange(1, 200_001), 0.0
    for ratio in (similarity, (1 + similarity) / 2, 1.0):
        accepted = acceptance(sizes, np.ceil(ratio * sizes).astype(np.int64), similarity, THRESHOLD)
        loss = max(loss, float(1 - accepted.min()))
    return loss


def _candidates() -> str:
    headings = ["preset", "bands × rows", *(f"J = {similarity:g}" for similarity in SIMILARITIES)]
    rows = []
    for name, geometry in PRESETS.items():
        curve = (_share(collision_probability(similarity, geometry)) for similarity in SIMILARITIES)
        rows.append([f"`{name}`", f"{geometry.bands} × {geometry.rows}", *curve])
    return table(headings, rows)


def _sketch_errors() -> str:
    headings = ["shingles of each", *(f"J = {similarity:g}" for similarity in ERROR_SIMILARITIES)]
    rows = [[f"{n:,}", *map(_share, error_curve(n, THRESHOLD, ERROR_SIMILARITIES))] for n in SIZES]
    return (
        f"{table(headings, rows)}\n\nLost at J = 0.8, at most, of any two sizes up to 200,000: {lost_at_most(0.8):.1e}."
    )


def _share(probability: float) -> str:
    """Four decimals."""
    if probability < 0.00005:
        return "< 0.0001"
    return "> 0.9999" if probability >= 0.99995 else f"{probability:.4f}"


def _x(similarity: float) -> float:
    return LEFT + (similarity - FIRST) / (1 - FIRST) * (RIGHT - LEFT)


def _y(probability: float) -> float:
    return BOTTOM - probability * (BOTTOM - TOP)


def _line(colour: str, points: list[tuple[float, float]], width: str) -> str:
    path = " ".join(f"{_x(x):.1f},{_y(y):.1f}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}">{text}</text>'


if __name__ == "__main__":
    main()
