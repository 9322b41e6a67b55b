"""Templates are checked, and what fills them is only text."""

import pytest

from mixtures.sources.template import check_template, fill


def test_text_with_braces_is_only_text():
    assert fill("{a}: {b} {{x}}", a="{b}", b="{0.__class__}") == "{b}: {0.__class__} {x}"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{c}", r"f: {c} cannot be filled in; known are {a}, {b}"),
        ("{a.__class__} {b}", "cannot be filled in"),
        ("{a!r} {b}", "cannot be filled in"),
        ("{a:>10} {b}", "cannot be filled in"),
        ("{} {b}", "cannot be filled in"),
        ("{a", "f: .*double a brace"),
        ("{a}", "f: {b} is missing; add it"),
    ],
)
def test_other_places_are_refused(template, message):
    with pytest.raises(ValueError, match=message):
        check_template("f", template, {"a", "b"}, needed={"b"})


def test_a_good_one_passes():
    check_template("f", "{b} and {{braces}}", {"a", "b"}, needed={"b"})
