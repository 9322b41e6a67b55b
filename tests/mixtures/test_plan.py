from collections.abc import Callable
from pathlib import Path

import pytest

from mixtures.plan import available_tokens, plan, plan_text
from mixtures.spec import Mixture, load_mixture
from mixtures.strict import load

SOURCE = {
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


def test_rows(mixture: Mixture) -> None:
    rows = plan(mixture, {"web": 4_000, "code": 5_005}).rows
    found = [(r.stage, r.component, r.sequences, r.tokens, r.available, r.epochs, r.left_over) for r in rows]
    assert found == [
        ("s1", "web", 601, 6_010, 4_000, 1.5025, 9),
        ("s1", "code", 200, 2_000, 5_005, 2_000 / 5_005, 4),
        ("s2", "web", 100, 2_000, 4_000, 0.5, 19),
    ]
    assert [row.share for row in rows] == [0.75, 0.25, 1.0]


def test_warnings_name_the_component_beyond_its_cap(mixture: Mixture) -> None:
    assert plan(mixture, {"web": 4_005, "code": 4_000}).warnings == ()
    assert plan(mixture, {"web": 3_900, "code": 0}).warnings == (
        "web: 2.054 epochs of its 3,900 tokens in all, above max_epochs (2)",
        "code: endless epochs of its 0 tokens in all, above max_epochs (1/2)",
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
    assert first == "stage-1 2,048 RefinedWeb-English 69.00% 1,516,113,282 3,105,000,001,536 - - -"


def test_available_tokens_are_those_to_train_on(
    mixture: Mixture, write_root: Callable[..., Path], tmp_path: Path
) -> None:
    root = write_root(tmp_path / "t", {"web": [{"a": [1] * 4}, {"b": [2] * 4}], "code": [{"c": [3] * 9, "d": [4] * 9}]})
    assert available_tokens(mixture, root) == {"web": 10, "code": 20}
    held_out = load(Mixture, SOURCE | {"held_out": "1/10"})
    assert available_tokens(held_out, root) == {"web": 5, "code": 10}
