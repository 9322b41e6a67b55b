"""Cross-entropy with z-loss, normalised by the targets of the whole step that count.

The logits may be divided over processes by vocabulary; they are never turned into fp32 all at once.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import ProcessGroup, ReduceOp
from torch.distributed.tensor import DTensor

IGNORED = -100
"""A target that counts for nothing."""
_ROWS: Final = 1024
"""Rows of logits in fp32 at a time: 266 MB for a vocabulary of 65,024."""


class LossSums(NamedTuple):
    """Sums over the targets that count, not yet divided by their number; fp32 scalars."""

    cross_entropy: Tensor
    squared_log_z: Tensor


def loss_sums(logits_BTV: Tensor, targets_BT: Tensor) -> LossSums:
    """Sum of −log p(target) and of log² Z, where Z is the softmax's denominator (z-loss: PaLM, arXiv 2204.02311, 5).

    In fp32 whatever the logits' type. An empty batch gives zeros that still carry a gradient, so that a process
    without sequences takes part in every collective.
    """
    group, first = None, 0
    if isinstance(logits_BTV, DTensor):
        group, vocab = logits_BTV.device_mesh.get_group(), logits_BTV.shape[-1]
        logits_BTV = logits_BTV.to_local()
        first = dist.get_rank(group) * -(-vocab // dist.get_world_size(group))
    sums: Any = _Sums.apply(logits_BTV.flatten(0, 1), targets_BT.flatten(), first, group)  # type: ignore[no-untyped-call]
    return LossSums(*sums)


class _Sums(torch.autograd.Function):
    """Both sums over the targets that count.

    V here are the words of this process: those from `first` on. Going forward, the processes agree on each row's
    maximum, then on its sum of exponentials and its target's logit; going backward, each needs its own words alone.
    """

    @staticmethod
    def forward(
        ctx: Any, logits_NV: Tensor, targets_N: Tensor, first: int, group: ProcessGroup | None
    ) -> tuple[Tensor, Tensor]:
        largest_N = torch.cat([part.float().amax(dim=1) for part in torch.split(logits_NV, _ROWS)])
        if group is not None:
            dist.all_reduce(largest_N, ReduceOp.MAX, group)
        both_2N = torch.stack((_summed_exponentials(logits_NV, largest_N), _own_target(logits_NV, targets_N, first)))
        if group is not None:
            dist.all_reduce(both_2N, ReduceOp.SUM, group)
        log_z_N = largest_N + both_2N[0].log()
        counts_N = targets_N != IGNORED
        ctx.save_for_backward(logits_NV, targets_N, log_z_N)
        ctx.first = first
        cross_entropy = torch.where(counts_N, log_z_N - both_2N[1], 0.0).sum()
        return cross_entropy, torch.where(counts_N, log_z_N.square(), 0.0).sum()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        logits_NV, targets_N, log_z_N = ctx.saved_tensors
        of_entropy, of_square = gradients
        counts_N = (targets_N != IGNORED).float()
        of_log_z_N = counts_N * (of_entropy + 2 * of_square * log_z_N)
        gradient_NV = torch.empty_like(logits_NV)
        parts = zip(*(torch.split(t, _ROWS) for t in (logits_NV, log_z_N, of_log_z_N, gradient_NV)), strict=True)
        for logits, log_z, weight, gradient in parts:
            gradient.copy_((logits.float() - log_z[:, None]).exp_().mul_(weight[:, None]))
        own_N, words_N = _own_targets(targets_N, ctx.first, logits_NV.shape[1])
        at_targets_N = torch.where(own_N, -of_entropy, 0.0).to(gradient_NV.dtype)
        gradient_NV.scatter_add_(1, words_N[:, None], at_targets_N[:, None])
        return gradient_NV, None, None, None


def _summed_exponentials(logits_NV: Tensor, largest_N: Tensor) -> Tensor:
    pairs = zip(torch.split(logits_NV, _ROWS), torch.split(largest_N, _ROWS), strict=True)
    return torch.cat([(logits.float() - largest[:, None]).exp_().sum(dim=1) for logits, largest in pairs])


def _own_targets(targets_N: Tensor, first: int, n_words: int) -> tuple[Tensor, Tensor]:
    """Whether each row's target is one of this process's words, and which; where it is not, any that exists.

    Rows are not picked out: how many there are would have to be known first, for which a GPU must be waited for.
    """
    words_N = targets_N - first
    return (words_N >= 0) & (words_N < n_words), words_N.clamp(0, n_words - 1)


def _own_target(logits_NV: Tensor, targets_N: Tensor, first: int) -> Tensor:
    """Each row's logit of its target, 0 where another process has it or it does not count."""
    own_N, words_N = _own_targets(targets_N, first, logits_NV.shape[1])
    return torch.where(own_N, logits_NV.gather(1, words_N[:, None])[:, 0].float(), 0.0)


def counted(targets_BT: Tensor) -> Tensor:
    """How many of the targets the loss counts."""
    return (targets_BT != IGNORED).sum()


def objective(sums: LossSums, *, step_tokens: float, z_loss: float, world: int) -> Tensor:
    """What this process differentiates, such that the mean gradient over processes is the step's own.

    FSDP averages gradients over `world` processes. The step's loss is a sum over all of them divided by the step's
    targets; the factor `world` undoes the average, however unevenly the sequences are spread. (FSDP can be told not to
    divide, but gloo lacks the reduction which that needs.)
    """
    return (sums.cross_entropy + z_loss * sums.squared_log_z) * (world / step_tokens)
