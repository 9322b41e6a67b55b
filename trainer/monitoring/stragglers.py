"""Which process holds the others up.

In a step the processes wait for each other in every collective, and where one is late, all are. So a step begins with
a roll call: a sum of one number, once a process has its data. How long a process waits there says how much later than
itself the last one came. It costs nothing beyond: the pass that follows begins by waiting for the same processes.

Within the passes a slow GPU cannot be told from its neighbours, which wait for it; so every `EVERY` steps each process
multiplies two small matrices by itself, and all three figures are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

import torch
import torch.distributed as dist

from trainer.layout import Process

EVERY: Final = 50
"""Steps from one comparison to the next."""
_PRODUCTS: Final = 8
"""Products whose fastest counts: on a machine with other work, one alone says little."""


class RollCall:
    """What this process waited for, summed up until it is compared with what the others did; alone it does nothing."""

    def __init__(self, process: Process, every: int = EVERY) -> None:
        self._process = process
        self._every = every
        self._waited: Callable[[], float] = lambda: 0.0
        self._steps, self._data_wait_s, self._sync_wait_s = 0, 0.0, 0.0

    def present(self, data_wait_s: float) -> None:
        """Say that this process has its data, for which it waited so long, and wait for the others (a collective)."""
        self._steps += 1
        self._data_wait_s += data_wait_s
        if self._process.world > 1:
            self._waited = _timed(self._process, lambda: dist.all_reduce(torch.zeros(1, device=self._process.device)))

    def sync_wait_s(self) -> float:
        """How long it waited for the others; to be asked once in a step, when the GPU is past it."""
        waited_s = self._waited()
        self._sync_wait_s += waited_s
        return waited_s

    def slowest(self, step: int) -> dict[str, Any] | None:
        """After every so many steps, who was slowest in them (a collective); None otherwise, and alone."""
        if self._process.world == 1 or step % self._every:
            return None
        own = [self._data_wait_s / self._steps, self._sync_wait_s / self._steps, _product_s(self._process)]
        mine = torch.tensor(own, dtype=torch.float64, device=self._process.device)
        everyone = [torch.empty_like(mine) for _ in range(self._process.world)]
        dist.all_gather(everyone, mine)
        self._steps, self._data_wait_s, self._sync_wait_s = 0, 0.0, 0.0
        return compared(torch.stack(everyone).tolist())


def compared(everyone: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Who of all ranks waited most for data, who came last to the roll call, and who multiplies slowest.

    A row for each rank: seconds it waited for data and for the others, in the mean of a step; seconds of a product.
    """
    data, sync, product = ([row[i] for row in everyone] for i in range(3))
    last = sync.index(min(sync))
    return {
        "data_wait": _largest(data),
        # Whoever comes last waits least; the others waited for it.
        "arrived_last": {"rank": last, "s": sync[last], "median_s": median(sync)},
        "product": _largest(product),
    }


def _largest(seconds: Sequence[float]) -> dict[str, Any]:
    rank = seconds.index(max(seconds))
    return {"rank": rank, "s": seconds[rank], "median_s": median(seconds)}


def _product_s(process: Process) -> float:
    """Seconds of a product of two matrices: of 2,048 rows in bf16 on a GPU, of 128 on a CPU."""
    on_gpu = process.device_type == "cuda"
    size, kind = (2048, torch.bfloat16) if on_gpu else (128, torch.float32)
    matrix = torch.ones(size, size, dtype=kind, device=process.device)
    took = [_timed(process, lambda: torch.mm(matrix, matrix)) for _ in range(_PRODUCTS)]
    if on_gpu:
        torch.cuda.synchronize(process.device)
    return min(read() for read in took)


def _timed(process: Process, work: Callable[[], object]) -> Callable[[], float]:
    """Do `work`; returns what tells its seconds: on a GPU by its own clock, once it is past it."""
    if process.device_type != "cuda":
        started = time.perf_counter()
        work()
        seconds = time.perf_counter() - started
        return lambda: seconds
    begun, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begun.record()
    work()
    done.record()
    return lambda: begun.elapsed_time(done) / 1000
