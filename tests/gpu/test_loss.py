import pytest
import torch
import torch.nn.functional as F

from trainer.loss import IGNORED, loss_sums, objective


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_in_chunks_as_all_at_once(device: torch.device, dtype: torch.dtype) -> None:
    """2,500 rows are two chunks and a part of one."""
    generator = torch.Generator().manual_seed(3)
    logits = (torch.randn(5, 500, 999, generator=generator) * 4).to(device, dtype).requires_grad_()
    targets = torch.randint(0, 999, (5, 500), generator=generator).to(device)
    targets[2, 100:200] = IGNORED
    sums = loss_sums(logits, targets)
    (found,) = torch.autograd.grad(objective(sums, step_tokens=2_400, z_loss=1e-3, world=1), logits)

    exact = logits.detach().double().flatten(0, 1).requires_grad_()
    entropy = F.cross_entropy(exact, targets.flatten(), ignore_index=IGNORED, reduction="sum")
    squares = exact.logsumexp(-1)[targets.flatten() != IGNORED].square().sum()
    (expected,) = torch.autograd.grad((entropy + 1e-3 * squares) / 2_400, exact)
    assert sums.cross_entropy.item() == pytest.approx(entropy.item(), rel=1e-5)
    assert sums.squared_log_z.item() == pytest.approx(squares.item(), rel=1e-5)
    off = (found.flatten(0, 1).double() - expected).norm() / expected.norm()
    assert float(off) <= (5e-3 if dtype is torch.bfloat16 else 1e-5)


@pytest.mark.kernels
def test_memory_is_two_times_the_logits_and_a_chunk(device: torch.device) -> None:
    rows, vocab = 16_384, 16_384
    logits = torch.zeros((1, rows, vocab), dtype=torch.bfloat16, device=device, requires_grad=True)
    targets = torch.zeros((1, rows), dtype=torch.int64, device=device)
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    torch.autograd.grad(objective(loss_sums(logits, targets), step_tokens=rows, z_loss=1e-4, world=1), logits)
    chunk = 1_024 * vocab * 4
    assert torch.cuda.max_memory_allocated() - before <= logits.nbytes + 2 * chunk + 2**20
