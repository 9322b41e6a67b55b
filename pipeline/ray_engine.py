"""The engine on Ray: each unit its own task, a bounded number in flight. The only module that imports Ray.

Facts behind the settings (Ray 2.60): a killed worker is retried `max_retries` times, but a kill by the memory monitor
for ever unless bounded; task events make the control server grow by kilobytes a task; a local `ray.init()` with the
authentication mode unset writes a token into the home directory and breaks the next unauthenticated cluster.
"""

from __future__ import annotations

import importlib
import os
import signal
import socket
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

from pipeline.engine import Outcome
from pipeline.errors import UsageError
from pipeline.interrupt import Stop

U = TypeVar("U")
R = TypeVar("R")

RETRIES = 3
IN_FLIGHT_PER_WORKER = 3
SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_task_oom_retries": str(RETRIES),
    "RAY_task_events_report_interval_ms": "0",
    "TOKENIZERS_PARALLELISM": "false",  # one task, one core
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
PROBE_S = 10.0
LISTEN_EVERY_S = 0.5
"""How long a request to stop may wait for the units in flight."""
OBJECT_STORE_BYTES = 128 << 20  # results are counts and names


class RayEngine:
    """Runs units as Ray tasks, on this machine or on a cluster.

    workers: tasks running at once; by default the cores of this machine, or those of the cluster.
    address: a running cluster's address; None starts Ray on this machine and ends it with `close`.
    stop: the process's request to stop, honoured between Ray's calls and never within one.
    """

    def __init__(self, workers: int | None = None, address: str | None = None, stop: Stop | None = None) -> None:
        self._stop = stop or Stop()
        self._stop.check()
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            with self._stop.held_back():
                self._ray: Any = importlib.import_module("ray")  # here: it reads the settings when it is first imported
                self._start(workers, address)
                self._workers = workers or max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        except KeyboardInterrupt:
            self._ray.shutdown()
            raise

    def _start(self, workers: int | None, address: str | None) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        try:
            self._init(workers, address)
        finally:
            signal.signal(signal.SIGTERM, handler)  # Ray puts one in place that ends the process at once

    def _init(self, workers: int | None, address: str | None) -> None:
        common: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False, "namespace": "falconmix"}
        if address is None:
            self._ray.init(
                address="local",  # never a cluster that happens to run on this host
                num_cpus=workers,  # None: Ray counts the cores that this process may use
                include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES,
                **common,
            )
            return
        _probe(address)
        try:
            self._ray.init(address=address, **common)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"--address {address}: no Ray cluster answers there ({error})") from error

    def run(self, work: Callable[[U], R], units: Iterable[U]) -> Iterator[Outcome[U, R]]:
        """Yield one outcome per unit as it finishes; at most a few tasks per worker are in flight."""
        ray = self._ray
        task = ray.remote(_task).options(
            num_cpus=1,
            max_retries=RETRIES,
            retry_exceptions=[ConnectionError, TimeoutError],
            scheduling_strategy="SPREAD",
        )
        waiting = iter(units)
        running: dict[Any, U] = {}
        with self._stop.held_back():
            shared = ray.put(work)
            window = self._window()
        while True:
            for unit in islice(waiting, window - len(running)):
                with self._stop.held_back():
                    running[task.remote(shared, unit)] = unit
            if not running:
                return
            with self._stop.held_back():
                done, _ = ray.wait(list(running), num_returns=1, timeout=LISTEN_EVERY_S)
                outcomes: list[Outcome[U, R]] = [self._outcome(running.pop(reference), reference) for reference in done]
            yield from outcomes

    def _window(self) -> int:
        """Tasks in flight: a few per worker where Ray holds the rest back, else no more than the workers asked for."""
        held_back = self._workers >= self._ray.cluster_resources().get("CPU", 1)
        return self._workers * IN_FLIGHT_PER_WORKER if held_back else self._workers

    def _outcome(self, unit: U, reference: Any) -> Outcome[U, R]:
        try:
            result, node = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            return Outcome(unit=unit, error=error.cause or error)
        except self._ray.exceptions.RayError as error:
            return Outcome(unit=unit, error=error)
        return Outcome(unit=unit, result=result, node=node)

    def close(self) -> None:
        """Leave the cluster; a Ray that was started here ends."""
        with self._stop.held_back():
            self._ray.shutdown()


def _probe(address: str) -> None:
    """Refuse an address where nothing listens, on which Ray would wait for minutes."""
    host, separator, port = address.removeprefix("ray://").rpartition(":")
    if not separator or not port.isdecimal():
        return  # "auto", or something that Ray itself must judge
    try:
        socket.create_connection((host.strip("[]"), int(port)), PROBE_S).close()
    except OSError as error:
        raise UsageError(f"--address {address}: no Ray cluster answers there ({error.strerror or error})") from error


def _task(work: Callable[[Any], Any], unit: Any) -> tuple[Any, str]:
    import ray

    return work(unit), ray.get_runtime_context().get_node_id()
