"""Noticing that processes wait for one another for ever, and saying for which.

Every process tells the store by which they found each other where it is, from a thread of its own. A process that has
not got on for too long looks up the others: who is silent, or furthest behind, is what all wait for. It says so and
ends, for nothing in Python can be raised in a thread that waits inside a collective.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import threading
import time
from dataclasses import dataclass, replace
from types import TracebackType
from typing import Final, Self

import torch.distributed as dist
from torch.distributed import Store  # type: ignore[attr-defined]

_INTERVAL_S: Final = 5.0
HUNG: Final = 3
"""Exit code: a guardrail stopped the run."""


@dataclass(frozen=True, kw_only=True)
class Beat:
    """What a process last said."""

    rank: int
    step: int
    doing: str
    count: int
    """How often it has spoken; one that is stopped or dead does not count on."""


class Heartbeat:
    """Says where this process is; `at` is called by the training loop. Does nothing where there is one process."""

    def __init__(self, *, rank: int, world: int, hang_s: float) -> None:
        self._rank, self._world, self._hang_s = rank, world, hang_s
        self._interval_s = min(_INTERVAL_S, hang_s / 4)
        self._step, self._doing, self._since = 0, "starting", time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="heartbeat", daemon=True)

    def __enter__(self) -> Self:
        if self._world > 1:
            self._store: Store = dist.distributed_c10d._get_default_store().clone()  # type: ignore[attr-defined]
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def at(self, step: int, doing: str) -> None:
        """This process has got as far as that."""
        self._step, self._doing, self._since = step, doing, time.monotonic()

    def _watch(self) -> None:
        for count in itertools.count():
            said = Beat(rank=self._rank, step=self._step, doing=self._doing, count=count)
            self._store.set(_key(self._rank), json.dumps(vars(said)))
            if self._ended.wait(self._interval_s):
                return
            waited_s = time.monotonic() - self._since
            if waited_s > self._hang_s:
                self._give_up(waited_s)

    def _give_up(self, waited_s: float) -> None:
        before = self._beats()
        time.sleep(2 * self._interval_s)
        after = self._beats()
        after[self._rank] = replace(after[self._rank], count=-1)  # this thread speaks for it, and is busy here
        message = blamed(before, after, self._world)
        print(
            f"process {self._rank} has waited for {waited_s:.0f} s at step {self._step} ({self._doing}): {message}. "
            "Ended, so that the job can be started again; it goes on from its last checkpoint",
            file=sys.stderr,
            flush=True,
        )
        os._exit(HUNG)

    def _beats(self) -> dict[int, Beat]:
        found = {}
        for rank in range(self._world):
            if self._store.check([_key(rank)]):
                found[rank] = Beat(**json.loads(self._store.get(_key(rank))))
        return found


def blamed(before: dict[int, Beat], after: dict[int, Beat], world: int) -> str:
    """Whom all wait for, given what was said twice: who is silent, else who is furthest behind."""
    missing = [f"process {rank} has never been heard of" for rank in range(world) if rank not in after]
    silent = [beat for rank, beat in after.items() if rank in before and before[rank].count == beat.count]
    if missing or silent:
        said = [f"process {b.rank} is silent since step {b.step} ({b.doing})" for b in silent]
        return "; ".join([*missing, *said])
    least = min(beat.step for beat in after.values())
    behind = [f"{beat.rank} ({beat.doing})" for beat in after.values() if beat.step == least]
    if len(behind) == world:
        return f"all are at step {least}: {', '.join(behind)}"
    return f"furthest behind, at step {least}: process {', '.join(behind)}"


def _key(rank: int) -> str:
    return f"heartbeat/{rank}"
