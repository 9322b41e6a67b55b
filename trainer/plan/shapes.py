"""The parameters of a model, and which part of each one process holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from trainer.config import ModelConfig
from trainer.layout import Sizes


@dataclass(frozen=True, kw_only=True)
class Division:
    """How parameters are divided: `tensor` first, by rows or columns, then what is left by rows over `shards`."""

    tensor: int
    shards: int

    @classmethod
    def of(cls, sizes: Sizes) -> Division:
        """That of a layout: contexts hold shards, too."""
        return cls(tensor=sizes.tensor, shards=sizes.shard * sizes.context)


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A matrix, or a vector as a column."""

    name: str
    rows: int
    columns: int = 1
    divided: Literal["rows", "columns"] | None = None
    """What tensor parallelism divides."""

    @property
    def elements(self) -> int:
        """Of the whole."""
        return self.rows * self.columns

    def local(self, division: Division) -> tuple[int, int]:
        """Rows and columns within one tensor rank."""
        rows = -(-self.rows // division.tensor) if self.divided == "rows" else self.rows
        return rows, self.columns // division.tensor if self.divided == "columns" else self.columns

    def shard(self, division: Division) -> int:
        """Elements that a process holds between steps; FSDP fills up where rows do not divide evenly."""
        rows, columns = self.local(division)
        return -(-rows // division.shards) * columns

    def gathered(self, division: Division) -> int:
        """Elements that a process holds while it uses the parameter."""
        return self.shard(division) * division.shards


def block_parameters(model: ModelConfig) -> list[Parameter]:
    """The parameters of one block."""
    fused = (model.heads + 2 * model.kv_heads) * model.head_width
    D, M = model.hidden, model.mlp
    return [
        Parameter(name="input_layernorm.weight", rows=D),
        Parameter(name="input_layernorm.bias", rows=D),
        Parameter(name="self_attention.query_key_value.weight", rows=fused, columns=D, divided="rows"),
        Parameter(name="self_attention.dense.weight", rows=D, columns=D, divided="columns"),
        Parameter(name="mlp.dense_h_to_4h.weight", rows=M, columns=D, divided="rows"),
        Parameter(name="mlp.dense_4h_to_h.weight", rows=D, columns=M, divided="columns"),
    ]


def root_parameters(model: ModelConfig, *, tied: bool) -> list[Parameter]:
    """Those outside of blocks: one group to FSDP."""
    names = ["word_embeddings.weight"] + ([] if tied else ["lm_head.weight"])
    matrices = [Parameter(name=name, rows=model.vocab, columns=model.hidden, divided="rows") for name in names]
    return [*matrices, *(Parameter(name=f"ln_f.{kind}", rows=model.hidden) for kind in ("weight", "bias"))]


def every_parameter(model: ModelConfig, *, tied: bool) -> Iterator[Parameter]:
    """All, in no order."""
    for _ in range(model.layers):
        yield from block_parameters(model)
    yield from root_parameters(model, tied=tied)


@dataclass(frozen=True, kw_only=True)
class Held:
    """Elements of a group of parameters: in all, between steps, and while they are used."""

    whole: int
    shard: int
    gathered: int

    @classmethod
    def of(cls, parameters: Sequence[Parameter], division: Division) -> Held:
        """The sums over `parameters`."""
        return cls(
            whole=sum(p.elements for p in parameters),
            shard=sum(p.shard(division) for p in parameters),
            gathered=sum(p.gathered(division) for p in parameters),
        )
