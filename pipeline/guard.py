"""Guarded processes: run a callable on items in a child that may die, and lose one item at most.

The child takes pickled items over a pipe, one at a time. It is killed when one item uses more CPU time than the limit
(CPU, never wall time: a busy machine must not change a result), and its address space is bounded. An item that killed
its child is tried once more in a fresh process of its own; if that dies too, the item is given up.
"""

from __future__ import annotations

import os
import pickle
import select
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import psutil

HEADER_BYTES = 8
POLL_S = 0.25


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """Bounds far above the slowest honest item."""

    cpu_s: float = 60.0
    memory_bytes: int = 1 << 30  # on top of what the child holds when it is ready

    def __post_init__(self) -> None:
        for name in ("cpu_s", "memory_bytes"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; give more than 0")


@dataclass(frozen=True)
class Poisoned:
    """An item that was given up: `reason` is `cpu_limit`, `crashed` or `error:<Exception>`."""

    reason: str
    detail: str


class _ChildDiedError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


class Guard:
    """A child process, replaced when it dies.

    factory: "module:function"; the child calls it with `settings` and applies what it returns to each item.
    """

    def __init__(self, factory: str, settings: Any, limits: GuardLimits) -> None:
        self._opening = (factory, settings, limits.memory_bytes)
        self._limits = limits
        self._child: _Child | None = None
        self._spent_s = 0.0

    def map(self, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of each item in order, `Poisoned` where there is none."""
        for item in items:
            yield self._attempt(item)

    @property
    def cpu_s(self) -> float:
        """CPU time of all children so far, in seconds."""
        return self._spent_s + (self._child.cpu_s() if self._child else 0.0)

    def close(self) -> None:
        """End the child."""
        if self._child:
            self._spent_s += self._child.cpu_s()
            self._child.end()
            self._child = None

    def _attempt(self, item: Any) -> Any:
        try:
            return self._apply(item)
        except _ChildDiedError:
            pass
        try:
            result = self._apply(item)
        except _ChildDiedError as second:
            return Poisoned(second.reason, second.detail)
        self.close()  # it ran alone; the next items get a process that has not seen it
        return result

    def _apply(self, item: Any) -> Any:
        if self._child is None:
            self._child = _Child(self._opening)
        try:
            return self._child.apply(item, self._limits.cpu_s)
        except _ChildDiedError:
            self.close()
            raise


class _Child:
    def __init__(self, opening: tuple[str, Any, int]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "pipeline.guard_child"],  # -P: never code from the folder we happen to run in
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._watched = psutil.Process(self._process.pid)
        self._last_cpu_s = 0.0
        self._send((os.getpid(), *opening))
        ready, problem = self._receive(cpu_limit_s=None)
        if not ready:
            raise problem

    def apply(self, item: Any, cpu_limit_s: float) -> Any:
        self._send(item)
        worked, result = self._receive(cpu_limit_s=self.cpu_s() + cpu_limit_s)
        return result if worked else Poisoned(*result)

    def cpu_s(self) -> float:
        try:
            times = self._watched.cpu_times()
        except psutil.Error:
            return self._last_cpu_s
        self._last_cpu_s = times.user + times.system
        return self._last_cpu_s

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe:
                pipe.close()

    def _send(self, message: Any) -> None:
        assert self._process.stdin
        try:
            write_message(self._process.stdin, message)
        except BrokenPipeError:
            raise _ChildDiedError("crashed", self._epitaph()) from None

    def _receive(self, cpu_limit_s: float | None) -> Any:
        stdout = self._process.stdout
        assert stdout
        while cpu_limit_s is not None and not select.select([stdout], [], [], POLL_S)[0]:
            if self.cpu_s() > cpu_limit_s:
                raise _ChildDiedError("cpu_limit", "used more CPU time than one page may")
        try:
            return read_message(stdout)
        except EOFError:
            raise _ChildDiedError("crashed", self._epitaph()) from None

    def _epitaph(self) -> str:
        code = self._process.wait()
        return f"the process ended by signal {-code}" if code < 0 else f"the process ended with exit code {code}"


def write_message(stream: Any, message: Any) -> None:
    """Write one length-prefixed pickle."""
    body = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    stream.write(len(body).to_bytes(HEADER_BYTES, "little"))
    stream.write(body)
    stream.flush()


def read_message(stream: Any) -> Any:
    """Read one message; EOFError where the other side is gone."""
    header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES:
        raise EOFError
    length = int.from_bytes(header, "little")
    body = stream.read(length)
    if len(body) < length:
        raise EOFError
    return pickle.loads(body)
