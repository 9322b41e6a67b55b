"""The command lines that start a training on many machines: torchrun, once on each node."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from trainer.errors import MismatchError
from trainer.layout import Layout

_PATIENCE: Final = "TORCH_ELASTIC_SHUTDOWN_TIMEOUT=300"
"""Seconds that torchrun leaves its processes when it is asked to stop: they finish the step and write a checkpoint."""

_SIGNALS: Final = "PET_SIGNALS_TO_HANDLE=SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
"""What torchrun passes on; by SIGUSR1, which is not among its own, it would be killed, and its processes left alone.

Its option `--signals-to-handle` by its variable, which a torchrun that has no such option does not mind.
"""


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Where a training is started, and as what. Raises MismatchError."""

    nodes: int
    gpus_per_node: int
    first_node: str = "$FIRST_NODE"
    """Name of the node that the others find one another by; a variable of the shell is left for it to fill in."""
    port: int = 29_500

    def __post_init__(self) -> None:
        if self.nodes < 1 or self.gpus_per_node < 1:
            raise MismatchError(f"{self.nodes} node(s) of {self.gpus_per_node} GPU(s): both must be at least 1")

    @property
    def world(self) -> int:
        """Number of processes, one a GPU."""
        return self.nodes * self.gpus_per_node


def torchrun_line(launch: Launch, layout: Layout, arguments: list[str]) -> str:
    """The line to run on every node: `arguments` are those of `falconmix train`, without `--launch`.

    Raises MismatchError where the layout does not fit so many processes, or where tensor ranks would not share a node.
    """
    layout.sizes(launch.world)
    if launch.gpus_per_node % layout.tensor:
        raise MismatchError(
            f"layout: tensor {layout.tensor} does not divide the {launch.gpus_per_node} GPUs of a node; its ranks must "
            "share one: choose a divisor"
        )
    meeting = ["--standalone"] if launch.nodes == 1 else _meeting(launch)
    processes = f"--nproc-per-node={launch.gpus_per_node}"
    command = [_PATIENCE, _SIGNALS, "torchrun", *meeting, processes, "-m", "falconmix.cli", "train"]
    return " ".join([*command, *(shlex.quote(argument) for argument in arguments)])


def _meeting(launch: Launch) -> list[str]:
    return [
        f"--nnodes={launch.nodes}",
        "--rdzv-backend=c10d",
        f"--rdzv-endpoint={launch.first_node}:{launch.port}",
        "--rdzv-id=falconmix",
    ]
