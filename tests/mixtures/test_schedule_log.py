"""The log of a mixture: what changes from a position on, and that what lies before it stays."""

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.errors import RecipeError
from mixtures.log import MaskedDocuments
from mixtures.schedule import Schedule
from mixtures.spec import Mixture, load_mixture
from mixtures.strict import load

NAMES = "abcd"


def source(**changes: Any) -> dict[str, Any]:
    components = [{"name": n, "kind": "other", "tokens": [n], "max_epochs": 1} for n in "abc"]
    stages = [
        {"name": "one", "context": 8, "tokens": 800, "weights": {"a": 3, "b": 1}, "out_of": 4},
        {"name": "two", "context": 16, "tokens": 800, "weights": {"a": 1, "c": 1}, "out_of": 2},
        {"name": "three", "context": 8, "tokens": 400, "weights": {"b": 1}},
    ]
    return {"name": "m", "seed": 1, "held_out": 0, "components": components, "stages": stages} | changes


def mixture(*log: dict[str, Any]) -> Mixture:
    return load(Mixture, source(changes=list(log)))


@st.composite
def logs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Entries in order of their positions, out of 200 sequences."""
    entries = []
    for at in sorted(draw(st.lists(st.integers(0, 199), max_size=5))):
        weights = draw(st.dictionaries(st.sampled_from("abc"), st.integers(1, 9), max_size=3))
        skip = draw(st.integers(0, 30))
        entry: dict[str, Any] = {"at": at, "reason": "test", "skip": skip}
        if weights:
            entry |= {"weights": weights, "out_of": sum(weights.values())}
        if weights or skip:
            entries.append(entry)
    return entries


@given(logs())
@settings(max_examples=80)
def test_against_a_walk_through_the_training(log: list[dict[str, Any]]) -> None:
    """By the definition: items of the interleaving in turn, counters that run on, what is passed over."""
    made = mixture(*log)
    schedule = Schedule(made)
    drawn: dict[tuple[int, str], int] = {}
    for span, stage in zip(schedule.spans, made.stages, strict=True):
        weights, out_of, place, inside = stage.weights, stage.out_of, 0, dict.fromkeys(NAMES, 0)
        of_weights = [Schedule(load(Mixture, source(stages=[_stage(weights, out_of)])))]
        for position in range(span.first, span.end):
            for change in made.changes:
                if change.at == position:
                    for item in range(place, place + change.skip):
                        name = of_weights[-1].at(item).component
                        drawn[(span.context, name)] = drawn.get((span.context, name), 0) + 1
                    if change.weights:
                        weights, out_of = change.weights, change.out_of
                        of_weights.append(Schedule(load(Mixture, source(stages=[_stage(weights, out_of)]))))
                    place, inside = 0, dict.fromkeys(NAMES, 0)
            slot = schedule.at(position)
            assert slot.component == of_weights[-1].at(place).component
            key = (span.context, slot.component)
            assert slot.count == drawn.get(key, 0) == schedule.count_before(slot.component, position)
            assert schedule.position(slot.component, span.context, slot.count) == position
            drawn[key] = slot.count + 1
            place += 1
            inside[slot.component] += 1
            for name in NAMES:
                assert abs(inside[name] - weights.get(name, Fraction(0)) / out_of * place) < 1


def _stage(weights: dict[str, Fraction], out_of: Fraction) -> dict[str, Any]:
    shares = {name: int(weight) for name, weight in weights.items()}
    return {"name": "s", "context": 1, "tokens": 10_000, "weights": shares, "out_of": int(out_of)}


@given(logs(), logs())
@settings(max_examples=50)
def test_what_comes_before_an_entry_stays(log: list[dict[str, Any]], more: list[dict[str, Any]]) -> None:
    last = max((entry["at"] for entry in log), default=0)
    later = [entry for entry in more if entry["at"] >= last]
    first = min((entry["at"] for entry in later), default=200)
    before, after = mixture(*log), mixture(*log, *later)
    old, new = Schedule(before), Schedule(after)
    assert len(old) == len(new) == 200
    assert [old.at(position) for position in range(first)] == [new.at(position) for position in range(first)]
    assert (before.fingerprint() == after.fingerprint()) == (not later)


def test_what_is_passed_over_is_not_seen_in_that_epoch_and_costs_no_length() -> None:
    plain, passed = Schedule(mixture()), Schedule(mixture({"at": 10, "reason": "spike", "skip": 4}))
    assert [passed.at(p) for p in range(10)] == [plain.at(p) for p in range(10)]
    over = [plain.at(p) for p in range(10, 14)]
    assert [s.component for s in over].count("a") == 3
    seen = {(s.component, s.count) for s in map(passed.at, range(10, 100))}
    assert not seen & {(slot.component, slot.count) for slot in over}
    assert min(count for name, count in seen if name == "a") == plain.count_before("a", 14)
    assert all(passed.position(slot.component, 8, slot.count) is None for slot in over)
    assert passed.spans == plain.spans


def test_a_component_can_be_added() -> None:
    new = {"name": "d", "kind": "code", "tokens": ["d"], "max_epochs": 2}
    entry = {"at": 50, "reason": "more code", "components": [new], "weights": {"a": 1, "d": 1}, "out_of": 2}
    made = mixture(entry)
    schedule = Schedule(made)
    assert made.component("d").kind == "code"
    assert [schedule.at(p).component for p in range(50)].count("d") == 0
    assert [schedule.at(p).component for p in range(50, 100)].count("d") == 25
    assert schedule.sequences(0) == Counter(schedule.at(p).component for p in range(100))
    assert schedule.tokens("d") == 25 * 8
    assert schedule.at(100).stage == 1 and schedule.sequences(1) == {"a": 25, "c": 25}


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"at": 200, "skip": 1}, r"changes\[0\]\.at: 200 must be from 0 to 199"),
        ({"at": 5, "weights": {"a": 1, "b": 1}}, r"changes\[0\]: weights: the sum is 2, not 1"),
        ({"at": 5, "weights": {"d": 1}}, r"changes\[0\]\.weights\.d: no such component; there are a, b, c"),
        ({"at": 5, "skip": -1}, r"changes\[0\]: skip: -1 must not be negative"),
        ({"at": 5}, "the change at 5 changes nothing; give weights, skip or mask"),
        ({"at": 5, "mask": {}}, r"changes\[0\]\.mask: give documents, or a file with their ids, and not both"),
        ({"at": 5, "mask": {"documents": ["x"]}, "components": [source()["components"][0]]}, "'a' stands twice"),
    ],
)
def test_refusals(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        mixture({"reason": "x"} | entry)


def test_entries_out_of_order_are_refused() -> None:
    with pytest.raises(RecipeError, match=r"changes\[1\]\.at: 4 must be from 5 to 199: the log is in order"):
        mixture({"at": 5, "reason": "x", "skip": 1}, {"at": 4, "reason": "x", "skip": 1})


def test_a_list_of_documents_is_read_beside_the_recipe_and_fixed(tmp_path: Path) -> None:
    listed = tmp_path / "removed.txt"
    listed.write_text("aa\nbb\n")
    recipe = tmp_path / "m.yaml"
    recipe.write_text(yaml.safe_dump(source(changes=[{"at": 7, "reason": "x", "mask": {"file": "removed.txt"}}])))
    read = load_mixture(recipe)
    mask = read.changes[0].mask
    assert mask is not None and mask.ids() == {"aa", "bb"}
    before = read.fingerprint()
    listed.write_text("aa\nbb\ncc\n")
    with pytest.raises(RecipeError, match=r"removed\.txt: changed while it was in use; add a new entry"):
        mask.ids()
    assert load_mixture(recipe).fingerprint() != before
    listed.unlink()
    with pytest.raises(RecipeError, match=r"removed\.txt: cannot be read"):
        load_mixture(recipe)


def test_a_list_of_documents_has_one_id_a_line_whatever_is_in_it(tmp_path: Path) -> None:
    """Ids are anybody's: one with a space in it, taken for two, would go on being learned from."""
    path = tmp_path / "removed.txt"
    path.write_bytes("\ufeffENG19150 Buchan\r\n\r\n https://example.org/a b \r\nlast".encode())
    assert MaskedDocuments.of_file(path).ids() == {"ENG19150 Buchan", "https://example.org/a b", "last"}


def test_a_list_of_documents_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "removed.txt").write_text("aa\n")
    log = [{"at": 7, "reason": "x", "mask": {"file": "removed.txt"}}]
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(source(changes=log)))
    monkeypatch.chdir(tmp_path)
    mask = load_mixture("m.yaml").changes[0].mask
    monkeypatch.chdir("/")
    assert mask is not None and mask.ids() == {"aa"}
