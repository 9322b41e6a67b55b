"""Compiled blocks: one graph each, of whatever look and recomputation, and documents as kernels on a GPU see them."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import varlen

from tests.trainer.test_model import small, with_random_weights
from trainer import attention
from trainer.attention import Look
from trainer.layout import Layout, Process
from trainer.model import Block, rotary_tables
from trainer.parallel import joined, shard

DOCUMENTS = torch.tensor([[0] * 7 + [1] * 9 + [2] * 4, [0] * 20, [0] + [1] * 18 + [2]])
Recompute = Literal["none", "selective", "full"]


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def inputs(device: str) -> tuple[Tensor, Tensor, Tensor]:
    cos, sin = rotary_tables(20, 8, 10_000.0, torch.device(device))
    x = torch.randn(3, 20, 64, generator=torch.Generator().manual_seed(4)).to(device)
    return x.requires_grad_(), cos, sin


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("kind", ["window", "mask", "packed"])
def test_a_block_is_one_graph(recompute: Recompute, kind: str) -> None:
    """`fullgraph` fails at the first break. What only a GPU can run is traced on tensors without memory."""
    device = "meta" if kind == "packed" else "cpu"
    look = Look() if kind == "window" else Look.of(DOCUMENTS)
    if kind == "packed":
        packed = Look.packed(DOCUMENTS, "torch")
        assert packed.starts is not None
        look = Look(starts=packed.starts.to("meta"), longest=packed.longest)
    with torch.device(device):
        block = Block(small(kv_heads=2))
    block.recompute = recompute
    x, cos, sin = inputs(device)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    mixed = compiled(x, cos, sin, look)
    mixed.sum().backward()
    assert mixed.shape == x.shape and x.grad is not None
    if kind != "packed":
        expected = torch.autograd.grad(block(x, cos, sin, look).sum(), x)[0]
        torch.testing.assert_close(x.grad, expected)


def test_a_sharded_model_has_no_breaks_and_more_shapes_than_torch_would_compile() -> None:
    from torch._dynamo.utils import counters

    counters.clear()
    compiled: list[int] = []

    def counting(graph: Any, _example: object) -> Any:
        compiled.append(len(graph.graph.nodes))
        return graph

    with joined(Process()) as mesh:
        model = with_random_weights(small(kv_heads=2), tied=True)
        eager = with_random_weights(small(kv_heads=2), tied=True)
        shard(model, mesh, Layout(compile=True))
        for block in model.blocks:
            block.compile(backend=counting, fullgraph=True)
        for context, rows in ((20, 3), (20, 2), (20, 1), (20, 0), (16, 3), (16, 1)):
            for documents in (None, torch.arange(context).div(6, rounding_mode="floor").expand(rows, context)):
                tokens = torch.arange(rows * context).view(rows, context) % 97
                torch.testing.assert_close(model(tokens, documents), eager(tokens, documents))
                with torch.no_grad():
                    model(tokens, documents)
    assert not counters["graph_break"]
    assert len(compiled) > 8  # where torch stops by default


def test_packed_documents_are_those_of_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel is given, carried out as its documentation says: torch has it for GPUs alone."""

    def by_the_book(
        query: Tensor, key: Tensor, value: Tensor, cu_q: Tensor, cu_k: Tensor, max_q: int, max_k: int, **options: Any
    ) -> Tensor:
        assert options == {"window_size": (-1, 0), "enable_gqa": True} and torch.equal(cu_q, cu_k)
        assert cu_q.dtype == torch.int32 and max_q == max_k == int(cu_q.diff().max())
        parts = []
        for start, end in pairwise(cu_q.tolist()):
            q, k, v = (x[start:end].transpose(0, 1)[None] for x in (query, key, value))
            parts.append(F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)[0].transpose(0, 1))
        return torch.cat(parts)

    model = with_random_weights(small(kv_heads=2), tied=True)
    tokens = torch.randint(0, 97, DOCUMENTS.shape, generator=torch.Generator().manual_seed(5))
    masked = model(tokens, DOCUMENTS)
    expected = torch.autograd.grad(masked.square().mean(), list(model.parameters()))
    packed = Look.packed(DOCUMENTS, "torch")
    assert packed.starts is not None and packed.starts.tolist() == [0, 7, 16, 20, 40, 41, 59, 60]
    monkeypatch.setattr(varlen, "varlen_attn", by_the_book)
    monkeypatch.setattr(Look, "of", lambda *_: packed)
    found = model(tokens, DOCUMENTS)
    torch.testing.assert_close(found, masked, atol=1e-5, rtol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(found.square().mean(), list(model.parameters())), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_the_kernel_for_documents_is_one_that_takes_grouped_queries() -> None:
    attention.document_kernel.cache_clear()
    assert attention.document_kernel() in ("flash_attn", "torch")


def test_no_sequences_are_no_work_but_all_gradients() -> None:
    model = with_random_weights(small(kv_heads=2), tied=False)
    for documents in (None, torch.zeros((0, 20), dtype=torch.int64)):
        model.zero_grad()
        logits = model(torch.zeros((0, 20), dtype=torch.int64), documents)
        logits.sum().backward()
        assert logits.shape == (0, 20, 97)
        assert all(p.grad is not None and not p.grad.any() for p in model.parameters())
