"""Falcon2 in plain PyTorch.

Decoder-only transformer with rotary embeddings, grouped-query attention, and attention and MLP in parallel behind one
LayerNorm per block (Falcon2-11B, arXiv 2407.14885). Parameters have the names and layouts of Hugging Face's
`FalconForCausalLM` less the leading `transformer.`, so that export is a matter of names.

Shapes: B sequences, T positions, D hidden, V vocabulary, H query heads, G key/value heads (groups), C head width.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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


def within_documents(documents_BT: Tensor) -> Tensor:
    """What each position may look at: itself and what stands before it in its own document; [B, 1, T, T]."""
    same_BTT = documents_BT[:, :, None] == documents_BT[:, None, :]
    return same_BTT.tril()[:, None]


class Attention(nn.Module):
    """Causal grouped-query attention; the fused projection is interleaved per group, `[q … q k v] × G`."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.groups, self.width = config.kv_heads, config.head_width
        self.queries_per_group = config.heads // config.kv_heads
        fused = (config.heads + 2 * config.kv_heads) * config.head_width
        self.query_key_value = nn.Linear(config.hidden, fused, bias=False)
        self.dense = nn.Linear(config.hidden, config.hidden, bias=False)

    def forward(self, x_BTD: Tensor, cos_TC: Tensor, sin_TC: Tensor, mask_B1TT: Tensor | None = None) -> Tensor:
        """[B, T, D] → [B, T, D]; causal where there is no mask of what may be looked at."""
        B, T, _ = x_BTD.shape
        fused = self.query_key_value(x_BTD).view(B, T, self.groups, self.queries_per_group + 2, self.width)
        query, key, value = fused.split((self.queries_per_group, 1, 1), dim=3)
        query, key, value = (part.flatten(2, 3).transpose(1, 2) for part in (query, key, value))
        mixed_BHTC = F.scaled_dot_product_attention(
            rotate(query, cos_TC, sin_TC),
            rotate(key, cos_TC, sin_TC),
            value,
            attn_mask=mask_B1TT,
            is_causal=mask_B1TT is None,
            enable_gqa=True,
        )
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


class Block(nn.Module):
    """x + attention(norm(x)) + mlp(norm(x)), with the one norm shared."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.input_layernorm = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        self.self_attention = Attention(config)
        self.mlp = MLP(config)

    def forward(self, x_BTD: Tensor, cos_TC: Tensor, sin_TC: Tensor, mask_B1TT: Tensor | None) -> Tensor:
        """[B, T, D] → [B, T, D]."""
        normed = self.input_layernorm(x_BTD)
        return x_BTD + self.self_attention(normed, cos_TC, sin_TC, mask_B1TT) + self.mlp(normed)  # type: ignore[no-any-return]


class Falcon2(nn.Module):
    """The whole model; `rope_theta` may be changed between steps, for it holds no table."""

    def __init__(self, config: ModelConfig, *, rope_theta: float, tied: bool) -> None:
        super().__init__()
        self.head_width, self.rope_theta = config.head_width, rope_theta
        self.word_embeddings = nn.Embedding(config.vocab, config.hidden)
        self.h = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.ln_f = nn.LayerNorm(config.hidden, eps=config.norm_eps)
        # A tied head is the embedding itself, not a second module sharing its parameter: nothing can then untie it
        # behind our back (parallelize_module would), and the state dict holds each tensor once.
        self.lm_head = None if tied else nn.Linear(config.hidden, config.vocab, bias=False)

    @property
    def tied(self) -> bool:
        """Whether the head is the embedding."""
        return self.lm_head is None

    def forward(
        self, tokens_BT: Tensor, documents_BT: Tensor | None = None, positions_BT: Tensor | None = None
    ) -> Tensor:
        """Token ids [B, T] → logits [B, T, V].

        Given the number of each token's document, none looks beyond its own; given positions, the rotary embedding
        counts by them and not from the window's start.
        """
        cos, sin = rotary_tables(tokens_BT.shape[1], self.head_width, self.rope_theta, tokens_BT.device)
        if positions_BT is not None:
            cos, sin = cos[positions_BT][:, None], sin[positions_BT][:, None]
        mask_B1TT = None if documents_BT is None else within_documents(documents_BT)
        x_BTD = self.word_embeddings(tokens_BT)
        for block in self.h:
            x_BTD = block(x_BTD, cos, sin, mask_B1TT)
        x_BTD = self.ln_f(x_BTD)
        if self.lm_head is None:
            return F.linear(x_BTD, self.word_embeddings.weight)
        return self.lm_head(x_BTD)  # type: ignore[no-any-return]


@torch.no_grad()
def greedy(model: nn.Module, prompt_BT: Tensor, count: int) -> Tensor:
    """The `count` likeliest next tokens one after the other, [B, count]; no cache, for checks and small models."""
    tokens = prompt_BT
    for _ in range(count):
        following = model(tokens)[:, -1].argmax(dim=-1, keepdim=True)
        tokens = torch.cat((tokens, following), dim=1)
    return tokens[:, prompt_BT.shape[1] :]
