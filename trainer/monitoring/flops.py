"""What a token costs in arithmetic, and what a GPU could do at its peak: the two sides of model FLOPs utilisation."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Final

import torch

from mixtures.strict import read_yaml
from trainer.config import ModelConfig
from trainer.layout import Layout, Process
from trainer.plan.hardware import gpu_types
from trainer.plan.work import work_of_a_sequence

CONVENTION: Final = (
    "6 FLOPs for each parameter that multiplies a token (head yes, embedding no), 12·D for each layer and pair of "
    "tokens attended (D: width of all heads; half of all pairs, since attention is causal); recomputation counts for "
    "nothing; peak: dense bf16"
)
"""How FLOPs are counted here: PaLM's way (arXiv 2204.02311, appendix B) with the causal half of the pairs."""


def flops_per_token(model: ModelConfig, context: int) -> float:
    """FLOPs that training needs for a token, there and back, in sequences of `context`; see `CONVENTION`."""
    return work_of_a_sequence(model, Layout(), context).model / context


def peak_flops(device_name: str) -> float | None:
    """FLOP/s at the peak of what `torch.cuda.get_device_name` calls so; None where that is not known."""
    types = read_yaml(Path(str(resources.files("trainer.monitoring") / "device_names.yaml")))
    return gpu_types()[types[device_name]].peak_flops if device_name in types else None


def peak_of(process: Process) -> float | None:
    """FLOP/s at the peak of this process's GPU; None on a CPU, and where it is not known."""
    if process.device_type != "cuda":
        return None
    return peak_flops(torch.cuda.get_device_name(process.device))
