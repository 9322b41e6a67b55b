"""What the plan knows of machines: `hardware.yaml`, or a file of the same form."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from mixtures.strict import load, read_yaml
from trainer.errors import MismatchError

GIB = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One processor of a machine; bandwidths in bytes a second and direction, each processor's share."""

    memory_bytes: int
    memory_bandwidth: float
    node_bandwidth: float
    """To the others of its node."""
    network_bandwidth: float
    """To other nodes."""
    gpus_per_node: int
    bf16_flops: float | None = None
    """Peak for dense matrices; None: it trains in fp32, as CPUs do here."""
    fp8_flops: float | None = None
    fp32_flops: float | None = None

    def __post_init__(self) -> None:
        if self.bf16_flops is None and self.fp32_flops is None:
            raise ValueError("needs bf16_flops, or fp32_flops where it trains in fp32")
        for name, value in vars(self).items():
            if value is not None and value <= 0:
                raise ValueError(f"{name}: {value} must be above 0")

    @property
    def mixed(self) -> bool:
        """Whether it computes in bf16 with parameters and sums of gradients in fp32."""
        return self.bf16_flops is not None

    @property
    def peak_flops(self) -> float:
        """Operations a second in the type that it computes in."""
        return self.bf16_flops or self.fp32_flops or 0.0

    @property
    def reserve_bytes(self) -> int:
        """Assumed: what the driver, the libraries' workspaces and NCCL's buffers take; nothing on a CPU."""
        return 2 * GIB if self.mixed else 0


def gpu_types(path: Path | None = None) -> dict[str, Gpu]:
    """All types by name, from a file or as shipped. Raises RecipeError."""
    path = path or Path(str(resources.files("trainer.plan") / "hardware.yaml"))
    return {name: load(Gpu, entry, name=f"{path}: {name}") for name, entry in read_yaml(path).items()}


def gpu_type(name: str, path: Path | None = None) -> Gpu:
    """The type called `name`. Raises MismatchError where there is none."""
    known = gpu_types(path)
    if name not in known:
        raise MismatchError(f"--gpu {name}: not known; there are {', '.join(known)}; --hardware FILE describes others")
    return known[name]
