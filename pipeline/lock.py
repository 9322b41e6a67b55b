"""One run per output folder: a lock file that names its process, taken over at once when that process is dead."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil

from pipeline.errors import UsageError

NAME = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; UsageError where a living process, or one on another host, holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    _take(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _take(path: Path) -> None:
    for _ in range(3):
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            _remove_if_dead(path)
            continue
        with os.fdopen(descriptor, "w") as stream:
            json.dump(_me(), stream)
        return
    raise UsageError(f"{path}: another run keeps taking this lock; end it, or use another --output")


def _me() -> dict[str, object]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def _remove_if_dead(path: Path) -> None:
    try:
        holder = json.loads(path.read_text())
    except FileNotFoundError:
        return
    except ValueError:  # cut short: its writer died between creating and filling it
        path.unlink(missing_ok=True)
        return
    if holder["host"] != socket.gethostname():
        raise UsageError(
            f"{path}: held by process {holder['pid']} on host {holder['host']}; "
            "if that run is dead, delete this file and run again"
        )
    if _alive(holder["pid"], holder["started"]):
        raise UsageError(f"{path}: process {holder['pid']} is working on this output; wait for it, or end it")
    path.unlink(missing_ok=True)


def _alive(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 1.0
    except psutil.Error:
        return False
