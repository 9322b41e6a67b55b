"""What a plan is asked for beside the recipe: other settings, and which parts of the code to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import yaml

from mixtures.errors import RecipeError
from mixtures.strict import load
from trainer.config import TrainConfig
from trainer.errors import MismatchError
from trainer.layout import Layout
from trainer.plan.dry_run import Order
from trainer.plan.planned import TrainingPlan


def with_settings(config: TrainConfig, settings: Sequence[str]) -> TrainConfig:
    """The recipe with `micro_batch=…` or `layout.…=…` set anew. Raises RecipeError."""
    layout: dict[str, Any] = {}
    for setting in settings:
        key, found, text = setting.partition("=")
        if key.startswith("layout.") and found:
            layout[key.removeprefix("layout.")] = _read(setting, text)
        elif key == "micro_batch" and text.isdecimal() and int(text):
            config = replace(config, micro_batch=int(text))
        else:
            raise RecipeError(f"--set {setting}: write micro_batch=N or layout.KEY=VALUE, such as layout.tensor=4")
    if not layout:
        return config
    return replace(config, layout=load(Layout, asdict(config.layout) | layout, name="--set: layout"))


def _read(setting: str, text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"--set {setting}: the value is not YAML; write one such as layout.tensor=4") from error


def orders(
    config: TrainConfig, plan: TrainingPlan, stage: str | None = None, ranks: Sequence[int] | None = None
) -> list[Order]:
    """Dry runs of a stage or of all, at their last batch size, for some data-parallel ranks or for the first and last.

    Raises MismatchError for a stage or rank that there is not.
    """
    names = [one.name for one in plan.stages]
    if stage is not None and stage not in names:
        raise MismatchError(f"--stage {stage}: there is none; stages are {', '.join(names)}")
    last = plan.sizes.data - 1
    chosen = ranks if ranks is not None else sorted({0, last})
    if max(chosen) > last:
        raise MismatchError(f"--ranks {max(chosen)}: data-parallel ranks go from 0 to {last}")
    return [
        Order(
            config=config,
            world=plan.machines.gpus,
            data_rank=rank,
            stage=index,
            context=one.context,
            sequences=min(config.micro_batch, one.costs[-1].sequences_per_rank),
            passes=one.costs[-1].passes,
            mixed=plan.machines.gpu.mixed,
        )
        for index, one in enumerate(plan.stages)
        if stage in (None, one.name)
        for rank in chosen
    ]
