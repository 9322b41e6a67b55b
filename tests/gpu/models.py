"""Models that a GPU's kernels take (heads of 128), what goes into them, and how results are compared."""

import torch
from torch import Tensor, nn

from trainer.build import initialise
from trainer.config import ModelConfig
from trainer.loss import loss_sums, objective
from trainer.model import Falcon2
from trainer.parallel import full

CONFIG = ModelConfig(vocab=1_000, hidden=512, layers=2, heads=4, kv_heads=2, mlp=1_024, norm_eps=1e-5, init_std=0.06)
CONTEXT = 192


def model_of(device: torch.device, dtype: torch.dtype = torch.float32, *, tied: bool = True) -> Falcon2:
    """The same weights each time, in the type asked for."""
    with device:
        model = Falcon2(CONFIG, rope_theta=500_042.0, tied=tied)
    initialise(model, CONFIG, seed=1)
    return model.to(dtype)


def batch(device: torch.device, rows: int = 3) -> tuple[Tensor, Tensor]:
    """Inputs and targets."""
    tokens = torch.randint(0, CONFIG.vocab, (rows, CONTEXT + 1), generator=torch.Generator().manual_seed(2))
    return tokens[:, :-1].to(device), tokens[:, 1:].to(device)


def documents(device: torch.device, rows: int = 3) -> Tensor:
    """Documents of many lengths, one token and a whole window among them; cut otherwise in each row."""
    numbers = torch.zeros((rows, CONTEXT), dtype=torch.int64)
    numbers[0, [1, 5, 64, 130, 191]] = 1
    if rows > 1:
        numbers[1, [96]] = 1
    return numbers.cumsum(dim=1).to(device)


def gradients(model: nn.Module, inputs: Tensor, targets: Tensor, numbers: Tensor | None = None) -> dict[str, Tensor]:
    """The gradient of each parameter, whole and in fp32, and the loss."""
    model.zero_grad()
    sums = loss_sums(model(inputs, numbers), targets)
    torch.autograd.backward(objective(sums, step_tokens=targets.numel(), z_loss=1e-4, world=1))
    found = {name: full(p.grad).detach().float().clone() for name, p in model.named_parameters() if p.grad is not None}
    return found | {"loss": sums.cross_entropy.detach() / targets.numel()}


def assert_close(ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float) -> None:
    """‖a − b‖ ≤ tolerance · ‖b‖ for each parameter by itself."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        off = float((ours[name] - expected).norm() / expected.norm())
        assert off <= tolerance, f"{name}: off by {off:.2e}, allowed {tolerance:.0e}"
