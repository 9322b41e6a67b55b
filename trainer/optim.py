"""AdamW, and its learning rate as a pure function of tokens seen."""

from __future__ import annotations

import math

import torch
from torch import nn

from trainer.config import OptimConfig, Rate
from trainer.parallel import local


def learning_rate(rate: Rate, stage_tokens: int, seen: int) -> float:
    """Rate after `seen` of the stage's `stage_tokens` tokens.

    Linear from 0 over `warmup_tokens`, then half a cosine from `peak` to `floor`, reached with the last token.
    """
    if seen < rate.warmup_tokens:
        return rate.peak * seen / rate.warmup_tokens
    decaying = max(stage_tokens - rate.warmup_tokens, 1)
    progress = min((seen - rate.warmup_tokens) / decaying, 1.0)
    return rate.floor + (rate.peak - rate.floor) * 0.5 * (1.0 + math.cos(math.pi * progress))


def adamw(model: nn.Module, config: OptimConfig) -> torch.optim.AdamW:
    """AdamW (arXiv 1711.05101) over `model`; decay on matrices, none on norms and biases.

    The moments exist at once, as zeros, so that a checkpoint can be read into them. Rate and eps are set by `tune`.
    """
    parameters = list(model.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.0, betas=(config.beta1, config.beta2), fused=True)
    for parameter in parameters:
        optimizer.state[parameter] = {
            # The fused kernel wants the count where the parameter lives.
            "step": torch.zeros((), dtype=torch.float32, device=local(parameter).device),
            "exp_avg": torch.zeros_like(parameter, requires_grad=False),
            "exp_avg_sq": torch.zeros_like(parameter, requires_grad=False),
        }
    return optimizer


def tune(optimizer: torch.optim.Optimizer, *, rate: float, eps: float) -> None:
    """Set learning rate and eps for the next step."""
    for group in optimizer.param_groups:
        group["lr"], group["eps"] = rate, eps
