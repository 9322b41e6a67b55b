import pytest

from dedup_scale import Run, role_of, summary
from processes import Usage


def run(documents, driver_s, worker_s, task_mb, driver_mb):
    usage = Usage(
        wall_s=10.0,
        cpu_s={"driver": driver_s, "worker": worker_s, "ray": 1.0},
        peak_rss_bytes={"driver": driver_mb * 10**6, "worker": task_mb * 10**6, "ray": 10**6},
        alone_s=2.0,
    )
    return Run(documents=documents, usage=usage, recall=1.0)


def test_costs_are_per_document_and_starting_is_taken_off():
    start_up = run(200, driver_s=5.0, worker_s=3.0, task_mb=900, driver_mb=900)
    runs = [run(1000, 6.0, 3.0, 300, 200), run(10_000, 7.0, 16.0, 400, 210)]
    figures = summary(start_up, runs)
    assert [row["cpu_us_per_document"] for row in figures["runs"]] == pytest.approx([1000.0, 1500.0])
    assert figures["cpu_per_document_ratio"] == pytest.approx(1.5)
    assert figures["peak_task_mb"] == pytest.approx(400)
    assert figures["driver_mb"] == pytest.approx(210)
    assert figures["start_up_s"] == pytest.approx(9.0)


@pytest.mark.parametrize(
    ("line", "role"),
    [
        ("ray::search()", "worker"),
        ("python ray/_private/workers/default_worker.py --node-ip-address=…", "worker"),
        ("ray/core/src/ray/gcs/gcs_server --log_dir=…", "ray"),
    ],
)
def test_workers_are_told_from_rays_own_processes(line, role):
    assert role_of(line) == role
