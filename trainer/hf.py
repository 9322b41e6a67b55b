"""A checkpoint as a Hugging Face folder that `AutoModelForCausalLM` loads as `FalconForCausalLM`.

The weights are renamed and nothing else: the model's layouts are those of `transformers` already.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixtures.catalogue import TOKENIZER
from mixtures.tokenizer import END_OF_DOCUMENT
from trainer import checkpoint
from trainer.config import ModelConfig
from trainer.errors import CheckpointError, WriteError
from trainer.model import Falcon2

_TOLERANCE = 1e-4
"""Largest difference of logits, in fp32, between the trainer's model and the exported one."""
_RECORD = "falconmix.json"
"""What was exported; a folder without it is not an earlier export."""


def export(source: Path, output: Path) -> Path:
    """Write the checkpoint `source` (or the latest of the run `source`) to the folder `output`, in fp32, and verify it.

    Verified means: `transformers` loads it, and its logits differ by at most 1e-4 from those of the trainer's model.
    The folder appears when all is in it; one of an earlier export is replaced, any other is refused. Raises
    CheckpointError, and WriteError where the folder cannot be written.
    """
    path = checkpoint.found(source)
    state = checkpoint.read_state(path)
    tokenizer = path / TOKENIZER
    if not tokenizer.is_file():
        raise CheckpointError(f"{tokenizer}: missing; copy that of the token files there")
    _refuse_foreign(output)
    model = read_model(path, state)
    with _drafted(output) as draft:
        _write_weights(draft, model)
        _write_tokenizer(draft, tokenizer, state)
        _write_json(draft / "config.json", model_config(state))
        _write_json(draft / "generation_config.json", {"bos_token_id": state.eod_id, "eos_token_id": state.eod_id})
        (draft / "README.md").write_text(_card(state), encoding="utf-8")
        _write_json(draft / _RECORD, _record(path, state))
        _verify(draft, model, state)
    return output


def read_model(path: Path, state: checkpoint.State) -> Falcon2:
    """The trainer's model of a checkpoint, whole, in fp32, on the CPU; ready for evaluation."""
    stage = state.config.stages[state.stage]
    model = Falcon2(state.config.model, rope_theta=stage.rope_theta, tied=stage.tied)
    parameters = {f"model.{name}": parameter.detach() for name, parameter in model.named_parameters()}
    checkpoint.read_tensors(path, parameters)
    return model.eval()


def hf_names(model: Falcon2) -> dict[str, Tensor]:
    """The model's parameters under the names of `FalconForCausalLM`."""
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return {name if name.startswith("lm_head.") else f"transformer.{name}": p for name, p in parameters.items()}


def model_config(state: checkpoint.State) -> dict[str, Any]:
    """`config.json` for a checkpoint."""
    config, stage = state.config.model, state.config.stages[state.stage]
    return falcon_config(
        config, rope_theta=stage.rope_theta, tied=stage.tied, context=state.context, eod_id=state.eod_id
    )


def falcon_config(config: ModelConfig, *, rope_theta: float, tied: bool, context: int, eod_id: int) -> dict[str, Any]:
    """`config.json` of a `FalconForCausalLM` of this shape."""
    return {
        "architectures": ["FalconForCausalLM"],
        "model_type": "falcon",
        "activation": "gelu",
        "alibi": False,
        "attention_dropout": 0.0,
        "bias": False,
        "bos_token_id": eod_id,
        "dtype": "float32",
        "eos_token_id": eod_id,
        "ffn_hidden_size": config.mlp,
        "hidden_dropout": 0.0,
        "hidden_size": config.hidden,
        "initializer_range": config.init_std,
        "layer_norm_epsilon": config.norm_eps,
        "max_position_embeddings": context,
        "multi_query": True,
        "new_decoder_architecture": True,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_kv_heads": config.kv_heads,
        # Left out, it would mean two norms per block.
        "num_ln_in_parallel_attn": 1,
        "parallel_attn": True,
        # transformers 5 reads the base here …
        "rope_parameters": {"rope_type": "default", "rope_theta": rope_theta},
        # … and older ones, as the released Falcon-11B has it, there.
        "rope_theta": rope_theta,
        "tie_word_embeddings": tied,
        "vocab_size": config.vocab,
    }


def _refuse_foreign(output: Path) -> None:
    if output.is_dir() and ((output / _RECORD).is_file() or not any(output.iterdir())):
        return
    if output.exists():
        raise CheckpointError(f"{output}: holds something else than an earlier export; give an empty or new folder")


@contextmanager
def _drafted(output: Path) -> Iterator[Path]:
    """A folder to write in, which takes the place of `output` if all goes well, and is gone if not."""
    from safetensors import SafetensorError

    whole = output.resolve()
    draft = whole.with_name(f".{whole.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        yield draft
        if whole.exists():
            shutil.rmtree(whole)
        draft.rename(whole)
    except (OSError, SafetensorError) as error:
        raise WriteError.of(output, error) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_weights(folder: Path, model: Falcon2) -> None:
    from huggingface_hub import save_torch_state_dict

    save_torch_state_dict(hf_names(model), folder, max_shard_size="5GB")
    for file in folder.glob("*.safetensors"):
        file.chmod(0o644)  # the library leaves them to their owner alone


def _write_tokenizer(folder: Path, tokenizer: Path, state: checkpoint.State) -> None:
    shutil.copyfile(tokenizer, folder / TOKENIZER)
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": END_OF_DOCUMENT,
        "eos_token": END_OF_DOCUMENT,
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": state.context,
    }
    _write_json(folder / "tokenizer_config.json", settings)


@torch.no_grad()
def _verify(folder: Path, model: Falcon2, state: checkpoint.State) -> None:
    """Raise CheckpointError unless transformers' model of `folder` gives the same logits."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    # Every token id would be too many of them: an even spread over the vocabulary, and over the positions.
    tokens = torch.linspace(0, state.config.model.vocab - 1, min(state.context, 512)).long()[None]
    difference = (theirs(tokens).logits - model(tokens)).abs().max().item()
    if not (type(theirs).__name__ == "FalconForCausalLM" and difference <= _TOLERANCE):
        raise CheckpointError(
            f"not exported: transformers reads {type(theirs).__name__} whose logits differ by {difference:.1e} from "
            f"the trainer's (allowed: {_TOLERANCE:.0e}); use the transformers that constraints.txt names"
        )


def _record(path: Path, state: checkpoint.State) -> dict[str, Any]:
    return {
        "checkpoint": path.name,
        "recipe": state.config.name,
        "fingerprint": state.fingerprint,
        "step": state.step,
        "tokens": state.tokens,
        "stage": state.config.stages[state.stage].name,
    }


def _card(state: checkpoint.State) -> str:
    config, stage = state.config, state.config.stages[state.stage]
    losses = "\n".join(f"| {name} | {loss:.4f} |" for name, loss in state.held_out.items())
    return f"""---
library_name: transformers
pipeline_tag: text-generation
---

# {config.name}

A Falcon2-shaped language model: {config.model.layers} blocks, width {config.model.hidden}, {config.model.heads} query
and {config.model.kv_heads} key/value heads, {"tied" if stage.tied else "untied"} embeddings, context {state.context},
vocabulary {config.model.vocab:,}. Trained with falconmix on the mixture `{config.mixture}`: {state.tokens:,} tokens in
{state.step:,} steps, up to stage `{stage.name}`{"" if state.stage_complete else " (not complete)"}.

| held-out component | loss, nats per token |
| --- | --- |
{losses}

```python
from transformers import pipeline

generate = pipeline("text-generation", model="PATH OF THIS FOLDER")
print(generate("The", max_new_tokens=32)[0]["generated_text"])
```

It learnt from web pages and repeats what stands there, errors and prejudice included. Recipe fingerprint:
`{state.fingerprint}`.
"""


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
