"""Attention within a window, within documents, and over processes that hold parts of one sequence.

Shapes: B sequences, T positions here, S positions of the whole sequence, H query heads, G key/value heads, C width.

What a position may look at is worked out once, before the blocks: a compiled block then has nothing in it but tensors,
and the GPU is waited for before them alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from inspect import signature
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.distributed._functional_collectives import all_gather_tensor, all_gather_tensor_autograd

Kernel = Literal["flash_attn", "torch"]
"""Whose kernel attends within documents that stand one after another: the package's, or torch's own."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What each position may look at: what stands before it, in its own document where documents are parted.

    Without `mask` and `starts` that is all before it in its window.
    """

    mask: Tensor | None = None
    """[B or 1, 1, T, S]: which positions of the sequence each of ours sees."""
    starts: Tensor | None = None
    """Where documents begin, all sequences one after another, and the end: int32 [documents + 1]."""
    longest: int = 0
    """Tokens of the longest document, where there are `starts`."""
    kernel: Kernel = "torch"
    """Who attends, where there are `starts`."""
    group: ProcessGroup | None = None
    """The processes that hold the sequence together; None where this one holds all of it."""

    @classmethod
    def of(cls, documents_BT: Tensor | None, places_T: Tensor | None = None, group: ProcessGroup | None = None) -> Look:
        """What follows from each position's document (None: a window is one whole), and from where, in their
        sequences, the positions of this process stand (None: it holds all of them, in order)."""
        if group is None and documents_BT is None:
            return cls()
        kernel = document_kernel()
        if group is None and documents_BT is not None and documents_BT.is_cuda and documents_BT.numel() and kernel:
            return cls.packed(documents_BT, kernel)
        return cls(mask=_mask(documents_BT, places_T, group), group=group)

    @classmethod
    def packed(cls, documents_BT: Tensor, kernel: Kernel) -> Look:
        """Documents as a kernel wants them that knows their bounds; waits for the device, for it counts them."""
        begins_BT = torch.ones_like(documents_BT, dtype=torch.bool)
        begins_BT[:, 1:] = documents_BT[:, 1:] != documents_BT[:, :-1]
        starts = F.pad(begins_BT.flatten().nonzero().flatten(), (0, 1), value=begins_BT.numel()).int()
        # As many documents as there happen to be: compiled once for any number of them.
        torch._dynamo.maybe_mark_dynamic(starts, 0)
        return cls(starts=starts, longest=int(starts.diff().max()), kernel=kernel)

    def whole(self, x_BGTC: Tensor) -> Tensor:
        """Keys or values of the whole sequence, from all processes that hold it."""
        if self.group is None:
            return x_BGTC
        gathered: Tensor = all_gather_tensor_autograd(x_BGTC.contiguous(), 2, self.group)
        return gathered


@cache
def document_kernel() -> Kernel | None:
    """Whose kernel for documents is installed: flash-attn's, or torch's if it is new enough for grouped queries."""
    if find_spec("flash_attn") is not None:
        return "flash_attn"
    if find_spec("torch.nn.attention.varlen") is None:
        return None
    from torch.nn.attention.varlen import varlen_attn

    return "torch" if {"enable_gqa", "window_size"} <= set(signature(varlen_attn).parameters) else None


def attend(query_BHTC: Tensor, key_BGTC: Tensor, value_BGTC: Tensor, look: Look) -> Tensor:
    """Scaled dot-product attention, [B, H, T, C]; each query head reads the key/value head of its group."""
    if look.starts is not None:
        return _within_documents(query_BHTC, key_BGTC, value_BGTC, look, look.starts)
    if query_BHTC.shape[0] == 0:
        # A process without sequences: not every kernel takes none, and all parameters have to have their gradient.
        return query_BHTC + key_BGTC.sum() + value_BGTC.sum()
    key, value = look.whole(key_BGTC), look.whole(value_BGTC)
    if look.mask is not None and query_BHTC.is_cuda:
        # On CUDA, the kernel that takes a mask takes no groups: with them, all T × S weights would be written out.
        groups = query_BHTC.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    causal = look.mask is None
    return F.scaled_dot_product_attention(
        query_BHTC, key, value, attn_mask=look.mask, is_causal=causal, enable_gqa=query_BHTC.shape[1] != key.shape[1]
    )


def _mask(documents_BT: Tensor | None, places_T: Tensor | None, group: ProcessGroup | None) -> Tensor:
    if places_T is None:
        assert documents_BT is not None
        places_T = torch.arange(documents_BT.shape[1], device=documents_BT.device)
    seen_BTS = (_gathered(places_T, 0, group) <= places_T[:, None])[None]
    if documents_BT is not None:
        whole_BS = _gathered(documents_BT, 1, group)
        seen_BTS = seen_BTS & (documents_BT[:, :, None] == whole_BS[:, None, :])
    return seen_BTS[:, None]


def _gathered(tensor: Tensor, dim: int, group: ProcessGroup | None) -> Tensor:
    if group is None:
        return tensor
    gathered: Tensor = all_gather_tensor(tensor.contiguous(), dim, group)
    return gathered


def _within_documents(query_BHTC: Tensor, key_BGTC: Tensor, value_BGTC: Tensor, look: Look, starts: Tensor) -> Tensor:
    """Documents one after another through a kernel that knows their bounds: no mask, no work between documents."""
    B, _, T, _ = query_BHTC.shape
    query, key, value = (x.transpose(1, 2).flatten(0, 1) for x in (query_BHTC, key_BGTC, value_BGTC))
    longest = look.longest
    if look.kernel == "flash_attn":
        from flash_attn import flash_attn_varlen_func  # type: ignore[import-not-found]

        mixed = flash_attn_varlen_func(query, key, value, starts, starts, longest, longest, causal=True)
    else:
        from torch.nn.attention.varlen import varlen_attn

        mixed = varlen_attn(query, key, value, starts, starts, longest, longest, window_size=(-1, 0), enable_gqa=True)
    unpacked: Tensor = mixed.unflatten(0, (B, T)).transpose(1, 2)
    return unpacked
