import re

import pytest

from pipeline.report import StatsError, render


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("format",), 2, "format"),
        (("funnel", 0, "in"), "many", "funnel.0.in"),
        (("totals", "captures"), -1, "totals.captures"),
        (("inputs", 1, "size"), None, "inputs.1.size"),
        (("histograms", "text_chars", "edges"), [0, 1, 2, 3, 4], "histograms.text_chars"),
        (("histograms", "language_score", "edges"), [0.0, float("nan"), 1.0], "histograms.language_score.edges.1"),
    ],
)
def test_figures_not_as_declared_are_refused_by_name(path, value, named, figures):
    place = figures
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(StatsError, match=rf"^stats\.json: {re.escape(named)}: .*`falconmix report OUT`"):
        render(figures)


def test_a_missing_field_is_named(figures):
    del figures["totals"]
    with pytest.raises(StatsError, match=r"^stats\.json: totals: "):
        render(figures)


def test_figures_of_a_later_version_are_let_through(figures):
    assert render(figures | {"spans": {"cut": 3}}) == render(figures)
