from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from mixtures.holdings import Holdings, holdings
from mixtures.plan import known_values, plan, plan_text
from mixtures.spec import Mixture, load_mixture
from mixtures.strict import load

SOURCE: dict[str, Any] = {
    "name": "m",
    "seed": 3,
    "held_out": 0,
    "components": [
        {"name": "web", "kind": "european_web", "tokens": ["web"], "max_epochs": 2},
        {"name": "code", "kind": "code", "tokens": ["code"], "max_epochs": "1/2"},
    ],
    "stages": [
        {"name": "s1", "context": 10, "tokens": 8_001, "weights": {"web": 3, "code": 1}, "out_of": 4},
        {"name": "s2", "context": 20, "tokens": 2_000, "weights": {"web": 1}},
    ],
}


@pytest.fixture
def mixture() -> Mixture:
    return load(Mixture, SOURCE)


def having(**available: int) -> Holdings:
    return Holdings(available=available, missing={}, unnamed={})


def test_rows(mixture: Mixture) -> None:
    rows = plan(mixture, having(web=4_000, code=5_005)).rows
    found = [
        (r.stage, r.component, r.sequences, r.tokens, r.available, r.epochs, r.epochs_so_far, r.left_over) for r in rows
    ]
    assert found == [
        ("s1", "web", 601, 6_010, 4_000, 1.5025, 1.5025, 9),
        ("s1", "code", 200, 2_000, 5_005, 2_000 / 5_005, 2_000 / 5_005, 4),
        ("s2", "web", 100, 2_000, 4_000, 0.5, 2.0025, 19),
    ]
    assert [row.share for row in rows] == [0.75, 0.25, 1.0]


def test_stages_and_components(mixture: Mixture) -> None:
    made = plan(mixture, having(web=4_000, code=5_000))
    assert [(s.name, s.context, s.first, s.tokens) for s in made.stages] == [
        ("s1", 10, 0, 8_010),
        ("s2", 20, 8_010, 2_000),
    ]
    assert [(c.name, c.kind, c.tokens, c.available, c.epochs, c.max_epochs, c.unseen) for c in made.components] == [
        ("web", "european_web", 8_010, 4_000, 2.0025, 2.0, 0),
        ("code", "code", 2_000, 5_000, 0.4, 0.5, 3_000),
    ]


def test_warnings_name_the_component_beyond_its_cap_and_where_it_passes_it(mixture: Mixture) -> None:
    assert plan(mixture, having(web=4_005, code=4_000)).warnings == (
        "code: about 2,000 of its 4,000 tokens are never seen (0.5 epochs in all)",
    )
    # 6,010 tokens of web in the first stage, then 2,000 of 2,000: 7,800 are passed 1,790 tokens into the second
    assert plan(mixture, having(web=3_900, code=0)).warnings == (
        "code: 0 tokens do not fill one window of 10; add documents",
        "web: 2.054 epochs of its 3,900 tokens in all, above max_epochs (2); passed in s2, after 9,800 tokens of "
        "training",
        "code: endless epochs of its 0 tokens in all, above max_epochs (1/2); passed in s1, after 0 tokens of training",
    )
    (first, *_) = plan(mixture, having(web=1_503, code=2_000)).warnings
    assert first.endswith("above max_epochs (2); passed in s1, after 4,006 tokens of training")


def test_what_is_never_seen_under_one_context_and_under_two() -> None:
    """Half of the windows each time: half under one context, a quarter where the second draws anew."""
    stages = [{"name": f"s{i}", "context": c, "tokens": 500, "weights": {"web": 1}} for i, c in enumerate((10, 20))]
    both = plan(load(Mixture, SOURCE | {"stages": stages}), having(web=1_000))
    assert both.components[0].unseen == 250
    assert "web: about 250 of its 1,000 tokens are never seen (1 epochs in all)" in both.warnings
    assert plan(load(Mixture, SOURCE | {"stages": stages[:1]}), having(web=1_000)).components[0].unseen == 500
    assert plan(load(Mixture, SOURCE | {"stages": stages[:1]}), having(web=504)).warnings == (
        "code: no stage draws from it; give it a weight or take it out of the recipe",
    )


def test_rounded_shares_are_told() -> None:
    stage = {"name": "s", "context": 1, "tokens": 9, "out_of": 2**21 + 1, "weights": {"web": 2**21 - 9, "code": 10}}
    warnings = plan(load(Mixture, SOURCE | {"stages": [stage]})).warnings
    assert warnings == (
        "s: web: 2097143/2097153 is scheduled as 1048571/1048576",
        "s: code: 10/2097153 is scheduled as 5/1048576",
    )


def test_without_tokens_the_table_says_what_is_wanted() -> None:
    text = plan_text(plan(load_mixture("falcon2-11b")))
    lines = text.splitlines()
    assert len(lines) == 2 + 14 + 14 + 14 + 3
    first = " ".join(lines[2].split())
    assert first == "stage-1 2,048 RefinedWeb-English 69.00% 1,516,113,282 3,105,000,001,536 - - - - - -"


def test_statuses_are_those_of_the_recipe_the_weakest_for_a_share() -> None:
    made = plan(load_mixture("falcon2-11b"), known=known_values("falcon2-11b"))
    shares = {(row.stage, row.component): row.share_status for row in made.rows}
    assert shares["stage-1", "RefinedWeb-English"] == "second_hand"
    assert shares["stage-1", "RefinedWeb-Europe/de"] == "assumed"  # the temperature of the group is
    assert shares["stage-4", "code"] == "assumed"
    assert {(s.context_status, s.tokens_status) for s in made.stages} == {("published", "published")}
    assert {c.max_epochs_status for c in made.components} == {"assumed"}


def test_values_of_a_file_without_statuses(tmp_path: Path, mixture: Mixture) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("name: m\nseed: {value: 3, status: assumed}\nstages: [{context: 10}]\n")
    assert known_values(path) == {"seed": "assumed"}
    assert {row.share_status for row in plan(mixture, known=known_values(path)).rows} == {None}


def test_holdings_are_those_to_train_on(mixture: Mixture, write_root: Callable[..., Path], tmp_path: Path) -> None:
    root = write_root(tmp_path / "t", {"web": [{"a": [1] * 4}, {"b": [2] * 4}], "code": [{"c": [3] * 9, "d": [4] * 9}]})
    found = holdings(mixture, root)
    assert (found.available, found.missing, found.unnamed) == ({"web": 10, "code": 20}, {}, {})
    assert [(fit.context, fit.windows) for name in ("web", "code") for fit in found.fits[name]] == [
        (10, 0),
        (20, 0),
        (10, 1),
    ]
    held_out = load(Mixture, SOURCE | {"held_out": "1/10"})
    assert holdings(held_out, root).available == {"web": 5, "code": 10}


def test_masked_documents_that_are_nowhere_are_told(write_root: Callable[..., Path], tmp_path: Path) -> None:
    """An id that is none masks nothing; held-out documents are there, those of other folders are not."""
    root = write_root(
        tmp_path / "t", {"web": [{"a": [1] * 8, "bé": [2] * 30}, {"c": [3] * 9}], "more": [{"d": [4] * 9}]}
    )
    (tmp_path / "ids.txt").write_text("bé\na\nhttps://example.org/\nd\n", encoding="utf-8")
    log = [
        {"at": 1, "reason": "r", "mask": {"documents": ["c", "a"]}},
        {"at": 2, "reason": "r", "skip": 1},
        {"at": 3, "reason": "r", "mask": {"file": str(tmp_path / "ids.txt")}},
    ]
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(SOURCE | {"held_out": "1/10", "changes": log}))
    recipe = load_mixture(tmp_path / "m.yaml")
    found = holdings(recipe, root)
    assert found.unheld == {2: ("d", "https://example.org/")}
    assert (
        "changes[2].mask: 2 of its 4 documents are in no token file that is drawn from, 'd' among them; give ids as "
        "`falconmix trace` shows them" in plan(recipe, found).warnings
    )


def test_all_that_is_missing_and_all_that_is_not_named(write_root: Callable[..., Path], tmp_path: Path) -> None:
    components = [
        {"name": "web", "kind": "european_web", "tokens": ["web/*", "more"], "max_epochs": 2},
        {"name": "code", "kind": "code", "tokens": ["code"], "max_epochs": 4},
    ]
    recipe = load(Mixture, SOURCE | {"components": components})
    root = write_root(tmp_path / "t", {"web/de": [{"a": [1] * 4}], "books": [{"c": [3] * 9}]})
    found = holdings(recipe, root)
    assert found == Holdings(available={}, missing={"web": ("more",), "code": ("code",)}, unnamed={"books": 10})
    assert plan(recipe, found).warnings == (
        "web: no token folder matches more; tokenise it or take it out of the recipe",
        "code: no token folder matches code; tokenise it or take it out of the recipe",
        "books: 10 tokens that no component of the recipe names",
    )


def test_the_log_counts_with_its_components_and_weights() -> None:
    """From sequence 200 of 801 on: half web, half books; the second stage, of web, is as it was."""
    books = {"name": "books", "kind": "other", "tokens": ["books"], "max_epochs": 1}
    change = {"at": 200, "reason": "more", "weights": {"web": 1, "books": 1}, "out_of": 2, "components": [books]}
    recipe = load(Mixture, SOURCE | {"changes": [change]})
    made = plan(recipe, having(web=10_000, code=500, books=2_000))
    rows = {(row.stage, row.component): row.tokens for row in made.rows}
    web, later = 10 * 150, 10 * 301  # of a pair the first is web's
    assert rows == {("s1", "web"): web + later, ("s1", "code"): 500, ("s1", "books"): 3_000, ("s2", "web"): 2_000}
    assert sum(row.share for row in made.rows if row.stage == "s1") == pytest.approx(1)
    assert [component.name for component in made.components] == ["web", "code", "books"]
    assert [warning for warning in made.warnings if "max_epochs" in warning] == [
        "code: 1 epochs of its 500 tokens in all, above max_epochs (1/2); passed in s1, after 1,000 tokens of training",
        "books: 1.5 epochs of its 2,000 tokens in all, above max_epochs (1); passed in s1, after 6,006 tokens of "
        "training",
    ]


def test_plan_files_are_made_for_what_is_there_and_its_own_contexts(
    write_root: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_root(tmp_path / "t", {"web": [{"a": [1] * 8, "b": [2] * 30}]})
    recipe = load(Mixture, SOURCE | {"packing": "best_fit"})
    found = holdings(recipe, root)
    assert found.missing == {"code": ("code",)} and list(found.fits) == ["web"]
    row, *_ = plan(recipe, found).rows
    # 9 tokens, then 31 as three times 11 less the two shared: 9 + 11 + 11 + 11 of four windows of 11
    assert (row.windows, row.padding, row.cut, row.left_over) == (4, pytest.approx(2 / 44), 0.5, None)
    assert sorted(path.name for path in root.rglob("*.first.npy")) == ["10.first.npy", "20.first.npy"]
