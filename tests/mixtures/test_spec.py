from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixtures.errors import RecipeError
from mixtures.spec import load_mixture, recipe_names
from mixtures.strict import read_yaml, statuses

EUROPE = {"de": 26, "es": 24, "fr": 23, "it": 7, "pt": 4, "pl": 4, "nl": 4, "ro": 3, "cs": 3, "sv": 2}


def small() -> dict[str, Any]:
    return {
        "name": "small",
        "seed": 1,
        "held_out": 0,
        "components": [{"name": name, "kind": "other", "tokens": [name], "max_epochs": 1} for name in ("a", "b", "c")],
        "groups": [{"name": "ab", "out_of": 4, "shares": {"a": 1, "b": 3}}],
        "stages": [{"name": "one", "context": 8, "tokens": 100, "weights": {"ab": "1/2", "c": "1/2"}}],
    }


def write(path: Path, source: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(source))
    return path


def test_falcon2_has_the_true_four_stages() -> None:
    mixture = load_mixture("falcon2-11b")
    billions = 10**9
    assert [(stage.context, stage.tokens) for stage in mixture.stages] == [
        (2048, 4500 * billions),
        (4096, 250 * billions),
        (8192, 250 * billions),
        (8192, 500 * billions),
    ]
    for stage in mixture.stages:
        assert 0 <= stage.sequences * stage.context - stage.tokens < stage.context
        assert sum(mixture.shares(stage).values()) == 1
    assert mixture.shares(mixture.stages[0])["RefinedWeb-English"] == Fraction(69, 100)
    for stage in mixture.stages[:3]:
        shares = mixture.shares(stage)
        europe = {name: shares[f"RefinedWeb-Europe/{name}"] for name in EUROPE}
        assert Fraction(15, 100) <= sum(europe.values()) <= Fraction(17, 100)
        assert {name: 100 * share / sum(europe.values()) for name, share in europe.items()} == EUROPE
    assert not any("RefinedWeb" in name for name in mixture.shares(mixture.stages[3]))


def test_falcon2_marks_every_value(repository: Path) -> None:
    mixture = load_mixture("falcon2-11b")
    assert mixture.statuses == "required"
    known = statuses(read_yaml(repository / "mixtures" / "recipes" / "falcon2-11b.yaml"))
    assert {known[f"stages[{i}].{key}"] for i in range(4) for key in ("context", "tokens")} == {"published"}
    assert known["stages[0].weights.RefinedWeb-English"] == "second_hand"
    assert known["stages[3].weights.code"] == "assumed"


def test_a_number_without_status_is_refused_where_statuses_are_required(tmp_path: Path) -> None:
    source = small() | {"statuses": "required", "held_out": {"value": 0, "status": "assumed"}}
    with pytest.raises(RecipeError, match=r"components\[0\]\.max_epochs: has no status; write it as"):
        load_mixture(write(tmp_path / "m.yaml", source))


def test_demo_is_the_same_in_small() -> None:
    demo, target = load_mixture("demo"), load_mixture("falcon2-11b")
    assert [stage.context for stage in demo.stages] == [64, 128, 256, 256]
    assert {c.kind for c in demo.components} == {c.kind for c in target.components}
    assert len(demo.components) == 5
    assert recipe_names() == ["demo", "falcon2-11b"]


def test_groups_are_divided_exactly(tmp_path: Path) -> None:
    mixture = load_mixture(write(tmp_path / "m.yaml", small()))
    assert mixture.shares(mixture.stages[0]) == {"a": Fraction(1, 8), "b": Fraction(3, 8), "c": Fraction(1, 2)}
    assert mixture.stages[0].sequences == 13


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("stages", 0, "weights"), {"ab": "1/2", "c": "1/3"}, r"stages\[0\]: weights: the sum is 5/6, not 1"),
        (("stages", 0, "weights"), {"ab": 1, "d": 0}, r"stages\[0\]: weights\.d: 0 must be above 0; leave"),
        (("stages", 0, "weights"), {"ab": "1/2", "d": "1/2"}, r"stages\[0\]\.weights\.d: no such component"),
        (("stages", 0, "weights"), {"c": 0.5}, r"stages\[0\]\.weights\.c: expected an exact share, found 0\.5"),
        (("stages", 0, "context"), 0, r"stages\[0\]: context \(0\)"),
        (("stages",), [], "stages: there is none"),
        (("groups", 0, "shares"), {"a": 1, "b": 2}, r"groups\[0\]: shares: the sum is 3, not 4"),
        (("groups", 0, "shares"), {"a": 1, "z": 3}, r"groups\[0\]\.shares\.z: no such component"),
        (("groups", 0, "name"), "c", "the name 'c' stands twice"),
        (("components", 1, "tokens"), ["../b"], r"components\[1\]: tokens: '../b' must be a path below"),
        (("components", 1, "tokens"), [], r"components\[1\]: component 'b' names no token folder"),
        (("components", 1, "max_epochs"), 0, "max_epochs: 0 must be above 0"),
        (("held_out",), 1, "held_out: 1 must be at least 0 and below 1"),
        (("packing",), "best-fit", "packing: .best-fit. is not possible; did you mean best_fit"),
    ],
)
def test_refusals(place: tuple[Any, ...], value: Any, message: str, tmp_path: Path) -> None:
    source: Any = small()
    target = source
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = value
    with pytest.raises(RecipeError, match=message) as caught:
        load_mixture(write(tmp_path / "m.yaml", source))
    assert str(caught.value).startswith(str(tmp_path / "m.yaml"))


def test_an_unknown_name_lists_the_shipped_recipes() -> None:
    with pytest.raises(RecipeError, match="falcon3: neither a file nor a shipped mixture; shipped are demo, falcon2"):
        load_mixture("falcon3")


def test_fingerprint_follows_the_content(tmp_path: Path) -> None:
    first = load_mixture(write(tmp_path / "m.yaml", small()))
    again = load_mixture(write(tmp_path / "n.yaml", small()))
    other = load_mixture(write(tmp_path / "o.yaml", small() | {"seed": 2}))
    assert first.fingerprint() == again.fingerprint() != other.fingerprint()
