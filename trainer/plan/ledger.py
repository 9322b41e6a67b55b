"""What a stretch of the real code costs one process: memory, collectives, arithmetic, all seen at its own shapes.

One look at each operation gives all three. torch's own tools give one each, and none quite this: `FlopCounterMode`
counts products of divided tensors once for all processes together, `CommDebugMode` knows no bytes, and `MemTracker`
takes three times as long; a test holds the figures against theirs.
"""

from __future__ import annotations

import weakref
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch._C._distributed_c10d import _resolve_process_group
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.distributed.distributed_c10d import GroupName
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

_COLLECTIVES: Mapping[str, str] = {
    "c10d::_allgather_base_": "all-gather",
    "c10d::_reduce_scatter_base_": "reduce-scatter",
    "c10d::allreduce_": "all-reduce",
    "_c10d_functional::all_gather_into_tensor": "all-gather",
    "_c10d_functional::reduce_scatter_tensor": "reduce-scatter",
    "_c10d_functional::all_reduce": "all-reduce",
}
"""Other collectives are counted under their own name."""


class Ledger(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts while it is entered; `live_bytes` starts with what `held` tensors take.

    Collectives are counted as (kind, number of processes): calls and bytes, where the bytes are those of the whole,
    that is of what is gathered, of what is scattered, of what is reduced.
    """

    def __init__(self, held: Sequence[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live_bytes = self.peak_bytes = 0
        self.calls: Counter[tuple[str, int]] = Counter()
        self.bytes: Counter[tuple[str, int]] = Counter()
        self.flops = 0
        self._sizes: dict[int, int] = {}
        for tensor in held:
            self._note(tensor.to_local() if isinstance(tensor, DTensor) else tensor)

    def __enter__(self) -> Ledger:
        self._resizes = _resizes(self._resized)
        self._resizes.__enter__()
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *raised: Any) -> None:
        super().__exit__(*raised)  # type: ignore[no-untyped-call]
        self._resizes.__exit__(*raised)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if any(issubclass(kind, DTensor | AsyncCollectiveTensor) for kind in types):
            return NotImplemented  # it comes back as operations on this process's own parts
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name, _, _ = str(func._schema.name).partition(".")
        if name.startswith(("c10d::", "_c10d_functional::")) and name != "_c10d_functional::wait_tensor":
            self._count(name, args, kwargs, result)
        packet = func.overloadpacket
        if packet in _FORMULAE:
            self.flops += _FORMULAE[packet](*args, **kwargs, out_val=result)
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._note(leaf)
        return result

    def _count(self, name: str, args: Any, kwargs: Any, result: Any) -> None:
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        key = _COLLECTIVES.get(name, name), _group_size(args)
        self.calls[key] += 1
        self.bytes[key] += max((tensor.nbytes for tensor in tensors), default=0)

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._sizes:
            weakref.finalize(storage, self._gone, key)
            self._sizes[key] = 0
            self._resized(key, storage.nbytes())

    def _resized(self, key: int, size_bytes: int) -> None:
        if key in self._sizes:
            self.live_bytes += size_bytes - self._sizes[key]
            self._sizes[key] = size_bytes
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def _gone(self, key: int) -> None:
        self.live_bytes -= self._sizes.pop(key)


@contextmanager
def _resizes(seen: Callable[[int, int], None]) -> Iterator[None]:
    """Tell `seen` of storages that change their size in place, as FSDP's do: no operation shows it."""
    plain = torch.UntypedStorage.resize_

    def resize_(storage: torch.UntypedStorage, size_bytes: int) -> Any:
        result = plain(storage, size_bytes)
        seen(storage._cdata, size_bytes)
        return result

    torch.UntypedStorage.resize_ = resize_  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        torch.UntypedStorage.resize_ = plain  # type: ignore[method-assign]


def _group_size(args: Any) -> int:
    """Number of processes of the group among the arguments: an object, or the name that it is registered by."""
    for argument in reversed(args):
        if isinstance(argument, str):
            return int(_resolve_process_group(GroupName(argument)).size())
        if isinstance(argument, torch.ScriptObject) and "ProcessGroup" in str(argument._type()):
            return int(dist.ProcessGroup.unbox(argument).size())
        if isinstance(argument, dist.ProcessGroup):
            return int(argument.size())
    raise AssertionError("a collective without a group")


def _attention(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: Any, **__: Any) -> int:
    """Causal attention's own work: two products of [T, C] and [T, S], of which half lies before each position."""
    B, H, T, C = query
    return 2 * B * H * T * key[2] * (C + value[3]) // 2


def _attention_backward(_: Sequence[int], *qkv: Any, **__: Any) -> int:
    """Twice that: what the kernel computes again is no work of the model's."""
    return 2 * _attention(*qkv)


def _of_shapes(formula: Callable[..., int]) -> Callable[..., int]:
    def counted(*args: Any, out_val: Any = None, **kwargs: Any) -> int:  # noqa: ARG001
        return formula(*(tuple(a.shape) if isinstance(a, Tensor) else a for a in args), **kwargs)

    return counted


_aten = torch.ops.aten
_FORMULAE: dict[Any, Callable[..., int]] = {
    **{product: flop_registry[product] for product in (_aten.mm, _aten.addmm, _aten.bmm, _aten.baddbmm)},
    _aten._scaled_dot_product_flash_attention_for_cpu: _of_shapes(_attention),
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: _of_shapes(_attention_backward),
}
"""Arithmetic of operations, 2 for a multiplication and its addition; the rest is small beside it."""
