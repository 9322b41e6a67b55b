"""The child's side of `pipeline.guard`: `python -m pipeline.guard_child`, items in on stdin, results out on stdout."""

from __future__ import annotations

import ctypes
import importlib
import os
import resource
import signal
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import psutil

from pipeline.guard import read_message, write_message

PR_SET_PDEATHSIG = 1


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Open the callable that the first message names, then answer items until the other side closes."""
    parent, factory, settings, memory_bytes = read_message(source)
    _die_with(parent)
    try:
        work = _open(factory, settings)
    except Exception as error:
        write_message(sink, (False, error))
        return
    _bound_memory(memory_bytes)
    write_message(sink, (True, None))
    while True:
        try:
            item = read_message(source)
        except EOFError:
            return
        write_message(sink, _answer(work, item))


def _open(factory: str, settings: Any) -> Callable[[Any], Any]:
    module, name = factory.split(":")
    opened: Callable[[Any], Any] = getattr(importlib.import_module(module), name)(settings)
    return opened


def _answer(work: Callable[[Any], Any], item: Any) -> tuple[bool, Any]:
    """The result, or the error in two strings: not every exception can be pickled and opened again."""
    try:
        return True, work(item)
    except Exception as error:
        return False, (f"error:{type(error).__name__}", str(error))


def _die_with(parent: int) -> None:
    """End when the parent is killed, in the middle of an item too: nobody would be left to bound its CPU time."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit()


def _bound_memory(extra_bytes: int) -> None:
    limit = psutil.Process().memory_info().vms + extra_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def main() -> None:
    """Keep the pipe to ourselves: what a library prints goes to stderr."""
    sink = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    serve(sys.stdin.buffer, sink)


if __name__ == "__main__":
    main()
