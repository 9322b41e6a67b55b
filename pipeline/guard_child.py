"""The child's side of `pipeline.guard`: `python -m pipeline.guard_child`, items in on stdin, results out on stdout."""

from __future__ import annotations

import importlib
import os
import resource
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import psutil

from pipeline.guard import read_message, write_message


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Open the callable that the first message names, then answer items until the other side closes."""
    factory, settings, memory_bytes = read_message(source)
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
    try:
        return True, work(item)
    except Exception as error:
        return False, error


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
