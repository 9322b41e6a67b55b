"""The model card: what the model is, what it was trained on and how, and how it fared."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from mixtures.certificate import Drawn
from trainer import checkpoint
from trainer.config import StageConfig, TrainConfig
from trainer.weights import Imported, Weights

_BEGIN: Final = "<!-- evaluation -->"
_END: Final = "<!-- end of evaluation -->"


def trained_card(state: checkpoint.State, weights: Weights, data: Sequence[Drawn] | None) -> str:
    """The card of a run's checkpoint; `data` is its data certificate, where there is one."""
    config, stage = state.config, state.config.stages[state.stage]
    trained = (
        f"Trained with falconmix on the mixture `{config.mixture}`: {state.tokens:,} tokens in\n"
        f"{state.step:,} steps, up to stage `{stage.name}`{'' if state.stage_complete else ' (not complete)'}."
    )
    sections = [_recipe(config), _data(data), _held_out(state.held_out)]
    closing = (
        "It learnt from web pages and repeats what stands there, errors and prejudice included. Recipe fingerprint:\n"
        f"`{state.fingerprint}`."
    )
    return _card(config.name, weights, trained, sections, closing)


def imported_card(found: Imported) -> str:
    """The card of imported weights."""
    told = f"Imported by falconmix from a folder called `{found.source}`, and not trained since."
    return _card(found.source, found.weights, told, [], "The weights are those of the source, bit for bit.")


def with_evaluation(card: str, evaluation: str) -> str:
    """The card with that text as its evaluation, in place of an earlier one; as it is where it has no place for it."""
    place = re.compile(f"{re.escape(_BEGIN)}.*?{re.escape(_END)}", re.DOTALL)
    return place.sub(lambda _: f"{_BEGIN}\n{evaluation.strip()}\n{_END}", card, count=1)


def _card(name: str, weights: Weights, made: str, sections: Sequence[str], closing: str) -> str:
    model = weights.model
    body = "\n\n".join(section for section in (*sections, _evaluation(), _SNIPPET) if section)
    return f"""---
library_name: transformers
pipeline_tag: text-generation
---

# {name}

A Falcon2-shaped language model: {model.layers} blocks, width {model.hidden}, {model.heads} query
and {model.kv_heads} key/value heads, {"tied" if weights.tied else "untied"} embeddings, context {weights.context},
vocabulary {model.vocab:,}. {made}

{body}

{closing}
"""


_SNIPPET: Final = """## Use

```python
from transformers import pipeline

generate = pipeline("text-generation", model="PATH OF THIS FOLDER")
print(generate("The", max_new_tokens=32)[0]["generated_text"])
```"""


def _recipe(config: TrainConfig) -> str:
    optim = config.optim
    rows = "\n".join(_stage(stage) for stage in config.stages)
    return f"""## Recipe

AdamW: betas {optim.beta1:g} and {optim.beta2:g}, weight decay {optim.weight_decay:g}, gradients clipped at
{optim.clip_norm:g}, z-loss {optim.z_loss:g}. All of it is in `falconmix.json`.

| stage | rotary base | head | learning rate | eps | sequences per step, from token |
| --- | --- | --- | --- | --- | --- |
{rows}"""


def _stage(stage: StageConfig) -> str:
    rate = f"{stage.rate.peak:g} to {stage.rate.floor:g}"
    warmup = f", {stage.rate.warmup_tokens:,} tokens of warm-up" if stage.rate.warmup_tokens else ""
    batch = ", ".join(f"{size.sequences:,} from {size.from_tokens:,}" for size in stage.batch)
    head = "tied" if stage.tied else "untied"
    return f"| {stage.name} | {stage.rope_theta:,.0f} | {head} | {rate}{warmup} | {stage.adam_eps:g} | {batch} |"


def _data(data: Sequence[Drawn] | None) -> str:
    if data is None:
        return (
            "## Data\n\nThe run was not beside the checkpoint when it was exported, so what it drew is not known here."
        )
    rows = [row for drawn in data for row in _drawn(drawn)]
    return "\n".join(
        (
            "## Data\n",
            "What was really drawn up to this checkpoint, in tokens predicted:\n",
            "| component | sequences | tokens | epochs |",
            "| --- | --- | --- | --- |",
            *rows,
        )
    )


def _drawn(drawn: Drawn) -> list[str]:
    epochs = "" if drawn.epochs is None else f"{drawn.epochs:.2f}"
    rows = [f"| {drawn.component} | {drawn.sequences:,} | {drawn.tokens:,} | {epochs} |"]
    if drawn.folders and len(drawn.folders) > 1:
        rows += [f"| – `{folder}` | | {tokens:,} | |" for folder, tokens in drawn.folders.items()]
    return rows


def _held_out(losses: dict[str, float]) -> str:
    rows = "\n".join(f"| {name} | {loss:.4f} |" for name, loss in losses.items())
    return f"## Held-out documents\n\n| component | loss, nats per token |\n| --- | --- |\n{rows}" if losses else ""


def _evaluation() -> str:
    return f"{_BEGIN}\n{_END}"
