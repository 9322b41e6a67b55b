"""The engine on a cluster of three nodes on this machine."""

import contextlib
import functools
import os
import signal
import time

import pytest

from pipeline import recipe
from pipeline.curate import CurateJob, curate
from pipeline.errors import UsageError
from pipeline.interrupt import listening
from pipeline.progress import Quiet
from pipeline.ray_engine import SETTINGS, RayEngine


def fail_or_double(n):
    if n == 3:
        raise ValueError("three is not wanted")
    return 2 * n


def die_once(mark):
    if not os.path.exists(mark):
        open(mark, "w").close()
        os.kill(os.getpid(), signal.SIGKILL)
    return "second time"


def nap(n):
    time.sleep(0.3)
    return n


@pytest.fixture(scope="module")
def address(repository):
    for name, value in SETTINGS.items():
        os.environ[name] = value
    os.environ["PYTHONPATH"] = str(repository)
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


@pytest.fixture
def engine(address):
    engine = RayEngine(address=address)
    yield engine
    engine.close()


def test_each_unit_has_an_outcome_and_a_failure_does_not_stop_the_others(engine):
    outcomes = {outcome.unit: outcome for outcome in engine.run(fail_or_double, range(20))}
    assert {n: outcome.result for n, outcome in outcomes.items() if n != 3} == {n: 2 * n for n in range(20) if n != 3}
    assert isinstance(outcomes[3].error, ValueError)
    assert str(outcomes[3].error) == "three is not wanted"


def test_units_are_drawn_as_they_are_needed(engine):
    units = iter(range(10, 1000))
    outcomes = engine.run(fail_or_double, units)
    next(outcomes)
    assert next(units) < 30
    outcomes.close()


def test_a_unit_whose_worker_is_killed_is_tried_again(engine, tmp_path):
    (outcome,) = engine.run(die_once, [str(tmp_path / "mark")])
    assert outcome.result == "second time"


def interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def test_the_driver_stops_though_something_swallowed_the_interrupt(address):
    def units():
        yield from (10, 11)
        with contextlib.suppress(KeyboardInterrupt):
            interrupt()
            raise AssertionError("the signal was not heard")
        yield from range(12, 1000)

    finished = []
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's job in the background ignores it
    with pytest.raises(KeyboardInterrupt), listening() as stop:
        engine = RayEngine(address=address, stop=stop)
        try:
            for outcome in engine.run(fail_or_double, units()):
                finished.append(outcome.unit)
        finally:
            engine.close()
    signal.signal(signal.SIGINT, before)
    assert finished == []


def test_an_interrupt_in_a_call_of_ray_waits_for_its_end_and_ray_is_left(address, monkeypatch):
    ray = pytest.importorskip("ray")
    init, returned = ray.init, []

    def interrupted(**settings):
        interrupt()
        init(**settings)
        returned.append(ray.is_initialized())

    monkeypatch.setattr(ray, "init", interrupted)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), listening() as stop:
        RayEngine(address=address, stop=stop)
    signal.signal(signal.SIGINT, before)
    assert returned == [True]
    assert not ray.is_initialized()


def test_units_run_on_several_nodes(engine):
    assert len({outcome.node for outcome in engine.run(nap, range(9))}) == 3


def test_a_curation_run_spreads_its_units_over_the_nodes(address, sample, recipe_file, tmp_path):
    job = CurateJob(inputs=(str(sample),), output=tmp_path / "out", recipe=recipe.load(str(recipe_file)))
    summary = curate(job, functools.partial(RayEngine, address=address), Quiet())
    assert len(summary["nodes"]) >= 2
    assert sum(summary["nodes"].values()) == 3


def test_an_address_where_nothing_answers_is_named():
    with pytest.raises(UsageError, match="--address 127.0.0.1:1: no Ray cluster answers there"):
        RayEngine(address="127.0.0.1:1")
