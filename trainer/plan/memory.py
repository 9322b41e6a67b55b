"""Memory of one process at the worst moment of a step, part by part.

The formulae follow what the code keeps; `--dry-run` sees what the code itself needs, and tests hold the two against
each other, within 10 %. N tokens of one pass here, D hidden, M width of the MLP, H and G query and key/value heads of
width C, t tensor ranks; elements of the type computed in, unless another is named:

    kept of a block   N·D/t input of the norm, N·D its output gathered, N·((H + 2G)·C + (H + G)·C + H·C + 2M)/t for the
                      fused projection, rotated queries and keys, attention's output and both sides of the GELU; in fp32
                      N·H/t of attention's row sums
      selective       N·D/t, outputs of all products, which count whole where they are partial sums: N·((H + 2G)·C + H·C
                      + M)/t + 2·N·D, and the row sums
      full            N·D/t
      over contexts   keys and values of whole sequences and the mask, in place of the fused projection and the keys
    logits            N·V/t twice, since their gradient stands beside them; and 1,024 rows of them in fp32 twice
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property

from trainer.config import ModelConfig
from trainer.layout import Layout
from trainer.plan.shapes import Division, Held, block_parameters, root_parameters

_FP32 = 4
_LOSS_ROWS = 1024


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one process, by part, at one moment."""

    parameters: int = 0
    """fp32 shards, from step to step."""
    gradients: int = 0
    """fp32 shards, or whole ones where a step's passes add up whole."""
    optimizer: int = 0
    """AdamW's two moments, fp32 shards."""
    gathered: int = 0
    """Parameters as they are computed with."""
    reducing: int = 0
    """Gradients on their way to their shards."""
    activations: int = 0
    """What the forward pass keeps for the backward pass."""
    logits: int = 0
    """Logits, their gradient, and what the loss turns into fp32."""
    reserve: int = 0
    """Driver, libraries and NCCL: an assumption of the hardware's."""

    @property
    def total(self) -> int:
        """All parts together."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Bytes by part's name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, kw_only=True)
class Pass:
    """One forward and backward pass of one process."""

    model: ModelConfig
    tied: bool
    layout: Layout
    division: Division
    sequences: int
    """Of one pass."""
    context: int
    """Tokens of a whole sequence."""
    several: bool
    """Whether a step has more than one."""
    width: int
    """Bytes of a number that is computed with: 2 for bf16."""

    @property
    def tokens(self) -> int:
        """Tokens that this process has of its sequences."""
        return self.sequences * self.context // self.layout.context

    @property
    def recomputes(self) -> bool:
        """Whether the backward pass computes activations again."""
        return self.layout.recompute != "none"

    @property
    def adds_up_whole(self) -> bool:
        """Whether whole gradients are held from one pass to the next."""
        return self.layout.accumulate == "whole" and self.several

    @cached_property
    def block(self) -> Held:
        """Elements of one block."""
        return Held.of(block_parameters(self.model), self.division)

    @cached_property
    def root(self) -> Held:
        """Elements of embedding, head and last norm."""
        return Held.of(root_parameters(self.model, tied=self.tied), self.division)


def kept_of_a_block(run: Pass) -> int:
    """Bytes that one block keeps from its forward to its backward pass."""
    model, layout, N = run.model, run.layout, run.tokens
    t = layout.tensor
    width = run.width
    keys = model.kv_heads * model.head_width
    queries = model.heads * model.head_width
    stream = N * model.hidden // t * width
    if layout.recompute == "full":
        return stream
    sums = N * model.heads // t * _FP32
    fused = queries + 2 * keys
    if layout.recompute == "selective":
        products = (fused + queries + model.mlp) // t + 2 * model.hidden
        return stream + N * products * width + sums
    within = (fused + 2 * queries + keys + 2 * model.mlp) // t
    kept = stream + N * (model.hidden + within) * width + sums
    if layout.context > 1:
        whole = 2 * run.sequences * run.context * keys // t
        kept += (whole - N * (fused + keys) // t + N * run.context) * width
    return kept


def peak_memory(run: Pass, *, reserve: int = 0) -> Memory:
    """The moment of a step at which most memory is in use, plus what the hardware keeps in `reserve`."""
    return replace(max(_moments(run), key=lambda memory: memory.total), reserve=reserve)


def held_between_steps(run: Pass) -> Memory:
    """Parameters, gradients and moments as shards."""
    shards = (run.model.layers * run.block.shard + run.root.shard) * _FP32
    return Memory(parameters=shards, gradients=shards, optimizer=2 * shards)


def _moments(run: Pass) -> list[Memory]:
    """The moments that can be the worst: in the loss, in the head, in the first blocks to go backward, at the end."""
    model, N, width = run.model, run.tokens, run.width
    L, t = model.layers, run.layout.tensor
    block, root = run.block.gathered * width, run.root.gathered * width
    reducing = run.block.gathered * _FP32
    head = -(-model.vocab // t) * model.hidden * width
    logits, rows = N * -(-model.vocab // t), min(N, _LOSS_ROWS) * -(-model.vocab // t)
    stream = N * model.hidden * width
    kept = kept_of_a_block(run)
    again = kept_of_a_block(replace(run, layout=replace(run.layout, recompute="none"))) if run.recomputes else 0
    beside = 2 * stream + 2 * N * model.mlp // t * width
    # The embedding's gradient is made whole, then divided (torch 2.13).
    embedding = model.vocab * model.hidden * width if t > 1 else 0
    base = replace(held_between_steps(run), gathered=root + (block if run.layout.reshard else L * block))
    if run.adds_up_whole:
        # An untied embedding's gradient stays whole until it is reduced (torch 2.13); a tied one's is the head's, too.
        undivided = 0 if run.tied or t == 1 else (model.vocab - -(-model.vocab // t)) * model.hidden
        base = replace(base, gradients=(L * run.block.gathered + run.root.gathered + undivided) * _FP32)
    ahead = replace(base, gathered=base.gathered + (block if run.layout.reshard else 0))
    at_end = replace(base, reducing=embedding + (3 if run.tied else 1) * head)
    if not run.adds_up_whole:
        at_end = replace(base, gathered=root, reducing=embedding + 3 * head + reducing)
    if not run.several:  # gradients begin with the backward pass, which frees more than it makes
        base, ahead = replace(base, gradients=0), replace(ahead, gradients=0)
    return [
        replace(base, activations=L * kept + stream + stream // t, logits=2 * (logits * width + rows * _FP32)),
        replace(base, activations=L * kept + 2 * stream + stream // t, logits=logits * width, reducing=head),
        replace(ahead, activations=(L - 1) * kept + again + beside, reducing=head + reducing),
        replace(ahead, activations=max(L - 2, 0) * kept + beside, reducing=head + reducing + block),
        at_end,
    ]
