import pytest

from dedup_scale import summary


def run(documents, working_s, task_mb, driver_mb):
    return {
        "documents": documents,
        "working_s": working_s,
        "total_s": working_s + 2.0,
        "peak_task_mb": task_mb,
        "driver_mb": driver_mb,
    }


def test_costs_are_per_document_and_starting_is_taken_off():
    start_up = run(200, working_s=7.0, task_mb=900, driver_mb=900)
    figures = summary(start_up, [run(1000, 8.0, 300, 200), run(10_000, 22.0, 400, 210)])
    assert [row["cpu_us_per_document"] for row in figures["runs"]] == pytest.approx([1000.0, 1500.0])
    assert figures["cpu_per_document_ratio"] == pytest.approx(1.5)
    assert figures["peak_task_mb"] == pytest.approx(400)
    assert figures["driver_mb"] == pytest.approx(210)
    assert figures["start_up_s"] == pytest.approx(9.0)
