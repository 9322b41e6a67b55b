import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from trainer.layout import Process
from trainer.monitoring.stragglers import RollCall, compared


def test_who_is_slowest() -> None:
    #           data, others, product
    everyone = [(0.01, 0.90, 1e-3), (0.01, 0.80, 9e-3), (0.92, 0.00, 1e-3), (0.02, 0.85, 2e-3)]
    assert compared(everyone) == {
        "data_wait": {"rank": 2, "s": 0.92, "median_s": pytest.approx(0.015)},
        "arrived_last": {"rank": 2, "s": 0.0, "median_s": pytest.approx(0.825)},
        "product": {"rank": 1, "s": 9e-3, "median_s": pytest.approx(1.5e-3)},
    }


def test_alone_nobody_is_waited_for() -> None:
    call = RollCall(Process(), every=1)
    call.present(0.5)
    assert call.sync_wait_s() == 0
    assert call.slowest(1) is None


CODE = """
import os, sys, time, torch
from trainer.layout import launched
from trainer.parallel import joined
from trainer.monitoring.stragglers import RollCall
process = launched(os.environ)
torch.set_num_threads(1)
with joined(process):
    call, found = RollCall(process, every=3), []
    for step in range(1, 7):
        wait = 0.3 if process.rank == 1 and step <= 3 else 0.0
        time.sleep(wait)
        call.present(wait)
        call.sync_wait_s()
        found.append(call.slowest(step))
    torch.save(found, f"{sys.argv[1]}/rank-{process.rank}.pt")
"""


def test_of_two_processes_the_one_that_waits_for_data_comes_last(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "call.py").write_text(CODE)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    subprocess.run([*launch, tmp_path / "call.py", tmp_path], env=environment, check=True, timeout=200)
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt") for rank in (0, 1))
    assert first == second  # what one process records, all know
    assert [found is None for found in first] == [True, True, False] * 2
    # Both figures are of the same steps: a wait of 0.3 s in each of three.
    assert first[2]["data_wait"] == {"rank": 1, "s": pytest.approx(0.3), "median_s": pytest.approx(0.15)}
    assert first[2]["arrived_last"]["rank"] == 1
    # And it is forgotten with them.
    assert first[5]["data_wait"]["s"] == 0
    assert first[5]["product"]["s"] > 0
