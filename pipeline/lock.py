"""One run per output folder: a lock file that names its process, taken over at once when that process is dead."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from pipeline.errors import UsageError

NAME = ".lock"
FILLED_WITHIN_S = 0.5
"""A lock is empty for the moment between its creation and its first line."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock; UsageError where a living process, or one on another host, holds it.

    Makes the folder where there is none; UsageError where nothing can be written there.
    """
    path = folder / NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _take(path)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        raise UsageError(f"{folder}: cannot be written to ({error.strerror}); choose another folder") from error
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
        try:
            with os.fdopen(descriptor, "w") as stream:
                json.dump(_me(), stream)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return
    raise UsageError(f"{path}: another run keeps taking this lock; end it, or use another --output")


def _me() -> dict[str, object]:
    process = psutil.Process()
    return {"host": socket.gethostname(), "pid": process.pid, "started": process.create_time()}


def _remove_if_dead(path: Path) -> None:
    """Delete a dead holder's lock; of two runs that judge it at once, one does, and neither deletes a new one."""
    with contextlib.suppress(FileNotFoundError), path.open("r+b") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        if (holder := _holder(path)) is not None:
            _refuse_if_alive(path, holder)
        if os.path.samestat(os.fstat(stream.fileno()), path.stat()):
            path.unlink()


def _holder(path: Path) -> dict[str, Any] | None:
    """Who holds the lock; None where its writer died between creating and filling it."""
    for wait_s in (FILLED_WITHIN_S, 0.0):
        try:
            holder: dict[str, Any] = json.loads(path.read_text())
            return holder
        except ValueError:
            time.sleep(wait_s)
    return None


def _refuse_if_alive(path: Path, holder: dict[str, Any]) -> None:
    if holder["host"] != socket.gethostname():
        raise UsageError(
            f"{path}: held by process {holder['pid']} on host {holder['host']}; "
            "if that run is dead, delete this file and run again"
        )
    if _alive(holder["pid"], holder["started"]):
        raise UsageError(f"{path}: process {holder['pid']} is working on this output; wait for it, or end it")


def _alive(pid: int, started: float) -> bool:
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and abs(process.create_time() - started) < 1.0
    except psutil.Error:
        return False
