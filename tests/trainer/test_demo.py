"""The shipped demo recipe on the small corpus, whole: minutes on a busy machine."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.corpus import write_tokens
from tests.trainer.runs import step_losses, untimed

pytestmark = pytest.mark.slow

CODE = """
import os, sys
from pathlib import Path
from trainer.layout import launched
from trainer.run import train
train("demo", tokens=Path(sys.argv[1]), output=Path(sys.argv[2]), process=launched(os.environ))
"""


@pytest.fixture(scope="module")
def demo_tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tokens(tmp_path_factory.mktemp("demo"), documents_per_folder=80, vocab=600)


def test_two_processes_train_the_demo_as_one_does(demo_tokens: Path, repository: Path, tmp_path: Path) -> None:
    script = tmp_path / "demo.py"
    script.write_text(CODE)
    environment = os.environ | {"PYTHONPATH": str(repository), "OMP_NUM_THREADS": "1"}
    launches = {
        "one": [sys.executable],
        "two": [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
    }
    for name, launch in launches.items():
        subprocess.run([*launch, script, demo_tokens, tmp_path / name], env=environment, check=True, timeout=900)
    assert step_losses(tmp_path / "two") == pytest.approx(step_losses(tmp_path / "one"), rel=1e-4)
    held_out = [record["loss"] for record in untimed(tmp_path / "one") if record["kind"] == "held_out"]
    assert len(held_out) == 8
    for start, end in zip(held_out[::2], held_out[1::2], strict=True):
        assert end < start
