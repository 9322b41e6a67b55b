"""What can go wrong in training, named by the reaction it calls for.

TrainerError            a ValueError; its message names the thing and the mend
├── MismatchError       recipe, tokens, run or checkpoint do not belong together: usage, exit 2
├── CheckpointError     a checkpoint is missing, incomplete or unreadable: usage, exit 2
├── BusyError           another process trains in the same folder: usage, exit 2
├── EvaluationError     a model, a task or its data cannot be evaluated as asked: usage, exit 2
├── MemoryShortError    a GPU has too little memory for the recipe: usage, exit 2
├── WriteError          what was made cannot be written: the work failed, exit 1
└── DivergedError       the loss or its gradient is no longer a number: a guardrail, exit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class TrainerError(ValueError):
    """Base of the trainer's user errors; `exit_code` is what the command returns."""

    exit_code = 1


class MismatchError(TrainerError):
    """Two things that must belong together do not."""

    exit_code = 2


class CheckpointError(TrainerError):
    """A checkpoint is missing, incomplete or unreadable."""

    exit_code = 2


class BusyError(TrainerError):
    """Another process trains in the same folder."""

    exit_code = 2


class EvaluationError(TrainerError):
    """A model, a task or its data cannot be evaluated as asked."""

    exit_code = 2


class MemoryShortError(TrainerError):
    """A GPU has too little memory for the recipe."""

    exit_code = 2


class WriteError(TrainerError):
    """A file or folder cannot be written; what was finished before is intact."""

    @classmethod
    def of(cls, path: Path, cause: object) -> WriteError:
        """The error for `path`, which `cause` keeps from being written."""
        return cls(
            f"{path}: cannot be written ({cause}); free space or mend the folder, then run the same command again: "
            "what was finished is kept"
        )


class DivergedError(TrainerError):
    """Loss or gradient norm is NaN or infinite; the last checkpoint is kept."""

    exit_code = 3


class RewindError(Exception):
    """Training went wrong over some sequences: go back before them and pass them over. Never reaches the user."""

    def __init__(self, *, first: int, end: int, reason: str) -> None:
        super().__init__(reason)
        self.first, self.end, self.reason = first, end, reason


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Name `path` in an error of the system while it is written. Raises WriteError."""
    try:
        yield
    except OSError as error:
        raise WriteError.of(path, error.strerror or error) from error
