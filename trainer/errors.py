"""What can go wrong in training, named by the reaction it calls for.

TrainerError            a ValueError; its message names the thing and the mend
├── MismatchError       recipe, tokens, run or checkpoint do not belong together: usage, exit 2
├── CheckpointError     a checkpoint is missing, incomplete or unreadable: usage, exit 2
└── DivergedError       the loss or its gradient is no longer a number: a guardrail, exit 3
"""

from __future__ import annotations


class TrainerError(ValueError):
    """Base of the trainer's user errors; `exit_code` is what the command returns."""

    exit_code = 1


class MismatchError(TrainerError):
    """Two things that must belong together do not."""

    exit_code = 2


class CheckpointError(TrainerError):
    """A checkpoint is missing, incomplete or unreadable."""

    exit_code = 2


class DivergedError(TrainerError):
    """Loss or gradient norm is NaN or infinite; the last checkpoint is kept."""

    exit_code = 3
