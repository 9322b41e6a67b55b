"""`config.json` of `FalconForCausalLM`, written and read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from trainer.config import ModelConfig
from trainer.errors import MismatchError
from trainer.weights import Weights

_DEFAULTS: Final[dict[str, Any]] = {
    "activation": "gelu",
    "alibi": False,
    "attention_dropout": 0.0,
    "bias": False,
    "hidden_dropout": 0.0,
    "new_decoder_architecture": False,
    "num_ln_in_parallel_attn": None,
    "parallel_attn": True,
    "rope_scaling": None,
    "eos_token_id": 11,
    "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-5,
    "max_position_embeddings": 2048,
    "rope_theta": 10_000.0,
    "tie_word_embeddings": True,
}
"""What `transformers` takes where `config.json` says nothing."""

_ONLY: Final[dict[str, Any]] = {
    "model_type": "falcon",
    "activation": "gelu",
    "alibi": False,
    "attention_dropout": 0.0,
    "bias": False,
    "hidden_dropout": 0.0,
    "new_decoder_architecture": True,
    "num_ln_in_parallel_attn": 1,  # left out, it would mean two norms per block
    "parallel_attn": True,
}
"""What the trainer's model is; another value would be another architecture."""


def falcon_config(config: ModelConfig, *, rope_theta: float, tied: bool, context: int, eod_id: int) -> dict[str, Any]:
    """`config.json` of a `FalconForCausalLM` of this shape."""
    return {
        "architectures": ["FalconForCausalLM"],
        **_ONLY,
        "bos_token_id": eod_id,
        "dtype": "float32",
        "eos_token_id": eod_id,
        "ffn_hidden_size": config.mlp,
        "hidden_size": config.hidden,
        "initializer_range": config.init_std,
        "layer_norm_epsilon": config.norm_eps,
        "max_position_embeddings": context,
        "multi_query": True,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_kv_heads": config.kv_heads,
        # transformers 5 reads the base here …
        "rope_parameters": {"rope_type": "default", "rope_theta": rope_theta},
        # … and older ones, as the released Falcon-11B has it, there.
        "rope_theta": rope_theta,
        "tie_word_embeddings": tied,
        "vocab_size": config.vocab,
    }


def weights_of(settings: Mapping[str, Any], file: str) -> Weights:
    """What a `config.json`, called `file` in messages, describes.

    Raises MismatchError, naming the field, where that is not the architecture of Falcon2 or a size is missing.
    """
    given = _DEFAULTS | dict(settings)
    for field, wanted in {**_ONLY, "rope_scaling": None}.items():
        if given.get(field) != wanted:
            raise MismatchError(
                f"{file}: {field} is {given.get(field)!r}, where Falcon2's is {wanted!r}; give a model of its kind"
            )
    heads, hidden = _size(given, "num_attention_heads", file), _size(given, "hidden_size", file)
    try:
        model = ModelConfig(
            vocab=_size(given, "vocab_size", file),
            hidden=hidden,
            layers=_size(given, "num_hidden_layers", file),
            heads=heads,
            kv_heads=_size({"num_kv_heads": heads} | _stated(given), "num_kv_heads", file),
            mlp=_size({"ffn_hidden_size": 4 * hidden} | _stated(given), "ffn_hidden_size", file),
            norm_eps=float(given["layer_norm_epsilon"]),
            init_std=float(given["initializer_range"]),
        )
    except MismatchError:
        raise
    except ValueError as error:
        raise MismatchError(f"{file}: {error}") from error
    return Weights(
        model=model,
        rope_theta=_rope_theta(given, file),
        tied=bool(given["tie_word_embeddings"]),
        context=_size(given, "max_position_embeddings", file),
        eod_id=_size(given, "eos_token_id", file, least=0),
    )


def same_shape(ours: ModelConfig, theirs: ModelConfig) -> str | None:
    """The first field, with both values, in which weights of `theirs` do not fit `ours`; None where they fit."""
    theirs = replace(theirs, init_std=ours.init_std)  # what they were drawn with has long been trained away
    for field, value in vars(ours).items():
        if value != vars(theirs)[field]:
            return f"{field} is {value} here and {vars(theirs)[field]} there"
    return None


def _rope_theta(given: Mapping[str, Any], file: str) -> float:
    parameters = given.get("rope_parameters") or {}
    if not isinstance(parameters, dict):
        raise MismatchError(f"{file}: rope_parameters is {parameters!r}, not a mapping; mend the field")
    kind = parameters.get("rope_type", "default")
    if kind != "default":
        raise MismatchError(f"{file}: rope_parameters.rope_type is {kind!r}, where Falcon2's is 'default'")
    base = parameters.get("rope_theta", given["rope_theta"])
    if not isinstance(base, int | float) or isinstance(base, bool) or base <= 0:
        raise MismatchError(f"{file}: rope_theta is {base!r}, not a number above 0; mend the field")
    return float(base)


def _stated(given: Mapping[str, Any]) -> dict[str, Any]:
    """Less the fields that are null, which mean the default."""
    return {field: value for field, value in given.items() if value is not None}


def _size(given: Mapping[str, Any], field: str, file: str, *, least: int = 1) -> int:
    value = given.get(field)
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise MismatchError(f"{file}: {field} is {value!r}, not a whole number from {least} on; mend the field")
    return value
