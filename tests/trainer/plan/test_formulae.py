"""Shapes, arithmetic, traffic and hardware, each against what is known of them."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mixtures.errors import RecipeError
from trainer.config import load_recipe
from trainer.errors import MismatchError
from trainer.layout import Layout
from trainer.model import Falcon2
from trainer.plan.hardware import Gpu, gpu_type, gpu_types
from trainer.plan.memory import Pass, held_between_steps, peak_memory
from trainer.plan.shapes import Division, block_parameters, every_parameter
from trainer.plan.traffic import Collective, Group, Groups
from trainer.plan.work import work_of_a_sequence

FALCON = load_recipe("falcon2-11b").model
A100 = gpu_type("A100-40GB")


@pytest.mark.parametrize("tied", [True, False])
def test_parameters_are_those_of_the_model(tied: bool) -> None:
    with torch.device("meta"):
        model = Falcon2(replace(FALCON, layers=2), rope_theta=1e4, tied=tied)
    theirs = sorted((name.split("h.0.")[-1].split("h.1.")[-1], p.numel()) for name, p in model.named_parameters())
    assert sorted((p.name, p.elements) for p in every_parameter(replace(FALCON, layers=2), tied=tied)) == theirs


def test_falcon2_has_the_published_number_of_parameters() -> None:
    assert sum(p.elements for p in block_parameters(FALCON)) == 176_168_960
    assert sum(p.elements for p in every_parameter(FALCON, tied=True)) == 10_836_484_096
    assert sum(p.elements for p in every_parameter(FALCON, tied=False)) == 11_102_822_400


@given(shards=st.integers(1, 300), tensor=st.sampled_from([1, 2, 4, 8]))
def test_shards_of_all_ranks_hold_every_parameter_and_little_more(shards: int, tensor: int) -> None:
    division = Division(tensor=tensor, shards=shards)
    for parameter in every_parameter(replace(FALCON, layers=1), tied=False):
        rows, columns = parameter.local(division)
        assert rows * columns * (tensor if parameter.divided else 1) == parameter.elements
        assert rows * columns <= parameter.gathered(division) < rows * columns + shards * columns


def test_the_reported_rate_is_the_reported_utilisation() -> None:
    """1,036 tokens/s and GPU: 21.6 % by 6N, 23 % with attention's causal half at the mean over the four stages."""
    stages = ((2048, 4500), (4096, 250), (8192, 750))
    with_attention = sum(work_of_a_sequence(FALCON, Layout(), T).model // T * share for T, share in stages) / 5500
    multiplied = 10_836_484_096 - (2 * 60 + 2) * 4096  # all but the norms; the tied matrix is the head
    work = work_of_a_sequence(FALCON, Layout(), 2048)
    assert work.blocks + work.head == 6 * multiplied * 2048
    assert 6 * multiplied * 1036 / 312e12 == pytest.approx(0.216, abs=5e-4)
    assert with_attention * 1036 / 312e12 == pytest.approx(0.230, abs=1e-3)


def test_recomputing_a_block_costs_less_than_its_forward_pass() -> None:
    plain, full = (work_of_a_sequence(FALCON, Layout(recompute=how), 2048) for how in ("none", "full"))
    assert plain.hardware == plain.model == full.model
    forward = (plain.blocks + plain.attention) // 3
    assert full.hardware - full.model == forward - 2 * 60 * 4096 * 16384 * 2048
    assert work_of_a_sequence(FALCON, Layout(recompute="selective"), 2048) == plain


def collective(kind: str, size: int, stride: int) -> Collective:
    group = Group(name="a", size=size, stride=stride)
    return Collective(kind=kind, what="x", group=group, calls=1, bytes=8_000_000_000)


def test_rings_pass_all_but_a_part_through_each_rank_and_sums_twice() -> None:
    assert collective("all-gather", 8, 1).sent_bytes == collective("reduce-scatter", 8, 1).sent_bytes == 7_000_000_000
    assert collective("all-reduce", 8, 1).sent_bytes == 14_000_000_000


def test_a_group_within_a_node_uses_its_links_and_others_the_network() -> None:
    within = collective("all-gather", 8, 1)
    assert (within.link(A100), within.seconds(A100)) == ("node", 7e9 / 300e9)
    across = collective("all-gather", 128, 8)
    assert (across.link(A100), across.seconds(A100)) == ("network", across.sent_bytes / 6.25e9)
    both = collective("all-gather", 1024, 1)  # eight of a node share what enters it
    assert both.seconds(A100) == both.sent_bytes / 8 / 6.25e9


def test_groups_follow_the_order_of_ranks() -> None:
    groups = Groups.of((2, 16, 2, 4))
    assert [(g.size, g.stride) for g in (groups.tensor, groups.context, groups.parameters, groups.replicate)] == [
        (4, 1),
        (2, 4),
        (32, 4),
        (2, 128),
    ]


def passing(layout: Layout, shards: int, **changes: object) -> Pass:
    division = Division(tensor=layout.tensor, shards=shards)
    made = Pass(
        model=FALCON, tied=True, layout=layout, division=division, sequences=1, context=2048, several=True, width=2
    )
    return replace(made, **changes)


@given(shards=st.sampled_from([1, 8, 64, 128]), tensor=st.sampled_from([1, 2, 4, 8]), sequences=st.integers(1, 16))
def test_memory_falls_with_parts_and_rises_with_sequences(shards: int, tensor: int, sequences: int) -> None:
    layout = Layout(tensor=tensor)
    one = peak_memory(passing(layout, shards, sequences=sequences))
    assert peak_memory(passing(layout, 2 * shards, sequences=sequences)).total < one.total
    assert peak_memory(passing(layout, shards, sequences=sequences + 1)).total > one.total
    full = peak_memory(passing(replace(layout, recompute="full"), shards, sequences=sequences))
    assert full.total <= one.total
    held = held_between_steps(passing(layout, shards))
    assert held.optimizer == 2 * held.parameters == 2 * held.gradients


def test_every_shipped_type_says_what_the_plan_needs() -> None:
    types = gpu_types()
    assert {"A100-40GB", "A100-80GB", "H100-80GB", "H200-141GB", "B200-180GB", "A10G-24GB", "L40S-48GB"} <= set(types)
    assert all(gpu.mixed and gpu.memory_bytes >= 24e9 for name, gpu in types.items() if name != "CPU-core")
    assert (A100.memory_bytes, A100.peak_flops, A100.gpus_per_node) == (40_000_000_000, 312e12, 8)
    assert (types["H100-80GB"].fp8_flops, A100.fp8_flops) == (1978.9e12, None)


def test_other_hardware_is_read_from_a_file_and_an_unknown_type_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        "mine: {memory_bytes: 1000, bf16_flops: 1e12, memory_bandwidth: 1e9, node_bandwidth: 1e9, "
        "network_bandwidth: 1e9, gpus_per_node: 4}\n"
    )
    assert gpu_type("mine", file) == Gpu(
        memory_bytes=1000,
        bf16_flops=1e12,
        memory_bandwidth=1e9,
        node_bandwidth=1e9,
        network_bandwidth=1e9,
        gpus_per_node=4,
    )
    with pytest.raises(MismatchError, match=r"--gpu A100-40GB: not known; there are mine; --hardware FILE"):
        gpu_type("A100-40GB", file)
    file.write_text("mine: {memory_bytes: 1000}\n")
    with pytest.raises(RecipeError, match=r"mine\.yaml: mine: .*missing key; add it"):
        gpu_type("mine", file)
