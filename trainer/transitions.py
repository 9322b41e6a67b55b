"""What happens to the model between two stages.

    context     nothing: rotary tables are made for each batch, no parameter depends on the length
    batch       nothing: the loss is normalised by the step's tokens
    rotary base the new base holds from the next step on; the loss jumps, which the held-out losses at start show
    head        tied → untied: the head becomes a copy of the embedding, and so do both of its moments and its count

The moments are copied, not zeroed: until the untying they described the sum of both uses' gradients, an upper estimate
for each, so the first steps are shorter than they will be, where fresh moments would make the largest possible step.
"""

from __future__ import annotations

import torch

from trainer.build import Trained, blank
from trainer.config import StageConfig, TrainConfig
from trainer.layout import Process
from trainer.parallel import Mesh, local


def entered(trained: Trained, stage: StageConfig, config: TrainConfig, mesh: Mesh, process: Process) -> Trained:
    """`trained`, made ready for `stage`; with an untied head it is a new model of the same values."""
    if trained.model.tied and not stage.tied:
        trained = _untied(trained, blank(config, stage, mesh, process))
    trained.model.rope_theta = stage.rope_theta
    return trained


@torch.no_grad()
def _untied(tied: Trained, untied: Trained) -> Trained:
    sources = tied.tensors()
    for name, tensor in untied.tensors().items():
        source = sources[name.replace(".lm_head.", ".word_embeddings.")]
        # Both are sharded alike, so each process copies its own part.
        local(tensor).copy_(local(source))
    return untied
