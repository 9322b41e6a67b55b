from dataclasses import replace

import pytest
import torch

from trainer.config import ModelConfig, load_recipe
from trainer.layout import Process
from trainer.model import Falcon2
from trainer.monitoring.flops import flops_per_token, peak_flops, peak_of
from trainer.monitoring.observer import utilisation

TINY = ModelConfig(vocab=10, hidden=8, layers=3, heads=4, kv_heads=2, mlp=16, norm_eps=1e-5, init_std=0.02)


def test_flops_of_a_token_count_what_is_multiplied_and_half_of_all_pairs() -> None:
    with torch.device("meta"):
        model = Falcon2(TINY, rope_theta=1e4, tied=True)
    multiplied = sum(p.numel() for p in model.parameters() if p.dim() == 2)  # the tied matrix is the head
    assert flops_per_token(TINY, 32) == 6 * multiplied + 12 * 3 * 8 * 32 / 2
    longer = flops_per_token(TINY, 64) - flops_per_token(TINY, 32)
    assert longer == 6 * 3 * 8 * 32


def test_falcon2s_step_on_a_thousand_a100() -> None:
    """11.1 billion parameters, of which those looked up do not count: some 68 GFLOP a token."""
    model = load_recipe("falcon2-11b").model
    token = flops_per_token(model, 2048)
    assert token == pytest.approx(6 * 11.1e9, rel=0.1)
    peak = peak_flops("NVIDIA A100-SXM4-40GB")
    assert peak == 312e12
    # The published training's 1,036 tokens a second and GPU.
    assert utilisation(1036 * token, peak) == {"mfu": pytest.approx(0.226, abs=1e-3), "mfu_of": peak}


def test_the_head_counts_and_the_embedding_does_not() -> None:
    wider = flops_per_token(replace(TINY, vocab=11), 32) - flops_per_token(TINY, 32)
    assert wider == 6 * 8


@pytest.mark.parametrize(
    ("name", "peak"),
    [("NVIDIA H200", 989.4e12), ("NVIDIA H100 80GB HBM3", 989.4e12), ("NVIDIA H100 PCIe", None), ("", None)],
)
def test_the_peak_is_known_by_the_devices_whole_name(name: str, peak: float | None) -> None:
    assert peak_flops(name) == peak


def test_without_a_peak_there_is_no_utilisation() -> None:
    assert peak_of(Process()) is None
    assert utilisation(1e12, None) == {}
