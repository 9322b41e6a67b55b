"""Writing checkpoints while training goes on: what is in memory is copied at once, and written by a thread.

A checkpoint begun is finished after the step that follows it, before another is begun, and before training stops. Where
writing takes longer than a step, training waits: there is never more than one copy, and every process finishes the same
checkpoint at the same step without having to ask.
"""

from __future__ import annotations

import json
import shutil
from collections import ChainMap
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch.distributed as dist
from torch.distributed import ProcessGroup
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future as Written

from mixtures.catalogue import TOKENIZER
from mixtures.files import sync
from trainer import checksums
from trainer.build import Trained
from trainer.checkpoint import STATE, State, cause_of, complete, read_state, rng_states
from trainer.errors import CheckpointError, WriteError
from trainer.layout import Process

_FULL_BYTES: Final = 2**20
"""With less than this left, a failed write is put down to a full disk: torch's own message does not tell."""


class CheckedWriter(FileSystemWriter):
    """Takes the checksums of the files that this process has written, in the thread that writes them."""

    def __init__(self, folder: Path, **options: Any) -> None:
        super().__init__(folder, sync_files=True, **options)
        self._folder = folder
        self.sums: dict[str, str] = {}

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Written[list[WriteResult]]:
        """As its base does, and the checksums."""
        written = super().write_data(plan, planner)
        self.sums = checksums.checksums(self._folder, {each.storage_data.relative_path for each in written.value()})
        return written


@dataclass(frozen=True, kw_only=True)
class _Begun:
    """A checkpoint that is being written."""

    path: Path
    writer: CheckedWriter
    writing: Future[Any]


class Saver:
    """Writes the checkpoints of one run; every method that writes is a collective. Raises WriteError."""

    def __init__(
        self, folder: Path, tokenizer: Path, *, keep_last: int, process: Process, group: ProcessGroup | None
    ) -> None:
        self._folder, self._tokenizer, self._keep_last = folder, tokenizer, keep_last
        self._process = process
        self._group = group
        """Processes that write together, apart from the training's own exchanges."""
        self._begun: _Begun | None = None

    def begin(self, trained: Trained, state: State) -> None:
        """Copy what is to be saved, and let it be written below the folder."""
        self.finish()
        path = self._folder / f"step-{state.step:08d}"
        draft = _draft_of(path)
        with _named(path, draft):
            if self._process.leads:
                shutil.rmtree(draft, ignore_errors=True)
                draft.mkdir()
                shutil.copyfile(self._tokenizer, draft / TOKENIZER)
                (draft / STATE).write_text(json.dumps(asdict(state), indent=1), encoding="utf-8")
            dist.barrier()
            tensors = trained.tensors() | rng_states(self._process)
            writer = CheckedWriter(draft)
            writing = async_save(tensors, storage_writer=writer, process_group=self._group)
        self._begun = _Begun(path=path, writer=writer, writing=writing)  # type: ignore[arg-type]

    def finish(self) -> None:
        """Wait for the checkpoint that was begun, give it its name, and drop those that the policy does not keep."""
        if self._begun is None:
            return
        begun, self._begun = self._begun, None
        draft = _draft_of(begun.path)
        with _named(begun.path, draft):
            begun.writing.result()
            parts: list[dict[str, str]] = [{}] * self._process.world
            dist.all_gather_object(parts, begun.writer.sums, group=self._group)
            if self._process.leads:
                sums = ChainMap(*parts, checksums.checksums(draft, (".metadata", STATE, TOKENIZER)))
                checksums.write(draft, sums)
                _publish(draft, begun.path)
                self._prune()
        dist.barrier()

    def _prune(self) -> None:
        for path in complete(self._folder)[: -self._keep_last]:
            with suppress(CheckpointError):  # one that cannot be read may be a stage's last: it is left to the user
                if not read_state(path).stage_complete:
                    shutil.rmtree(path)


def remove_drafts(folder: Path) -> None:
    """Remove what runs that were killed while writing a checkpoint have left below `folder`."""
    for draft in folder.glob(".step-*.draft"):
        shutil.rmtree(draft)


def _draft_of(path: Path) -> Path:
    return path.with_name(f".{path.name}.draft")


@contextmanager
def _named(path: Path, draft: Path) -> Iterator[None]:
    """Name the checkpoint in an error of writing it, and remove its draft."""
    try:
        yield
    except (CheckpointException, OSError) as error:
        shutil.rmtree(draft, ignore_errors=True)
        full = shutil.disk_usage(path.parent).free < _FULL_BYTES
        raise WriteError.of(path, "the disk is full" if full else cause_of(error)) from error


def _publish(draft: Path, path: Path) -> None:
    """Give a finished draft its name; one of the same step, left by a run cut off right here, is replaced."""
    for written in (*draft.iterdir(), draft):
        sync(written)
    shutil.rmtree(path, ignore_errors=True)
    draft.rename(path)
    sync(path.parent)
