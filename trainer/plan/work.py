"""Arithmetic of training: operations of a sequence, a multiplication and its addition counted as two.

Products with parameters: 6 for each and token, 2 going forward and 4 going backward. The embedding is looked up, not
multiplied, and norms are small beside it; a tied matrix counts as the head.
Attention: 12·D for each layer and pair of a token and one that it may look at, which is half of all pairs, since the
kernels pass over what comes later. That a kernel computes scores again going backward is its own affair.
"""

from __future__ import annotations

from dataclasses import dataclass

from trainer.config import ModelConfig
from trainer.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Work:
    """Operations of one sequence of `context` tokens, over all processes that compute it together."""

    blocks: int
    """Products with the parameters of blocks: what float8 speeds up."""
    head: int
    attention: int
    recomputed_blocks: int
    recomputed_attention: int

    @property
    def model(self) -> int:
        """What the model itself asks for: the operations that "model FLOPs utilisation" counts."""
        return self.blocks + self.head + self.attention

    @property
    def hardware(self) -> int:
        """Those, and what is computed twice."""
        return self.model + self.recomputed_blocks + self.recomputed_attention


def work_of_a_sequence(model: ModelConfig, layout: Layout, context: int) -> Work:
    """Operations of one sequence, there and back."""
    queries, keys = model.heads * model.head_width, model.kv_heads * model.head_width
    last = model.mlp * model.hidden
    matrices = model.hidden * (2 * queries + 2 * keys + model.mlp) + last
    pairs = context * context // 2
    full = layout.recompute == "full"
    return Work(
        blocks=6 * model.layers * matrices * context,
        head=6 * model.vocab * model.hidden * context,
        attention=12 * model.layers * queries * pairs,
        # What the last product of a block gives is not needed again, and not computed again.
        recomputed_blocks=2 * model.layers * (matrices - last) * context if full else 0,
        recomputed_attention=4 * model.layers * queries * pairs if full else 0,
    )
