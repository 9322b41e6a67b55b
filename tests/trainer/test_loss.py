import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.loss import IGNORED, loss_sums, objective


def logits_and_targets(batch: int, positions: int, vocab: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(batch, positions, vocab, generator=generator) * 4
    return logits, torch.randint(0, vocab, (batch, positions), generator=generator)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 4), st.integers(1, 6), st.integers(2, 30), st.integers(0, 1000))
def test_sums_equal_torch_and_the_definition(batch: int, positions: int, vocab: int, seed: int) -> None:
    logits, targets = logits_and_targets(batch, positions, vocab, seed)
    targets[0, 0] = IGNORED
    sums = loss_sums(logits, targets)
    flat = logits.flatten(0, 1), targets.flatten()
    expected = F.cross_entropy(*flat, ignore_index=IGNORED, reduction="sum")
    log_z = flat[0].exp().sum(-1).log()[flat[1] != IGNORED]
    assert sums.cross_entropy.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-5)
    assert sums.squared_log_z.item() == pytest.approx(log_z.square().sum().item(), rel=1e-4)


@pytest.mark.parametrize("parts", [[6], [3, 3], [1, 5], [0, 6], [2, 1, 3]])
def test_gradients_averaged_over_processes_are_the_steps_own(parts: list[int]) -> None:
    logits, targets = logits_and_targets(6, 5, 11, seed=1)
    logits.requires_grad_()
    dense = F.cross_entropy(logits.flatten(0, 1), targets.flatten()) + 0.01 * logits.logsumexp(-1).square().mean()
    (expected,) = torch.autograd.grad(dense, logits)
    gradients = []
    for part, wanted in zip(torch.split(logits, parts), torch.split(targets, parts), strict=True):
        loss = objective(loss_sums(part, wanted), step_tokens=30, z_loss=0.01, world=len(parts))
        gradients.append(torch.autograd.grad(loss, logits, retain_graph=True)[0])
    torch.testing.assert_close(torch.stack(gradients).mean(0), expected)


def test_bf16_logits_are_summed_in_fp32() -> None:
    logits, targets = logits_and_targets(64, 64, 8, seed=2)
    sums = loss_sums(logits.bfloat16(), targets)
    exact = loss_sums(logits.bfloat16().float(), targets)
    assert sums.cross_entropy.dtype == torch.float32
    assert torch.equal(sums.cross_entropy, exact.cross_entropy)


def test_bf16_gradients_of_near_certain_targets_are_not_lost() -> None:
    """p − 1 is taken before rounding: rounded on their own, the two are the same number in bf16."""
    logits = torch.zeros(1, 4, 11, dtype=torch.bfloat16)
    logits[0, :, 3] = torch.tensor([7.0, 9.0, 10.0, 11.0])
    logits.requires_grad_()
    targets = torch.full((1, 4), 3)
    (found,) = torch.autograd.grad(loss_sums(logits, targets).cross_entropy, logits)
    expected = logits.detach().double().softmax(dim=-1)
    expected[0, :, 3] -= 1.0
    torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=3e-7)  # as fp32 itself allows
    assert (found[0, :, 3] < 0).all()


def test_rows_are_taken_in_chunks_to_the_last_bit() -> None:
    """2,500 rows are two chunks and a part of one."""
    logits, targets = logits_and_targets(5, 500, 17, seed=4)
    targets[1, 50:90] = IGNORED
    logits.requires_grad_()
    whole = torch.autograd.grad(sum(loss_sums(logits, targets)), logits)[0]
    rows = [torch.autograd.grad(sum(loss_sums(logits[i : i + 1], targets[i : i + 1])), logits)[0] for i in range(5)]
    assert torch.equal(whole, torch.stack(rows).sum(0))
    assert not whole[1, 50:90].any()
