"""Falcon2 in plain PyTorch.

Decoder-only transformer with rotary embeddings, grouped-query attention, and attention and MLP in parallel behind one
LayerNorm per block (Falcon2-11B, arXiv 2407.14885). Parameters have the names and layouts of Hugging Face's
`FalconForCausalLM` less the leading `transformer.`, so that export is a matter of names.

Shapes: B sequences, T positions, D hidden, V vocabulary, H query heads, G key/value heads (groups), C head width.

Under tensor parallelism the residual stream is divided by positions, each block gathers it once after its norm, and the
two partial results of attention and MLP are summed and divided again in one go; without it the same code sees plain
tensors.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from trainer.attention import Look, attend
from trainer.config import ModelConfig


def rotary_tables(positions: int, width: int, theta: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines [T, C] of rotary embedding with base `theta`, in fp32 (RoFormer, arXiv 2104.09864)."""
    exponents = torch.arange(0, width, 2, dtype=torch.float32, device=device) / width
    frequencies = 1.0 / theta**exponents
    angles = torch.arange(positions, dtype=torch.float32, device=device)[:, None] * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def rotate(x_BHTC: Tensor, cos_TC: Tensor, sin_TC: Tensor) -> Tensor:
    """Rotate pairs (i, i + C/2) by their position's angle; computed in fp32 whatever the input's type."""
    first, second = x_BHTC.chunk(2, dim=-1)
    rotated = torch.cat((-second, first), dim=-1)
    return (x_BHTC * cos_TC + rotated * sin_TC).to(x_BHTC.dtype)


_KEPT: Final = {
    "aten::mm",
    "aten::_scaled_mm",
    "aten::_scaled_dot_product_flash_attention",
    "aten::_scaled_dot_product_efficient_attention",
    "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_flash_attention_for_cpu",
    "torch_attn::_varlen_attn",
    "flash_attn::_flash_attn_varlen_forward",
}
"""Operations whose results selective recomputation keeps, by name: some exist only where a package is installed."""


class Attention(nn.Module):
    """Causal grouped-query attention; the fused projection is interleaved per group, `[q … q k v] × G`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.width = config.head_width
        self.queries_per_group = config.heads // config.kv_heads
        fused = (config.heads + 2 * config.kv_heads) * config.head_width
        self.query_key_value = nn.Linear(config.hidden, fused, bias=False)
        self.dense = nn.Linear(config.hidden, config.hidden, bias=False)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor, look: Look) -> Tensor:
        """[B, T, D] → [B, T, D]; `cos` and `sin` are [T, C] or [B, 1, T, C]."""
        # Under tensor parallelism the projection gives this process's groups alone.
        fused_BTGQC = self.query_key_value(x_BTD).unflatten(-1, (-1, self.queries_per_group + 2, self.width))
        query, key, value = fused_BTGQC.split((self.queries_per_group, 1, 1), dim=3)
        query, key, value = (part.flatten(2, 3).transpose(1, 2) for part in (query, key, value))
        mixed_BHTC = attend(rotate(query, cos, sin), rotate(key, cos, sin), value, look)
        return self.dense(mixed_BHTC.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class MLP(nn.Module):
    """Two linear maps around an exact (erf) GELU."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense_h_to_4h = nn.Linear(config.hidden, config.mlp, bias=False)
        self.dense_4h_to_h = nn.Linear(config.mlp, config.hidden, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        return self.dense_4h_to_h(F.gelu(self.dense_h_to_4h(x_BTD)))  # type: ignore[no-any-return]


_uncompiled_checkpoint = torch._dynamo.disable(checkpoint, recursive=False)  # type: ignore[no-untyped-call]


class Block(nn.Module):
    """x + attention(norm(x)) + mlp(norm(x)), with the one norm shared."""

    recompute: Literal["none", "selective", "full"] = "none"
    """Activations that the backward pass computes again."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        self.self_attention = Attention(config)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, cos: Tensor, sin: Tensor, look: Look) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        if self.recompute == "none" or not torch.is_grad_enabled():
            return self._computed(x_BTD, cos, sin, look)
        # A graph with both a checkpoint and DTensors cannot be compiled (torch 2.13): there, only what is within it is.
        outer = _uncompiled_checkpoint if isinstance(x_BTD, DTensor) else checkpoint
        again = partial(outer, self._computed, x_BTD, cos, sin, look, use_reentrant=False, preserve_rng_state=False)
        # One call for each kind: a compiler wants the context a constant, and takes the default one only left out.
        if self.recompute == "selective":
            return again(context_fn=_keeping_products)  # type: ignore[no-any-return]
        return again()  # type: ignore[no-any-return]

    def _computed(self, x_BTD: Tensor, cos: Tensor, sin: Tensor, look: Look) -> Tensor:
        normed = gathered(self.input_layernorm(x_BTD))
        return x_BTD + divided(self.self_attention(normed, cos, sin, look) + self.mlp(normed))


class Falcon2(nn.Module):
    """The whole model; `rope_theta` may be changed between steps, for it holds no table."""

    context_group: ProcessGroup | None = None
    """The processes that hold parts of the same sequences."""

    def __init__(self, config: ModelConfig, *, rope_theta: float, tied: bool) -> None:
        super().__init__()
        self.head_width, self.kv_heads, self.rope_theta = config.head_width, config.kv_heads, rope_theta
        self.word_embeddings = nn.Embedding(config.vocab, config.hidden)
        self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        # A tied head is the embedding itself, not a second module sharing its parameter: nothing can then untie it
        # behind our back (parallelize_module would), and the state dict holds each tensor once.
        self.lm_head = None if tied else nn.Linear(config.hidden, config.vocab, bias=False)

    @property
    def blocks(self) -> list[Block]:
        """The blocks, in order."""
        return [block for block in self.h if isinstance(block, Block)]

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        return self.lm_head is None

    def forward(
        self,
        tokens_BT: Tensor,
        documents_BT: Tensor | None = None,
        positions_BT: Tensor | None = None,
        places_T: Tensor | None = None,
    ) -> Tensor:
        """Token ids [B, T] → logits [B, T, V], under tensor parallelism a DTensor divided by V.

        Given the number of each token's document, none looks beyond its own; given positions, the rotary embedding
        counts by them and not from the window's start. `places_T` says where in their sequence these tokens stand,
        where other processes hold the rest of it.
        """
        look = Look.of(documents_BT, places_T, self.context_group)
        cos, sin = self._rotary(tokens_BT, positions_BT, places_T)
        x_BTD = settled(self.word_embeddings(tokens_BT))
        for block in self.h:
            x_BTD = block(x_BTD, cos, sin, look)
        x_BTD = gathered(self.ln_f(x_BTD))
        if self.lm_head is None:
            return F.linear(x_BTD, self.word_embeddings.weight)
        return self.lm_head(x_BTD)  # type: ignore[no-any-return]

    def _rotary(self, tokens_BT: Tensor, positions_BT: Tensor | None, places_T: Tensor | None) -> tuple[Tensor, Tensor]:
        n = tokens_BT.shape[1] * (self.context_group.size() if self.context_group else 1)
        cos, sin = rotary_tables(n, self.head_width, self.rope_theta, tokens_BT.device)
        if positions_BT is not None:
            return cos[positions_BT][:, None], sin[positions_BT][:, None]
        return (cos, sin) if places_T is None else (cos[places_T], sin[places_T])


def gathered(x_BTD: Tensor) -> Tensor:
    """A residual stream that is divided by positions, whole on every process of its tensor group."""
    return x_BTD.redistribute(placements=[Replicate()]) if isinstance(x_BTD, DTensor) else x_BTD


def settled(x_BTD: Tensor) -> Tensor:
    """The embedding's output, arrived: one still under way is of another type, and blocks would be compiled anew."""
    return x_BTD + 0.0 if isinstance(x_BTD, DTensor) else x_BTD


def divided(x_BTD: Tensor) -> Tensor:
    """Partial sums, summed over the tensor group and divided by positions."""
    return x_BTD.redistribute(placements=[Shard(1)]) if isinstance(x_BTD, DTensor) else x_BTD


def _keeping_products() -> tuple[Any, Any]:
    """Keep what matrix products and attention gave, compute the rest again: norms, GELU, rotation, views."""

    def policy(_context: object, operator: torch._ops.OpOverload, *_: object, **__: object) -> CheckpointPolicy:
        kept = operator.name() in _KEPT  # type: ignore[no-untyped-call]
        return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE

    return create_selective_checkpoint_contexts(policy)  # type: ignore[no-any-return, no-untyped-call]
