import re
from html import unescape
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest

from mixtures.holdings import Holdings
from mixtures.plan import known_values, plan
from mixtures.plan_charts import _spread, number, tokens_text
from mixtures.plan_page import plan_page
from mixtures.spec import Mixture, load_mixture
from mixtures.strict import load

SVG = "{http://www.w3.org/2000/svg}"
SOURCE: dict[str, Any] = {
    "name": "m <& co>",
    "seed": 3,
    "held_out": 0,
    "components": [
        {"name": "web & more", "kind": "european_web", "tokens": ["web"], "max_epochs": 2},
        {"name": "code", "kind": "code", "tokens": ["code"], "max_epochs": 4},
    ],
    "stages": [
        {"name": "s1", "context": 10, "tokens": 8_000, "weights": {"web & more": 3, "code": 1}, "out_of": 4},
        {"name": "s2", "context": 20, "tokens": 2_000, "weights": {"code": 1}},
    ],
}


def page_of(**available: int) -> str:
    return plan_page(plan(load(Mixture, SOURCE), Holdings(available=available, missing={}, unnamed={})))


def drawings(page: str) -> list[ElementTree.Element]:
    """Shares, epochs (where there are any); ParseError for SVG that is not well-formed."""
    found = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg xmlns.*?</svg>", page, re.DOTALL)]
    for svg in re.findall(r"<svg width.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)
    return found


def plot(svg: ElementTree.Element) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of the plot: those of its bands."""
    bands = [r for r in svg.iter(f"{SVG}rect") if r.get("class", "").startswith("band")]
    left = min(float(r.attrib["x"]) for r in bands)
    right = max(float(r.attrib["x"]) + float(r.attrib["width"]) for r in bands)
    top, height = float(bands[0].attrib["y"]), float(bands[0].attrib["height"])
    return left, right, top, top + height


def test_areas_have_the_widths_of_stages_and_the_heights_of_shares() -> None:
    shares = drawings(page_of())[0]
    left, right, top, bottom = plot(shares)
    areas = {
        title.text: [float(rect.attrib[key]) for key in ("x", "y", "width", "height")]
        for rect in shares.iter(f"{SVG}rect")
        if (title := rect.find(f"{SVG}title")) is not None
    }
    w, h = right - left, bottom - top
    assert areas == {
        "web & more: 75.00% of s1, 6,000 tokens": pytest.approx([left, top, 0.8 * w, 0.75 * h], abs=0.02),
        "code: 25.00% of s1, 2,000 tokens": pytest.approx([left, top + 0.75 * h, 0.8 * w, 0.25 * h], abs=0.02),
        "code: 100.00% of s2, 2,000 tokens": pytest.approx([left + 0.8 * w, top, 0.2 * w, h], abs=0.02),
    }
    words = [text.text for text in shares.iter(f"{SVG}text")]
    assert {"web & more 75.0%", "code 25.0%", "code 100.0%", "s1: 10", "s2: 20", "tokens trained on"} <= set(words)


def test_lines_go_through_the_epochs_at_the_ends_of_stages() -> None:
    epochs = drawings(page_of(**{"web & more": 2_000, "code": 2_000}))[1]
    left, right, _, bottom = plot(epochs)
    lines = {line[0].text: line.attrib["points"] for line in epochs.iter(f"{SVG}polyline")}
    assert list(lines) == [
        "web & more: 3 of 2 epochs, 6,000 tokens of 2,000",
        "code: 2 of 4 epochs, 4,000 tokens of 2,000",
    ]
    (cap_line,) = (path.attrib["d"] for path in epochs.iter(f"{SVG}path") if path.get("class") == "cap")
    cap = float(cap_line.split()[1].split("h")[0])
    for points, shares_of_cap in zip(lines.values(), ([0, 1.5, 1.5], [0, 0.25, 0.5]), strict=True):
        for point, tokens, of_cap in zip(points.split(), (0, 0.8, 1), shares_of_cap, strict=True):
            x, y = map(float, point.split(","))
            assert x == pytest.approx(left + tokens * (right - left), abs=0.02)
            assert y == pytest.approx(bottom - of_cap * (bottom - cap), abs=0.05)
    dashes = {line.get("stroke-dasharray") for line in epochs.iter(f"{SVG}polyline")}
    assert len(dashes) == 2
    names = [text.text for text in epochs.iter(f"{SVG}text")]
    assert {"web & more 3 of 2", "code 2 of 4", "max_epochs"} <= set(names)


def test_where_all_stay_far_below_their_caps_the_lines_are_still_seen() -> None:
    epochs = drawings(page_of(**{"web & more": 100_000, "code": 100_000}))[1]
    *_, top, bottom = plot(epochs)
    points = " ".join(line.attrib["points"] for line in epochs.iter(f"{SVG}polyline"))
    highest = min(float(point.split(",")[1]) for point in points.split())
    assert highest < top + 0.2 * (bottom - top)
    assert any(text.text == "max_epochs is far above, at 100%" for text in epochs.iter(f"{SVG}text"))


def test_the_page_needs_nothing_else_and_its_type_is_large_enough() -> None:
    page = plan_page(plan(load_mixture("falcon2-11b"), known=known_values("falcon2-11b")))
    assert not re.search(r"(src|href|action)\s*=|url\(|@import|<script|<link|<iframe", page)
    assert set(re.findall(r"https?://[^\"' <]*", page)) == {"http://www.w3.org/2000/svg"}
    assert "default-src 'none'" in page
    assert min(int(size) for size in re.findall(r"font(?:-size)?: ?(\d+)px", page)) >= 12
    assert len(drawings(page)) == 1 and "give the token files with <code>--tokens</code>" in page


def test_figures_warnings_and_statuses_stand_in_tables() -> None:
    made = plan(load_mixture("falcon2-11b"), known=known_values("falcon2-11b"))
    page = plan_page(made)
    cells = [unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<td.*?</td>", page)]
    assert cells[:5] == ["1", "stage-1", "2,048 published", "4,500,000,000,000 published", "0"]
    assert cells.count("69.00% second hand") == 1 and "60.00% assumed" in cells
    for row in made.rows:
        assert f"{row.tokens:,}" in cells and f"{row.sequences:,}" in cells
    warned = page_of(**{"web & more": 2_000, "code": 2_000})
    assert "<h1>m &lt;&amp; co&gt;</h1>" in warned and "<h2>1 warning(s)</h2>" in warned
    assert "web &amp; more: 3 epochs of its 2,000 tokens in all, above max_epochs (2); passed in s1" in warned


def test_names_never_stand_on_one_another_however_many_there_are() -> None:
    names = [f"component-with-a-long-name-{i}" for i in range(40)]
    source = SOURCE | {
        "components": [{"name": n, "kind": "other", "tokens": [n], "max_epochs": 2} for n in names],
        "stages": [
            {"name": f"s{i}", "context": 10, "tokens": 500, "out_of": 40, "weights": dict.fromkeys(names, 1)}
            for i in range(12)
        ],
    }
    found = Holdings(available=dict.fromkeys(names, 5_000), missing={}, unnamed={})
    for svg in drawings(plan_page(plan(load(Mixture, source), found))):
        names_of = [text for text in svg.iter(f"{SVG}text") if "long-name" in (text.text or "")]
        places = [(float(text.attrib["x"]), float(text.attrib["y"])) for text in names_of]
        for x in {x for x, _ in places}:
            ys = sorted(y for of, y in places if of == x)
            assert all(b - a > 15.9 for a, b in pairwise(ys)) and len(ys) == 40
        assert all(0 < y < float(svg.attrib["height"]) for _, y in places)


def test_spread() -> None:
    assert _spread([10, 50], 20, 0, 100) == [10, 50]
    assert _spread([50, 10, 11], 20, 0, 100) == [50, 10, 30]
    assert _spread([99, 98], 20, 0, 100) == [100, 80]


@pytest.mark.parametrize(
    ("tokens", "text"),
    [(0, "0"), (999, "999"), (1_500, "1.5 k"), (250e9, "250 B"), (5.5e12, "5.5 T"), (31_200_000, "31.2 M")],
)
def test_tokens_text(tokens: float, text: str) -> None:
    assert tokens_text(tokens) == text


def test_number() -> None:
    values = {0.4567: "0.457", 2: "2", 12.345: "12.3", 1000: "1,000", 123_456.7: "123,457"}
    assert {value: number(value) for value in values} == values
