import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.trainer.corpus import write_recipe
from trainer.heartbeat import HUNG, Beat, blamed


def beats(*said: tuple[int, str, int]) -> dict[int, Beat]:
    return {rank: Beat(rank=rank, step=s, doing=d, count=c) for rank, (s, d, c) in enumerate(said)}


def test_the_silent_one_is_to_blame() -> None:
    before = beats((7, "forward and backward", 3), (7, "waiting for data", 2), (7, "forward and backward", 3))
    after = beats((7, "forward and backward", 5), (7, "waiting for data", 2), (7, "forward and backward", 5))
    assert blamed(before, after, 3) == "process 1 is silent since step 7 (waiting for data)"
    assert blamed(before, after, 4) == (
        "process 3 has never been heard of; process 1 is silent since step 7 (waiting for data)"
    )


def test_else_who_is_furthest_behind() -> None:
    before = beats((8, "forward and backward", 3), (7, "saving", 3), (8, "forward and backward", 3))
    after = beats((8, "forward and backward", 5), (7, "saving", 5), (8, "forward and backward", 5))
    assert blamed(before, after, 3) == "furthest behind, at step 7: process 1 (saving)"
    same = beats((8, "saving", 5), (8, "forward and backward", 5))
    assert blamed(beats((8, "saving", 3), (8, "forward and backward", 3)), same, 2) == (
        "all are at step 8: 0 (saving), 1 (forward and backward)"
    )


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_process_that_is_stopped_is_named_by_the_other(tokens: Path, repository: Path, tmp_path: Path) -> None:
    """Two processes; the second is stopped in mid-training, as a machine that hangs."""
    patient = ("seed: 7\n", "seed: 7\nwatch: {hang_s: 12}\n")
    recipe = write_recipe(tmp_path / "recipe", patient, ("tokens: 2_000", "tokens: 2_000_000"))
    recipe.with_name("mixture.yaml").write_text(
        recipe.with_name("mixture.yaml").read_text().replace("max_epochs: 100", "max_epochs: 100000")
    )
    code = (
        "import os, sys; from pathlib import Path; from trainer.layout import launched; from trainer.run import train; "
        "train(sys.argv[1], tokens=Path(sys.argv[2]), output=Path(sys.argv[3]), process=launched(os.environ))"
    )
    address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, recipe, tokens, tmp_path / "run"],
            cwd=repository,
            env=os.environ | address | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        log = tmp_path / "run" / "metrics.jsonl"
        until = time.monotonic() + 120
        while time.monotonic() < until and (not log.exists() or log.read_text().count('"step", ') < 3):
            time.sleep(0.1)
        processes[1].send_signal(signal.SIGSTOP)
        _, error = processes[0].communicate(timeout=120)
        assert processes[0].returncode == HUNG, error[-2000:]
        assert "process 0 has waited for" in error
        assert "process 1 is silent since step " in error
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.parametrize("hang_s", [0, -1])
def test_no_patience_is_refused(hang_s: float) -> None:
    from trainer.watch import WatchConfig

    with pytest.raises(ValueError, match="hang_s: .* must be above 0"):
        WatchConfig(hang_s=hang_s)
