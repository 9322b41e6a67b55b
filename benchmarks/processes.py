"""CPU time and memory of a whole job: the process that is started and all that descend from it.

Processes are sampled every `SAMPLE_S` until each ends, so that what one does in its last moments is missed.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import psutil

SAMPLE_S = 0.1
DRIVER = "driver"


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One job: user and system time by role, and by role the resident memory of the largest process.

    alone_s: the driver's CPU time before its first child appeared (imports, tables made once), part of `cpu_s`.
    """

    wall_s: float
    cpu_s: dict[str, float]
    peak_rss_bytes: dict[str, int]
    alone_s: float = 0.0

    @property
    def total_s(self) -> float:
        return sum(self.cpu_s.values())

    @property
    def working_s(self) -> float:
        """All CPU time but `alone_s`."""
        return self.total_s - self.alone_s


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of one process; `role` is that of its latest command line."""

    role: str
    cpu_s: float = 0.0
    peak_rss_bytes: int = 0


def watch(
    command: Sequence[str],
    roles: Sequence[str],
    role_of: Callable[[str], str],
    environment: Mapping[str, str] | None = None,
) -> Usage:
    """Run `command` to its end; `role_of` names the role of a descendant, one of `roles`, by its command line.

    Raises SystemExit with the end of its messages where it fails.
    """
    started_s = time.monotonic()
    with tempfile.TemporaryFile("w+") as messages:
        job = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=messages, env=environment)
        seen, alone_s = _follow(job, roles, role_of)
        if job.returncode:
            messages.seek(0)
            end = messages.read()[-2000:]
            raise SystemExit(f"{' '.join(command[:4])} … failed ({job.returncode}): {end}")
    by_role = {role: [one for one in seen.values() if one.role == role] for role in (DRIVER, *roles)}
    return Usage(
        wall_s=time.monotonic() - started_s,
        cpu_s={role: sum(one.cpu_s for one in all_) for role, all_ in by_role.items()},
        peak_rss_bytes={role: max((one.peak_rss_bytes for one in all_), default=0) for role, all_ in by_role.items()},
        alone_s=alone_s,
    )


def _follow(
    job: subprocess.Popen[bytes], roles: Sequence[str], role_of: Callable[[str], str]
) -> tuple[dict[int, Seen], float]:
    """Sample until the job ends; return all processes, and the driver's CPU time while it was the only one."""
    seen, alone_s = {job.pid: Seen(role=DRIVER)}, 0.0
    try:
        while job.poll() is None:
            for process in _family(job.pid):
                before = seen.get(process.pid, Seen(role=roles[-1]))
                seen[process.pid] = _sample(process, before, job.pid, role_of)
            if len(seen) == 1:
                alone_s = seen[job.pid].cpu_s
            time.sleep(SAMPLE_S)
    finally:
        job.terminate()  # harmless where it has ended
    return seen, alone_s


def _family(root: int) -> list[psutil.Process]:
    try:
        driver = psutil.Process(root)
        return [driver, *driver.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _sample(process: psutil.Process, before: Seen, driver: int, role_of: Callable[[str], str]) -> Seen:
    try:
        line, times, memory = " ".join(process.cmdline()), process.cpu_times(), process.memory_info()
    except psutil.Error:
        return before
    named = line and process.pid != driver  # a dead process has no command line
    return replace(
        before,
        role=role_of(line) if named else before.role,
        cpu_s=max(before.cpu_s, times.user + times.system),
        peak_rss_bytes=max(before.peak_rss_bytes, memory.rss),
    )
