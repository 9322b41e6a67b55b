import sys

import pytest

from processes import watch

BURN = "import time\nwhile time.process_time() < 0.3: pass\n"
CHILD = BURN + "time.sleep(1)  # the worker, seen for sure"
PARENT = BURN + "time.sleep(1)\nimport subprocess, sys\nsubprocess.run([sys.executable, '-c', {child!r}])\n"


def test_every_process_counts_under_its_role_and_the_driver_alone_is_told_apart():
    usage = watch(
        [sys.executable, "-c", PARENT.format(child=CHILD)],
        ("worker", "other"),
        lambda line: "worker" if "the worker" in line else "other",
    )
    assert usage.cpu_s["driver"] >= usage.alone_s > 0
    assert usage.cpu_s["worker"] > 0
    assert usage.cpu_s["other"] == 0
    assert usage.working_s == pytest.approx(usage.total_s - usage.alone_s)
    assert min(usage.peak_rss_bytes[role] for role in ("driver", "worker")) > 1e6


def test_a_job_that_fails_ends_with_its_own_words():
    with pytest.raises(SystemExit, match="no such luck"):
        watch([sys.executable, "-c", "raise SystemExit('no such luck')"], ("other",), lambda _: "other")
