"""A checkpoint as a Hugging Face folder that `AutoModelForCausalLM` loads as `FalconForCausalLM`.

The weights are renamed and nothing else: the model's layouts are those of `transformers` already.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from mixtures.catalogue import TOKENIZER
from mixtures.tokenizer import END_OF_DOCUMENT
from trainer import checkpoint, results
from trainer.card import imported_card, trained_card
from trainer.consumed import certificate
from trainer.draft import drafted, refuse_foreign
from trainer.errors import CheckpointError
from trainer.hf_config import falcon_config
from trainer.model import Falcon2
from trainer.weights import Weights, assembled, imported, of_state, read_stored

_TOLERANCE = 1e-4
"""Largest difference of logits, in fp32, between the trainer's model and the exported one."""
RECORD: Final = "falconmix.json"
"""What was exported; a folder without it is not an earlier export."""
_TYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def export(source: Path, output: Path, *, dtype: str | None = None) -> Path:
    """Write the checkpoint `source` (or the latest of the run `source`) to the folder `output`, and verify it.

    Weights keep the type they are stored in (fp32 of a run; as they were where they were imported), unless `dtype`
    says float32 or bfloat16. Verified means: `transformers` loads it, and its logits differ by at most 1e-4 from those
    of the trainer's model with the same weights. The folder appears when all is in it; one of an earlier export is
    replaced, any other is refused. Raises CheckpointError, and WriteError where the folder cannot be written.
    """
    path = checkpoint.found(source)
    made = _described(path)
    tokenizer = path / TOKENIZER
    if not tokenizer.is_file():
        raise CheckpointError(f"{tokenizer}: missing; copy that of the token files there")
    refuse_foreign(output, mark=RECORD, kind="export")
    tensors = read_stored(path, made.weights)
    if dtype:
        tensors = {name: tensor.to(_TYPES[dtype]) for name, tensor in tensors.items()}
    made.record["dtype"] = _dtype(tensors)
    earlier = _earlier_results(output, made.record)
    with drafted(output) as draft:
        _write_weights(draft, tensors)
        _write_tokenizer(draft, tokenizer, made.weights)
        _write_json(draft / "config.json", _config(made.weights, tensors))
        eod_id = made.weights.eod_id
        _write_json(draft / "generation_config.json", {"bos_token_id": eod_id, "eos_token_id": eod_id})
        (draft / "README.md").write_text(made.card, encoding="utf-8")
        _write_json(draft / RECORD, made.record)
        if earlier:
            results.write(draft / results.EVALUATION, earlier)
            results.onto_card(draft, earlier)
        _verify(draft, assembled(made.weights, tensors), made.weights)
    return output


def read_record(folder: Path) -> dict[str, Any] | None:
    """What was exported to a folder; None where that is not an export. Raises CheckpointError."""
    try:
        record: dict[str, Any] = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / RECORD}: cannot be read ({error}); export the model again") from error
    return record


def hf_names(model: Falcon2) -> dict[str, Tensor]:
    """The model's parameters under the names of `FalconForCausalLM`."""
    return _renamed({name: parameter.detach() for name, parameter in model.named_parameters()})


@dataclass(frozen=True, kw_only=True)
class _Made:
    """What is exported, and what is said of it."""

    weights: Weights
    record: dict[str, Any]
    card: str


def _described(path: Path) -> _Made:
    """Raises CheckpointError where `path` is neither a run's checkpoint nor imported weights."""
    found = imported(path)
    if found:
        record: dict[str, Any] = {"checkpoint": path.name, "imported": found.source, "tokenizer": found.tokenizer}
        return _Made(weights=found.weights, record=record, card=imported_card(found))
    state = checkpoint.read_state(path)
    weights, data = of_state(state), certificate(path, state)
    record = {
        "checkpoint": path.name,
        "recipe": state.config.name,
        "fingerprint": state.fingerprint,
        "step": state.step,
        "tokens": state.tokens,
        "stage": state.config.stages[state.stage].name,
        "settings": state.recipe,
        "data": None if data is None else [asdict(drawn) | {"epochs": drawn.epochs} for drawn in data],
    }
    return _Made(weights=weights, record=record, card=trained_card(state, weights, data))


def _renamed(parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name if name.startswith("lm_head.") else f"transformer.{name}": p for name, p in parameters.items()}


def _config(weights: Weights, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """`config.json`; its dtype is what transformers computes in, unless asked otherwise."""
    config = falcon_config(
        weights.model,
        rope_theta=weights.rope_theta,
        tied=weights.tied,
        context=weights.context,
        eod_id=weights.eod_id,
    )
    return config | {"dtype": _dtype(tensors)}


def _dtype(tensors: Mapping[str, Tensor]) -> str:
    return str(tensors["word_embeddings.weight"].dtype).removeprefix("torch.")


def _earlier_results(output: Path, record: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Results of an evaluation of the same weights, exported to the same folder before."""
    try:
        return results.read_all(output) if read_record(output) == record else {}
    except CheckpointError:
        return {}  # an earlier export that is damaged


def _write_weights(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(_renamed(tensors), folder, max_shard_size="5GB")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # the library leaves them to their owner alone


def _write_tokenizer(folder: Path, tokenizer: Path, weights: Weights) -> None:
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_DOCUMENT,
        "eos_token": END_OF_DOCUMENT,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": weights.context,
    }
    _write_json(folder / "tokenizer_config.json", settings)


@torch.no_grad()
def _verify(folder: Path, model: Falcon2, weights: Weights) -> None:
    """Raise CheckpointError unless transformers' model of `folder` gives the same logits."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # Every token id would be too many of them: an even spread over the vocabulary, and over the positions.
    tokens = torch.linspace(0, weights.model.vocab - 1, min(weights.context, 512)).long()[None]
    difference = (theirs(tokens).logits - model(tokens)).abs().max().item()
    if not (type(theirs).__name__ == "FalconForCausalLM" and difference <= _TOLERANCE):
        raise CheckpointError(
            f"not exported: transformers reads {type(theirs).__name__} whose logits differ by {difference:.1e} from "
            f"the trainer's (allowed: {_TOLERANCE:.0e}); use the transformers that constraints.txt names"
        )


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
