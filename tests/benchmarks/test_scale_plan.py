from scale_plan import _short, measured, planned

RUN = {
    "documents": 1_000_000,
    "cpu_us_per_document": 360.0,
    "cpu_us_by_phase": {"read": 100.0, "deduplicate": 200.0},
    "exchanged_bytes_per_document": 5_000.0,
    "edges_per_document": 0.5,
    "peak_task_mb": 900.0,
    "driver_mb": 300.0,
}
FIGURES = {
    "runs": [RUN],
    "large_tasks": RUN | {"peak_task_mb": 4_000.0},
    "index": {
        "bytes_per_document": 900.0,
        "exchanged_bytes_per_indexed_document": 400.0,
    },
}


def rows(text):
    return {line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in text.splitlines()}


def test_a_plan_is_the_measured_figures_times_the_documents():
    plan = rows(planned(FIGURES))
    assert plan["documents that reach deduplication"] == ["910 M", "910 M", "81.9 G", "81.9 G"]
    assert plan["groups of a run"] == ["18,200", "1,820", "1,820", "163,800"]
    assert plan["partitions of band keys / of windows"][:2] == ["5,688 / 68,250", "711 / 8,532"]
    assert plan["memory of a task"] == ["0.9 GB", "4.0 GB", "4.0 GB", "4.0 GB"]
    assert plan["core-hours, all runs"][0] == "91"
    looks = 910_000_000 * 90 * 89 // 2
    assert plan["of them for looking at the index"] == ["0", "0", f"{looks * 16.0 / 3.6e9:,.0f}", "0"]
    assert plan["index at the end"] == ["", "", "73.7 TB", ""]
    assert plan["union-find in one task would take"][0] == "29 GB"


def test_measured_figures_are_shown_beside_their_sizes():
    shown = rows(measured(FIGURES))
    assert shown["memory of the largest task, MB, 50 k, 8 M"] == ["900"]
    assert shown["the same, 500 k, 64 M"] == ["4,000"]
    assert shown["CPU µs that it so costs that run"] == ["16"]  # 400 bytes of 5,000, 200 µs
    assert _short(999) == "999"
