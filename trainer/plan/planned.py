"""A training planned: memory, communication and time of every step of a recipe on given hardware."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from mixtures.schedule import Schedule
from mixtures.spec import Mixture
from trainer.config import TrainConfig
from trainer.data import StepPlan, Stretch, passes
from trainer.errors import MismatchError
from trainer.layout import Process, Sizes
from trainer.plan.hardware import Gpu
from trainer.plan.memory import Memory, Pass, peak_memory
from trainer.plan.mends import Advice, advice
from trainer.plan.shapes import Division, every_parameter
from trainer.plan.traffic import Collective, Groups, collectives_of_a_step, seconds_by_link
from trainer.plan.work import work_of_a_sequence

DEFAULT_EFFICIENCY = 0.23
"""Share of the peak that Falcon2-11B's own training had of 1,024 A100-40GB in about two months, all downtime included:
1,036 tokens/s and GPU (arXiv 2407.14885; the rate computed). A cautious figure: where nothing stops, 0.4 is common."""
_UPDATE_BYTES = 28
"""Of memory traffic for each parameter in AdamW's step: four numbers read, three written, fp32."""
_DAY_S = 86_400


@dataclass(frozen=True, kw_only=True)
class Machines:
    """What a training is planned for. Raises MismatchError."""

    gpu_name: str
    gpu: Gpu
    gpus: int
    efficiency: float = DEFAULT_EFFICIENCY

    def __post_init__(self) -> None:
        if self.gpus < 1:
            raise MismatchError(f"--gpus {self.gpus}: must be at least 1")
        if not 0 < self.efficiency <= 1:
            raise MismatchError(f"--efficiency {self.efficiency}: must be above 0 and at most 1")

    @property
    def nodes(self) -> int:
        """Machines that hold so many."""
        return -(-self.gpus // self.gpu.gpus_per_node)


@dataclass(frozen=True, kw_only=True)
class StepCost:
    """Steps of one batch size: what each costs every process."""

    stage: str
    context: int
    batch: int
    """Sequences of a step, over all processes."""
    steps: int
    sequences_per_rank: int
    """Of the processes that have most."""
    passes: int
    memory: Memory
    flops_per_rank: float
    collectives: tuple[Collective, ...]
    compute_s: float
    """At the efficiency assumed."""
    node_s: float
    """Of the links within nodes, at full bandwidth."""
    network_s: float
    """Of the links between nodes, at full bandwidth."""
    update_s: float

    @property
    def step_s(self) -> float:
        """The slowest of the three, which overlap at best, and the optimiser's step."""
        return max(self.compute_s, self.node_s, self.network_s) + self.update_s

    @property
    def limit(self) -> str:
        """What a step waits for."""
        times = {"compute": self.compute_s, "links in nodes": self.node_s, "network": self.network_s}
        return max(times, key=lambda name: times[name])

    @property
    def seconds(self) -> float:
        """All the steps."""
        return self.steps * self.step_s


@dataclass(frozen=True, kw_only=True)
class StagePlan:
    """A stage of the training."""

    name: str
    context: int
    tokens: int
    model_flops: float
    costs: tuple[StepCost, ...]

    @property
    def days(self) -> float:
        """From its first step to its last."""
        return sum(cost.seconds for cost in self.costs) / _DAY_S

    @property
    def memory(self) -> Memory:
        """At its worst moment."""
        return max((cost.memory for cost in self.costs), key=lambda memory: memory.total)


@dataclass(frozen=True, kw_only=True)
class TrainingPlan:
    """The whole of it."""

    recipe: str
    machines: Machines
    sizes: Sizes
    parameters: int
    stages: tuple[StagePlan, ...]
    advice: Advice = field(default_factory=Advice)

    @property
    def peak(self) -> Memory:
        """Memory of a process at the worst moment of all."""
        return max((stage.memory for stage in self.stages), key=lambda memory: memory.total)

    @property
    def fits(self) -> bool:
        """Whether that is there."""
        return self.peak.total <= self.machines.gpu.memory_bytes

    @property
    def days(self) -> float:
        """From the first step to the last."""
        return sum(stage.days for stage in self.stages)

    @property
    def gpu_hours(self) -> float:
        """Over all GPUs."""
        return self.days * 24 * self.machines.gpus

    @property
    def tokens(self) -> int:
        """Trained on."""
        return sum(stage.tokens for stage in self.stages)

    @property
    def tokens_per_second_and_gpu(self) -> float:
        """On average."""
        return self.tokens / (self.days * _DAY_S * self.machines.gpus)

    @property
    def model_flops_utilisation(self) -> float:
        """Share of the peak that the model's own operations come to."""
        spent = self.days * _DAY_S * self.machines.gpus * self.machines.gpu.peak_flops
        return sum(stage.model_flops for stage in self.stages) / spent


def plan_training(config: TrainConfig, mixture: Mixture, machines: Machines) -> TrainingPlan:
    """Plan `config` for `machines`. Raises MismatchError where the layout does not fit their number."""
    sizes = config.layout.sizes(machines.gpus)
    _check(config, machines)
    spans = Schedule(mixture).spans
    stretches = StepPlan(spans, config.stages).stretches
    stages = []
    for index, stage in enumerate(config.stages):
        costs = tuple(_cost(config, machines, stretch) for stretch in stretches if stretch.stage == index)
        span = spans[index]
        sequences = span.end - span.first
        work = work_of_a_sequence(config.model, config.layout, span.context)
        stages.append(
            StagePlan(
                name=stage.name,
                context=span.context,
                tokens=sequences * span.context,
                model_flops=float(work.model) * sequences,
                costs=costs,
            )
        )
    tied = all(stage.tied for stage in config.stages)
    found = TrainingPlan(
        recipe=config.name,
        machines=machines,
        sizes=sizes,
        parameters=_parameters_of(config, tied=tied),
        stages=tuple(stages),
    )
    return replace(found, advice=advice(found, config))


def pass_of(config: TrainConfig, stretch: Stretch, world: int, *, mixed: bool) -> Pass:
    """What each process puts through the model at once in these steps."""
    process = Process(world=world).laid_out(config.layout)
    mine = math.ceil(stretch.batch / process.data_world)
    return Pass(
        model=config.model,
        tied=config.stages[stretch.stage].tied,
        layout=config.layout,
        division=Division.of(config.layout.sizes(world)),
        sequences=min(config.micro_batch, mine),
        context=stretch.context,
        several=passes(stretch.batch, config.micro_batch, process) > 1,
        width=2 if mixed else 4,
    )


def _cost(config: TrainConfig, machines: Machines, stretch: Stretch) -> StepCost:
    gpu, layout = machines.gpu, config.layout
    process = Process(world=machines.gpus).laid_out(layout)
    run = pass_of(config, stretch, machines.gpus, mixed=gpu.mixed)
    n_passes = passes(stretch.batch, config.micro_batch, process)
    mine = math.ceil(stretch.batch / process.data_world)
    collectives = collectives_of_a_step(run, Groups.of(layout.sizes(machines.gpus)), n_passes)
    links = seconds_by_link(collectives, gpu)
    work = work_of_a_sequence(config.model, layout, stretch.context)
    share = mine / (layout.tensor * layout.context)
    in_blocks = work.blocks + work.recomputed_blocks
    blocks_peak = (gpu.fp8_flops or gpu.peak_flops) if layout.float8 else gpu.peak_flops
    seconds = in_blocks / blocks_peak + (work.hardware - in_blocks) / gpu.peak_flops
    memory = peak_memory(run, reserve=gpu.reserve_bytes)
    return StepCost(
        stage=config.stages[stretch.stage].name,
        context=stretch.context,
        batch=stretch.batch,
        steps=stretch.steps,
        sequences_per_rank=mine,
        passes=n_passes,
        memory=memory,
        flops_per_rank=work.hardware * share,
        collectives=tuple(collectives),
        compute_s=seconds * share / machines.efficiency,
        node_s=links["node"],
        network_s=links["network"],
        update_s=memory.parameters / 4 * _UPDATE_BYTES / gpu.memory_bandwidth,
    )


def _parameters_of(config: TrainConfig, *, tied: bool) -> int:
    """Parameters of the model, with the head counted where it is not the embedding."""
    return sum(parameter.elements for parameter in every_parameter(config.model, tied=tied))


def _check(config: TrainConfig, machines: Machines) -> None:
    """Refuse what the trainer would refuse."""
    layout, model = config.layout, config.model
    layout.refuse_undivided(kv_heads=model.kv_heads, mlp=model.mlp)
    if layout.float8 and machines.gpu.fp8_flops is None:
        raise MismatchError(f"layout: float8, but {machines.gpu_name} has none; take it out, or choose another GPU")
