from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.errors import RecipeError
from mixtures.strict import load, read_yaml, statuses, unmarked


@dataclass(frozen=True, kw_only=True)
class Rate:
    peak: float
    warm: bool = False

    def __post_init__(self) -> None:
        if self.peak <= 0:
            raise ValueError("peak must be above 0")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    name: str
    steps: int
    share: Fraction = Fraction(1, 2)
    mode: Literal["fast", "slow"] = "fast"
    note: str | None = None
    rates: tuple[Rate, ...] = ()
    weights: dict[str, Fraction] | None = None
    file: Path = Path("x")


FULL = {
    "name": "n",
    "steps": 3,
    "share": "1/3",
    "mode": "slow",
    "note": None,
    "rates": [{"peak": 1, "warm": True}, {"peak": 0.5}],
    "weights": {"a": 1, "b": "2/7"},
    "file": "a/b",
}


def test_every_kind_of_field_is_read() -> None:
    assert load(Recipe, FULL) == Recipe(
        name="n",
        steps=3,
        share=Fraction(1, 3),
        mode="slow",
        note=None,
        rates=(Rate(peak=1.0, warm=True), Rate(peak=0.5)),
        weights={"a": Fraction(1), "b": Fraction(2, 7)},
        file=Path("a/b"),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 1}, "recipe: stepz: unknown key; did you mean steps?"),
        ({"steps": "3"}, "recipe: steps: expected a whole number, found '3'"),
        ({"steps": 3.0}, "recipe: steps: expected a whole number, found 3.0"),
        ({"steps": True}, "recipe: steps: expected a whole number, found True"),
        ({"name": 7}, "recipe: name: expected text (quote it), found 7"),
        ({"share": 0.3}, 'recipe: share: expected an exact share, found 0.3; write a whole number or "a/b"'),
        ({"share": "1/0"}, "recipe: share: expected an exact share, found '1/0'; write a whole number or \"a/b\""),
        ({"mode": "slo"}, "recipe: mode: 'slo' is not possible; did you mean slow?"),
        ({"mode": "???"}, "recipe: mode: '???' is not possible; known are fast, slow"),
        ({"rates": {"peak": 1}}, "recipe: rates: expected a list, found a mapping"),
        ({"rates": [{"peak": 1}, {"pek": 1}]}, "recipe: rates[1].pek: unknown key; did you mean peak?"),
        ({"rates": [{}]}, "recipe: rates[0].peak: missing key; add it"),
        ({"rates": [{"peak": 0}]}, "recipe: rates[0]: peak must be above 0"),
        ({"rates": [{"peak": 1, "warm": "yes"}]}, "recipe: rates[0].warm: expected true or false, found 'yes'"),
        ({"rates": [3]}, "recipe: rates[0]: expected a mapping with the keys peak, warm, found 3"),
        (
            {"weights": {"a": []}},
            'recipe: weights.a: expected an exact share, found a list; write a whole number or "a/b"',
        ),
        (
            {"steps": {"value": 1, "status": "rumour"}},
            "recipe: steps.status: 'rumour' is none of published, second_hand",
        ),
    ],
)
def test_refusals_name_the_field_and_the_mend(change: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        load(Recipe, FULL | change)
    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


def test_missing_key() -> None:
    with pytest.raises(RecipeError, match=r"^recipe: steps: missing key; add it$"):
        load(Recipe, {"name": "n"})


def test_statuses_are_taken_off_and_told() -> None:
    source = {
        "name": "n",
        "steps": {"value": 3, "status": "published"},
        "rates": [{"peak": {"value": 2, "status": "assumed"}}, {"peak": 1}],
        "weights": {"status": "second_hand", "value": {"a": 1, "b": "1/2"}},
        "share": "1/4",
    }
    recipe = load(Recipe, source)
    assert (recipe.steps, recipe.rates[0].peak, recipe.weights) == (3, 2.0, {"a": 1, "b": Fraction(1, 2)})
    assert statuses(source) == {
        "steps": "published",
        "rates[0].peak": "assumed",
        "weights.a": "second_hand",
        "weights.b": "second_hand",
    }
    assert unmarked(source) == ["rates[1].peak", "share"]


def test_file_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    with pytest.raises(RecipeError, match=r"r\.yaml: no such file"):
        load(Recipe, path)
    for content, message in [
        ("a: [1", "not YAML"),
        ("- 1", "holds a list; a recipe is a mapping"),
        ("name: x\nname: y\n", "the key 'name' stands twice"),
        ("? [a, b]\n: 1\n", "a list or mapping stands where a key should"),
        ("{{a: b}: 1}", "a list or mapping stands where a key should"),
        ("name: 2024-13-45\n", "not YAML: month must be in"),
        (f"steps: {'9' * 5000}\n", "not YAML: Exceeds the limit"),
        ("weights: {~: 1}\n", "weights: expected keys of text .quote them., found nothing"),
        ("name: x\nsteps: two\n", "steps: expected a whole number"),
    ]:
        path.write_text(content)
        with pytest.raises(RecipeError, match=message) as caught:
            load(Recipe, path)
        assert str(caught.value).startswith(str(path))


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("a: 1e-8\nb: 3.7e-4\nc: 4_500\nd: -2E3\ne: 1e\n")
    assert read_yaml(path) == {"a": 1e-8, "b": 3.7e-4, "c": 4500, "d": -2000.0, "e": "1e"}


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
)


@given(st.dictionaries(st.sampled_from([*FULL, "other"]), values))
@settings(deadline=None)
def test_anything_is_either_read_or_refused(change: dict[str, object]) -> None:
    try:
        recipe = load(Recipe, FULL | change)
    except RecipeError:
        return
    assert "other" not in change
    assert type(recipe.steps) is int and type(recipe.share) is Fraction and recipe.mode in ("fast", "slow")
