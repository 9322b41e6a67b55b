import hashlib
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures import spec
from mixtures.errors import RecipeError
from mixtures.interleave import Interleaving
from mixtures.schedule import Schedule
from mixtures.spec import Mixture, load_mixture
from mixtures.strict import load

SEED = 5


def mixture(stages: list[tuple[int, int, dict[str, int]]]) -> Mixture:
    names = sorted({name for _, _, weights in stages for name in weights})
    source = {
        "name": "m",
        "seed": SEED,
        "held_out": 0,
        "components": [{"name": n, "kind": "other", "tokens": [n], "max_epochs": 1} for n in names],
        "stages": [
            {"name": f"s{i}", "context": context, "tokens": tokens, "weights": weights, "out_of": sum(weights.values())}
            for i, (context, tokens, weights) in enumerate(stages)
        ],
    }
    return load(Mixture, source)


stage_lists = st.lists(
    st.tuples(
        st.sampled_from([4, 8, 16]),
        st.integers(1, 900),
        st.dictionaries(st.sampled_from("abcde"), st.integers(1, 9), min_size=1),
    ),
    min_size=1,
    max_size=4,
)


@given(stage_lists)
@settings(max_examples=60, deadline=None)
def test_against_counting_by_hand(stages: list[tuple[int, int, dict[str, int]]]) -> None:
    schedule = Schedule(mixture(stages))
    drawn: dict[tuple[int, str], int] = {}
    position = 0
    for span, (context, tokens, weights) in zip(schedule.spans, stages, strict=True):
        assert (span.first, span.context) == (position, context)
        assert 0 <= (span.end - span.first) * context - tokens < context
        in_stage = dict.fromkeys(weights, 0)
        for place in range(span.end - span.first):
            slot = schedule.at(position)
            key = (context, slot.component)
            assert (slot.stage, slot.context, slot.count) == (span.index, context, drawn.get(key, 0))
            assert schedule.count_before(slot.component, position) == slot.count
            drawn[key] = slot.count + 1
            in_stage[slot.component] += 1
            for name, weight in weights.items():
                assert abs(in_stage[name] - weight * (place + 1) / sum(weights.values())) < 1
            position += 1
        assert schedule.sequences(span.index) == in_stage
    assert len(schedule) == position
    for name in "abcde":
        assert schedule.tokens(name) == sum(n * context for (context, c), n in drawn.items() if c == name)


def test_counters_run_on_under_one_context_and_restart_under_another() -> None:
    schedule = Schedule(mixture([(8, 32, {"a": 1}), (16, 32, {"a": 1}), (8, 16, {"a": 1})]))
    assert [schedule.at(i).count for i in range(len(schedule))] == [0, 1, 2, 3, 0, 1, 4, 5]


def test_epochs_are_those_of_the_stages_asked_for() -> None:
    schedule = Schedule(mixture([(64, 640, {"a": 1}), (64, 1920, {"a": 1})]))
    asked = [schedule.epochs("a", 640, lambda _: 10, stages) for stages in (None, [0], [1], iter((0, 1)), [])]
    assert asked == [4, 1, 3, 4, 0]


def test_outside_is_refused() -> None:
    schedule = Schedule(mixture([(8, 32, {"a": 1})]))
    for position in (-1, 4):
        with pytest.raises(IndexError, match=f"position {position} is outside the mixture's 4 sequences"):
            schedule.at(position)


def test_a_share_that_cannot_be_scheduled_names_mixture_and_stage() -> None:
    with pytest.raises(RecipeError, match="mixture m, stage s0: weights: b: a share of"):
        Schedule(mixture([(8, 32, {"a": 2**23, "b": 1})]))


def digest(schedule: Schedule, positions: range) -> str:
    slots = [(slot.stage, slot.component, slot.count) for slot in map(schedule.at, positions)]
    return hashlib.blake2b(json.dumps(slots).encode(), digest_size=8).hexdigest()


def test_golden_schedule_of_the_demo() -> None:
    schedule = Schedule(load_mixture("demo"))
    assert [(span.first, span.end) for span in schedule.spans] == [
        (0, 4688),
        (4688, 5470),
        (5470, 5861),
        (5861, 6252),
    ]
    assert [digest(schedule, range(span.first, span.end)) for span in schedule.spans] == [
        "81388ba0f2ddd0fa",
        "2809cff1a4796ae3",
        "0b284085019c37c3",
        "658331ef2b80d1a3",
    ]


def test_golden_schedule_of_falcon2() -> None:
    schedule = Schedule(load_mixture("falcon2-11b"))
    assert len(schedule) == 2_349_853_518
    assert digest(schedule, range(0, len(schedule), 1_234_567)) == "9611241f0a75f130"
    for span in schedule.spans:
        budget = schedule.mixture.stages[span.index].tokens
        assert 0 <= (span.end - span.first) * span.context - budget < span.context
        assert sum(schedule.sequences(span.index).values()) == span.end - span.first


def test_recipes_are_readable_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(Schedule(load_mixture("demo"))) == 6252


def test_each_share_is_reckoned_once_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening a stream asks for every component: with hundreds of them, reckoning all for each would take minutes."""
    calls = Counter[str]()
    counted, divided = Interleaving.count_before, spec.proportional
    monkeypatch.setattr(Interleaving, "count_before", lambda *a: (calls.update(["count"]), counted(*a))[1])
    monkeypatch.setattr(spec, "proportional", lambda *a: (calls.update(["divide"]), divided(*a))[1])
    names = [f"c{i}" for i in range(20)]
    components = [{"name": n, "kind": "other", "tokens": [n], "max_epochs": 1} for n in names]
    group = {"name": "g", "out_of": 100, "proportional": {"sizes": dict.fromkeys(names, 5), "temperature": 3}}
    stages = [{"name": s, "context": c, "tokens": 4000, "weights": {"g": 1}} for s, c in (("one", 4), ("two", 8))]
    source = {"name": "m", "seed": 1, "held_out": 0, "components": components, "groups": [group], "stages": stages}
    schedule = Schedule(load(Mixture, source))
    calls["count"] = 0  # how many were drawn before each stage was reckoned as well
    assert all(schedule.sequences(0)[name] == 50 for name in names)
    assert all(schedule.tokens(name) == 400 for name in names)
    assert calls == {"count": 2 * len(names), "divide": 1}
