"""What the weights of a checkpoint are, whether a run made them or they were imported.

CHECKPOINT/weights.json     in place of state.json where `falconmix import-weights` made it: there is no run, hence
                            no position, no moments and no recipe, but a model and the tokenizer it belongs to
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import TensorStorageMetadata

from mixtures.errors import RecipeError
from mixtures.strict import load
from trainer import checkpoint
from trainer.config import ModelConfig
from trainer.errors import CheckpointError
from trainer.model import Falcon2

WEIGHTS: Final = "weights.json"
FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A model's shape, and what else decides what it computes."""

    model: ModelConfig
    rope_theta: float
    tied: bool
    context: int
    eod_id: int


@dataclass(frozen=True, kw_only=True)
class Imported:
    """Content of `weights.json`."""

    format: int
    weights: Weights
    tokenizer: str
    """Digest of the tokenizer, as in `tokens.json`: tokens to train on must be of the same."""
    source: str
    """Name of the folder that was imported."""
    tensors: int


def described(path: Path) -> Weights:
    """What a checkpoint's weights are. Raises CheckpointError."""
    found = imported(path)
    return found.weights if found else of_state(checkpoint.read_state(path))


def imported(path: Path) -> Imported | None:
    """What is known of imported weights; None for a checkpoint of a run. Raises CheckpointError."""
    file = path / WEIGHTS
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{file}: cannot be read ({error}); import the weights again") from error
    try:
        found = load(Imported, content, name=str(file))
    except RecipeError as error:
        raise CheckpointError(f"{error}; import the weights again") from error
    if found.format != FORMAT:
        raise CheckpointError(f"{file}: format {found.format}, this version reads {FORMAT}; import the weights again")
    return found


def identity_of(path: Path) -> str:
    """What tells a checkpoint's weights from others, as far as their description does. Raises CheckpointError."""
    path = checkpoint.found(path)
    known = imported(path)
    if known:
        return f"{known.source} ({known.tokenizer})"
    state = checkpoint.read_state(path)
    return f"{state.fingerprint} at step {state.step}"


def of_state(state: checkpoint.State) -> Weights:
    """What the weights of a run's checkpoint are."""
    stage = state.config.stages[state.stage]
    return Weights(
        model=state.config.model,
        rope_theta=stage.rope_theta,
        tied=stage.tied,
        context=state.context,
        eod_id=state.eod_id,
    )


def laid_out(weights: Weights) -> Falcon2:
    """The model without memory: names and shapes."""
    with torch.device("meta"):
        return Falcon2(weights.model, rope_theta=weights.rope_theta, tied=weights.tied)


def read_stored(path: Path, weights: Weights) -> dict[str, Tensor]:
    """Every weight by its parameter's name, whole, on the CPU, in the type it is stored in. Raises CheckpointError."""
    types = _stored_types(path)
    tensors = {
        f"model.{name}": torch.empty(parameter.shape, dtype=types.get(f"model.{name}", torch.float32))
        for name, parameter in laid_out(weights).named_parameters()
    }
    checkpoint.read_tensors(path, tensors)
    return {name.removeprefix("model."): tensor for name, tensor in tensors.items()}


def assembled(weights: Weights, tensors: dict[str, Tensor]) -> Falcon2:
    """The model of those weights, in fp32, ready for evaluation; fp32 weights are shared, not copied."""
    model = laid_out(weights)
    model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, assign=True)
    return model.eval()


def _stored_types(path: Path) -> dict[str, torch.dtype]:
    entries = checkpoint.read_metadata(path).state_dict_metadata
    return {name: e.properties.dtype for name, e in entries.items() if isinstance(e, TensorStorageMetadata)}
