"""Loading a run's steps: by the training loop ahead of time, and by anybody else's loop through torch's DataLoader.

    dataset = StepDataset(stream, plan, rank=rank, world=world, position=position)
    for part in DataLoader(dataset, batch_size=None, num_workers=4, pin_memory=True):
        train(part["inputs"], part["targets"])      # this rank's part of a step: int64 [B, T] each; B changes in a ramp
        position = part["position"]                 # the whole state: go on with a dataset of this position

The position is that of the whole training, so another number of ranks or of workers may go on with it. Both loaders
give what `trainer.data.step_batches` gives, in its order.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Final, Self

import torch
from torch.utils.data import IterableDataset, get_worker_info

from mixtures.assemble import Window
from mixtures.stream import Stream
from trainer.data import MicroBatch, Step, StepPlan, cut, micro_batch, positions_of
from trainer.layout import Process

AHEAD: Final = 2
"""Steps that wait for the training loop at most: one hides how long reading takes, one more how that varies."""


class StepDataset(IterableDataset[dict[str, Any]]):
    """One rank's part of each step, in order, from a position on.

    An item has `step` (its number), `position` (after the step), `inputs` and `targets`, and `documents` and
    `positions` where the mixture asks for them (see `trainer.data.MicroBatch`). Worker w of n reads every n-th step
    from the w-th on; DataLoader takes from its workers in turns, so the order stays. It may be copied to workers by
    any start method, and is Stateful as torchdata understands it.
    """

    def __init__(self, stream: Stream, plan: StepPlan, *, rank: int = 0, world: int = 1, position: int = 0) -> None:
        super().__init__()
        self._stream = stream
        self._plan = plan
        self._process = Process(rank=rank, world=world)
        self._position = position

    def state_dict(self) -> dict[str, int]:
        """The position from which iterating goes on; that of its round of steps where a worker is asked."""
        return {"position": self._position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from such a position. Raises ValueError outside the training."""
        if not 0 <= state["position"] <= len(self._stream):
            raise ValueError(f"position {state['position']} is outside the mixture's {len(self._stream)} sequences")
        self._position = state["position"]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info else (0, 1)
        with _Reader(self._stream) as reader:
            steps = self._plan.following(self._position)
            while round_ := list(islice(steps, workers)):
                # Before the item is handed out: its state is asked for while this waits at `yield`.
                self._position = round_[-1].end
                if worker < len(round_):
                    yield self._item(round_[worker], reader)

    def _item(self, step: Step, reader: _Reader) -> dict[str, Any]:
        windows = reader.windows(positions_of(step, self._process))
        batch = micro_batch(windows, step.context, self._stream.schedule.mixture)
        return {"step": step.number, "position": step.end, **batch.tensors()}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """This process's part of a step."""

    step: Step
    batches: list[MicroBatch]
    """On the process's device."""
    waited_s: float
    """How long it was waited for."""


class StepsAhead:
    """A process's parts of the steps from `position` on, read by a thread while the ones before are trained.

    At most `AHEAD` steps wait, in pinned memory where there is a GPU. To be used in a `with` block, at whose end the
    thread has ended.
    """

    def __init__(self, stream: Stream, plan: StepPlan, process: Process, *, width: int, position: int) -> None:
        self._stream = stream
        self._process = process
        self._width = width
        self._steps = plan.following(position)
        self._room = threading.Semaphore(AHEAD)
        self._ready: SimpleQueue[tuple[Step, list[MicroBatch]] | BaseException] = SimpleQueue()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._read_ahead, name="steps ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closing.set()
        self._room.release()
        self._thread.join()

    def take(self) -> Loaded:
        """The next step. Raises what reading it raised, and StopIteration after the last one."""
        started = time.perf_counter()
        ready = self._ready.get()
        waited_s = time.perf_counter() - started
        if isinstance(ready, BaseException):
            self._ready.put(ready)  # there is no more after it: whoever asks again, hears it again
            raise ready
        self._room.release()
        step, batches = ready
        return Loaded(step=step, batches=[batch.to(self._process.device) for batch in batches], waited_s=waited_s)

    def _read_ahead(self) -> None:
        try:
            if self._process.device_type == "cuda":
                # Pinning in a thread that has not chosen its GPU would open the first one for every process.
                torch.cuda.set_device(self._process.device)
            with _Reader(self._stream, self._closing) as reader:
                for step in self._steps:
                    self._room.acquire()
                    if self._closing.is_set():
                        return
                    self._ready.put((step, self._read(step, reader)))
            self._ready.put(StopIteration(f"there is no step after position {len(self._stream)}"))
        except BaseException as error:
            self._ready.put(error)

    def _read(self, step: Step, reader: _Reader) -> list[MicroBatch]:
        windows = reader.windows(positions_of(step, self._process))
        batches = list(cut(windows, step, self._stream.schedule.mixture, self._width, self._process))
        return [batch.pinned() for batch in batches] if self._process.device_type == "cuda" else batches


class _Reader:
    """Reads sequences in as many threads as the token root has use for."""

    def __init__(self, stream: Stream, closing: threading.Event | None = None) -> None:
        self._stream = stream
        self._closing = closing or threading.Event()
        self._pool = ThreadPoolExecutor(stream.at_once, thread_name_prefix="sequences")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def windows(self, positions: Sequence[int]) -> list[Window]:
        """The sequences at those positions, in order."""
        # A few long tasks: one a sequence would cost more than the sequence, where that is in memory already.
        size = max(1, -(-len(positions) // self._stream.at_once))
        parts = [positions[first : first + size] for first in range(0, len(positions), size)]
        return [window for part in self._pool.map(self._part, parts) for window in part]

    def _part(self, positions: Sequence[int]) -> list[Window]:
        return [self._stream.sequence(position) for position in positions if not self._closing.is_set()]
