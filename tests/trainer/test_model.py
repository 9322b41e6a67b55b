"""Falcon2's shape and arithmetic, against the published figures and against transformers."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.trainer.runs import greedy
from trainer.attention import Look
from trainer.config import ModelConfig, load_recipe
from trainer.hf import falcon_config, hf_names
from trainer.model import Attention, Falcon2, rotary_tables, rotate


def small(*, heads: int = 8, kv_heads: int = 8, layers: int = 2) -> ModelConfig:
    return ModelConfig(
        vocab=97, hidden=64, layers=layers, heads=heads, kv_heads=kv_heads, mlp=160, norm_eps=1e-5, init_std=0.02
    )


def with_random_weights(config: ModelConfig, *, tied: bool, rope_theta: float = 500_042.0) -> Falcon2:
    generator = torch.Generator().manual_seed(0)
    model = Falcon2(config, rope_theta=rope_theta, tied=tied)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.0, 0.2, generator=generator)
    return model


def of_transformers(ours: Falcon2, config: ModelConfig) -> Any:
    """`FalconForCausalLM` with the same weights."""
    from transformers import FalconConfig, FalconForCausalLM

    settings = falcon_config(config, rope_theta=ours.rope_theta, tied=ours.tied, context=48, eod_id=11)
    theirs = FalconForCausalLM(FalconConfig(**{key: value for key, value in settings.items() if key != "rope_theta"}))
    missing = theirs.load_state_dict(hf_names(ours), strict=False)
    assert missing.unexpected_keys == []
    assert missing.missing_keys == (["lm_head.weight"] if ours.tied else [])
    return theirs.train(False)


@pytest.mark.parametrize(("tied", "count"), [(True, 10_836_484_096), (False, 11_102_822_400)])
def test_the_recipe_has_the_published_number_of_parameters(tied: bool, count: int) -> None:
    config = load_recipe("falcon2-11b").model
    with torch.device("meta"):
        model = Falcon2(config, rope_theta=500_042.0, tied=tied)
    assert sum(parameter.numel() for parameter in model.parameters()) == count
    assert sum(parameter.numel() for parameter in model.h[0].parameters()) == 176_168_960


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(("heads", "kv_heads"), [(16, 8), (8, 8), (8, 1)])
def test_logits_equal_those_of_transformers(tied: bool, heads: int, kv_heads: int) -> None:
    config = small(heads=heads, kv_heads=kv_heads)
    ours = with_random_weights(config, tied=tied)
    theirs = of_transformers(ours, config)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
    tokens = torch.randint(0, config.vocab, (3, 48), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        difference = (ours(tokens) - theirs(tokens).logits).abs().max().item()
        expected = theirs.generate(tokens[:1, :8], max_new_tokens=16, do_sample=False, eos_token_id=None)[0, 8:]
    assert difference <= 1e-4
    assert greedy(ours, tokens[:1, :8], 16)[0].tolist() == expected.tolist()


@pytest.mark.parametrize("kv_heads", [8, 1])
def test_documents_in_one_window_are_what_transformers_makes_of_each_alone(kv_heads: int) -> None:
    config = small(kv_heads=kv_heads)
    ours = with_random_weights(config, tied=True)
    theirs = of_transformers(ours, config)
    lengths = ([7, 1, 22, 18], [48], [47, 1])
    tokens = torch.randint(0, config.vocab, (3, 48), generator=torch.Generator().manual_seed(1))
    documents = torch.stack([torch.repeat_interleave(torch.arange(len(row)), torch.tensor(row)) for row in lengths])
    positions = torch.stack([torch.cat([torch.arange(length) for length in row]) for row in lengths])
    with torch.no_grad():
        expected = torch.stack(
            [
                torch.cat([theirs(part[None]).logits[0] for part in row.split(sizes)])
                for row, sizes in zip(tokens, lengths, strict=True)
            ]
        )
        assert (ours(tokens, documents, positions) - expected).abs().max() <= 1e-4
        # And positions alone: attention over the whole window, counted from each document's start.
        whole = theirs(tokens, position_ids=positions).logits if kv_heads == 8 else None
        if whole is not None:
            assert (ours(tokens, None, positions) - whole).abs().max() <= 1e-4
            assert (whole - expected).abs().max() > 1e-2


def test_bf16_is_as_far_from_fp32_as_that_of_transformers() -> None:
    """Roughly: a CPU adds up in another order than a GPU. Both round weights, products and the residual stream."""
    config = small(kv_heads=2)
    ours = with_random_weights(config, tied=True)
    theirs = of_transformers(ours, config).bfloat16()
    tokens = torch.randint(0, config.vocab, (3, 48), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        exact = ours(tokens)
        rounded, peer = ours.bfloat16()(tokens), theirs(tokens).logits
    assert rounded.dtype == torch.bfloat16
    off, peer_off = ((x.float() - exact).norm() / exact.norm() for x in (rounded, peer))
    assert off <= 3e-2
    assert off <= 1.5 * peer_off


def test_the_fused_projection_is_interleaved_per_group() -> None:
    """Query h reads the key and value of group h // (heads per group), as in `[q0 q1 q2 q3 k v] × groups`."""
    config = small(heads=8, kv_heads=2)
    attention = Attention(config)
    width, group = config.head_width, 6 * config.head_width
    with torch.no_grad():
        attention.query_key_value.weight[group + 5 * width : group + 6 * width] = 0.0  # the values of group 1
        attention.dense.weight.copy_(torch.eye(config.hidden))
    cos, sin = rotary_tables(5, width, 10_000.0, torch.device("cpu"))
    mixed = attention(torch.randn(1, 5, config.hidden), cos, sin, Look()).view(5, 8, width)
    assert mixed[:, :4].abs().min() > 0
    assert torch.equal(mixed[:, 4:], torch.zeros(5, 4, width))


def test_no_position_sees_a_later_one() -> None:
    model = with_random_weights(small(), tied=True)
    tokens = torch.arange(20)[None]
    changed = torch.cat((tokens[:, :12], tokens[:, 12:] + 40), dim=1)
    with torch.no_grad():
        assert torch.equal(model(tokens)[:, :12], model(changed)[:, :12])
        assert not torch.equal(model(tokens)[:, 12:], model(changed)[:, 12:])


@settings(max_examples=50, deadline=None)
@given(shift=st.integers(0, 400), distance=st.integers(0, 100), theta=st.sampled_from([1e4, 500_042.0, 5_000_042.0]))
def test_rotary_products_depend_on_distance_alone(shift: int, distance: int, theta: float) -> None:
    cos, sin = rotary_tables(512, 16, theta, torch.device("cpu"))
    query, key = torch.randn(2, 1, 1, 1, 16, generator=torch.Generator().manual_seed(3)).expand(2, 1, 1, 512, 16)
    products = rotate(query, cos, sin)[0, 0] @ rotate(key, cos, sin)[0, 0].T
    assert products[shift + distance, shift].item() == pytest.approx(products[distance, 0].item(), abs=2e-4)
    assert rotate(query, cos, sin)[0, 0, shift].norm().item() == pytest.approx(query[0, 0, 0].norm().item(), rel=1e-5)
