import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainer.config import OptimConfig, Rate
from trainer.optim import adamw, learning_rate, tune

RATE = Rate(peak=3.7e-4, floor=1.89e-5, warmup_tokens=4_000)


@pytest.mark.parametrize(
    ("seen", "expected"),
    [(0, 0.0), (1_000, 3.7e-4 / 4), (4_000, 3.7e-4), (52_000, (3.7e-4 + 1.89e-5) / 2), (100_000, 1.89e-5)],
)
def test_rate_at_known_places(seen: int, expected: float) -> None:
    assert learning_rate(RATE, 100_000, seen) == pytest.approx(expected)


@given(st.lists(st.integers(0, 100_000), min_size=2, max_size=2), st.integers(0, 90_000))
def test_rate_falls_after_the_warm_up_and_stays_in_bounds(seen: list[int], warmup: int) -> None:
    rate = Rate(peak=1.0, floor=0.25, warmup_tokens=warmup)
    early, late = (learning_rate(rate, 100_000, max(place, warmup)) for place in sorted(seen))
    assert 0.25 <= late <= early <= 1.0


def test_a_constant_rate_is_a_peak_that_is_its_floor() -> None:
    assert {learning_rate(Rate(peak=2e-5, floor=2e-5), 10_000, seen) for seen in range(0, 10_001, 100)} == {2e-5}


def test_norms_and_biases_do_not_decay() -> None:
    """With zero gradients AdamW does nothing but decay."""
    linear = nn.Linear(3, 3)
    nn.init.ones_(linear.bias)
    model = nn.Sequential(linear, nn.LayerNorm(3))
    optimizer = adamw(model, OptimConfig(beta1=0.9, beta2=0.95, weight_decay=0.1, clip_norm=1.0, z_loss=0.0))
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    tune(optimizer, rate=0.5, eps=1e-8)
    optimizer.step()
    factors = {"0.weight": 0.95, "0.bias": 1.0, "1.weight": 1.0, "1.bias": 1.0}
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.detach(), before[name] * factors[name])


def test_a_step_is_adamws() -> None:
    model = nn.Linear(4, 2, bias=False)
    reference = nn.Linear(4, 2, bias=False)
    reference.load_state_dict(model.state_dict())
    ours = adamw(model, OptimConfig(beta1=0.9, beta2=0.95, weight_decay=0.1, clip_norm=1.0, z_loss=0.0))
    theirs = torch.optim.AdamW(reference.parameters(), lr=0.01, betas=(0.9, 0.95), eps=1e-7, weight_decay=0.1)
    for seed in range(3):
        gradient = torch.randn(2, 4, generator=torch.Generator().manual_seed(seed))
        model.weight.grad, reference.weight.grad = gradient.clone(), gradient.clone()
        tune(ours, rate=0.01, eps=1e-7)
        ours.step()
        theirs.step()
    torch.testing.assert_close(model.weight, reference.weight)
