from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixtures.catalogue import Catalogue
from mixtures.errors import RecipeError, SupplyError
from mixtures.estimate import by_folder, component_text, estimate_text, estimates
from mixtures.holdings import Holdings
from mixtures.plan import plan
from mixtures.spec import Mixture, load_mixture
from mixtures.strict import load

SOURCE: dict[str, Any] = {
    "name": "m",
    "seed": 3,
    "held_out": 0,
    "components": [
        {"name": "en", "kind": "english_web", "tokens": ["en"], "max_epochs": 1},
        {"name": "de", "kind": "european_web", "tokens": ["de"], "max_epochs": 2},
        {"name": "fr", "kind": "european_web", "tokens": ["fr"], "max_epochs": 2},
        {"name": "sv: new", "kind": "european_web", "tokens": ["sv"], "max_epochs": 2},
    ],
    "groups": [{"name": "europe", "out_of": 3, "shares": {"de": 1, "fr": 1, "sv: new": 1}}],
    "stages": [
        {"name": "s1", "context": 10, "tokens": 10_000, "weights": {"en": 1, "europe": 1}, "out_of": 2},
        {"name": "s2", "context": 20, "tokens": 1_000, "weights": {"en": 1, "europe": 1}, "out_of": 2},
    ],
}
ONE = Fraction(1)


def having(**available: int) -> Holdings:
    names = {"sv": "sv: new"}
    return Holdings(available={names.get(k, k): n for k, n in available.items()}, missing={}, unnamed={})


def test_weights_by_temperature_and_the_epochs_they_lead_to() -> None:
    mixture, found = load(Mixture, SOURCE), having(en=10**6, de=9_000, fr=4_000, sv=1_000)
    (even,) = estimates(mixture, found, Fraction(2), 1000)
    assert (even.group, even.out_of, even.temperature) == ("europe", 1000, "2")
    assert even.shares["de"] == pytest.approx(1000 * 94.87 / (94.87 + 63.25 + 31.62), abs=1)
    (plain,) = estimates(mixture, found, ONE, 14)
    assert plain.shares == {"de": 9, "fr": 4, "sv: new": 1} and plain.capped == {} and plain.left_out == ()
    assert plain.epochs["de"] == pytest.approx({"s1": 5_000 * 9 / 14 / 9_000, "s2": 5_500 * 9 / 14 / 9_000}, abs=0.01)


def test_what_max_epochs_holds_down_goes_to_the_others() -> None:
    mixture, found = load(Mixture, SOURCE), having(en=10**6, de=9_000, fr=4_000, sv=300)
    (made,) = estimates(mixture, found, Fraction(1000), 300)
    assert made.shares["sv: new"] == 31  # of 300 parts of 5,500 tokens; 2 epochs of 300, less 30 for rounding
    assert made.capped == {"sv: new": 100} and sum(made.shares.values()) == 300
    assert made.epochs["sv: new"]["s2"] <= 2 and made.epochs["sv: new"]["s2"] > 1.8
    assert abs(made.shares["de"] - made.shares["fr"]) <= 1


def test_where_max_epochs_cannot_be_kept_by_all_the_temperature_decides_and_it_is_said() -> None:
    mixture, found = load(Mixture, SOURCE), having(de=900, sv=90)
    (made,) = estimates(mixture, found, ONE, 110)
    assert (made.shares, made.capped, made.within_max_epochs) == ({"de": 100, "sv: new": 10}, {}, 38)
    assert (
        "        # max_epochs is passed: all at theirs, the members give 38 of the 110 parts; raise it, lower the "
        "group's weights, or add documents" in estimate_text(made, found).splitlines()
    )


def test_one_component_of_several_token_folders_is_weighed_folder_by_folder() -> None:
    where = [{"column": "score", "at_least": 0.5}, {"column": "language", "one_of": ["de", "fr"]}]
    europe = {"name": "europe", "kind": "european_web", "tokens": ["web/lang=*"], "max_epochs": "3/2", "where": where}
    recipe = load(Mixture, SOURCE | {"groups": [], "components": [SOURCE["components"][0], europe]})
    shards = dict.fromkeys(("en", "web/lang=de", "web/lang=fr", "other/lang=sv"), ())
    mixture = by_folder(recipe, Catalogue(tokenizer="", vocab_size=1, eod_id=0, folders=shards))
    found = Holdings(available={"web/lang=de": 9_000, "web/lang=fr": 1_000}, missing={}, unnamed={})
    (made,) = estimates(mixture, found, ONE, 10)
    assert (made.group, made.is_new, made.shares) == ("europe", False, {"web/lang=de": 9, "web/lang=fr": 1})
    lines = "\n".join(component_text(component) for component in mixture.components[1:])
    again = load(
        Mixture,
        SOURCE
        | {
            "groups": [],
            "components": [SOURCE["components"][0], *yaml.safe_load(lines)],
            "stages": [SOURCE["stages"][0] | {"weights": {"en": 2}}],
        },
    )
    assert again.components == mixture.components
    assert by_folder(mixture, Catalogue(tokenizer="", vocab_size=1, eod_id=0, folders=shards)) is mixture


def test_tokens_drawn_outside_the_group_count_against_the_cap() -> None:
    stages = [SOURCE["stages"][0] | {"weights": {"sv: new": 1, "europe": 9}, "out_of": 10}]
    mixture = load(Mixture, SOURCE | {"stages": stages})
    (made,) = estimates(mixture, having(de=9_000, fr=9_000, sv=600), Fraction(1000), 300)
    assert made.shares["sv: new"] == int((2 * 600 - 1_000 - 10) * 300 / 9_000)
    assert made.epochs["sv: new"]["s1"] <= 2


def test_without_groups_the_european_components_are_weighed_as_one() -> None:
    stages = [
        {"name": "s1", "context": 10, "tokens": 10_000, "weights": {"en": 6, "de": 3, "fr": 1}, "out_of": 10},
        {"name": "s2", "context": 10, "tokens": 1_000, "weights": {"en": 1}},
    ]
    mixture = load(Mixture, SOURCE | {"groups": [], "stages": stages})
    found = having(en=10**6, de=3_000, fr=1_000)
    (made,) = estimates(mixture, found, ONE, 4)
    assert (made.group, made.shares, made.left_out) == ("RefinedWeb-Europe", {"de": 3, "fr": 1}, ("sv: new",))
    assert made.epochs["de"] == pytest.approx({"s1": 1.0}, abs=0.01)
    assert estimate_text(made, found).splitlines()[-2:] == [
        "        # sv: new: left out, it has no tokens",
        "  # new: in each stage give it the weight that its members have together",
    ]


def test_the_text_is_a_group_that_a_recipe_accepts(tmp_path: Path) -> None:
    mixture, found = load(Mixture, SOURCE), having(en=10**6, de=9_000, fr=4_000, sv=900)
    (made,) = estimates(mixture, found, ONE, 139)
    text = "\n".join(["groups:", estimate_text(made, found)])
    (tmp_path / "m.yaml").write_text(yaml.safe_dump({k: v for k, v in SOURCE.items() if k != "groups"}) + text)
    again = load_mixture(tmp_path / "m.yaml")
    assert again.groups[0].shares == {"de": 90, "fr": 40, "sv: new": 9}
    assert "        de: 90        # 9,000 tokens; s1 0.36, s2 0.398\n" in text
    rows = {(row.stage, row.component): row.epochs_so_far for row in plan(again, found).rows}
    assert made.epochs == {
        name: {stage: rows[stage, name] for stage in ("s1", "s2")} for name in ("de", "fr", "sv: new")
    }


def test_the_shipped_recipe_accepts_what_is_estimated_for_it(tmp_path: Path) -> None:
    mixture = load_mixture("falcon2-11b")
    sizes = [190, 160, 150, 80, 70, 60, 50, 22, 18, 25]
    there = dict(zip(mixture.groups[0].parts(), (n * 10**9 for n in sizes), strict=True))
    (made,) = estimates(mixture, Holdings(available=there, missing={}, unnamed={}), Fraction(10, 3), 100)
    assert list(made.shares.values()) == [15, 14, 14, 11, 11, 10, 10, 5, 4, 6]
    # without caps 14, 13, 13, 10, 10, 10, 9, 7, 7, 7; two epochs of 22, 18 and 25 are 44, 36 and 50 of the 800 drawn
    assert list(made.capped.values()) == [7, 7, 7]
    text = estimate_text(made, Holdings(available=there, missing={}, unnamed={}))
    shipped = Path(__file__).parents[2].joinpath("mixtures/recipes/falcon2-11b.yaml").read_text(encoding="utf-8")
    before, after = shipped.split("groups:\n")[0], "stages:\n" + shipped.split("\nstages:\n")[1]
    (tmp_path / "m.yaml").write_text(f"{before}groups:\n{text}\n{after}", encoding="utf-8")
    assert [int(n) for n in load_mixture(tmp_path / "m.yaml").groups[0].shares.values()] == list(made.shares.values())


NOTHING_EUROPEAN = {
    "groups": [],
    "components": SOURCE["components"][:1],
    "stages": [SOURCE["stages"][0] | {"weights": {"en": 2}}],
}


@pytest.mark.parametrize(
    ("change", "available", "out_of", "error", "message"),
    [
        ({}, {"en": 1}, 100, SupplyError, "group 'europe': none of de, fr, sv: new has tokens; tokenise"),
        (
            {},
            {"de": 10**6, "sv": 1000},
            9,
            RecipeError,
            "europe: sizes.sv: new: its share is rounded to nothing",
        ),
        (NOTHING_EUROPEAN, {"en": 1}, 9, RecipeError, "m: has neither groups nor components of kind european_web"),
    ],
)
def test_what_cannot_be_weighed(
    change: dict[str, Any], available: dict[str, int], out_of: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as refused:
        estimates(load(Mixture, SOURCE | change), having(**available), ONE, out_of)
    assert message in str(refused.value)
