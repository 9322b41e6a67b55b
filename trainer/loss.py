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
        largest_N = torch.cat([part.amax(dim=1) for part in torch.split(logits_NV, _ROWS)]).float()
        if group is not None:
            dist.all_reduce(largest_N, ReduceOp.MAX, group)
        words_N, own_N = _own_targets(targets_N, first, logits_NV.shape[1])
        found_N = torch.where(own_N, logits_NV.gather(1, words_N[:, None])[:, 0].float(), 0.0)
        both_2N = torch.stack((_summed_exponentials(logits_NV, largest_N), found_N))
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
        of_log_z_N = (targets_N != IGNORED).float() * (of_entropy + 2 * of_square * log_z_N)
        words_N, own_N = _own_targets(targets_N, ctx.first, logits_NV.shape[1])
        of_target_N = torch.where(own_N, -of_entropy, 0.0)
        gradient_NV = torch.empty_like(logits_NV)
        rows = (logits_NV, log_z_N, of_log_z_N, words_N, of_target_N, gradient_NV)
        for logits, log_z, weight, words, of_target, gradient in zip(*(t.split(_ROWS) for t in rows), strict=True):
            part = torch.sub(logits, log_z[:, None]).exp_().mul_(weight[:, None])
            # Here, in fp32: of a target that is nearly certain, p − 1 would not be left in bf16.
            gradient.copy_(part.scatter_add_(1, words[:, None], of_target[:, None]))
        return gradient_NV, None, None, None


def _summed_exponentials(logits_NV: Tensor, largest_N: Tensor) -> Tensor:
    """Rows' sums of exp(logit − largest); the difference is fp32, as `largest_N` is, without a copy of the logits."""
    pairs = zip(torch.split(logits_NV, _ROWS), torch.split(largest_N, _ROWS), strict=True)
    return torch.cat([torch.sub(logits, largest[:, None]).exp_().sum(dim=1) for logits, largest in pairs])


def _own_targets(targets_N: Tensor, first: int, n_words: int) -> tuple[Tensor, Tensor]:
    """Each row's target as the number of a word of this process, and whether it is one of its words; any, if not.

    Found without asking how many they are: a GPU would have to be waited for.
    """
    words_N = targets_N - first
    own_N = (words_N >= 0) & (words_N < n_words)
    return torch.where(own_N, words_N, 0), own_N


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
