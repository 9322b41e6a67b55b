import pytest

from mixtures.schedule import StageSpan
from trainer.config import ModelConfig
from trainer.data import Step
from trainer.monitoring.flops import flops_per_token
from trainer.monitoring.pace import STEPS, Pace, duration

MODEL = ModelConfig(vocab=10, hidden=8, layers=3, heads=4, kv_heads=2, mlp=16, norm_eps=1e-5, init_std=0.02)
SPANS = (
    StageSpan(index=0, name="one", context=16, first=0, end=1000),
    StageSpan(index=1, name="two", context=64, first=1000, end=1500),
)


def step(count: int, context: int = 16) -> Step:
    return Step(number=1, stage=0, context=context, first=0, count=count)


def test_nothing_is_known_before_the_first_step() -> None:
    assert Pace(MODEL).left_s(SPANS, 0, 1500) == 0


def test_larger_batches_are_expected_to_take_longer() -> None:
    pace = Pace(MODEL)
    pace.took(step(10), 2.0)
    pace.took(step(30), 6.0)
    assert pace.left_s(SPANS, 40, 1000) == pytest.approx(960 * 0.2)


def test_a_later_stages_sequences_cost_what_their_arithmetic_costs() -> None:
    pace = Pace(MODEL)
    pace.took(step(10), 2.0)
    dearer = flops_per_token(MODEL, 64) / flops_per_token(MODEL, 16)
    assert dearer > 1
    assert pace.left_s(SPANS, 900, 1500) == pytest.approx(100 * 0.2 + 500 * 4 * 0.2 * dearer)
    assert pace.left_s(SPANS, 1500, 1500) == 0


def test_a_few_slow_steps_do_not_move_it_and_old_ones_are_forgotten() -> None:
    pace = Pace(MODEL)
    for seconds in [50.0, *[2.0] * 5, 90.0]:
        pace.took(step(10), seconds)
    assert pace.left_s(SPANS, 0, 1000) == pytest.approx(200)
    for _ in range(STEPS):
        pace.took(step(10), 4.0)
    assert pace.left_s(SPANS, 0, 1000) == pytest.approx(400)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (59.4, "59s"),
        (59.6, "1m00s"),
        (200, "3m20s"),
        (18420, "5h07m"),
        (86399.7, "1d00h"),
        (1051200, "12d04h"),
    ],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text
