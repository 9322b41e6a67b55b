"""What a training run is to be: the recipe, as frozen dataclasses. What this process is stands in `trainer.parallel`.

Quantities are in tokens wherever they steer the schedule, so that a change of batch or world size cannot bend it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Literal

from mixtures.errors import RecipeError
from mixtures.spec import Mixture, load_mixture
from mixtures.strict import load, read_yaml, unmarked
from trainer.layout import Layout
from trainer.watch import WatchConfig


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape of the model, and the standard deviation its matrices are drawn with."""

    vocab: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    mlp: int
    norm_eps: float
    init_std: float

    def __post_init__(self) -> None:
        _require(self.hidden % self.heads == 0, "hidden must be a multiple of heads")
        _require(self.heads % self.kv_heads == 0, "heads must be a multiple of kv_heads")
        _require(self.head_width % 2 == 0, "hidden / heads must be even: rotary embedding turns pairs")

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.hidden // self.heads


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW and the loss's regulariser; learning rate and eps belong to the stages."""

    beta1: float
    beta2: float
    weight_decay: float
    clip_norm: float
    z_loss: float


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Learning rate over one stage: linear warm-up to `peak`, then cosine to `floor` at the stage's last token."""

    peak: float
    floor: float
    warmup_tokens: int = 0

    def __post_init__(self) -> None:
        _require(0 <= self.floor <= self.peak, "floor must lie between 0 and peak")
        _require(self.warmup_tokens >= 0, "warmup_tokens must not be negative")


@dataclass(frozen=True, kw_only=True)
class BatchSize:
    """`sequences` per step, from the first step that starts at or after `from_tokens` of the stage."""

    from_tokens: int
    sequences: int


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """What changes from stage to stage; its context and tokens are the mixture's, under the same name."""

    name: str
    rope_theta: float
    tied: bool
    adam_eps: float
    rate: Rate
    batch: tuple[BatchSize, ...]

    def __post_init__(self) -> None:
        _require(bool(self.batch) and self.batch[0].from_tokens == 0, "batch must start with from_tokens: 0")
        _require(all(a.from_tokens < b.from_tokens for a, b in pairwise(self.batch)), "batch: from_tokens must rise")
        _require(all(size.sequences > 0 for size in self.batch), "batch: sequences must be positive")


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy:
    """A checkpoint every so many steps; the last few are kept, and the end of every stage always."""

    every_steps: int
    keep_last: int
    verify_batches: int = 2
    """How many of the coming steps' batches are hashed into a checkpoint, to be compared when the run goes on."""

    def __post_init__(self) -> None:
        _require(self.every_steps > 0, "every_steps must be positive")
        _require(self.keep_last > 0, "keep_last must be positive")
        _require(self.verify_batches >= 0, "verify_batches must not be negative")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training recipe; read one with `load_recipe`."""

    name: str
    mixture: str
    """A shipped mixture's name, or a YAML file's path from this recipe's folder."""
    seed: int
    threads: int
    """Threads within an operation on CPU. Fixed, since sums split otherwise differ in the last bit."""
    micro_batch: int
    """Sequences that one process puts through the model at once; gradients of a step add up over several."""
    held_out_sequences: int
    """Held-out windows per component that are evaluated at the start and end of each stage."""
    model: ModelConfig
    optim: OptimConfig
    stages: tuple[StageConfig, ...]
    checkpoint: CheckpointPolicy
    watch: WatchConfig = field(default_factory=WatchConfig)
    """What counts as a loss spike, and what follows."""
    layout: Layout = field(default_factory=Layout)
    """How the model is spread over processes."""
    statuses: Literal["required", "optional"] = "optional"
    """`required`: every number of the recipe must carry a status (see `mixtures.strict`)."""

    def __post_init__(self) -> None:
        _require(self.threads > 0 and self.micro_batch > 0, "threads and micro_batch must be positive")
        tied = [stage.tied for stage in self.stages]
        _require(tied == sorted(tied, reverse=True), "stages: a head once untied cannot be tied again")


_OF_THIS_MACHINE = ("seed", "threads", "micro_batch", "held_out_sequences", "checkpoint.", "watch.", "layout.")
"""Numbers without a status: they are this run's own business and claim nothing about Falcon2."""


def load_recipe(recipe: str | Path) -> TrainConfig:
    """Read a training recipe by the name of a shipped one (`falcon2-11b`) or by the path of a YAML file.

    Raises RecipeError.
    """
    path = recipe_path(recipe)
    source = read_yaml(path)
    config = load(TrainConfig, source, name=str(path))
    missing = [name for name in unmarked(source) if not name.startswith(_OF_THIS_MACHINE)]
    if config.statuses == "required" and missing:
        raise RecipeError(f"{path}: {missing[0]}: has no status; write it as {{value: …, status: assumed}}")
    return config


def recipe_path(recipe: str | Path) -> Path:
    """The file of a recipe given by name or by path. Raises RecipeError for a name that is not shipped."""
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    folder = Path(str(resources.files("trainer") / "recipes"))
    shipped = sorted(file.stem for file in folder.glob("*.yaml"))
    if str(recipe) not in shipped:
        raise RecipeError(f"{recipe}: neither a file nor a shipped recipe; shipped are {', '.join(shipped)}")
    return folder / f"{recipe}.yaml"


def mixture_of(config: TrainConfig, recipe: str | Path) -> Mixture:
    """The mixture that a recipe names.

    Raises RecipeError, also where its stages are not those of the recipe, or the layout cannot cut their contexts.
    """
    beside = recipe_path(recipe).parent / config.mixture
    mixture = load_mixture(beside if beside.suffix in (".yaml", ".yml") else config.mixture)
    ours, theirs = [stage.name for stage in config.stages], [stage.name for stage in mixture.stages]
    if ours != theirs:
        raise RecipeError(f"{recipe}: stages {ours} are not those of mixture {mixture.name}, {theirs}; name them alike")
    ranks = config.layout.context
    for stage in mixture.stages:
        if ranks > 1 and stage.context % (2 * ranks):
            raise RecipeError(
                f"{recipe}: layout.context {ranks} needs contexts that {2 * ranks} divides, {stage.name} has "
                f"{stage.context}; choose other ranks or another context"
            )
    return mixture


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise ValueError(message)
