import re

import curves


def test_the_document_has_the_tables_of_this_version():
    document = curves.DOCUMENT.read_text(encoding="utf-8")
    assert curves.refreshed(document) == document
    for name in curves.tables():
        assert f"<!-- begin {name} -->" in document


def test_the_drawing_is_that_of_this_version_and_small():
    assert curves.DRAWING.read_text(encoding="utf-8") == curves.drawing()
    assert len(curves.drawing()) < 6000


def test_lines_pass_through_the_published_probabilities():
    """The paper's line at J = .8, read off the drawing: .9946."""
    path = re.search(r'points="([^"]*)" fill="none" stroke="#c9510c"', curves.drawing())
    assert path
    points = [tuple(map(float, point.split(","))) for point in path[1].split()]
    x = curves.LEFT + (0.8 - 0.4) / 0.6 * (curves.RIGHT - curves.LEFT)
    (y,) = (y for at, y in points if abs(at - x) < 0.1)
    assert abs((curves.BOTTOM - y) / (curves.BOTTOM - curves.TOP) - 0.9946) < 0.002


def test_what_is_lost_at_most_covers_all_sizes():
    assert 1e-11 < curves.lost_at_most(0.8) < 1e-9
    assert 1e-5 < curves.lost_at_most(0.78) < 1e-3
