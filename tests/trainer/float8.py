"""A stand-in for torchao: linear maps become new modules that take over the weights, and multiply as before."""

import sys
from types import ModuleType
from typing import Any, Self

import torch
from torch import nn


class Float8Linear(nn.Linear):
    @classmethod
    def from_float(cls, linear: nn.Linear) -> Self:
        with torch.device("meta"):
            made = cls(linear.in_features, linear.out_features, bias=False)
        made.weight = linear.weight
        return made


def convert_to_float8_training(module: nn.Module) -> nn.Module:
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, Float8Linear.from_float(child))
        else:
            convert_to_float8_training(child)
    return module


def install() -> None:
    """Have this process import it in torchao's place."""
    stand_in: Any = ModuleType("torchao.float8")
    stand_in.convert_to_float8_training = convert_to_float8_training
    sys.modules["torchao"], sys.modules["torchao.float8"] = ModuleType("torchao"), stand_in
