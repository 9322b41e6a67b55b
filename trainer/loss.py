"""Cross-entropy with z-loss, normalised by the tokens of the whole step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

IGNORED = -100
"""A target that counts for nothing."""


class LossSums(NamedTuple):
    """Sums over the targets that count, not yet divided by their number; fp32 scalars."""

    cross_entropy: Tensor
    squared_log_z: Tensor


def loss_sums(logits_BTV: Tensor, targets_BT: Tensor) -> LossSums:
    """Sum of −log p(target) and of log² Z, where Z is the softmax's denominator (z-loss: PaLM, arXiv 2204.02311, 5).

    In fp32 whatever the logits' type. An empty batch gives zeros that still carry a gradient, so that a process
    without sequences takes part in every collective.
    """
    logits_NV, targets_N = logits_BTV.flatten(0, 1).float(), targets_BT.flatten()
    counts_N = targets_N != IGNORED
    log_z_N = torch.logsumexp(logits_NV, dim=-1)
    target_logits_N = logits_NV.gather(1, targets_N.clamp(min=0)[:, None]).squeeze(1)
    cross_entropy = torch.where(counts_N, log_z_N - target_logits_N, 0.0).sum()
    return LossSums(cross_entropy, torch.where(counts_N, log_z_N.square(), 0.0).sum())


def counted(targets_BT: Tensor) -> Tensor:
    """How many of the targets the loss counts."""
    return (targets_BT != IGNORED).sum()


def objective(sums: LossSums, *, step_tokens: float, z_loss: float, world: int) -> Tensor:
    """What this process differentiates, such that the mean gradient over processes is the step's own.

    FSDP averages gradients over `world` processes. The step's loss is a sum over all of them divided by the step's
    tokens; the factor `world` undoes the average, however unevenly the sequences are spread. (FSDP can be told not to
    divide, but gloo lacks the reduction which that needs.)
    """
    return (sums.cross_entropy + z_loss * sums.squared_log_z) * (world / step_tokens)
