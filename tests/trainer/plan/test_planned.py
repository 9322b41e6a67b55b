"""Whole plans: the published training, and what is said where something does not fit."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixtures.errors import RecipeError
from trainer.config import TrainConfig, load_recipe, mixture_of
from trainer.errors import MismatchError
from trainer.layout import Layout
from trainer.plan.hardware import gpu_type
from trainer.plan.planned import Machines, TrainingPlan, plan_training
from trainer.plan.settings import orders, with_settings

RECIPE = load_recipe("falcon2-11b")
MIXTURE = mixture_of(RECIPE, "falcon2-11b")


def planned(gpus: int, gpu: str, efficiency: float = 0.23, config: TrainConfig = RECIPE) -> TrainingPlan:
    machines = Machines(gpu_name=gpu, gpu=gpu_type(gpu), gpus=gpus, efficiency=efficiency)
    return plan_training(config, MIXTURE, machines)


def test_the_published_training_fits_and_takes_the_reported_two_months() -> None:
    """At 23 % of the peak, which is what 1,036 tokens/s and GPU come to (see test_formulae)."""
    plan = planned(1024, "A100-40GB")
    assert plan.sizes == (1, 128, 1, 8)
    assert plan.fits
    assert all(stage.memory.total < 40e9 for stage in plan.stages)
    assert [stage.context for stage in plan.stages] == [2048, 4096, 8192, 8192]
    assert plan.tokens == pytest.approx(5.5e12, rel=1e-8)
    assert plan.tokens_per_second_and_gpu == pytest.approx(1036, rel=0.01)
    assert plan.days == pytest.approx(5.5e12 / (1036 * 1024) / 86_400, rel=0.01) == pytest.approx(60.0, rel=0.01)
    assert plan.gpu_hours == plan.days * 24 * 1024
    assert plan.model_flops_utilisation == pytest.approx(0.23, rel=0.001)
    assert {cost.limit for stage in plan.stages for cost in stage.costs} == {"compute"}
    assert plan.advice.too_big is None
    assert plan.advice.warnings == ()


def test_steps_follow_the_batch_ramp() -> None:
    costs = planned(1024, "A100-40GB").stages[0].costs
    assert [cost.batch for cost in costs] == [2048, 4096, 8192, 16384, 32768]
    assert [cost.passes for cost in costs] == [16, 32, 64, 128, 256]
    assert sum(cost.batch * cost.steps * 2048 for cost in costs) == pytest.approx(4.5e12, rel=1e-4)


def test_gathering_in_every_pass_is_more_than_the_network_has() -> None:
    config = replace(RECIPE, layout=Layout(tensor=8))
    plan = planned(1024, "A100-40GB", config=config)
    assert plan.days > 300
    (warning,) = plan.advice.warnings
    assert "a step waits for the network" in warning
    assert "set layout.accumulate: whole with layout.reshard: false" in warning


@pytest.mark.parametrize(
    ("gpus", "gpu", "settings", "message"),
    [
        (16, "A10G-24GB", [], "activations, 9.8 GiB: set layout.recompute: full"),
        (16, "A10G-24GB", ["micro_batch=4"], "activations, 39.2 GiB: lower micro_batch"),
        (
            8,
            "A100-40GB",
            ["layout.tensor=1", "layout.recompute=full"],
            "gradients, 41.4 GiB: set layout.accumulate: sharded, or raise layout.tensor",
        ),
        (1, "A100-40GB", ["layout.tensor=1", "layout.accumulate=sharded", "layout.recompute=full"], "take more GPUs"),
    ],
)
def test_what_does_not_fit_is_named_with_the_mend(gpus: int, gpu: str, settings: list[str], message: str) -> None:
    plan = planned(gpus, gpu, config=with_settings(RECIPE, settings))
    assert not plan.fits
    assert plan.advice.too_big is not None
    assert plan.advice.too_big.startswith("does not fit: stage-4 needs ")
    assert message in plan.advice.too_big


def test_batches_that_do_not_divide_are_said() -> None:
    warnings = planned(8 * 96, "A100-40GB").advice.warnings
    assert warnings[0] == (
        "stage-1: a batch of 2,048 sequences does not divide evenly over 96 data-parallel ranks; some have 22, others "
        "one fewer, and wait"
    )
    plan = planned(1024, "A100-40GB", config=replace(RECIPE, micro_batch=3))
    assert "16 sequences a rank do not divide evenly by micro_batch 3; the last of 6" in plan.advice.warnings[0]


def test_tensor_ranks_over_several_nodes_are_said() -> None:
    config = replace(RECIPE, model=replace(RECIPE.model, kv_heads=32), layout=Layout(tensor=16))
    assert planned(64, "H100-80GB", config=config).advice.warnings[-1].startswith("layout: tensor 16 spans nodes of 8")


def test_what_waits_for_a_link_is_told_what_helps_there() -> None:
    """Where whole gradients go over the network once a step, more sequences in a pass would change nothing."""
    (warning,) = planned(16_384, "A100-40GB").advice.warnings
    assert warning.endswith("raise the batch, or take fewer GPUs")
    alone = replace(gpu_type("A100-40GB"), gpus_per_node=1)
    plan = plan_training(RECIPE, MIXTURE, Machines(gpu_name="alone", gpu=alone, gpus=1024))
    assert plan.advice.warnings[0].endswith("lower layout.tensor")
    gathers = replace(RECIPE, layout=replace(RECIPE.layout, reshard=True))
    assert (
        planned(1024, "A100-40GB", config=gathers)
        .advice.warnings[0]
        .endswith("set layout.reshard: false, or raise micro_batch")
    )


@pytest.mark.parametrize("field", ["gpus_per_node", "bf16_flops", "network_bandwidth"])
def test_hardware_of_nothing_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match=f"{field}: 0 must be above 0"):
        replace(gpu_type("A100-40GB"), **{field: 0})


@settings(max_examples=6, deadline=None)
@given(efficiency=st.floats(0.05, 0.6), nodes=st.sampled_from([16, 32, 64, 128]))
def test_time_falls_with_efficiency_and_with_gpus(efficiency: float, nodes: int) -> None:
    plan = planned(8 * nodes, "H100-80GB", efficiency)
    assert planned(8 * nodes, "H100-80GB", efficiency / 2).days == pytest.approx(2 * plan.days, rel=0.01)
    assert planned(16 * nodes, "H100-80GB", efficiency).days == pytest.approx(plan.days / 2, rel=0.03)


def test_float8_speeds_up_blocks_alone_and_needs_a_gpu_that_has_it() -> None:
    config = replace(RECIPE, layout=replace(RECIPE.layout, float8=True))
    faster, plain = planned(1024, "H100-80GB", config=config), planned(1024, "H100-80GB")
    assert 0.5 < faster.days / plain.days < 0.6
    with pytest.raises(MismatchError, match="A100-40GB has none; take it out"):
        planned(1024, "A100-40GB", config=config)


@pytest.mark.parametrize(
    ("gpus", "efficiency", "message"),
    [
        (0, 0.23, "--gpus 0: must be at least 1"),
        (8, 0.0, "--efficiency 0.0: must be above 0 and at most 1"),
        (12, 0.4, "is 8 processes, but there are 12"),
    ],
)
def test_impossible_orders_are_refused(gpus: int, efficiency: float, message: str) -> None:
    with pytest.raises(MismatchError, match=message):
        planned(gpus, "A100-40GB", efficiency)


@pytest.mark.parametrize(
    ("change", "message"),
    [({"kv_heads": 4}, "the 4 key/value heads"), ({"mlp": 16380}, "the 16380 columns of the MLP")],
)
def test_models_that_training_would_not_divide_are_not_planned(change: dict[str, int], message: str) -> None:
    with pytest.raises(MismatchError, match=f"layout: tensor 8 does not divide {message}; choose a divisor"):
        planned(1024, "A100-40GB", config=replace(RECIPE, model=replace(RECIPE.model, **change)))


def test_settings_replace_those_of_the_recipe() -> None:
    changed = with_settings(RECIPE, ["micro_batch=4", "layout.tensor=2", "layout.recompute=full"])
    assert changed.micro_batch == 4
    assert changed.layout == replace(RECIPE.layout, tensor=2, recompute="full")
    with pytest.raises(RecipeError, match=r"--set seed=4: write micro_batch=N or layout\.KEY=VALUE"):
        with_settings(RECIPE, ["seed=4"])
    with pytest.raises(RecipeError, match=r"--set: layout: tensors: unknown key; did you mean tensor\?"):
        with_settings(RECIPE, ["layout.tensors=4"])
    for wrong in ("layout.tensor=[1", "micro_batch=true", "micro_batch=0"):
        with pytest.raises(RecipeError, match="--set "):
            with_settings(RECIPE, [wrong])


def test_dry_runs_are_ordered_for_the_first_and_last_rank_of_each_stage() -> None:
    plan = planned(1024, "A100-40GB")
    found = orders(RECIPE, plan)
    assert [(order.stage, order.data_rank) for order in found] == [(s, r) for s in range(4) for r in (0, 127)]
    assert {(order.context, order.sequences, order.passes) for order in found[:2]} == {(2048, 1, 256)}
    assert [order.data_rank for order in orders(RECIPE, plan, "stage-4", [5])] == [5]
    with pytest.raises(MismatchError, match="--stage five: there is none; stages are stage-1, "):
        orders(RECIPE, plan, "five")
    with pytest.raises(MismatchError, match="--ranks 128: data-parallel ranks go from 0 to 127"):
        orders(RECIPE, plan, None, [128])
