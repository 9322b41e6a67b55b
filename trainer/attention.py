"""Attention within a window, within documents, and over processes that hold parts of one sequence.

Shapes: B sequences, T positions here, S positions of the whole sequence, H query heads, G key/value heads, C width.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed._functional_collectives import all_gather_tensor, all_gather_tensor_autograd


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What each position may look at: what stands before it, in its own document where documents are parted."""

    documents: Tensor | None = None
    """[B, T]: number of each position's document; None where a window is one whole."""
    places: Tensor | None = None
    """[T]: where in the sequence each position stands; None where this process holds all of it in order."""
    group: ProcessGroup | None = None
    """The processes that hold the sequence together; None where this one holds all of it."""

    @cached_property
    def mask(self) -> Tensor | None:
        """Which positions of the sequence each of ours sees, [B or 1, 1, T, S]; None where that is plainly causal."""
        if self.group is None and self.documents is None:
            return None
        places_T = self.places
        if places_T is None:
            assert self.documents is not None
            places_T = torch.arange(self.documents.shape[1], device=self.documents.device)
        seen_BTS = (self._whole(places_T, 0) <= places_T[:, None])[None]
        if self.documents is not None:
            whole_BS = self._whole(self.documents, 1)
            seen_BTS = seen_BTS & (self.documents[:, :, None] == whole_BS[:, None, :])
        return seen_BTS[:, None]

    @cached_property
    def packed(self) -> tuple[Tensor, int]:
        """Where documents begin, all sequences one after another, int32 [documents + 1]; and the longest's length."""
        assert self.documents is not None
        begins_BT = torch.ones_like(self.documents, dtype=torch.bool)
        begins_BT[:, 1:] = self.documents[:, 1:] != self.documents[:, :-1]
        end = torch.tensor([begins_BT.numel()], device=begins_BT.device)
        starts = torch.cat((begins_BT.flatten().nonzero().flatten(), end))
        return starts.int(), int(starts.diff().max())

    def whole(self, x_BGTC: Tensor) -> Tensor:
        """Keys or values of the whole sequence, from all processes that hold it."""
        if self.group is None:
            return x_BGTC
        gathered: Tensor = all_gather_tensor_autograd(x_BGTC.contiguous(), 2, self.group)
        return gathered

    def _whole(self, tensor: Tensor, dim: int) -> Tensor:
        if self.group is None:
            return tensor
        gathered: Tensor = all_gather_tensor(tensor.contiguous(), dim, self.group)
        return gathered


def attend(query_BHTC: Tensor, key_BGTC: Tensor, value_BGTC: Tensor, look: Look) -> Tensor:
    """Scaled dot-product attention, [B, H, T, C]; each query head reads the key/value head of its group."""
    if look.documents is not None and look.group is None and query_BHTC.is_cuda:
        return _packed(query_BHTC, key_BGTC, value_BGTC, look)
    mask = look.mask
    return F.scaled_dot_product_attention(
        query_BHTC,
        look.whole(key_BGTC),
        look.whole(value_BGTC),
        attn_mask=mask,
        is_causal=mask is None,
        enable_gqa=True,
    )


def _packed(query_BHTC: Tensor, key_BGTC: Tensor, value_BGTC: Tensor, look: Look) -> Tensor:
    """Documents one after another through a kernel that knows their bounds: no mask, no work between documents."""
    B, _, T, _ = query_BHTC.shape
    starts, longest = look.packed
    query, key, value = (x.transpose(1, 2).flatten(0, 1) for x in (query_BHTC, key_BGTC, value_BGTC))
    if find_spec("flash_attn") is not None:
        from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]

        mixed = flash_attn_varlen_func(query, key, value, starts, starts, longest, longest, causal=True)
    else:
        from torch.nn.attention.varlen import varlen_attn

        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        mixed = varlen_attn(query, key, value, starts, starts, longest, longest, window_size=(-1, 0))
    unpacked: Tensor = mixed.unflatten(0, (B, T)).transpose(1, 2)
    return unpacked
